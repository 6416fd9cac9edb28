"""Marginals of a bundle against the table that it was trained on."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fingan.data.schema import ColumnSpec, TableSchema
from fingan.encoding import fit_encoder
from fingan.encoding.pieces import Pieces
from fingan.service.bins import moment_bins, number_bins, shares
from fingan.service.marginals import LEVELS, marginals
from tests import tiny

# Numbers that seldom repeat are spread over runs of 8 rows: a bin may gain or lose one at each edge.
RUN_ROWS = 8


class Stub:
    """A generator as far as its marginals go."""

    def __init__(self, table: pa.Table, schema: TableSchema) -> None:
        self.schema = schema
        self.engine = self
        self.encoder = fit_encoder(table, schema)


def told(values: pa.Array, kind: str, name: str = "x", **more: pa.Array) -> dict:
    """Return the marginal of one column, beside others."""
    table = pa.table({name: values, **more})
    kinds = {name: kind} | dict.fromkeys(more, "category")
    specs = [
        ColumnSpec(name=n, kind=kinds[n], type=str(table[n].type), nullable=True) for n in table.column_names
    ]
    return marginals(Stub(table, TableSchema(columns=tuple(specs))))["columns"][0]


def total(column: dict) -> float:
    return sum(column["shares"]) + column.get("other", 0.0) + column["missing"]


def counted(column: dict, values: np.ndarray) -> np.ndarray:
    """Return the shares of plain values in a column's bins, as the page counts a sample's."""
    place = np.searchsorted(column["edges"], values, side="right") - 1
    return np.bincount(place.clip(0, len(column["shares"]) - 1), minlength=len(column["shares"]))


@pytest.fixture(scope="module")
def columns() -> dict[str, dict]:
    """Marginals of the tiny generator, by column."""
    document = marginals(tiny.generator())
    assert "training rows" in document["source"]
    json.dumps(document, allow_nan=False)
    return {column["name"]: column for column in document["columns"]}


def test_every_column_is_told_in_the_order_of_the_schema(columns):
    assert list(columns) == list(tiny.generator().schema.names)
    assert columns["customer"] == {"name": "customer", "kind": "identifier"}
    for name, column in columns.items():
        if name != "customer":
            assert column["rows"] == tiny.ROWS
            assert total(column) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", ["city", "member", "label", "constant"])
def test_categories_have_the_shares_of_the_table(columns, name):
    real = tiny.frame()[name].astype(str).str.lower().value_counts(normalize=True).to_dict()
    found = dict(zip([v.lower() for v in columns[name]["values"]], columns[name]["shares"], strict=True))
    assert found == pytest.approx(real, abs=1e-6)
    assert columns[name]["shares"] == sorted(columns[name]["shares"], reverse=True)


@pytest.mark.parametrize("name", ["amount", "age", "fee", "years", "day", "moment"])
def test_bins_have_the_shares_of_the_table(columns, name):
    column, values = columns[name], tiny.arrow()[name]
    if column["text"] is not None:
        values = values.cast(pa.timestamp("ms")).cast(pa.int64())
    plain = values.drop_null().cast(pa.float64()).to_numpy()
    real = counted(column, plain)
    assert np.abs(real / tiny.ROWS - column["shares"]).max() <= 2 * RUN_ROWS / tiny.ROWS
    assert column["missing"] == pytest.approx(values.null_count / tiny.ROWS, abs=1e-6)
    assert 15 <= len(column["shares"]) <= 40


def test_an_alias_has_the_distribution_of_what_it_repeats(columns):
    assert tiny.generator().engine.encoder.aliases
    assert columns["years"] | {"name": "age"} == columns["age"]


def test_bins_of_a_lattice_hold_as_many_points_each_and_no_rounding_moves_a_value(columns):
    for name, step in (("amount", 0.01), ("fee", 0.01), ("age", 1.0)):
        assert columns[name]["step"] == step
        edges = np.array(columns[name]["edges"]) / step
        assert np.allclose(edges % 1, 0.5)
        assert np.allclose(np.diff(edges), np.diff(edges)[0])
    # Exactly, where every value has a count of its own.
    ages = tiny.arrow()["age"].to_numpy()
    assert columns["age"]["shares"] == pytest.approx(counted(columns["age"], ages) / tiny.ROWS, abs=1e-6)


def test_moments_have_whole_days_as_text(columns):
    assert columns["day"]["text"][0] == "2024-01-02"
    edges = [datetime.fromisoformat(text).timestamp() for text in columns["day"]["text"]]
    assert np.allclose(np.diff(edges), np.diff(columns["day"]["edges"]) / 1000, atol=3600)
    assert len(columns["moment"]["text"]) == len(columns["moment"]["edges"])


def test_the_twenty_most_frequent_categories_are_named():
    values = pa.array([f"v{int(k):03d}" for k in np.repeat(np.arange(300), np.arange(300, 0, -1))])
    column = told(values, "category")
    assert column["values"] == [f"v{k:03d}" for k in range(LEVELS)]
    assert column["shares"][0] == pytest.approx(300 / len(values), abs=1e-6)
    assert total(column) == pytest.approx(1.0, abs=1e-5)
    assert column["other"] > 0.5


def test_columns_that_are_tied_are_told_one_by_one():
    rng = np.random.default_rng(0)
    grade = rng.integers(0, 12, 3000)
    kind = pa.array([None if g == 0 else "abc"[g % 3] for g in grade])
    day = pa.array([date(2024, 1, 1) + timedelta(days=int(g % 4)) for g in grade])
    rate = pa.array(grade * 3)
    name = pa.array([f"grade {g}" for g in grade])
    specs = [("name", "category"), ("kind", "category"), ("day", "date"), ("rate", "integer")]
    table = pa.table({"name": name, "kind": kind, "day": day, "rate": rate})
    schema = TableSchema(
        columns=tuple(ColumnSpec(name=n, kind=k, type=str(table[n].type), nullable=True) for n, k in specs)
    )
    stub = Stub(table, schema)
    assert [unit.columns for unit in stub.encoder.units] == [("name", "kind", "day", "rate")]
    found = {column["name"]: column for column in marginals(stub)["columns"]}
    assert found["kind"]["missing"] == pytest.approx(kind.null_count / 3000, abs=1e-6)
    assert found["kind"]["shares"][0] == pytest.approx(
        max(pc.value_counts(kind).field("counts").to_pylist()) / 3000
    )
    assert found["rate"]["step"] == 3.0
    assert found["rate"]["shares"] == pytest.approx(np.bincount(grade) / 3000, abs=1e-6)
    assert found["day"]["text"] == [f"2024-01-0{d}" for d in range(1, 6)]
    assert found["day"]["shares"] == pytest.approx(np.bincount(grade % 4) / 3000, abs=1e-6)


def test_columns_that_repeat_another_have_their_own_counts():
    rng = np.random.default_rng(1)
    bill = np.round(rng.gamma(2.0, 1000.0, 4000), 2)
    paid = np.where(rng.random(4000) < 0.4, bill, np.round(rng.gamma(2.0, 500.0, 4000), 2))
    specs = [ColumnSpec(name=n, kind="number", type="double") for n in ("bill", "paid")]
    stub = Stub(pa.table({"bill": bill, "paid": paid}), TableSchema(columns=tuple(specs)))
    assert type(stub.encoder.units[-1]).__name__ == "CopyUnit"
    column = marginals(stub)["columns"][1]
    assert np.abs(counted(column, paid) / 4000 - column["shares"]).max() <= 2 * RUN_ROWS / 4000


def test_a_few_numbers_have_a_bin_each():
    column = told(pa.array([1, 2, 2, 4, None] * 20), "integer")
    assert column["edges"] == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert column["shares"] == [0.2, 0.4, 0.0, 0.2]
    assert column["missing"] == 0.2


def test_a_column_without_values_or_with_one():
    assert told(pa.array([None] * 50, pa.float64()), "number")["missing"] == 1.0
    assert told(pa.array([None] * 50, pa.date32()), "date")["shares"] == []
    assert told(pa.array([None] * 50, pa.string()), "category")["missing"] == 1.0
    for value, edges in ((0.0, [-0.5, 0.5]), (7.0, [6.5, 7.5])):
        column = told(pa.array([value] * 50), "number", y=pa.array(list("ab") * 25))
        assert column["edges"] == edges
        assert column["shares"] == [1.0]
    day = told(pa.array([date(2024, 2, 29)] * 50), "date")
    assert day["text"] == ["2024-02-29", "2024-03-01"]


def test_nearly_constant_columns_show_that_there_is_more():
    column = told(pa.array([0] * 998 + [5, 90]), "integer")
    assert column["edges"][0] < 0 < 90 < column["edges"][-1]
    assert column["shares"][0] == pytest.approx(0.998)


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e9, 1e300])
def test_continuous_numbers_of_any_size(scale):
    values = np.random.default_rng(2).normal(size=2000) * scale
    column = told(pa.array(values), "number")
    assert column["step"] is None
    assert 10 <= len(column["shares"]) <= 40
    assert np.all(np.diff(column["edges"]) > 0)
    assert np.abs(counted(column, values) / 2000 - column["shares"]).max() <= 2 * RUN_ROWS / 2000


def test_the_largest_floats_and_integers_there_are():
    floats = np.array([-1.7e308, 0.0, 1.7e308]).repeat(20)
    column = told(pa.array(floats), "number")
    assert np.isfinite(column["edges"]).all()
    assert total(column) == pytest.approx(1.0, abs=1e-5)
    whole = np.random.default_rng(3).integers(-(2**63), 2**63 - 1, 2000)
    column = told(pa.array(whole), "integer")
    assert total(column) == pytest.approx(1.0, abs=1e-5)
    assert max(column["shares"]) < 0.1


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("seconds", [50, 5000, 500_000, 50_000_000])
def test_moments_of_any_unit_and_span(unit, zone, seconds):
    ticks = np.random.default_rng(4).integers(0, seconds, 2000) + 1_700_000_000
    moments = pa.array(ticks).cast(pa.timestamp("s", zone)).cast(pa.timestamp(unit, zone))
    column = told(moments, "timestamp")
    assert 8 <= len(column["shares"]) <= 60
    assert np.abs(counted(column, ticks * 1000.0) / 2000 - column["shares"]).max() <= 2 * RUN_ROWS / 2000
    read = [pd.Timestamp(text) for text in column["text"]]
    read = [moment if moment.tz is not None else moment.tz_localize("UTC") for moment in read]
    assert [moment.timestamp() * 1000 for moment in read] == column["edges"]


def test_weeks_are_not_cut_into_bins_with_and_without():
    days = np.arange(200) * 7 + 19_700
    bins, text = moment_bins(int(days[0]), int(days[-1]), 7, pa.date32())
    pieces = Pieces.from_counts(days, np.ones(200, dtype=np.int64), 0, lattice_step=7)
    found = shares(pieces, bins)
    assert found[:-1] == pytest.approx(found[0])
    assert len(text) == len(bins.shown)


def test_round_edges():
    assert number_bins(3, 987, 1, 1).shown[:3] == [-0.5, 39.5, 79.5]
    assert number_bins(0.1, 5.9, None, 1).shown[:3] == [0.0, 0.2, 0.4]
    assert number_bins(5, 5, 1, 1).shown == [4.5, 5.5]
    assert number_bins(1010, 1990, 20, 100).shown[0] == pytest.approx(10.0)


def test_categories_of_other_types_are_told_as_json_has_them():
    kinds = {
        "bool": (pa.array([True, False, None] * 10), ["false", "true"]),
        "int64": (pa.array([3, 1, 1] * 10), ["1", "3"]),
        "date32[day]": (pa.array([date(2024, 1, 2)] * 30), ["2024-01-02"]),
        "timestamp[us]": (pa.array([datetime(2024, 1, 2, 3)] * 30), ["2024-01-02T03:00:00"]),
    }
    for values, names in kinds.values():
        assert told(values, "category")["values"] == names
