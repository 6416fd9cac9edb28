"""Several requests at once give each the rows that it gets alone, at the cost of shared forward passes."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.config import NetworkConfig
from fingan.encoding.conditions import Where
from fingan.errors import ConditionError, ConfigError, DataError
from fingan.generator import BLOCK, Engine, Generator
from fingan.generator.choice import CodeChoice
from fingan.generator.engine import DRAWN, Condition, Known, PassSizes, RawRows, dense_given
from fingan.generator.forward import Forward, RawFields
from fingan.generator.packed import BLOCKS_PER_BATCH, Piece, prepare_piece, sample_packed
from fingan.generator.resampling import GROUP, chosen
from fingan.networks.tabular import build_generator
from fingan.rng import numpy_generator, stream
from tests.tiny import arrow, generator

SPAN = BLOCK * BLOCKS_PER_BATCH
CPU = torch.device("cpu")
WHERES: tuple[Mapping[str, Any] | None, ...] = (
    None,
    {"label": "bad"},
    {"city": "Oslo", "age": 40},
    {"years": 33},
    {"amount": None, "member": True},
)
PRECISIONS = ("fp32", "bf16")


@functools.cache
def refined(precision: str = "fp32") -> Generator:
    made = generator("sampling.candidates=4", f"compute.precision={precision}")
    assert made.density is not None, "40 steps leave much to choose from"
    return made


def one_block(engine: Engine, seed: int, purpose: str, block: int, condition: Condition | None) -> RawRows:
    """Make a whole block in a forward pass of its own, step by step."""
    layout, noise = engine.encoder.layout, engine.draw(seed, purpose, block)
    if condition is None:
        raw = engine.raw(noise.normal, None, None)
    else:
        source = stream(seed, f"{purpose} given", block)
        spare, position = np.split(source.random((BLOCK, layout.units + layout.numeric)).T, [layout.units])
        known = condition(spare.T)
        rows = dense_given(engine.encoder, Known(known, position))
        raw = engine.raw(noise.normal, rows, torch.from_numpy(known.mask).float())
    u = engine.calibration.u(raw.numbers)
    codes = CodeChoice(layout.widths, engine.calibration.offsets)(raw.logits, noise.choice)
    if condition is None:
        return RawRows(u, codes, noise.spare, {})
    for field, unit in enumerate(layout.unit_of_field):
        own = known.mask[:, unit]
        if field < layout.numeric:
            exact = known.fields.lower[:, field] + position[field] * known.fields.width[:, field]
            u[field, own] = exact[own]
        else:
            codes[field - layout.numeric, own] = known.fields.codes[own, field - layout.numeric]
    return RawRows(u, codes, noise.spare, known.columns)


def alone(made: Generator, piece: Piece) -> pa.RecordBatch:
    """Return a piece's rows by whole blocks, one candidate after the other, nothing shared."""
    engine = made.engine
    condition = Where.parse(engine.encoder, piece.where).block if piece.where else None
    blocks = range(piece.first // BLOCK, -(-piece.last // BLOCK))
    asked = (piece.candidates or made.config.sampling.candidates) if made.density is not None else 1
    start = blocks.start * BLOCK
    index = np.arange(start, blocks.stop * BLOCK)
    batches = []
    for number in range(asked):
        purpose = f"sample {number}" if number else "sample"
        raws = [one_block(engine, piece.seed, purpose, block, condition) for block in blocks]
        parts = [engine.decode(raw, None, piece.seed) for raw in raws]
        batches.append(pa.concat_batches(parts))
    kept = batches[0] if asked == 1 else chosen_of(made, batches, piece.seed, blocks)
    kept = kept.slice(piece.first - start, piece.last - piece.first)
    return engine.identify(kept, index[piece.first - start : piece.last - start], piece.seed)


def chosen_of(made: Generator, batches: list[pa.RecordBatch], seed: int, blocks: range) -> pa.RecordBatch:
    """Choose the rows of each group of 64, one group after the other."""
    assert made.density is not None
    ratios = np.stack([made.density(batch) for batch in batches])
    rows = []
    for block in blocks:
        draws = numpy_generator(seed, "choose", block).random(BLOCK // GROUP)
        for group, draw in enumerate(draws):
            first = (block - blocks.start) * BLOCK + group * GROUP
            own = ratios[:, first : first + GROUP].reshape(1, -1)
            for place in chosen(own, np.array([draw]), GROUP)[0]:
                number, row = divmod(int(place), GROUP)
                rows.append(number * batches[0].num_rows + first + row)
    return pa.concat_batches(batches).take(pa.array(rows))


def packed(made: Generator, pieces: list[Piece]) -> list[pa.RecordBatch]:
    return sample_packed(made, [prepare_piece(made, piece) for piece in pieces])


def check(made: Generator, pieces: list[Piece]) -> None:
    """Compare with rows made alone, as values and as the bytes of an Arrow stream."""
    found = packed(made, pieces)
    assert len(found) == len(pieces)
    for piece, batch in zip(pieces, found, strict=True):
        assert batch.schema == made.schema.arrow()
        assert batch.num_rows == piece.last - piece.first
        if batch.num_rows:
            expected = alone(made, piece)
            assert batch.equals(expected), piece
            (own,) = packed(made, [piece])
            assert own.serialize().equals(batch.serialize()), piece
            asked = piece.last - piece.first, piece.where, piece.seed, piece.first, 1, piece.candidates
            assert pa.concat_batches(list(made.iter_batches(*asked))).equals(expected), piece


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each forward pass that was made."""
    made: list[int] = []
    original = Engine.raw

    def counted(self: Engine, normal: torch.Tensor, *given: torch.Tensor | None) -> RawFields:
        made.append(len(normal))
        return original(self, normal, *given)

    monkeypatch.setattr(Engine, "raw", counted)
    return made


PIECES = st.builds(
    lambda seed, first, rows, where, candidates: Piece(seed, first, first + rows, where, candidates),
    st.integers(0, 3),
    st.integers(0, 2 * BLOCK) | st.sampled_from([BLOCK - 1, BLOCK, SPAN - 3]),
    st.integers(0, 60) | st.sampled_from([1, BLOCK, BLOCK + 40]),
    st.sampled_from(WHERES),
    st.none() | st.integers(1, 5),
)


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=12)
@given(pieces=st.lists(PIECES, max_size=6))
def test_every_piece_gets_the_rows_that_it_gets_alone(precision, pieces):
    check(refined(precision), pieces)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_so_do_pieces_of_every_sort(precision):
    pieces = [
        Piece(1, 0, 100),
        Piece(1, 0, 100),
        Piece(2, BLOCK - 30, BLOCK + 50, {"label": "bad"}),
        Piece(1, 7, 7),
        Piece(3, 5, 6, {"years": 33}, candidates=1),
        Piece(2**63 - 1, 2**20, 2**20 + 11, candidates=7),
        Piece(4, 100, 2 * BLOCK + 200, {"city": "Oslo"}, candidates=2),
        Piece(5, SPAN - 1, SPAN + 1, candidates=64),
    ]
    check(refined(precision), pieces)


@pytest.mark.parametrize("candidates", [1, 3])
def test_pieces_that_are_decoded_together_come_apart_at_any_row(candidates):
    """Of one seed, nothing given: bits of flags and gaps begin and end inside a byte."""
    starts = [0, 1, 12, 25, 400, 411, 1000, 1021, 1100]
    check(refined(), [Piece(6, a, b, candidates=candidates) for a, b in itertools.pairwise(starts)])


def test_a_piece_may_have_more_rows_than_a_batch():
    check(refined(), [Piece(0, 5, SPAN + 2 * BLOCK, candidates=1), Piece(1, 0, 3)])
    check(refined(), [Piece(0, BLOCK, 10 * BLOCK, candidates=2)])


def test_without_a_ratio_rows_are_taken_as_they_come():
    check(generator(), [Piece(0, 0, 10), Piece(1, 50, 70, {"label": "bad"}, candidates=8)])


def test_no_pieces_and_no_rows_make_no_pass(passes):
    assert packed(refined(), []) == []
    (empty,) = packed(refined(), [Piece(0, 9, 9)])
    assert empty.num_rows == 0
    assert empty.schema == refined().schema.arrow()
    assert not passes


def test_small_pieces_share_a_pass(passes):
    packed(refined(), [Piece(0, 0, 100, candidates=4)])
    assert len(passes) == 1
    assert 400 <= passes.pop() <= BLOCK
    packed(refined(), [Piece(seed, 0, 100, candidates=1) for seed in range(10)])
    assert passes == [BLOCK]
    passes.clear()
    across = [Piece(0, BLOCK - 20, BLOCK + 20), Piece(1, 5, 6, {"label": "bad"}), Piece(2, 0, 9, {"age": 40})]
    packed(refined(), across)
    # With and without a condition they are different networks.
    assert len(passes) == 2


def test_pages_of_one_sample_share_their_noise(monkeypatch):
    drawn = []
    original = Engine.draw

    def counted(self, *stream):
        drawn.append(stream)
        return original(self, *stream)

    monkeypatch.setattr(Engine, "draw", counted)
    packed(refined(), [Piece(0, page, page + 50, candidates=3) for page in range(0, 500, 50)])
    # The first pages need the beginning of the block alone.
    purposes = ("sample", "sample 1", "sample 2")
    assert sorted(drawn) == sorted((0, purpose, 0, rows) for purpose in purposes for rows in (DRAWN, BLOCK))


def test_whole_blocks_have_passes_of_their_own(passes):
    packed(refined(), [Piece(0, 0, 2 * BLOCK, candidates=1), Piece(1, BLOCK, 2 * BLOCK, candidates=2)])
    assert passes == [BLOCK] * 4


class Fickle:
    """A network whose last bits depend on a row's place, or on the number of rows."""

    def __init__(self, forward: Forward, change: Callable[[int], np.ndarray]) -> None:
        self._forward, self._change = forward, change

    def __call__(self, normal: torch.Tensor, *given: torch.Tensor | None) -> RawFields:
        made = self._forward(normal, *given)
        moved = (1 + 1e-3 * self._change(len(normal))).astype(np.float32)
        return RawFields(made.numbers * moved, made.logits * moved)


@pytest.mark.parametrize(
    ("change", "sizes"),
    [
        (lambda rows: np.arange(rows), [BLOCK] * 5),
        (lambda rows: np.full(rows, rows % BLOCK), [BLOCK] * 2),
        (lambda rows: np.zeros(rows), [64, 2 * GROUP]),
    ],
    ids=["place", "size", "neither"],
)
def test_rows_share_a_pass_only_where_that_changes_no_bit(change, sizes, passes):
    made = dataclasses.replace(refined(), engine=dataclasses.replace(refined().engine))
    vars(made.engine)["_forward"] = Fickle(refined().engine._forward, change)
    pieces = [
        Piece(0, BLOCK - 7, BLOCK + 8, candidates=1),
        Piece(1, 90, 110, candidates=1),
        Piece(2, 3, 9, {"label": "bad"}, candidates=2),
    ]
    packed(made, pieces)
    assert passes == sizes
    check(made, pieces)


def bits(made: RawFields) -> np.ndarray:
    return np.concatenate([made.numbers, made.logits])


def networks() -> Iterator[tuple[Forward, int]]:
    layout = refined().engine.encoder.layout
    config = NetworkConfig()
    source = torch.Generator().manual_seed(1)
    made = build_generator(layout, config, generator=source)
    with torch.no_grad():
        for weight in made.parameters():
            # A fresh network's branches return zero.
            weight.add_(torch.randn(weight.shape, generator=source), alpha=0.05)
    for autocast in (False, True):
        yield Forward(made, autocast, CPU), config.noise


@pytest.mark.parametrize("conditional", [False, True])
def test_a_row_has_the_same_bits_in_all_places_and_beside_any_rows(conditional):
    """On this processor, at the default width; `PassSizes` tries it on any other."""
    layout, source = refined().engine.encoder.layout, torch.Generator().manual_seed(2)
    for forward, noise in networks():
        inputs = [torch.randn(BLOCK, noise, generator=source), None, None]
        if conditional:
            inputs[1] = torch.randn(BLOCK, layout.dense, generator=source)
            inputs[2] = torch.randint(2, (BLOCK, layout.units), generator=source).float()

        def made(index: torch.Tensor, forward: Forward = forward, inputs: list[Any] = inputs) -> np.ndarray:
            return bits(forward(*(None if part is None else part[index] for part in inputs)))

        whole = made(torch.arange(BLOCK))
        for row in (0, 1, 500, BLOCK - 1):
            everywhere = made(torch.full((BLOCK,), row))
            assert np.array_equal(everywhere, np.repeat(whole[:, row : row + 1], BLOCK, axis=1))
        for _ in range(3):
            mixed = torch.randint(BLOCK, (BLOCK,), generator=source)
            assert np.array_equal(made(mixed), whole[:, mixed.numpy()])
        assert PassSizes(forward, layout, noise).fitting(BLOCK, conditional) == BLOCK


@pytest.mark.parametrize(
    ("piece", "error", "words"),
    [
        (Piece(-1, 0, 1), ConfigError, "seed"),
        (Piece(0, -1, 1), ConfigError, "first"),
        (Piece(0, 0, True), ConfigError, "last"),
        (Piece(0, 5, 4), ConfigError, "last must be at least first, got 4 after 5"),
        (Piece(0, 0, 2**48 + 1), ConfigError, "2\\^48"),
        (Piece(0, 0, 1, candidates=65), ConfigError, "candidates must be from 1 to 64, got 65"),
        (Piece(0, 0, 1, candidates=2.5), ConfigError, "candidates must be from 1 to 64, got 2.5"),
        (Piece(0, 0, 1, {"labl": "bad"}), ConfigError, "labl"),
        (Piece(0, 0, 1, {"label": "bda"}), ConditionError, "bda"),
    ],
)
def test_a_piece_is_checked_before_any_row(piece, error, words):
    with pytest.raises(error, match=words):
        prepare_piece(refined(), piece)


def test_whole_numbers_may_be_numpys():
    wanted = refined().sample(35, seed=3, offset=5, candidates=4)
    found = refined().sample(np.int64(35), seed=np.uint64(3), offset=np.int32(5), candidates=np.int8(4))
    assert found.equals(wanted)


@pytest.mark.parametrize(
    ("setting", "given", "refused"),
    [
        ("conditioning.columns=none", "label", "trained with conditioning.columns 'none'"),
        ("conditioning.columns=[label, years]", "city", "conditioning.columns .'label', 'years'.,"),
        ("conditioning.unconditional_share=1.0", "label", "and conditioning.unconditional_share 1,"),
    ],
)
def test_what_training_never_gave_cannot_be_given(setting, given, refused):
    made = generator(setting)
    value = {"label": "bad", "city": "Oslo"}[given]
    with pytest.raises(ConditionError, match=f"column '{given}' cannot be given.*{refused}"):
        made.sample(5, where={given: value})
    gaps = pa.table({"city": pa.array([None] * 3, pa.string())})
    whole = arrow().slice(0, 3)
    torn = whole.set_column(whole.schema.get_field_index("city"), "city", gaps["city"])
    with pytest.raises(ConditionError, match="cannot be given"):
        made.impute(torn, ["city"])
    # What has no gap needs no row.
    assert made.impute(whole, ["city"])["city"].to_pylist() == whole["city"].to_pylist()


def test_named_columns_and_those_that_repeat_them_may_be_given():
    made = generator("conditioning.columns=[label, years]")
    assert made.conditionable == {"label", "age", "years"}
    assert set(made.sample(20, where={"age": 40, "label": "bad"})["years"].to_pylist()) == {40}
    assert "customer" not in generator().conditionable


def test_a_piece_that_fails_does_not_spoil_the_others():
    """Only decoding can tell that an identifier's format is used up."""
    beyond = [Piece(1, 2**40, 2**40 + 5), Piece(2, 2**40, 2**40 + 5, {"label": "bad"}, candidates=1)]
    sound = [Piece(1, 0, 20), Piece(2, 0, 20, {"label": "bad"}), Piece(3, 0, 5)]
    found = packed(refined(), [sound[0], beyond[0], sound[1], beyond[1], sound[2]])
    for number in (1, 3):
        assert isinstance(found[number], DataError)
        assert "customer" in str(found[number])
    for piece, batch in zip(sound, found[::2], strict=True):
        assert batch.equals(alone(refined(), piece))
    with pytest.raises(DataError, match="customer"):
        refined().sample(5, seed=1, offset=2**40)


def test_identifiers_are_those_of_the_rows_numbers_whichever_candidates_are_kept():
    plain, better = (refined().sample(100, seed=1, offset=30, candidates=n)["customer"] for n in (1, 4))
    assert better.equals(plain)


def test_the_last_rows_of_an_identifiers_format_can_be_had():
    """The rest of their group, which is made with them, has no identifiers."""
    (identifier,) = refined().engine.encoder.identifiers
    last = identifier.capacity
    assert refined().sample(3, seed=1, offset=last - 3).num_rows == 3
    with pytest.raises(DataError, match="customer"):
        refined().sample(3, seed=1, offset=last - 2)
