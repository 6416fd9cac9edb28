"""Partitioned samples: the rows of a single one, resumed, and never whole before the manifest."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from fingan.cluster.bulk import PartProgress
from fingan.data import read_table
from fingan.errors import FinganError
from tests.cluster.bulk.samples import FILES, PART, ROWS, StopsAfter, contents, dataset, expected
from tests.tiny import generator


def test_the_parts_are_the_rows_of_one_sample(sample, tmp_path):
    progress, stages = list[PartProgress](), list[str]()
    done = sample(on_progress=progress.append, on_stage=stages.append)
    assert (done.finished, done.rows, done.made) == (True, ROWS, ROWS)
    assert [part.rows for part in done.parts] == [1500, 1500, 1500, 500]
    assert [part.first for part in done.parts] == [0, 1500, 3000, 4500]
    folder = tmp_path / "rows"
    assert dataset(folder) == expected()
    assert sorted(os.listdir(folder)) == ["_manifest.json", "_parts", "_request.json", *FILES]
    for part in done.parts:
        data = (folder / part.file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (part.bytes, part.sha256)
    assert [p.parts for p in progress] == [1, 2, 3, 4]
    assert (progress[-1].rows, progress[-1].planned, progress[-1].remaining) == (ROWS, ROWS, 0.0)
    assert stages == ["loading m:1", "making 4 of 4 parts"]


def test_other_readers_pass_over_what_is_no_part(sample, tmp_path):
    sample()
    rows = expected()
    assert pq.read_table(tmp_path / "rows").combine_chunks() == rows
    assert len(pd.read_parquet(tmp_path / "rows")) == ROWS
    assert read_table(tmp_path / "rows").num_rows == ROWS


def test_conditions_offset_and_columns(sample, tmp_path):
    options = {"where": {"label": "bad"}, "offset": 700, "seed": 5}
    done = sample(3000, columns=["label", "amount"], **options)
    assert [part.first for part in done.parts] == [700, 2200]
    assert dataset(tmp_path / "rows") == expected(3000, **options).select(["label", "amount"])


def test_columns_that_are_no_identifiers_have_rows_without_number(sample, tmp_path):
    (customer,) = generator().engine.encoder.identifiers
    done = sample(20, columns=["age"], offset=customer.capacity - 10)
    assert (done.finished, done.rows) == (True, 20)


def test_the_manifest_names_request_and_parts(sample, tmp_path):
    done = sample(where={"age": "30"})
    written = json.loads((tmp_path / "rows" / "_manifest.json").read_text())
    assert written["rows"] == ROWS
    assert written["bytes"] == done.bytes == sum((tmp_path / "rows" / f).stat().st_size for f in FILES)
    assert [part["file"] for part in written["parts"]] == FILES
    assert written["parts"][3]["sha256"] == done.parts[3].sha256
    assert written["request"] == json.loads((tmp_path / "rows" / "_request.json").read_text())
    assert written["request"]["model"] == "m"
    assert written["request"]["where"] == {"age": 30}


def test_a_finished_folder_is_left_as_it_is(sample, tmp_path):
    first = sample()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("*")}
    again = sample(where={}, candidates=1, columns=generator().schema.names)
    assert (again.finished, again.made, again.parts) == (True, 0, first.parts)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "rows").rglob("*")} == before


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize("damage", [Path.unlink, truncate, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["part-000002.parquet", "_parts/part-000002.json"])
def test_a_part_without_its_record_or_size_is_made_again(sample, tmp_path, name, damage):
    sample()
    folder = tmp_path / "rows"
    before = contents(folder)
    damage(folder / name)
    kept = (folder / FILES[1]).stat().st_mtime_ns
    again = sample()
    assert (again.finished, again.made) == (True, PART)
    assert contents(folder) == before
    assert (folder / FILES[1]).stat().st_mtime_ns == kept


def test_altered_bytes_are_found_by_verifying(sample, tmp_path):
    sample()
    folder = tmp_path / "rows"
    before = contents(folder)
    data = bytearray(before[FILES[1]])
    data[100] ^= 1
    (folder / FILES[1]).write_bytes(data)
    assert sample().made == 0
    again = sample(verify=True)
    assert (again.finished, again.made, len(again.parts)) == (True, PART, 4)
    assert contents(folder) == before


@pytest.mark.parametrize("record", [b"{", b"[]", b'{"file": "part-000001.parquet"}', b"\xff"])
def test_a_broken_record_is_no_record(sample, tmp_path, record):
    sample()
    (tmp_path / "rows" / "_parts" / "part-000001.json").write_bytes(record)
    assert sample().made == PART


def test_a_stop_keeps_whole_parts_and_the_next_call_goes_on(sample, tmp_path):
    stopping = StopsAfter(2)
    stopped = sample(**stopping.options())
    folder = tmp_path / "rows"
    assert (stopped.finished, stopped.made, len(stopped.parts)) == (False, 3000, 2)
    assert sorted(os.listdir(folder)) == ["_parts", "_request.json", *FILES[:2]]
    rest = sample()
    assert (rest.finished, rest.made) == (True, 2000)
    sample(place=tmp_path / "whole")
    assert contents(folder) == contents(tmp_path / "whole")


def test_a_stop_in_the_middle_of_a_part_leaves_nothing_of_it(sample, tmp_path):
    asked = []

    def should_stop() -> bool:
        asked.append(os.listdir(tmp_path / "rows"))
        return len(asked) == 2

    done = sample(40_000, partition_rows=40_000, should_stop=should_stop)
    assert (done.finished, done.parts) == (False, ())
    assert any(name.endswith(".partial") for name in asked[1])
    assert sorted(os.listdir(tmp_path / "rows")) == ["_parts", "_request.json"]


def test_ctrl_c_is_a_stop(sample, tmp_path):
    def interrupt(progress: PartProgress) -> None:
        raise KeyboardInterrupt

    done = sample(on_progress=interrupt)
    assert (done.finished, len(done.parts)) == (False, 1)
    assert not (tmp_path / "rows" / "_manifest.json").exists()
    assert sample().finished


def test_a_manifest_is_taken_back_while_parts_are_missing(sample, tmp_path):
    sample()
    (tmp_path / "rows" / FILES[0]).unlink()
    seen = []
    sample(on_progress=lambda progress: seen.append((tmp_path / "rows" / "_manifest.json").exists()))
    assert seen == [False]
    assert (tmp_path / "rows" / "_manifest.json").exists()


def test_what_killed_writers_left_is_cleared_up(sample, tmp_path):
    sample(**StopsAfter(1).options())
    left = [tmp_path / "rows" / ".part-000002.parquet.0123abcd.partial"]
    left += [tmp_path / "rows" / "_parts" / ".tmp-0123abcd0123abcd", tmp_path / "rows" / ".tmp-01"]
    for path in left:
        path.write_bytes(b"PAR1")
    sample()
    assert not any(path.exists() for path in left)
    assert dataset(tmp_path / "rows") == expected()


def test_a_part_that_vanishes_before_the_end_prevents_the_manifest(sample, tmp_path):
    def lose(progress: PartProgress) -> None:
        if progress.parts == 3:
            (tmp_path / "rows" / FILES[0]).unlink()

    with pytest.raises(FinganError, match=r"part-000000\.parquet .* is gone"):
        sample(on_progress=lose)
    assert not (tmp_path / "rows" / "_manifest.json").exists()
    assert sample().made == PART
