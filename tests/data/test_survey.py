"""What is known of a table does not depend on how it was cut, and is as exact as it says."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy import stats

from fingan.data import survey
from fingan.data.parts import open_parts
from fingan.data.survey import Survey, Tally, merge, sample_places, survey_part
from tests.encoding.tables import mixed

TABLE = mixed(rows=160).append_column("small", pa.array(np.arange(160) % 11 - 5, pa.int8()))


def sampling_error(sample: int, confidence: float = 0.999) -> float:
    """Return the largest error of a share or a quantile that is read from a sample of so many rows."""
    return math.sqrt(math.log(2.0 / (1.0 - confidence)) / (2.0 * sample))


def cut(table: pa.Table, ends: Sequence[int], seed: int, sample_rows: int) -> list[Survey]:
    """Survey the pieces of a table that end at the given rows."""
    edges = sorted({0, len(table), *ends})
    return [
        survey._block(table.slice(a, b - a), a, len(table), seed, sample_rows)
        for a, b in itertools.pairwise(edges)
    ]


def plain(tally: Tally | None) -> tuple[list[object], list[int], int] | None:
    return None if tally is None else (tally.values.to_pylist(), tally.counts.tolist(), tally.nulls)


def extremes(table: pa.Table) -> dict[str, tuple[object, object, bool]]:
    """Smallest and largest value of each column that has a range, and whether one is missing."""
    found = {}
    for name in table.column_names:
        column = table[name]
        ranged = not pa.types.is_string(column.type) and not pa.types.is_boolean(column.type)
        ends = pc.min_max(column).as_py() if ranged else {"min": None, "max": None}
        found[name] = ends["min"], ends["max"], column.null_count > 0
    return found


def told(found: Survey) -> list[object]:
    """Everything of a survey but which of equal rows bear witness."""
    tallies = {name: plain(tally) for name, tally in found.tallies.items()}
    return [
        found.rows,
        found.places.tolist(),
        found.sample.to_pylist(),
        extremes(found.rows_to_fit()),
        tallies,
    ]


@examples(max_examples=12)
@given(st.lists(st.integers(1, 159), max_size=6), st.integers(0, 170), st.randoms(use_true_random=False))
def test_the_cut_and_the_order_of_merging_change_nothing(ends, sample_rows, random):
    once = merge(cut(TABLE, [], 3, sample_rows))
    pieces = cut(TABLE, ends, 3, sample_rows)
    in_order = merge(pieces)
    assert told(in_order) == told(once)
    at = random.randint(0, len(pieces))
    nested = merge([merge(half) for half in (pieces[:at], pieces[at:]) if half])
    assert told(nested) == told(once)
    assert nested.witnesses.equals(in_order.witnesses)
    random.shuffle(pieces)
    assert told(merge(pieces)) == told(once)


@pytest.mark.parametrize(("group", "files"), [(7, 1), (40, 3), (1000, 2)])
def test_files_are_surveyed_as_the_whole_table_is(tmp_path: Path, group: int, files: int) -> None:
    for k in range(files):
        first, last = k * 160 // files, (k + 1) * 160 // files
        pq.write_table(TABLE.slice(first, last - first), tmp_path / f"{k}.parquet", row_group_size=group)
    table = open_parts(tmp_path)
    assert table is not None
    found = merge([survey_part(table, part, 3, 50) for part in reversed(table.parts)])
    assert told(found) == told(merge(cut(TABLE, [], 3, 50)))


@given(st.integers(1, 300), st.integers(0, 400), st.integers(0, 10**6))
def test_the_sample_has_as_many_rows_as_asked_for_and_each_once(rows, wanted, seed):
    table = pa.table({"n": range(rows)})
    found = merge(cut(table, [rows // 3, rows // 2], seed, wanted))
    numbers = found.sample["n"].to_pylist()
    assert len(numbers) == len(set(numbers)) == min(wanted, rows)
    assert found.places.tolist() == list(range(len(numbers)))
    assert found.rows == rows
    held = numbers + found.witnesses["n"].to_pylist()
    assert len(held) == len(set(held)), "a witness is in the sample already"
    assert {0, rows - 1} <= set(held)
    assert found.rows_to_fit()["n"].to_pylist() == held


def test_a_larger_sample_goes_on_where_a_smaller_one_ends() -> None:
    small, large = (merge(cut(TABLE, [50], 1, k)).sample for k in (20, 60))
    assert large.slice(0, 20).equals(small)
    assert not merge(cut(TABLE, [50], 2, 20)).sample.equals(small)


@given(st.integers(1, 10_000), st.data())
def test_places_of_consecutive_rows_are_part_of_one_permutation(total, data):
    first = data.draw(st.integers(0, total - 1))
    rows = data.draw(st.integers(1, total - first))
    every = sample_places(0, total, total, 5)
    assert sorted(every) == list(range(total))
    assert sample_places(first, rows, total, 5).tolist() == every[first : first + rows].tolist()


@pytest.mark.statistical
def test_the_sample_is_drawn_evenly_from_all_positions() -> None:
    """χ² over 50 stretches and over neighbours: an even draw fails once in 500 seeds; they are fixed."""
    total, wanted, seeds = 5_000, 400, 50
    counts, joint = np.zeros(50), np.zeros((2, 2))
    for seed in range(seeds):
        chosen = sample_places(0, total, total, seed) < wanted
        counts += chosen.reshape(50, 100).sum(axis=1)
        np.add.at(joint, (chosen[:-1].astype(int), chosen[1:].astype(int)), 1)
    assert stats.chisquare(counts).pvalue > 1e-3
    # Neighbours are drawn as if they did not know of each other.
    assert stats.chi2_contingency(joint).pvalue > 1e-3


@pytest.mark.statistical
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_shares_and_quantiles_are_as_near_as_stated(confidence: float) -> None:
    """The bound is two-sided and uniform over the values, so its misses are at most 1 - confidence."""
    total, wanted, seeds = 4_000, 250, 400
    values = np.sort(np.random.default_rng(0).gamma(0.7, 100.0, total))
    grid = np.arange(1, total + 1) / total
    bound, errors = sampling_error(wanted, confidence), []
    for seed in range(seeds):
        sample = np.sort(values[sample_places(0, total, total, seed) < wanted])
        share = np.searchsorted(sample, values, side="right") / wanted
        errors.append(np.abs(share - grid).max())
    misses = int((np.array(errors) > bound).sum())
    assert stats.binomtest(misses, seeds, 1 - confidence, alternative="greater").pvalue > 1e-3
    # Not so wide as to say nothing: the typical error is of its order.
    assert np.median(errors) > bound / 3


def test_the_error_that_is_stated() -> None:
    assert sampling_error(survey.SAMPLE_ROWS) == pytest.approx(0.0026924, rel=1e-3)
    assert sampling_error(1000, 0.95) == pytest.approx(0.0429, abs=1e-4)


@pytest.mark.parametrize("wanted", [0, 5, 200])
def test_extremes_and_nulls_of_every_kind_of_column_are_kept(wanted: int) -> None:
    found = merge(cut(TABLE, [40, 41, 90], 8, wanted)).rows_to_fit()
    assert extremes(found) == extremes(TABLE)
    assert found.schema.types == TABLE.schema.types


def test_a_column_of_nulls_and_one_without() -> None:
    table = pa.table({"none": pa.nulls(9, pa.float64()), "full": range(9)})
    found = merge(cut(table, [4], 0, 0))
    assert found.rows_to_fit()["none"].null_count > 0
    assert plain(found.tallies["none"]) == ([], [], 9)
    assert plain(found.tallies["full"]) == (list(range(9)), [1] * 9, 0)


def counted(values: Sequence[object]) -> tuple[list[object], list[int], int]:
    counts = Counter(v for v in values if v is not None)
    levels = sorted(counts)  # type: ignore[type-var]
    return levels, [counts[v] for v in levels], sum(v is None for v in values)


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 12)), min_size=1, max_size=80),
    st.lists(st.integers(1, 79), max_size=5),
    st.integers(1, 12),
)
def test_values_are_counted_exactly_up_to_the_bound_however_cut(values, ends, most):
    table = pa.table(
        {
            "whole": pa.array(values, pa.int64()),
            "text": pa.array([None if v is None else f"v{v:02d}" for v in values], pa.string()),
            "number": pa.array([None if v is None else v / 4 for v in values], pa.float64()),
            "flag": pa.array([None if v is None else v % 2 == 1 for v in values], pa.bool_()),
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(survey, "MOST_LEVELS", most)
        patch.setattr(survey, "MOST_VALUES", max(1, most // 2))
        found = merge(cut(table, [e for e in ends if e < len(values)], 0, 3))
    for name in table.column_names:
        wanted = counted(table[name].to_pylist())
        bound = most if name in ("whole", "text") else max(1, most // 2)
        assert plain(found.tallies[name]) == (wanted if len(wanted[0]) <= bound else None), name


def test_every_kind_of_column_is_counted() -> None:
    found = merge(cut(TABLE, [30, 100], 0, 10))
    for name in TABLE.column_names:
        assert plain(found.tallies[name]) == counted(TABLE[name].to_pylist()), name
        tally = found.tallies[name]
        assert tally is not None
        assert tally.values.type == TABLE[name].type


def test_what_was_too_much_in_one_part_stays_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "MOST_VALUES", 3)
    table = pa.table({"x": [1.0, 2.0, 3.0, 4.0, 1.0, 1.0]})
    first, second = cut(table, [4], 0, 2)
    assert first.tallies["x"] is None
    assert plain(second.tallies["x"]) == ([1.0], [2], 0)
    assert merge([second, first]).tallies["x"] is None
