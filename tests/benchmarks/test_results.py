"""Results files: keyed, appended to, resumed."""

from __future__ import annotations

from benchmarks.results import Results


def test_a_result_is_found_by_its_keys_and_stamped(tmp_path):
    results = Results("toy", tmp_path)
    assert results.rows() == []
    results.add({"dataset": "adult", "seed": 1, "set": ["a=1"], "value": 2.5})
    again = Results("toy", tmp_path)
    assert again.has(dataset="adult", seed=1, set=["a=1"])
    assert not again.has(dataset="adult", seed=2)
    (row,) = again.rows()
    assert row["value"] == 2.5
    assert {"date", "revision", "machine"} <= row.keys()


def test_a_torn_line_is_ignored(tmp_path):
    results = Results("toy", tmp_path)
    results.add({"seed": 0})
    with results.path.open("a") as file:
        file.write('{"seed": 1, "val')
    assert [row["seed"] for row in results.rows()] == [0]
