"""Partitioned samples: the rows of a single one, resumed, refused, and never whole before the manifest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import ray

from fingan.cluster.bulk import PartProgress, Sampled, sample_partitions, tasks
from fingan.cluster.bulk import folder as folder_module
from fingan.cluster.bulk.folder import Folder
from fingan.cluster.bulk.partitions import PartFolder, Request
from fingan.cluster.bulk.tasks import Job
from fingan.data import location, open_sink, read_table
from fingan.data import sink as sink_module
from fingan.errors import ConditionError, ConfigError, DataError, FinganError, NotFound
from fingan.registry import Registry
from tests.tiny import generator

ROWS, PART = 5000, 1500
FILES = [f"part-{number:06d}.parquet" for number in range(4)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> str:
    """A registry with version 1 of the model `m`."""
    folder = tmp_path_factory.mktemp("models")
    generator().save(folder / "draft")
    Registry(folder / "registry").publish("m", folder / "draft")
    return str(folder / "registry")


@pytest.fixture
def sample(registry, tmp_path) -> Callable[..., Sampled]:
    """Write 5,000 rows in parts of 1,500 into `tmp_path/rows`, in this process."""

    def call(rows: int = ROWS, place: str | Path = tmp_path / "rows", **options) -> Sampled:
        given = {"partition_rows": PART, "workers": 0, "seed": 3, **options}
        return sample_partitions(registry, "m", rows, place, **given)

    return call


def expected(rows: int = ROWS, **options) -> pa.Table:
    return stored_types(generator().sample(rows, **{"seed": 3, **options}))


def stored_types(table: pa.Table) -> pa.Table:
    """Return a table in the types that Parquet gives back."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return pq.read_table(pa.BufferReader(sink.getvalue())).combine_chunks()


def dataset(folder: Path) -> pa.Table:
    return ds.dataset(folder, format="parquet").to_table().combine_chunks()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its name there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class StopsAfter:
    """Asks to stop once a number of parts are done."""

    def __init__(self, parts: int) -> None:
        self.parts, self.seen = parts, list[PartProgress]()

    def on_progress(self, progress: PartProgress) -> None:
        self.seen.append(progress)

    def should_stop(self) -> bool:
        return len(self.seen) >= self.parts

    def options(self) -> dict:
        return {"on_progress": self.on_progress, "should_stop": self.should_stop}


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


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rows": 6000}, "rows is 5000 there and 6000 here"),
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"offset": 1}, "offset is 0"),
        ({"partition_rows": 1000}, "partition_rows is 1500"),
        ({"columns": ["age"]}, "columns is"),
        ({"where": {"label": "bad"}}, "where is {} there"),
    ],
)
def test_another_request_is_refused(sample, tmp_path, changed, said):
    sample(**StopsAfter(1).options())
    before = contents(tmp_path / "rows")
    with pytest.raises(ConfigError, match="another request") as refused:
        sample(**changed)
    assert said in str(refused.value)
    assert "another place" in str(refused.value)
    assert contents(tmp_path / "rows") == before


def test_another_version_of_the_model_is_refused(sample, tmp_path, monkeypatch):
    sample()
    for name in ("fingan", "digest"):
        values = json.loads((tmp_path / "rows" / "_request.json").read_text())
        (tmp_path / "rows" / "_request.json").write_text(json.dumps({**values, name: "0"}))
        with pytest.raises(ConfigError, match=f"{name} is '0' there"):
            sample()
        (tmp_path / "rows" / "_request.json").write_text(json.dumps(values))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe"])
def test_a_request_that_cannot_be_read_is_refused(sample, tmp_path, data):
    sample()
    (tmp_path / "rows" / "_request.json").write_bytes(data)
    with pytest.raises(ConfigError, match="cannot be read"):
        sample()


@pytest.mark.parametrize("name", ["other.parquet", "_SUCCESS", "part-000000.parquet", "data.csv"])
def test_a_folder_with_other_files_is_refused(sample, tmp_path, name):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / name).write_bytes(b"x")
    with pytest.raises(ConfigError, match=name):
        sample()
    assert os.listdir(tmp_path / "rows") == [name]


def test_a_foreign_file_beside_the_parts_is_refused(sample, tmp_path):
    sample()
    (tmp_path / "rows" / "part-000004.parquet").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"part-000004\.parquet"):
        sample()


def test_hidden_files_do_not_matter(sample, tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / ".DS_Store").write_bytes(b"x")
    assert sample().finished
    assert dataset(tmp_path / "rows").num_rows == ROWS


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"rows": 0}, ConfigError, "rows must be a whole number of at least 1"),
        ({"rows": 2.5}, ConfigError, "rows"),
        ({"rows": 1 << 49}, ConfigError, "partition_rows"),
        ({"rows": 1 << 49, "partition_rows": 1 << 48}, ConfigError, "2^48"),
        ({"partition_rows": 0}, ConfigError, "partition_rows"),
        ({"workers": -1}, ConfigError, "workers"),
        ({"workers": 5000}, ConfigError, "at most 4,096"),
        ({"seed": -1}, ConfigError, "seed"),
        ({"candidates": 0}, ConfigError, "candidates"),
        ({"columns": ["amuont"]}, ConfigError, "'amount'"),
        ({"columns": ["age", "age"]}, ConfigError, "twice"),
        ({"columns": []}, ConfigError, "columns names none"),
        ({"where": {"lable": "bad"}}, ConfigError, "'label'"),
        ({"where": {"label": "ugly"}}, ConditionError, "ugly"),
        ({"where": {"customer": "x"}}, ConditionError, "customer"),
        ({"place": ""}, DataError, "no path"),
        ({"place": "ftp://host/rows"}, DataError, "ftp://host/rows"),
    ],
)
def test_bad_input_is_refused_before_any_work(sample, tmp_path, options, error, said):
    with pytest.raises(error) as refused:
        sample(**options)
    assert said in str(refused.value)
    assert not os.listdir(tmp_path)


def test_unknown_models_are_refused(registry, tmp_path):
    with pytest.raises(NotFound, match="'m'"):
        sample_partitions(registry, "mm", 10, tmp_path / "rows")
    with pytest.raises(NotFound, match="version 7"):
        sample_partitions(registry, "m:7", 10, tmp_path / "rows")
    assert not os.listdir(tmp_path)


def test_a_place_that_cannot_be_written(sample, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="another place"):
        sample(place=tmp_path / "file")
    with pytest.raises(DataError, match="another place"):
        sample(place=tmp_path / "file" / "rows")
    with pytest.raises(DataError, match="another place"):
        sample(place="/proc/rows")


def test_two_runs_at_once_are_one_too_many(sample, tmp_path):
    refused = []

    def start_another(progress: PartProgress) -> None:
        if progress.parts == 1:
            with pytest.raises(ConfigError, match="another run"):
                sample()
            refused.append(progress)

    assert sample(on_progress=start_another).finished
    assert refused


def test_a_file_system_without_locks_will_do(sample, monkeypatch):
    def refuse(handle: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(folder_module.fcntl, "flock", refuse)
    assert sample().finished


def test_a_url(sample, tmp_path, monkeypatch):
    done = sample(place=f"file://{tmp_path}/rows/")
    assert done.place == f"file://{tmp_path}/rows"
    assert dataset(tmp_path / "rows") == expected()
    monkeypatch.chdir(tmp_path)
    assert sample(place="rows/").made == 0


class Bucket:
    """Stands in for `locate`: a store that is not this machine's file system, at `s3://bucket`."""

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self.files = pafs.SubTreeFileSystem(str(root), pafs.LocalFileSystem())

    def __call__(self, place: str) -> location.Location:
        path = place.removeprefix("s3://key:secret@bucket/").removesuffix("?region=x")
        return location.Location(self.files, path, location.redact(place))


@pytest.fixture
def bucket(tmp_path, monkeypatch) -> Path:
    stand_in = Bucket(tmp_path / "bucket")
    monkeypatch.setattr(folder_module, "locate", stand_in)
    monkeypatch.setattr(sink_module, "locate", stand_in)
    return tmp_path / "bucket"


URL = "s3://key:secret@bucket/deep/rows?region=x"


def test_an_object_store(sample, bucket, tmp_path):
    stopped = sample(place=URL, **StopsAfter(2).options())
    assert (stopped.finished, stopped.place) == (False, "s3://bucket/deep/rows")
    folder = bucket / "deep" / "rows"
    (folder / ".part-000003.parquet.0123abcd.partial").write_bytes(b"PAR1")
    (folder / FILES[1]).unlink()
    assert sample(place=URL).made == ROWS - PART
    with pytest.MonkeyPatch.context() as own:
        own.setattr(folder_module, "locate", location.locate)
        own.setattr(sink_module, "locate", location.locate)
        sample(place=tmp_path / "here")
    assert contents(folder) == contents(tmp_path / "here")
    assert sample(place=URL).made == 0


def test_an_upload_that_fails_leaves_nothing(bucket):
    def pieces():
        yield b"half"
        raise OSError(28, "No space left on device")

    folder = Folder("s3://key:secret@bucket/x")
    folder.make()
    with pytest.raises(DataError, match="'s3://bucket/x': No space left"):
        folder.write("_manifest.json", pieces())
    assert not os.listdir(bucket / "x")


def request(parts: int) -> Request:
    return Request("m", 1, "0" * 64, parts, 0, 0, {}, ["a"], 1, 1, "0.1.0")


def test_many_records_are_read_in_bounded_pieces(tmp_path):
    asked = request(3000)
    folder = PartFolder(tmp_path)
    folder.begin(asked)
    for number in range(0, 3000, 2):
        (tmp_path / folder.name(number)).write_bytes(b"x")
        record = {"file": folder.name(number), "first": number, "rows": 1, "bytes": 1, "sha256": "0" * 64}
        (tmp_path / "_parts" / f"part-{number:06d}.json").write_text(json.dumps(record))
    assert sorted(folder.done(asked)) == list(range(0, 3000, 2))


def test_floats_that_hardly_repeat_have_no_dictionary(tmp_path):
    table = pa.table({"a.b": [0.1, 0.2], "few": [1.0, 1.0], "text": ["x", "x"]})
    expectations = {(): [True] * 3, ("a.b",): [False, True, True], ("a.b", "few", "text"): [False] * 3}
    for plain, kinds in expectations.items():
        with open_sink(tmp_path / "t.parquet", table.schema, plain=plain) as sink:
            sink.write(table.to_batches()[0])
        group = pq.ParquetFile(tmp_path / "t.parquet").metadata.row_group(0)
        assert [group.column(i).has_dictionary_page for i in range(3)] == kinds
        assert pq.read_table(tmp_path / "t.parquet") == table


def test_the_float_columns_of_parts(sample, tmp_path):
    sample(columns=["amount", "label"])
    group = pq.ParquetFile(tmp_path / "rows" / FILES[0]).metadata.row_group(0)
    assert [group.column(i).has_dictionary_page for i in range(2)] == [False, True]


def job(registry: str, place: Path, **changed: object) -> Job:
    """Return the job of a folder that was begun."""
    values = json.loads((place / "_request.json").read_text())
    return Job(registry, str(place), Request(**{**values, **changed}), {}, verify=False)


def test_a_node_that_sees_another_registry_or_no_folder_says_so(sample, registry, tmp_path):
    sample(**StopsAfter(1).options())
    place = tmp_path / "rows"
    with pytest.raises(FinganError, match=r"registry .* is not the same on the node of a worker"):
        tasks._task(job(registry, place, digest="0" * 64), 1)
    with pytest.raises(FinganError, match=r"registry .* is not the same on the node of a worker"):
        tasks._task(job(str(tmp_path / "nothing"), place), 1)
    here = job(registry, place)
    with pytest.raises(FinganError, match="not to be seen on the node of a worker"):
        tasks._task(replace(here, place=str(tmp_path / "nowhere")), 1)
    assert tasks._task(here, 1).part.rows == PART
    assert sample().made == ROWS - 2 * PART


def test_a_worker_loads_a_model_once(registry, sample, tmp_path, monkeypatch):
    sample(**StopsAfter(1).options())
    loaded = []
    monkeypatch.setattr(tasks, "load", lambda path: loaded.append(path) or generator())
    tasks._loaded.cache_clear()
    for number in (1, 2, 3):
        tasks._task(job(registry, tmp_path / "rows"), number)
    tasks._loaded.cache_clear()
    assert len(loaded) == 1


@pytest.mark.parametrize("gone", [ray.exceptions.WorkerCrashedError(), ray.exceptions.OutOfMemoryError("m")])
def test_a_part_that_ray_gives_up_is_an_error_with_a_remedy(monkeypatch, gone):
    def get(reference):
        raise gone

    monkeypatch.setattr(ray, "get", get)
    with pytest.raises(FinganError, match="run the same again"):
        tasks._result(None)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestOnRay:
    """The same through tasks."""

    def test_tasks_make_the_same_bytes(self, sample, tmp_path):
        done = sample(place=tmp_path / "ray", workers=None)
        sample(place=tmp_path / "here")
        assert (done.finished, done.rows) == (True, ROWS)
        assert contents(tmp_path / "ray") == contents(tmp_path / "here")

    def test_a_stop_cancels_what_is_in_work_and_tasks_go_on_with_the_rest(self, sample, tmp_path):
        stopping = StopsAfter(1)
        done = sample(place=tmp_path / "ray", workers=1, **stopping.options())
        assert (done.finished, len(done.parts)) == (False, 1)
        assert sorted(os.listdir(tmp_path / "ray"))[2:] == FILES[:1]
        (tmp_path / "ray" / FILES[0]).write_bytes(b"x" * done.parts[0].bytes)
        again = sample(place=tmp_path / "ray", workers=2, verify=True)
        assert (again.finished, again.made) == (True, ROWS)
        assert dataset(tmp_path / "ray") == expected()

    def test_a_cancelled_task_takes_back_what_it_has_written(self, sample, tmp_path):
        seen = []

        def should_stop() -> bool:
            seen.extend(name for name in os.listdir(tmp_path / "rows") if name.endswith(".partial"))
            return bool(seen)

        done = sample(50_000_000, partition_rows=50_000_000, workers=1, should_stop=should_stop)
        assert (done.finished, done.parts) == (False, ())
        assert sorted(os.listdir(tmp_path / "rows")) == ["_parts", "_request.json"]

    def test_tasks_in_flight_are_bounded(self, sample, tmp_path, monkeypatch):
        most, wait = [], ray.wait

        def counting(pending, **options):
            most.append(len(pending))
            return wait(pending, **options)

        monkeypatch.setattr(ray, "wait", counting)
        assert sample(400, partition_rows=20, workers=3).finished
        assert max(most) == 3

    def test_errors_of_tasks_come_back_as_they_were(self, sample, tmp_path):
        progress = []

        def block(one: PartProgress) -> None:
            progress.append(one)
            (tmp_path / "rows" / FILES[3]).mkdir(exist_ok=True)

        with pytest.raises(DataError, match="it is a folder"):
            sample(workers=1, on_progress=block)
        assert progress
        assert not (tmp_path / "rows" / "_manifest.json").exists()
