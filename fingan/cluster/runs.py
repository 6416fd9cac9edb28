"""Runs on disk: what was asked for, how it goes, what it left.

    <registry>/.runs/<name>/<run>/run.json          configuration, data, registry, status, version
                                  schema.yaml       the edited schema, where one was given
                                  progress.jsonl    one line per update
                                  checkpoints/      state of the training, while it is unfinished
                                  result/           best weights and summary, until they are published
                                  stop              asks the run to stop and keep its best
                                  driver            random word of the driver whose workers may write
                                  error.json        an error of a worker that a retry cannot mend
                                  starts.jsonl      one line for each time the workers were started
    <registry>/.runs/<name>/lease.json              held by the process that drives a run of that name
    <registry>/.runs/.rows/<name>/                  encoded rows of a table that is not held in memory

Each run has a folder of its own. A run that ends without a checkpoint leaves nothing: there is
nothing to resume.
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingan.cluster.lease import is_held
from fingan.config import Config, from_mapping, to_mapping
from fingan.data.location import redact
from fingan.errors import CheckpointCorrupt, NotFound
from fingan.files import atomic_directory, atomic_write_bytes, remove_empty
from fingan.registry import is_url
from fingan.training import TrainResult, Update
from fingan.types import Json

UNFINISHED = ("running", "interrupted", "failed")
RUNS_VARIABLE = "FINGAN_RUNS"


def runs_root(registry: str | Path) -> Path:
    """Return where the runs of a registry are kept: inside a folder; for a URL in `./runs`.

    The environment variable `FINGAN_RUNS` names another folder; on a cluster, one that all nodes see.
    """
    if given := os.environ.get(RUNS_VARIABLE):
        return Path(given).absolute()
    text = str(registry)
    return Path("runs").absolute() if is_url(text) else Path(text).absolute() / ".runs"


def told_apart(registry: str | Path) -> str | None:
    """Return what tells the runs of a registry from those of others; None where `runs_root` is its own.

    Without what a URL may hold of keys.
    """
    text = str(registry)
    if is_url(text):
        return redact(text).rstrip("/")
    return str(Path(text).absolute()) if os.environ.get(RUNS_VARIABLE) else None


def rows_of(root: Path, name: str) -> Path:
    """Return where the encoded rows of a large table lie; no model has a name that begins with a dot."""
    return root / ".rows" / name


def remove_rows(root: Path, name: str) -> None:
    """Remove the encoded rows, unless another process, which may read them, holds a lease of this name."""
    leases = (root / name / "lease.json", *root.glob(f".*/{name}/lease.json"))
    if not any(map(is_held, leases)):
        shutil.rmtree(rows_of(root, name), ignore_errors=True)
        remove_empty(rows_of(root, name).parent)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(
        cls,
        root: Path,
        name: str,
        config: Config,
        data: Json,
        registry: str | None = None,
        purpose: str | None = None,
    ) -> RunFolder:
        """Make the folder of a new run.

        Args:
            root: as from `runs_root`.
            name: the model's name.
            config: of the run; the schema that it names is copied, for the original may go with a job.
            data: facts that identify the data, compared when resuming.
            registry: as from `told_apart`.
            purpose: what it is for, such as the winner of a search; None for its own sake.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        folder = cls(root / name / f"{stamp}-{secrets.token_hex(3)}")
        folder.path.mkdir(parents=True)
        try:
            own = {"status": "running", "config": to_mapping(folder._with_schema(config)), "data": data}
            folder.write({**own, "registry": registry, "purpose": purpose})
        except OSError:
            folder.abandon("failed")
            raise
        return folder

    def _with_schema(self, config: Config) -> Config:
        """Return the configuration with a copy of its schema, if it names one, in this folder."""
        given = config.data.schema_path
        if given is None:
            return config
        own = self.path / "schema.yaml"
        shutil.copyfile(given, own)
        return config.model_copy(update={"data": config.data.model_copy(update={"schema_path": str(own)})})

    @classmethod
    def newest_unfinished(
        cls, root: Path, name: str, registry: str | None = None, purpose: str | None = None
    ) -> RunFolder:
        """Return the newest run of `name` that has not finished.

        Args:
            root: as from `runs_root`.
            name: the model's name.
            registry: as from `told_apart`: runs of another one are passed over.
            purpose: runs for another one are passed over, too; None for any.

        Raises:
            NotFound: there is none.
        """
        parent, others = root / name, []
        for path in sorted(parent.iterdir(), reverse=True) if parent.is_dir() else []:
            values = cls(path).read()
            if values.get("status") not in UNFINISHED or purpose not in (None, values.get("purpose")):
                continue
            theirs = values.get("registry")
            if registry is None or theirs in (None, registry):
                return cls(path)
            others.append(theirs)
        told = f" for {registry}, only for {', '.join(sorted(set(others)))}" if others else ""
        raise NotFound(f"no unfinished run of {name!r} in {root}{told}; train without --resume to start one")

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def progress(self) -> Path:
        """File of the updates, one JSON object a line."""
        return self.path / "progress.jsonl"

    @property
    def stop(self) -> Path:
        """File whose presence asks the run to stop."""
        return self.path / "stop"

    def read(self) -> Json:
        """Return run.json; an empty object when there is none to read."""
        try:
            values = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def config(self) -> Config:
        """Return the configuration that the run was started with."""
        return from_mapping(self.read()["config"])

    def write(self, values: Json) -> None:
        """Replace run.json."""
        atomic_write_bytes(self.path / "run.json", json.dumps(values, indent=1).encode())

    def note(self, **values: Any) -> None:
        """Change some entries of run.json."""
        self.write({**self.read(), **values})

    def renew(self) -> str:
        """Make ready to go on: forget an earlier request to stop, an earlier error, Ray's own notes.

        Returns:
            The word of this driver. Workers that an earlier one left behind hold another, and end.
        """
        shutil.rmtree(self.path / "ray", ignore_errors=True)
        word = secrets.token_hex(8)
        atomic_write_bytes(self.path / "driver", word.encode())
        for name in ("stop", "error.json"):
            (self.path / name).unlink(missing_ok=True)
        self.note(status="running")
        return word

    def driver(self) -> str:
        """Return the word of the driver whose workers may write; empty where it cannot be read."""
        try:
            return (self.path / "driver").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return ""

    def abandon(self, status: str, driver: str | None = None) -> None:
        """Note why the run ended early; remove it when there is nothing to resume.

        Never raises for a full disk, so that the cause of the end is what the user sees.

        Args:
            status: why.
            driver: word of the one that ends, as from `renew`: a run that another one has taken over,
                or finished, is left to it. None where there was no word yet.
        """
        if driver not in (None, self.driver()):
            return
        with suppress(OSError):
            if any(self.checkpoints.glob("step-*")):
                self.note(status=status)
                return
            shutil.rmtree(self.path)
        remove_empty(self.path.parent, self.path.parent.parent)

    def count_start(self, workers: int, step: int) -> int:
        """Note that the workers start; return how often they had been started before."""
        starts = self.path / "starts.jsonl"
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "workers": workers, "step": step}
        with suppress(OSError):
            earlier = starts.read_text(encoding="utf-8").count("\n") if starts.exists() else 0
            with starts.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            return earlier
        return 0

    def save_error(self, error: Exception) -> None:
        """Tell driver and other workers of an error that a retry cannot mend."""
        entry = {"error": type(error).__name__, "message": str(error)}
        with suppress(OSError):
            atomic_write_bytes(self.path / "error.json", json.dumps(entry).encode())

    def error(self) -> dict[str, str]:
        """Return what `save_error` wrote, `error` and `message`; an empty object without."""
        try:
            values = json.loads((self.path / "error.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return {"error": str(values["error"]), "message": str(values["message"])}

    def append(self, update: Update) -> None:
        """Add a line of progress."""
        with self.progress.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(update)) + "\n")

    def save_result(self, result: TrainResult) -> None:
        """Write the best weights and the summary, whole or not at all."""
        target = self.path / "result"
        shutil.rmtree(target, ignore_errors=True)
        names = [field.name for field in dataclasses.fields(result) if field.name != "weights"]
        summary = {name: getattr(result, name) for name in names}
        with atomic_directory(target) as draft:
            save_file({k: v.contiguous() for k, v in result.weights.items()}, draft / "weights.safetensors")
            (draft / "summary.json").write_text(json.dumps(summary), encoding="utf-8")

    def load_result(self) -> TrainResult:
        """Read what `save_result` wrote.

        Raises:
            CheckpointCorrupt: it is not there or not whole.
        """
        target = self.path / "result"
        try:
            summary = json.loads((target / "summary.json").read_text(encoding="utf-8"))
            return TrainResult(weights=load_file(target / "weights.safetensors"), **summary)
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise CheckpointCorrupt(f"the run in {self.path} left no readable result: {error}") from error

    def clear_state(self) -> None:
        """Remove what only an unfinished run needs."""
        for name in ("checkpoints", "result", "ray"):
            shutil.rmtree(self.path / name, ignore_errors=True)
        for name in ("stop", "error.json", "driver"):
            (self.path / name).unlink(missing_ok=True)


def read_updates(path: Path, offset: int) -> tuple[list[Update], int]:
    """Return the updates after byte `offset` of a progress file, and the new offset.

    A line that is still being written is left for the next call; what a killed worker left of
    a line is passed over.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    updates = []
    for line in whole.splitlines():
        with suppress(ValueError, TypeError):
            updates.append(Update(**json.loads(line)))
    return updates, offset + len(whole)


def going_on(own: Json, given: Config) -> Config:
    """Return the configuration with which an unfinished run goes on: its own, on the command's `compute`.

    The precision stays the run's: it is not where the run goes on but what it comes to.

    Args:
        own: values of the run's configuration.
        given: the command's.
    """
    compute = {**to_mapping(given)["compute"], "precision": own["compute"]["precision"]}
    return from_mapping({**own, "compute": compute})
