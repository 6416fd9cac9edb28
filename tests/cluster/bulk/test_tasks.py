"""How a part is written, alone and in tasks of Ray."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from fingan.cluster.bulk import PartProgress, tasks
from fingan.cluster.bulk.partitions import PartFolder, Request
from fingan.cluster.bulk.tasks import Job
from fingan.data import open_sink
from fingan.errors import DataError, FinganError
from tests.cluster.bulk.samples import FILES, PART, ROWS, StopsAfter, contents, dataset, expected
from tests.tiny import generator


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
