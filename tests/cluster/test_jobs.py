"""Jobs on a running cluster: real submissions to a head of our own, which asks for a token."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from fingan.cli.app import run
from fingan.cluster import jobs
from fingan.cluster.address import Address
from fingan.cluster.jobs import LARGEST_UPLOAD, Finished, TrainingJob, submit
from fingan.config import from_mapping, load
from fingan.errors import ConfigError, FinganError
from fingan.registry import Registry
from tests.cluster.heads import REPOSITORY, Head, head
from tests.tiny import FLAGS, arrow, config

TRAIN = [*FLAGS, "--target", "label", "--workers", "2"]


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Head]:
    with head(tmp_path_factory.mktemp("head")) as found:
        yield found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "loans.parquet"
    pq.write_table(arrow(), path)
    return path


def fingan(env: dict[str, str], *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fingan", *words]
    return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.ray
def test_a_submitted_training_is_followed_and_publishes(running, table, tmp_path):
    registry = tmp_path / "models"
    words = ["train", "loans.parquet", *TRAIN, "--registry", str(registry), "--json"]
    done = fingan(running.env, *words, "--address", running.dashboard, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["name"], values["version"]) == ("loans", 1)
    assert "step" in done.stderr
    assert "rows/s" in done.stderr
    assert Registry(registry).versions("loans") == [1]
    (run,) = [p for p in (registry / ".runs" / "loans").iterdir() if p.is_dir()]
    assert json.loads((run / "starts.jsonl").read_text())["workers"] == 2


@pytest.mark.ray
@pytest.mark.parametrize(
    ("verb", "wrong", "near"),
    [
        ("train", ["--target", "lable"], "label"),
        pytest.param(
            "tune", ["--set", "tune.space.training.lrr=[0.1, 0.2]"], "training.lr", marks=pytest.mark.slow
        ),
    ],
)
def test_the_jobs_own_exit_code_comes_back(running, table, tmp_path, verb, wrong, near):
    words = [verb, "loans.parquet", *FLAGS, "--registry", str(tmp_path / "m"), "--address", running.dashboard]
    done = fingan(running.env, *words, *wrong, cwd=tmp_path)
    assert done.returncode == 2
    assert f"Did you mean {near!r}?" in done.stderr


@pytest.mark.slow
def test_entry_points_run_as_jobs_with_fingans_exit_code(running, table, tmp_path):
    """`ray job submit` itself only tells 0 from 1; the job's record holds the code."""
    from ray.job_submission import JobSubmissionClient

    rows, kept = tmp_path / "rows.parquet", ["--registry", str(tmp_path / "models")]
    environment = {"excludes": ["tests", "benchmarks", "docs"], "env_vars": {"OMP_NUM_THREADS": "1"}}
    commands = {
        "train": [str(table), *TRAIN],
        "sample": ["loans", "-n", "10", "-o", str(rows)],
        "evaluate": ["loans", "--reel", str(table)],
    }
    for verb, words in commands.items():
        submitted = ["submit", "--address", running.dashboard, "--submission-id", verb]
        submitted += ["--working-dir", str(REPOSITORY), "--runtime-env-json", json.dumps(environment), "--"]
        entry = ["python", "-m", f"ray_jobs.{verb}", *words, *kept]
        command = ["ray", "job", *submitted, *entry]
        done = subprocess.run(command, env=running.env, capture_output=True, text=True, timeout=300)
        assert done.returncode == (1 if verb == "evaluate" else 0), done.stdout + done.stderr
    assert pq.read_table(rows).num_rows == 10
    token = Path(running.env["RAY_AUTH_TOKEN_PATH"]).read_text()
    client = JobSubmissionClient(running.dashboard, headers={"Authorization": f"Bearer {token}"})
    assert [client.get_job_info(verb).driver_exit_code for verb in commands] == [0, 0, 2]
    assert "published loans:1" in client.get_job_logs("train")


@pytest.mark.slow
def test_joining_a_running_ray(running, table, tmp_path):
    words = ["train", str(table), *TRAIN, "--registry", str(tmp_path / "m"), "--address", running.address]
    done = fingan(running.env, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "published loans:1" in done.stdout
    done = fingan(running.env, "check", "--address", running.address, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["cluster"]["nodes"] == 1
    done = fingan(running.env, "check", "--address", running.dashboard, "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["cluster"]["address"] == running.dashboard


@pytest.mark.ray
def test_without_the_token_nothing_is_submitted(running, table, tmp_path):
    env = {k: v for k, v in running.env.items() if not k.startswith("RAY_AUTH")} | {"HOME": str(tmp_path)}
    words = ["train", str(table), *TRAIN, "--registry", str(tmp_path / "m"), "--address", running.dashboard]
    done = fingan(env, *words, cwd=tmp_path)
    assert done.returncode == 2
    assert "RAY_AUTH_TOKEN_PATH" in done.stderr


def test_what_a_job_takes_along(tmp_path, table, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("columns: []\n")
    job = TrainingJob(
        "loans.parquet", config("data.schema=own.yaml", "seed=7"), "s3://bucket/models", resume=True
    )
    words, files = job.command(as_json=True, allow_open_dashboard=True)
    assert words[:2] == ["train", "data/loans.parquet"]
    assert words[words.index("--name") + 1] == "loans"
    assert words[words.index("--registry") + 1] == "s3://bucket/models"
    assert {"--resume", "--json", "--allow-open-dashboard"} <= set(words)
    assert files["data/loans.parquet"] == Path("loans.parquet")
    assert files["schema.yaml"] == Path("own.yaml")
    (tmp_path / "there.yaml").write_bytes(files["fingan.yaml"])
    there = load(tmp_path / "there.yaml")
    assert there.seed == 7
    assert there.data.schema_path == str(tmp_path / "schema.yaml")


def test_data_that_stay_where_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    large = tmp_path / "large.parquet"
    with large.open("wb") as file:
        file.truncate(LARGEST_UPLOAD + 1)
    plain = from_mapping({})
    for place in ("s3://bucket/x.parquet", "/there/x.parquet", str(large)):
        words, files = TrainingJob(place, plain, "/shared/models").command()
        assert words[1] == place
        assert list(files) == ["fingan.yaml"]
    for place in ("large.parquet", "nowhere.csv"):
        with pytest.raises(ConfigError, match="absolute path or a URL"):
            TrainingJob(place, plain, "/shared/models").command()
    for registry in ("s3://bucket/models", "file:/shared/models"):
        words, _ = TrainingJob("/there/x.parquet", plain, registry).command()
        assert words[words.index("--registry") + 1] == registry
    with pytest.raises(ConfigError, match="--registry 'models' lies relative"):
        TrainingJob("s3://bucket/x.parquet", plain, "models").command()


def test_a_folder_of_runs_that_ends_with_the_job_is_refused(monkeypatch):
    monkeypatch.setenv("FINGAN_RUNS", "my-runs")
    with pytest.raises(ConfigError, match=r"FINGAN_RUNS='my-runs' .*absolute path.* unset"):
        submit(["models", "list"], {}, Address("http://127.0.0.1:9"), print, print)
    monkeypatch.setenv("FINGAN_RUNS", "/shared/runs")
    assert jobs._environment("x", jobs._sent_along())["env_vars"]["FINGAN_RUNS"] == "/shared/runs"


class Broken:
    """A cluster from which a job's output breaks off, as when its dashboard restarts."""

    def __init__(self, found: JobDetails | Exception) -> None:
        self._found = found

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield "step 20\n"

    def get_job_info(self, job: str) -> JobDetails:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def details(status: JobStatus, **more: object) -> JobDetails:
    return JobDetails(type=JobType.SUBMISSION, entrypoint="python -m fingan", status=status, **more)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (details(JobStatus.RUNNING, message="Job is currently running."), "lost sight of job j.* is RUNNING"),
        (RuntimeError("Request failed with status code 500"), "lost sight of job j.*500; see `ray job logs"),
        (details(JobStatus.FAILED, message="no node has so many CPUs"), "job j did not run: no node has"),
    ],
)
def test_what_became_of_a_job_is_told_as_it_is(found, told):
    lines: list[str] = []
    with pytest.raises(FinganError, match=told):
        jobs._follow(Broken(found), "j", lines.append, print)
    assert lines == ["step 20"]


def test_where_no_dashboard_answers(tmp_path):
    with pytest.raises(ConfigError, match=r"no dashboard takes jobs at http://127.0.0.1:9"):
        submit(["models", "list"], {}, Address("http://127.0.0.1:9"), print, print)


@pytest.mark.parametrize(
    ("printed", "last", "told"),
    [
        ('step 1\n{"name": "loans", "version": 2}\n', '{"name": "loans", "version": 2}', {"version": 2}),
        ('{"version": 2}\nleft over: 3 objects\n\n', "left over: 3 objects", {"version": 2}),
        ('{"version": 1}\n{"version": 2}\n{torn\n{', "{", {"version": 2}),
        ('step 1\n["version"]\nKilled', "Killed", None),
        ("{" * 100_000, "{" * 100_000, None),
        ("", "", None),
    ],
    ids=["result", "line after it", "torn object", "killed", "nested too deep", "nothing"],
)
def test_what_is_kept_of_a_jobs_output(printed, last, told):
    lines: list[str] = []
    output = jobs._Output(lines.append)
    for start in range(0, len(printed), 7):  # the pieces in which it comes are not its lines
        output.take(printed[start : start + 7])
        output.show()
    output.finish()
    assert lines == printed.splitlines()
    assert output.last == last
    assert output.told is None if told is None else told.items() <= output.told.items()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"name": "prêt", "version": 2}, {"name": "prêt", "version": 2}),
        (None, {"error": {"type": "FinganError", "message": "job j1 ended with exit code 1: Killed"}}),
    ],
)
def test_a_job_that_is_killed_still_makes_one_object(table, tmp_path, capsys, monkeypatch, told, said):
    monkeypatch.setattr(jobs, "submit", lambda *_: Finished("j1", 1, "Killed", told))
    words = ["train", str(table), *TRAIN, "--registry", str(tmp_path), "--address", "http://127.0.0.1:9"]
    assert run([*words, "--json"]) == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == said
    assert ("Killed" in output.err) == (told is None)
    assert run(words) == 1
    assert capsys.readouterr().out == "job j1 ended with exit code 1\n"
