"""Results files: keyed, appended to, resumed."""

from __future__ import annotations

import pytest

from benchmarks.registry import NAMES
from benchmarks.results import Results, kind_of, name_of
from fingan.config import Config


def test_a_result_is_found_by_its_keys_and_stamped(tmp_path):
    results = Results("toy", tmp_path)
    assert results.rows() == []
    results.add({"dataset": "adult", "seed": 1, "set": ["a=1"], "value": 2.5})
    again = Results("toy", tmp_path)
    assert again.has(dataset="adult", seed=1, set=["a=1"])
    assert not again.has(dataset="adult", seed=2)
    (row,) = again.rows()
    assert row["value"] == 2.5
    assert {"date", "revision", "default", "machine"} <= row.keys()


def test_a_torn_line_is_ignored(tmp_path):
    results = Results("toy", tmp_path)
    results.add({"seed": 0})
    with results.path.open("a") as file:
        file.write('{"seed": 1, "val')
    assert [row["seed"] for row in results.rows()] == [0]


def test_a_result_after_a_torn_line_is_kept(tmp_path):
    results = Results("toy", tmp_path)
    results.add({"seed": 0})
    with results.path.open("a") as file:
        file.write('{"seed": 1, "val')
    results.add({"seed": 2})
    results.add({"seed": 3})
    assert [row["seed"] for row in results.rows()] == [0, 2, 3]


@pytest.mark.parametrize(
    ("units", "kind"),
    [
        ({"amx": True, "bf16": True}, "one, AMX"),
        ({"amx": False, "bf16": True}, "one, bf16"),
        ({"amx": False, "bf16": False}, "one, fp32"),
        ({"amx": False}, "one"),
    ],
)
def test_a_kind_of_processor_is_told_by_its_units(units, kind):
    assert kind_of({"processor": "one", **units}) == kind


@pytest.mark.parametrize("name", NAMES)
def test_no_result_is_of_a_default_that_is_no_longer_it(name):
    """A change of the default moves its results to the folder of the former ones."""
    known = {row["default"] for row in Results(name).rows() if "default" in row}
    assert known <= {name_of(Config())}


def test_the_name_of_a_configuration_tells_how_it_learns_not_for_how_many_workers():
    default = Config()
    assert name_of(default) == name_of(Config(seed=1, compute={"workers": 2}))
    assert name_of(default) != name_of(Config(network={"width": default.network.width + 1}))
