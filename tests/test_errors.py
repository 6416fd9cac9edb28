"""The exception tree and the suggestions."""

from __future__ import annotations

import inspect
import time

import pytest

from fingan import errors

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.FinganError)]


def test_every_error_is_a_fingan_error_with_a_contracted_exit_code():
    assert len(CLASSES) >= 11
    assert {c.exit_code for c in CLASSES} == {1, 2}


@pytest.mark.parametrize("name", ["ConfigError", "NotAvailable", "ConditionError"])
def test_usage_errors_exit_with_2(name):
    assert getattr(errors, name).exit_code == 2


@pytest.mark.parametrize(
    "name",
    ["DataError", "SchemaMismatch", "NotFound", "TrainingDiverged", "CheckpointCorrupt", "BundleError"],
)
def test_failures_exit_with_1(name):
    assert getattr(errors, name).exit_code == 1


def test_what_the_caller_can_mend_is_a_value_error_and_nothing_else_is():
    for cls in CLASSES:
        assert issubclass(cls, ValueError) == issubclass(cls, errors.UserError)


def test_the_docstring_draws_the_whole_tree():
    assert errors.__doc__ is not None
    for cls in CLASSES:
        assert cls.__name__ in errors.__doc__


def test_nearest_names_the_closest():
    assert errors.nearest("Clas", ["Class", "term", "sub_grade"]) == " Did you mean 'Class'?"


def test_nearest_ignores_case_but_answers_in_the_real_one():
    assert errors.nearest("CLASS", ["class", "term"]) == " Did you mean 'class'?"


def test_nearest_is_silent_when_nothing_is_close():
    assert errors.nearest("zzz", ["Class", "term"]) == ""
    assert errors.nearest("zzz", []) == ""


def test_nearest_takes_names_that_are_no_strings():
    assert errors.nearest("2", [1, 2]) == " Did you mean '2'?"  # type: ignore[list-item]


def test_nearest_stays_quick_for_a_hostile_name():
    started = time.perf_counter()
    errors.nearest("a" * 1_000_000, ["b" * 1_000_000 + "a", "ab" * 500_000])
    assert time.perf_counter() - started < 1.0
