"""What boosted trees see of decoded rows."""

from __future__ import annotations

import json
import tracemalloc
from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from fingan.data import TableSchema, infer_schema
from fingan.errors import BundleError
from fingan.generator.inputs import FEWEST_ROWS, TreeInputs


def table() -> pa.Table:
    rows = 4 * FEWEST_ROWS
    days = [date(1970, 1, 1 + i % 28) for i in range(rows)]
    cities = ["Rom"] * FEWEST_ROWS + ["Ulm"] * (rows - FEWEST_ROWS - 2) + ["Ems", None]
    return pa.table(
        {
            "id": [f"c-{i:05d}-{i * 7919 % 997}" for i in range(rows)],
            "x": pa.array([1.5, None, *range(rows - 2)], pa.float64()),
            "city": cities,
            "member": [i % 3 == 0 for i in range(rows)],
            "day": days,
            "moment": [datetime(1970, 1, 1, 0, 0, i) for i in range(rows)],
            "fee": [Decimal(i) / 4 for i in range(rows)],
        }
    )


def test_numbers_and_moments_are_numbers_and_categories_ranks_of_frequency():
    rows = table()
    inputs = TreeInputs.fit(infer_schema(rows), rows)
    assert "id" not in inputs.columns
    matrix = inputs.matrix(rows)
    column = {name: matrix[:, i] for i, name in enumerate(inputs.columns)}
    assert column["x"][0] == 1.5
    assert np.isnan(column["x"][1])
    assert column["day"][:3].tolist() == [0, 1, 2]
    assert column["fee"][:3].tolist() == [0, 0.25, 0.5]
    assert (np.diff(column["moment"]) > 0).all()
    # Ulm is commoner than Rom; Ems is too rare for a rank of its own; nothing is known of the last.
    assert column["city"][[0, FEWEST_ROWS, -2]].tolist() == [1, 0, 2]
    assert np.isnan(column["city"][-1])
    assert set(column["member"]) == {0, 1}


def test_numbers_beyond_single_precision_stay_finite():
    most = float(np.finfo(np.float32).max)
    rows = pa.table({"x": pa.array([1.797e308, -1e39, 2.0, None], pa.float64())})
    found = TreeInputs.fit(infer_schema(rows), rows).matrix(rows)[:, 0]
    assert found[:3].tolist() == [most, -most, 2.0]
    assert np.isnan(found[3])


def test_a_long_text_among_many_costs_its_own_length_only():
    long, words = "long " * 10_000, [f"word {n}" for n in range(2000)]
    rows = pa.table({"note": [long, *words, *2 * FEWEST_ROWS * ["no"], *FEWEST_ROWS * ["é", "z", "Z", "b"]]})
    schema = TableSchema.from_mapping({"columns": [{"name": "note", "kind": "category", "type": "string"}]})
    tracemalloc.start()
    inputs = TreeInputs.fit(schema, rows)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert inputs.levels["note"].to_pylist() == ["no", "Z", "b", "z", "é"]
    assert most < 10 * 2**20


def test_unseen_categories_share_the_rank_of_rare_ones_and_state_survives_json():
    rows = table()
    inputs = TreeInputs.fit(infer_schema(rows), rows)
    again = TreeInputs.from_state(json.loads(json.dumps(inputs.state())))
    other = rows.set_column(2, "city", pa.array(["Elsewhere"] * rows.num_rows))
    place = inputs.columns.index("city")
    assert set(again.matrix(other)[:, place]) == {2.0}
    for batch in rows.to_batches():
        assert np.array_equal(again.matrix(batch), inputs.matrix(rows), equal_nan=True)


def test_rare_values_are_not_kept():
    rows = table()
    assert "Ems" not in json.dumps(TreeInputs.fit(infer_schema(rows), rows).state())


def test_a_label_of_few_numbers_is_a_category_and_one_of_many_is_not():
    rows = pa.table({"few": [7, 7, 7, 7, 7, 7, 3, 3, 3, 3, 3] * 4, "many": list(range(44))})
    schema = infer_schema(rows)
    assert schema.column("few").kind == "integer"
    assert TreeInputs.fit(schema, rows, "few").matrix(rows)[:7, 0].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert TreeInputs.fit(schema, rows, "many").levels == {}


def test_some_classes_stand_apart():
    classes = [0] * 20 + [1] * 10 + [2] * 6 + [3] * 4
    rows = pa.table({"x": np.arange(40.0), "city": ["Rom", "Ulm"] * 20, "y": classes})
    schema = infer_schema(rows)
    # Of the last class there are too few rows for a rank of its own.
    inputs = TreeInputs.fit(schema, rows, "y", [pa.scalar(1), pa.scalar(3)])
    for own in (inputs, TreeInputs.from_state(json.loads(json.dumps(inputs.state())))):
        assert own.stand_apart(own.matrix(rows)).tolist() == [y in (1, 3) for y in classes]
    for without in (TreeInputs.fit(schema, rows, "y"), TreeInputs.fit(schema, rows)):
        assert not without.stand_apart(without.matrix(rows)).any()


def test_a_label_that_is_not_read_is_a_damaged_bundle():
    state = TreeInputs.fit(infer_schema(table()), table()).state()
    with pytest.raises(BundleError, match="label 'town' that it does not read"):
        TreeInputs.from_state(state | {"label": "town"})
