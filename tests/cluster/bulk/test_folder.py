"""Which folders and requests are taken, on disk and in an object store."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from fingan.cluster.bulk import PartProgress, sample_partitions
from fingan.cluster.bulk import folder as folder_module
from fingan.cluster.bulk.folder import Folder
from fingan.data import location
from fingan.data import sink as sink_module
from fingan.errors import ConditionError, ConfigError, DataError, NotFound
from tests.cluster.bulk.samples import FILES, PART, ROWS, StopsAfter, contents, dataset, expected


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
