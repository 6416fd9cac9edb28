"""`fingan tune`: try settings, repeat the best over seeds, publish the one that can be relied on."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fingan.cluster.address import Address
from fingan.cluster.driver import facts_of, publish_run, train
from fingan.cluster.lease import Lease, leased
from fingan.cluster.runs import RunFolder, going_on, remove_rows, rows_of, runs_root, told_apart
from fingan.cluster.tuning.ledger import SearchFolder, place
from fingan.cluster.tuning.work import Listener, Work
from fingan.config import Config, to_mapping
from fingan.data import data_name
from fingan.errors import ConfigError, NotFound
from fingan.preparation import Prepared, prepare
from fingan.registry import Registry, check_name
from fingan.search import Finalist, Params, Record, SearchSpace
from fingan.search.population import mutable
from fingan.search.shape import shape_of
from fingan.search.shipped import beginnings
from fingan.search.warm import check_keys
from fingan.types import Json


@dataclass(frozen=True)
class Tuned:
    """What `tune` leaves.

    Attributes:
        name: of the model.
        version: the winner was published as, perhaps before its training had ended; None where none was.
        record: of the search; its status tells whether there is something left to resume.
        interrupted: whether the user interrupted.
        folder: of the search, with record and page.
    """

    name: str
    version: int | None
    record: Record
    interrupted: bool
    folder: Path


def tune(
    source: object,
    config: Config,
    registry: str | Path = "registry",
    name: str | None = None,
    resume: bool = False,
    first: Sequence[Params] = (),
    listener: Listener | None = None,
    address: str | None = None,
    allow_open_dashboard: bool = False,
    command: str = "",
) -> Tuned:
    """Search for a setting that works every time, and publish a generator trained with it.

    Ctrl-C (KeyboardInterrupt in the calling thread) ends the trials at their next checkpoint and
    keeps what is known; `resume` goes on from there.

    Args:
        source: the table, in any form that `read_table` takes.
        config: the base configuration; its section `tune` says what to vary and how to spend.
        registry: directory or URL to publish to.
        name: the model's name; the data file's stem otherwise.
        resume: continue the newest unfinished search of that name, with its own configuration; of
            `config` only `compute` counts, but for its precision, and a larger `tune.max_failures`.
        first: settings to begin with, as from earlier searches; keys that one leaves out have the base's
            values. Shipped ones follow (`tune.shipped`).
        listener: whom to tell.
        address: `auto` or `host:port` of a running Ray; None starts one on this machine.
        allow_open_dashboard: accept a Ray whose dashboard asks for no token.
        command: noted in the record.

    Raises:
        ConfigError, DataError: before any work, for what does not fit.
        UserError: a search of that name is still going on.
        NotFound: nothing to resume.
        FinganError: all trials failed, or none came through the finals.
    """
    name = check_name(data_name(source) if name is None else name)
    if resume and first:
        raise ConfigError(
            "--resume goes on with the settings that the search began with; leave out --warm-start, "
            "or begin a new search without --resume"
        )
    root = runs_root(registry)
    search = _Search(
        source, config, registry, name, listener or Listener(), address, allow_open_dashboard, command
    )
    with leased(place(root, name) / "lease.json", name) as lease:
        return search.run(root, resume, first, lease)


@dataclass(frozen=True)
class _Published:
    """A winner in the registry.

    Attributes:
        version: it was published as.
        interrupted: whether the user interrupted its training.
        finished: whether that came to its end all the same.
    """

    version: int
    interrupted: bool = False
    finished: bool = True


def space_of(config: Config) -> SearchSpace:
    """Return the space that a search varies.

    Raises:
        ConfigError: an empty space, or a key or value that does not fit.
    """
    space = SearchSpace.of(config)
    return mutable(space) if config.tune.scheduler == "population" else space


@dataclass(frozen=True)
class _Search:
    """One call of `tune`."""

    source: object
    config: Config
    registry: str | Path
    name: str
    listener: Listener
    address: str | None
    allow_open: bool
    command: str

    def run(self, root: Path, resume: bool, first: Sequence[Params], lease: Lease) -> Tuned:
        """Find or make the search's folder, search in it, and publish."""
        folder = SearchFolder.newest_unfinished(root, self.name) if resume else None
        config, first = self.config, list(first)
        if folder is not None:
            self.listener.on_stage(f"continuing the search in {folder.path} with its own configuration")
            known = folder.read()
            config = going_on(_allowing(known["config"], config.tune.max_failures), config)
            first = known["first"]
        space = space_of(config)
        check_keys(first)
        self.listener.on_stage("reading and encoding")
        prepared = prepare(self.source, config, rows_of(root, self.name))
        _check(prepared)
        space = space.fitting(len(prepared.encoded))
        facts = facts_of(prepared)
        if folder is None:
            shape = shape_of(prepared.schema, prepared.rows)
            first = beginnings(space, shape, first, self.listener.on_stage)
            asked = {"config": to_mapping(config), "first": first, "data": facts, "command": self.command}
            folder = SearchFolder.create(root, self.name, {**asked, "shape": shape})
        elif folder.read()["data"] != facts:
            raise ConfigError(
                f"the unfinished search of {self.name!r} was started on other data; "
                "resume it with the same table"
            )
        else:
            folder.note(config=to_mapping(config))
        return self._in(folder, space, prepared, first, lease)

    def _in(
        self,
        folder: SearchFolder,
        space: SearchSpace,
        prepared: Prepared,
        first: Sequence[Params],
        lease: Lease,
    ) -> Tuned:
        work = Work(
            name=self.name,
            folder=folder,
            space=space,
            listener=self.listener,
            lease=lease,
            address=None if self.address is None else Address(self.address),
            allow_open=self.allow_open,
            started=time.monotonic(),
            before=float(folder.read().get("seconds", 0.0)),
        )
        self.listener.on_folder(folder.path)
        try:
            if work.search(prepared, first):
                folder.note(status="interrupted")
                return Tuned(self.name, None, work.note("interrupted"), True, folder.path)
            winner = work.winner()
            # Whoever reads it in the bundle reads of a search that is over.
            record = replace(work.note("running"), status="finished")
            published = self._publish(folder, space, prepared, winner, record)
        except BaseException as error:
            # What another driver has taken over is left to it.
            if not lease.is_lost:
                _give_up(work, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        status = "finished" if published.finished else "interrupted"
        folder.note(status=status, version=published.version)
        record = work.note(status)
        if published.finished:
            folder.clear_state()
            remove_rows(runs_root(self.registry), self.name)
        return Tuned(self.name, published.version, record, published.interrupted, folder.path)

    def _publish(
        self, folder: SearchFolder, space: SearchSpace, prepared: Prepared, winner: Finalist, record: Record
    ) -> _Published:
        """Publish the winner with the record of the search."""
        facts = {"search": record.to_json()}
        if space.base.tune.winner == "best_run":
            self.listener.on_stage("publishing the winner's best run")
            runs = [t for t in folder.trials("final") if t.number == winner.number and not t.failed]
            best = min(runs, key=lambda t: math.inf if t.score is None else t.score)
            run = folder.trial("final", best.number, best.seed).run
            own = replace(prepared, config=run.config())
            return _Published(publish_run(own, run, Registry(self.registry), self.name, facts))
        self.listener.on_stage(f"training with the setting of trial {winner.number}")
        # Not every unfinished run of the name is this winner's.
        purpose = f"search {folder.path.name}, trial {winner.number}"
        trained = train(
            self.source,
            space.config(winner.params),
            self.registry,
            self.name,
            _has_unfinished(self.registry, self.name, purpose),
            self.listener.on_update,
            self.listener.on_stage,
            self.address,
            self.allow_open,
            facts,
            purpose,
        )
        finished = RunFolder(trained.folder).read().get("status") == "finished"
        return _Published(trained.version, trained.interrupted, finished)


def _give_up(work: Work, status: str) -> None:
    # A full disk must not hide the error.
    with suppress(OSError):
        work.note(status)
    work.folder.abandon(status)


def _allowing(own: Json, failures: float) -> Json:
    """Return a search's configuration with this share of failures allowed, if its own is not larger."""
    tune = own["tune"]
    return {**own, "tune": {**tune, "max_failures": max(tune["max_failures"], failures)}}


def _has_unfinished(registry: str | Path, name: str, purpose: str) -> bool:
    """Whether a run of a name was begun for this purpose and not finished."""
    try:
        RunFolder.newest_unfinished(runs_root(registry), name, told_apart(registry), purpose)
    except NotFound:
        return False
    return True


def _check(prepared: Prepared) -> None:
    if prepared.validation is None:
        raise ConfigError(
            f"settings are compared on held-out rows, and {prepared.rows} rows leave too few of them; "
            "set data.validation higher or give more rows"
        )
