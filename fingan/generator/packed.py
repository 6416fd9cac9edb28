"""Several small requests at once: their rows share forward passes, calibration and choice.

Every piece gets the rows, bit for bit, that a request of its own gets.

Rows are chosen in whole groups, so a piece that begins or ends inside one makes the rest of it too.

Letters: B rows, K candidates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
import pyarrow as pa

from fingan.config import MOST_CANDIDATES
from fingan.encoding.conditions import Where
from fingan.errors import ConditionError, ConfigError, UserError
from fingan.generator.engine import BLOCK, Ask, Condition, Engine, RawRows, Stretch, filled
from fingan.generator.rare import conditions, put
from fingan.generator.resampling import GROUP, chosen
from fingan.rng import numpy_generator
from fingan.types import Float64, Int64

if TYPE_CHECKING:
    from fingan.generator.model import Generator

BLOCKS_PER_BATCH = 16
"""Blocks that are calibrated and decoded at a time: bounds the memory."""

MOST_ROWS = 1 << 48


@dataclass(frozen=True)
class Piece:
    """Rows first … last − 1 of a sample.

    Attributes:
        seed: of the sample, 0 … 2^63 − 1.
        first, last: numbers of the rows, at most 2^48.
        where: column → value that every row shall have.
        candidates: rows generated for each one kept, 1 … 64; None for the configured number.
    """

    seed: int
    first: int
    last: int
    where: Mapping[str, Any] | None = None
    candidates: int | None = None


@dataclass(frozen=True)
class PreparedPiece:
    """A piece that was checked against a generator.

    Attributes:
        seed, first, last: as of `Piece`.
        condition: what is given of the rows; None for nothing.
        candidates: rows generated for each one kept, as they will be.
        rare: number of each class whose rows come from a network of its own → what it is given of them.
    """

    seed: int
    first: int
    last: int
    condition: Condition | None
    candidates: int
    rare: Mapping[int, Condition | None] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there will be."""
        return self.last - self.first

    @property
    def whole(self) -> PreparedPiece:
        """The piece with the rest of its first and last groups, whose rows are chosen together."""
        if self.candidates == 1 or not self.rows:
            return self
        first, last = self.first - self.first % GROUP, self.last + -self.last % GROUP
        return replace(self, first=first, last=last)


@dataclass(frozen=True)
class _Task:
    """Some candidates of all rows of piece number `piece`, candidate after candidate."""

    number: int
    piece: PreparedPiece
    candidates: range

    @property
    def rows(self) -> int:
        return self.piece.rows * len(self.candidates)

    @property
    def index(self) -> Int64:
        """Number of each row [B]."""
        return np.tile(np.arange(self.piece.first, self.piece.last, dtype=np.int64), len(self.candidates))

    def ask(self) -> Ask:
        """Return what the engine shall make."""
        piece = self.piece
        stretches = [Stretch(piece.seed, _purpose(n), piece.first, piece.last) for n in self.candidates]
        return Ask(stretches, piece.condition)

    def ask_again(self, places: Int64, rare: int) -> Ask:
        """Return what the engine of rare class number `rare` shall make for the rows at ascending places."""
        candidate, row = np.divmod(places, self.piece.rows)
        ends = np.flatnonzero((np.diff(places) != 1) | (np.diff(candidate) != 0)) + 1
        stretches = []
        for begin, end in zip([0, *ends.tolist()], [*ends.tolist(), places.size], strict=True):
            purpose = f"{_purpose(self.candidates[candidate[begin]])} of rare class {rare}"
            first = self.piece.first + int(row[begin])
            stretches.append(Stretch(self.piece.seed, purpose, first, first + end - begin))
        return Ask(stretches, self.piece.rare[rare])


def _purpose(candidate: int) -> str:
    """Return what a candidate's noise is for: the first have that of a sample without a choice."""
    return f"sample {candidate}" if candidate else "sample"


_Made = tuple[pa.RecordBatch | UserError, Float64]
"""Decoded candidates, or why there are none, and their log ratios [B], empty where there is no choice."""


def prepare_piece(generator: Generator, piece: Piece) -> PreparedPiece:
    """Check a piece; makes no row.

    Raises:
        ConfigError: a number, seed or column that does not fit.
        ConditionError: a condition that no row can meet, or of a column that training never gave.
    """
    check_whole(seed=piece.seed, first=piece.first, last=piece.last)
    if piece.last < piece.first:
        raise ConfigError(f"last must be at least first, got {piece.last} after {piece.first}")
    if piece.last > MOST_ROWS:
        raise ConfigError(f"rows + offset must be at most 2^48, got {piece.last}")
    configured = generator.config.sampling.candidates
    candidates = configured if piece.candidates is None else piece.candidates
    if not _whole(candidates) or not 1 <= candidates <= MOST_CANDIDATES:
        raise ConfigError(f"candidates must be from 1 to {MOST_CANDIDATES}, got {candidates!r}")
    condition, target = None, None
    if piece.where:
        where = Where.parse(generator.engine.encoder, piece.where)
        check_given(generator, piece.where)
        condition, target = where.block, where.constants.get(generator.config.data.target or "")
    # Rows of one rare class alone would be chosen evenly.
    if generator.density is None or target in [own.value for own in generator.rare]:
        candidates = 1
    # NumPy's whole numbers would name other streams of random numbers.
    seed, first, last = int(piece.seed), int(piece.first), int(piece.last)
    return PreparedPiece(
        seed,
        first,
        last,
        condition,
        int(candidates),
        conditions(generator.rare, piece.where, generator.config.conditioning),
    )


def sample_packed(generator: Generator, pieces: Sequence[PreparedPiece]) -> list[pa.RecordBatch | UserError]:
    """Generate the rows of several pieces.

    All rows of a piece are held in memory: for many of them there is `Generator.iter_batches`.

    Args:
        generator: that the pieces were prepared for.
        pieces: any number of them.

    Returns:
        Each piece's rows, or why there are none: a condition that a row cannot meet, or more rows
        than an identifier's format has values.
    """
    tasks = [task for number, piece in enumerate(pieces) for task in _tasks(number, piece.whole)]
    results = {n: _no_rows(generator.schema.arrow()) for n, piece in enumerate(pieces) if not piece.rows}
    made: list[list[_Made]] = [[] for _ in pieces]
    for together in filled(tasks, lambda task: task.rows, BLOCK * BLOCKS_PER_BATCH):
        for task, part in zip(together, _make(generator, together), strict=True):
            own = made[task.number]
            own.append(part)
            if task.candidates.stop == task.piece.candidates:
                results[task.number] = _kept(generator.engine, pieces[task.number], own)
                own.clear()
    return [results[number] for number in range(len(pieces))]


def check_given(generator: Generator, columns: Collection[str]) -> None:
    """Refuse to give values of columns that training never gave: the rest of the row would not heed them.

    Raises:
        ConditionError: names the column.
    """
    for column in sorted(set(columns) - generator.conditionable):
        conditioning = generator.config.conditioning
        share = "" if conditioning.unconditional_share < 1.0 else " and conditioning.unconditional_share 1"
        raise ConditionError(
            f"column {column!r} cannot be given: the generator was trained with conditioning.columns "
            f"{conditioning.columns!r}{share}, so the other columns would not follow it; train anew with "
            "conditioning.columns 'any', or with a list that names the column, and a share below 1"
        )


def check_whole(**values: object) -> None:
    """Refuse anything but whole numbers from 0 to 2^63 − 1.

    Raises:
        ConfigError: names the argument.
    """
    for name, value in values.items():
        if not _whole(value) or not 0 <= value < 1 << 63:
            raise ConfigError(f"{name} must be a whole number from 0 to 2^63 - 1, got {value!r}")


def _whole(value: object) -> TypeGuard[int]:
    """Whether a number is whole, NumPy's too; a truth value is none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pa.nulls(0, field.type) for field in schema], schema=schema)


def _tasks(number: int, piece: PreparedPiece) -> Iterator[_Task]:
    """Divide a piece by candidates, as many at a time as a batch has room for."""
    if piece.rows:
        at_once = max(1, BLOCK * BLOCKS_PER_BATCH // piece.rows)
        for first in range(0, piece.candidates, at_once):
            yield _Task(number, piece, range(first, min(first + at_once, piece.candidates)))


def _make(generator: Generator, tasks: Sequence[_Task]) -> list[_Made]:
    """Return what each task asks for."""
    engine = generator.engine
    decoded = _decoded(engine, tasks, engine.make([task.ask() for task in tasks]))
    _remake_rare(generator, tasks, decoded)
    ratios = [np.empty(0)] * len(tasks)
    rated = [
        place
        for place, (task, batch) in enumerate(zip(tasks, decoded, strict=True))
        if task.piece.candidates > 1 and not isinstance(batch, UserError)
    ]
    if generator.density is not None and rated:
        found = generator.density(_joined([decoded[place] for place in rated]))
        ends = np.cumsum([tasks[place].rows for place in rated])
        for place, own in zip(rated, np.split(found, ends[:-1]), strict=True):
            ratios[place] = own
    return list(zip(decoded, ratios, strict=True))


def _decoded(
    engine: Engine, tasks: Sequence[_Task], rows: Sequence[RawRows]
) -> list[pa.RecordBatch | UserError]:
    """Decode the rows of each task, together with those that only their numbers tell apart."""
    together: dict[tuple[object, object], list[int]] = {}
    for place, task in enumerate(tasks):
        # Given values are put back by condition, and identifiers are made from the seed and the number.
        condition = None if task.piece.condition is None else place
        numbered = bool(engine.encoder.identifiers) and task.piece.candidates == 1
        together.setdefault((condition, task.piece.seed if numbered else None), []).append(place)
    found: dict[int, pa.RecordBatch | UserError] = {}
    for places in together.values():
        own = _decode(engine, [tasks[place] for place in places], [rows[place] for place in places])
        found |= zip(places, own, strict=True)
    return [found[place] for place in range(len(tasks))]


def _remake_rare(
    generator: Generator, tasks: Sequence[_Task], decoded: list[pa.RecordBatch | UserError]
) -> None:
    """Put rows of the classes' own networks in the places of rare classes, in `decoded`."""
    for rare, own in enumerate(generator.rare):
        again = [
            (place, batch, rows)
            for place, (task, batch) in enumerate(zip(tasks, decoded, strict=True))
            if rare in task.piece.rare and not isinstance(batch, UserError)
            if (rows := own.rows_of(batch)).size
        ]
        asks = [tasks[place].ask_again(rows, rare) for place, _, rows in again]
        made = own.engine.make(asks) if asks else []
        for (place, batch, rows), fields in zip(again, made, strict=True):
            # Given values and a constraint may leave the class, whose range is narrower, no way.
            with suppress(ConditionError):
                task = tasks[place]
                index = None if task.piece.candidates > 1 else task.index[rows]
                decoded[place] = put(batch, rows, own.engine.decode(fields, index, task.piece.seed))


def _decode(
    engine: Engine, tasks: Sequence[_Task], rows: Sequence[RawRows]
) -> list[pa.RecordBatch | UserError]:
    """Decode the rows of tasks in one go."""
    # Where rows are yet to be chosen, their numbers are too.
    chosen_later = tasks[0].piece.candidates > 1
    index = None if chosen_later else np.concatenate([task.index for task in tasks])
    try:
        whole = engine.decode(rows[0] if len(rows) == 1 else _side_by_side(rows), index, tasks[0].piece.seed)
    except UserError as error:
        if len(tasks) == 1:
            return [error]
        # Whoever is at fault does not spoil the others.
        return [_decode(engine, [task], [own])[0] for task, own in zip(tasks, rows, strict=True)]
    if len(tasks) == 1:
        return [whole]
    starts = np.cumsum([0] + [task.rows for task in tasks[:-1]]).tolist()
    slices = [whole.slice(start, task.rows) for start, task in zip(starts, tasks, strict=True)]
    # Copied: a slice holds on to all rows, and is written in other bytes than rows of their own.
    return [pa.concat_batches([own]) for own in slices]


def _side_by_side(rows: Sequence[RawRows]) -> RawRows:
    """Join rows of which nothing is given."""
    u, codes, spare = (np.hstack([getattr(own, name) for own in rows]) for name in ("u", "codes", "spare"))
    return RawRows(u, codes, spare, {})


def _kept(engine: Engine, piece: PreparedPiece, made: Sequence[_Made]) -> pa.RecordBatch | UserError:
    """Return the rows of a piece: those chosen from the candidates of its groups."""
    for batch, _ in made:
        if isinstance(batch, UserError):
            return batch
    rows = _joined([batch for batch, _ in made])
    if piece.candidates == 1:
        return rows
    whole = piece.whole
    # Number of each candidate among the rows made, those of a group side by side.
    by_candidate = np.arange(rows.num_rows).reshape(piece.candidates, -1, GROUP)
    places = by_candidate.swapaxes(0, 1).reshape(-1, piece.candidates * GROUP)
    ratios = np.concatenate([ratio for _, ratio in made])[places]
    kept = np.take_along_axis(places, chosen(ratios, _uniform(whole), GROUP), axis=1).ravel()
    wanted = kept[piece.first - whole.first :][: piece.rows]
    try:
        return engine.identify(rows.take(pa.array(wanted)), np.arange(piece.first, piece.last), piece.seed)
    except UserError as error:
        return error


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _uniform(piece: PreparedPiece) -> Float64:
    """Return the draws by which each group of a piece is chosen."""
    blocks = range(piece.first // BLOCK, -(-piece.last // BLOCK))
    draws = [numpy_generator(piece.seed, "choose", block).random(BLOCK // GROUP) for block in blocks]
    first, last = (row // GROUP - blocks.start * BLOCK // GROUP for row in (piece.first, piece.last))
    return np.concatenate(draws)[first:last]
