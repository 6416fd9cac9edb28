"""Options of commands as overrides of the configuration."""

from __future__ import annotations

import pytest

from fingan.cli.options import configuration


@pytest.mark.parametrize(
    "name", ["💰", "naïve", "a b: c", "tab\there", "quote\"'", "\x7f\x85\u2028", "2020-13-45"]
)
def test_a_column_of_any_name_can_be_the_target(name):
    assert configuration(None, None, data__target=name).data.target == name
