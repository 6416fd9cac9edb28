"""Jobs on a cluster that is reached through its dashboard: submit, follow, take over the exit code."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayError

import fingan
from fingan.cluster.address import Address
from fingan.cluster.dashboard import refuse_open_dashboard
from fingan.cluster.following import InThread, follow
from fingan.cluster.runs import RUNS_VARIABLE
from fingan.config import Config, from_mapping, to_mapping, to_yaml
from fingan.data import data_name
from fingan.errors import ConfigError, FinganError
from fingan.registry import check_name, is_url
from fingan.types import Json

LARGEST_UPLOAD = 100 << 20
"""Bytes of a data file that is sent along with a job."""

STOP_SECONDS = 120
"""Given to a job that is asked to stop, to write its state and publish its best."""

AGENT_SECONDS = 60.0
"""Given to a cluster that has no agent yet."""

_NO_AGENT = "No available agent"
_INTERRUPTED = 130
_TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finished:
    """A job that is over.

    Attributes:
        job: its number at the cluster.
        exit_code: of the command that it ran; 130 where it was stopped.
        last_line: of its output.
        told: the last JSON object that is a line of its output; None where none is.
    """

    job: str
    exit_code: int
    last_line: str
    told: Json | None


@dataclass(frozen=True)
class TrainingJob:
    """A `fingan train` or `fingan tune` that shall run on a cluster.

    Attributes:
        data: path or URL of the table.
        config: as it is here; the job gets a copy.
        registry: where the cluster keeps its models.
        name: of the model; the data file's stem otherwise.
        resume: continue the newest unfinished run of that name.
        verb: `train` or `tune`.
        first: settings that a search begins with.
    """

    data: str
    config: Config
    registry: str
    name: str | None = None
    resume: bool = False
    verb: str = "train"
    first: Sequence[Mapping[str, Any]] = ()

    def command(
        self, *, as_json: bool = False, allow_open_dashboard: bool = False
    ) -> tuple[list[str], dict[str, Path | bytes]]:
        """Return the command's arguments, and the files that go with it.

        Raises:
            ConfigError: data or registry that the cluster cannot find.
        """
        files: dict[str, Path | bytes] = {}
        name = check_name(data_name(self.data) if self.name is None else self.name)
        words = [self.verb, _shipped(self.data, files), "--config", "fingan.yaml", "--address", "auto"]
        words += ["--registry", _found_there(self.registry), "--name", name]
        words += ["--resume"] * self.resume + ["--json"] * as_json
        words += ["--allow-open-dashboard"] * allow_open_dashboard
        if self.first:
            files["settings.json"] = json.dumps(list(self.first)).encode()
            words += ["--warm-start", "settings.json"]
        config = to_mapping(self.config)
        if config["data"]["schema"] is not None:
            files["schema.yaml"] = Path(config["data"]["schema"])
            config["data"]["schema"] = "schema.yaml"
        files["fingan.yaml"] = to_yaml(from_mapping(config)).encode()
        return words, files


def _shipped(data: str, files: dict[str, Path | bytes]) -> str:
    """Return how a job names a table that is named `data` here; a small file is added to its `files`.

    URLs, and absolute paths of what is not a small file here, stand for what the cluster finds there.

    Raises:
        ConfigError: a relative path that the cluster cannot find.
    """
    if _URL.match(data):
        return data
    path = Path(data).expanduser()
    if path.is_file() and path.stat().st_size <= LARGEST_UPLOAD:
        files[f"data/{path.name}"] = path
        return f"data/{path.name}"
    if not path.is_absolute():
        raise ConfigError(
            f"{data!r} is not a file of at most {LARGEST_UPLOAD >> 20} MiB, so it is not sent with the job; "
            "name an absolute path or a URL that the nodes of the cluster can read"
        )
    return str(path)


def _found_there(registry: str) -> str:
    """Return a registry's place, which must not depend on this directory.

    Raises:
        ConfigError: it does, and the job's directory ends with the job.
    """
    if is_url(registry) or Path(registry).is_absolute():
        return registry
    raise ConfigError(
        f"--registry {registry!r} lies relative to this directory, which the cluster does not have; "
        "name an absolute path on storage that its nodes share, or a URL"
    )


def _sent_along() -> dict[str, str]:
    """Return the variables of this side that hold for a job, too.

    Raises:
        ConfigError: a folder for runs that ends with the job.
    """
    runs = os.environ.get(RUNS_VARIABLE)
    if not runs:
        return {}
    if not Path(runs).is_absolute():
        raise ConfigError(
            f"{RUNS_VARIABLE}={runs!r} would lie in the job's directory, which ends with the job; "
            "name an absolute path on storage that the cluster's nodes share, or unset it"
        )
    return {RUNS_VARIABLE: runs}


def submit(
    arguments: Sequence[str],
    files: Mapping[str, Path | bytes],
    place: Address,
    on_output: Callable[[str], None],
    on_stage: Callable[[str], None],
    allow_open_dashboard: bool = False,
) -> Finished:
    """Run `python -m fingan …` as a job with this version of fingan, and follow it to its end.

    Ctrl-C asks the job to stop and follows on; a second one leaves it to itself.

    Args:
        arguments: of the command.
        files: name in the job's directory → file or content to put there.
        place: of the dashboard.
        on_output: takes what the job prints.
        on_stage: takes what happens to the job.
        allow_open_dashboard: accept a dashboard that asks for no token.

    Raises:
        ConfigError: no dashboard answers there, it refuses our token, or it asks for none; or
            `FINGAN_RUNS` is a relative path here.
        FinganError: the job did not run, or was lost from sight.
    """
    variables = _sent_along()
    refuse_open_dashboard(place.text, allow_open_dashboard)
    client = _client(place)
    with tempfile.TemporaryDirectory(prefix="fingan-job-") as folder:
        _lay_out(Path(folder), files)
        command = shlex.join(["python", "-m", "fingan", *arguments])
        job = _hand_in(client, command, _environment(folder, variables), place)
    on_stage(f"job {job} at {place.text}")
    return _follow(client, job, on_output, on_stage)


def _hand_in(client: Any, command: str, environment: Mapping[str, Any], place: Address) -> str:
    """Give a command to the cluster; return the job's number.

    A cluster that has only just started has no agent yet that takes jobs: it is waited for.
    """
    limit = time.monotonic() + AGENT_SECONDS
    while True:
        try:
            # A CPU of its own moves the driver to a node that has one: the head should not work.
            job: str = client.submit_job(entrypoint=command, runtime_env=environment, entrypoint_num_cpus=1)
        except (RuntimeError, ValueError, OSError) as error:
            if _NO_AGENT in str(error) and time.monotonic() < limit:
                time.sleep(1.0)
                continue
            raise FinganError(
                f"the cluster at {place.text} does not take the job: {_first(error)}"
            ) from error
        return job


def describe_dashboard(place: Address, allow_open_dashboard: bool) -> dict[str, Any]:
    """Return what a dashboard says of itself.

    Raises:
        ConfigError: see `submit`.
    """
    refuse_open_dashboard(place.text, allow_open_dashboard)
    client = _client(place)
    return {"address": place.text, "ray": client.get_version(), "jobs": len(client.list_jobs())}


def _client(place: Address) -> Any:
    from ray.job_submission import JobSubmissionClient

    if any(name in os.environ for name in _TOKENS):
        # Ray sends a token only where it is told to, even when it has one.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        return JobSubmissionClient(place.text)
    except (RuntimeError, ValueError, OSError, RayError) as error:
        raise ConfigError(
            f"no dashboard takes jobs at {place.text}: {_first(error)}; "
            "check the address; where it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
        ) from error


def _first(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _lay_out(folder: Path, files: Mapping[str, Path | bytes]) -> None:
    for name, content in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        else:
            shutil.copyfile(content, target)


def _environment(folder: str, variables: Mapping[str, str]) -> dict[str, Any]:
    package = Path(fingan.__file__).parent
    return {
        "working_dir": folder,
        "py_modules": [str(package)],
        "excludes": ["__pycache__"],
        # An interrupt, which fingan answers by stopping and publishing, and time for that.
        "env_vars": {
            "RAY_JOB_STOP_SIGNAL": "SIGINT",
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS),
            **variables,
        },
    }


class _Output:
    """Passes a job's output on by lines, and remembers the last one and the last JSON object."""

    def __init__(self, on_output: Callable[[str], None]) -> None:
        self._on_output, self._rest, self.last = on_output, "", ""
        self.told: Json | None = None
        self._lines: list[str] = []

    def take(self, text: str) -> None:
        """Take a piece of output."""
        *lines, self._rest = (self._rest + text).split("\n")
        self._lines += lines

    def show(self) -> None:
        """Pass on what has come since the last call; called in the caller's thread."""
        lines, self._lines = self._lines, []
        for line in lines:
            self.last = line or self.last
            self.told = _json_object(line) or self.told
            self._on_output(line)

    def finish(self) -> None:
        """Pass on a last line without an end."""
        if self._rest:
            self.take("\n")
        self.show()


def _json_object(line: str) -> Json | None:
    """Return the JSON object that a line is; None for any other line."""
    with suppress(ValueError, RecursionError):
        value = json.loads(line) if line.startswith("{") else None
        return value if isinstance(value, dict) else None
    return None


def _follow(
    client: Any, job: str, on_output: Callable[[str], None], on_stage: Callable[[str], None]
) -> Finished:
    from ray.job_submission import JobStatus

    output = _Output(on_output)

    async def tail() -> None:
        async for text in client.tail_job_logs(job):
            output.take(text)

    def stop() -> None:
        on_stage("asking the job to stop and keep its best; Ctrl-C again leaves it running")
        client.stop_job(job)

    work = InThread(lambda: asyncio.run(tail()))
    follow(work, output.show, stop)
    try:
        work.value()
        details = client.get_job_info(job)
    except Exception as error:
        raise _lost(job, _first(error)) from error
    output.finish()
    if details.driver_exit_code is not None:
        return Finished(job, int(details.driver_exit_code), output.last, output.told)
    if details.status == JobStatus.STOPPED:
        return Finished(job, _INTERRUPTED, output.last, output.told)
    if not details.status.is_terminal():
        raise _lost(job, f"its output broke off, and it is {details.status}")
    raise FinganError(f"job {job} did not run: {details.message or details.status}")


def _lost(job: str, reason: str) -> FinganError:
    return FinganError(f"lost sight of job {job}: {reason}; see `ray job logs --follow {job}`")
