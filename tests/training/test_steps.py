"""The penalty's steps: numbers a little way along the data, categories towards another row's."""

import dataclasses

import pytest
import torch

from fingan.training.directions import correlation_root
from fingan.training.steps import CODES_WEIGHT, LENGTH, MOVED, SHORTEST_WAY, StepMaker, no_steps
from tests.training.toys import LAYOUT, keyed, make_source, settings, table

ROWS = 4000
ONLY_NUMBERS = dataclasses.replace(LAYOUT, widths=(), unit_of_field=(0, 1, 1), units=2)
ONLY_CODES = dataclasses.replace(LAYOUT, numeric=0, unit_of_field=(2, 3, 4), edges=(), pairs=())


def made(layout, rows=ROWS):
    along = correlation_root(table())[: layout.numeric, : layout.numeric]
    maker, source = StepMaker(layout, along), keyed(1)
    starts = torch.cumsum(torch.tensor([0, *layout.widths]), 0)[:-1]
    widths = torch.tensor(layout.widths)
    other = starts + (torch.rand(rows, len(layout.widths), generator=source) * widths).long()
    return maker.steps(
        torch.arange(rows),
        torch.randn(rows, maker.normals, generator=source),
        torch.rand(rows, maker.uniforms, generator=source),
        other,
    )


def test_rows_step_in_numbers_and_in_categories_by_turns():
    steps = made(LAYOUT)
    for side in (0, 1):
        numbers, ways = (t.chunk(2)[side] for t in (steps.numbers, steps.ways))
        assert (numbers[0::2] != 0).all()
        assert not numbers[1::2].any()
        assert not ways[0::2].any()
        assert float((ways[1::2] > 0).float().mean()) == pytest.approx(MOVED, abs=0.03)


@pytest.mark.statistical
def test_numbers_step_along_their_correlation():
    root = correlation_root(table())
    steps = made(LAYOUT).numbers[0::2]
    free = steps @ root.inverse() / LENGTH
    torch.testing.assert_close(torch.corrcoef(steps.T), root @ root, atol=0.1, rtol=0)
    torch.testing.assert_close(torch.cov(free.T), torch.eye(3), atol=0.1, rtol=0)


def test_a_category_moves_as_a_whole_and_all_of_a_row_equally_far():
    steps = made(LAYOUT)
    for block in steps.ways.split(LAYOUT.widths, dim=1):
        assert (block == block[:, :1]).all()
    moving = steps.ways[steps.ways.any(1)]
    length = moving.amax(1, keepdim=True)
    assert ((moving == 0) | (moving == length)).all()
    assert float(length.min()) >= SHORTEST_WAY
    assert float(length.max()) <= 1.0
    towards = steps.towards.split(LAYOUT.widths, dim=1)
    assert all((block.sum(1) == 1).all() for block in towards)


def test_a_step_is_weighed_by_its_length():
    steps = made(LAYOUT)
    moved = steps.ways.any(1)
    torch.testing.assert_close(
        steps.weights[moved], 2 * CODES_WEIGHT / steps.ways[moved].amax(1).square(), rtol=1e-4, atol=0
    )
    in_numbers = steps.numbers.any(1)
    assert steps.weights[in_numbers].unique().tolist() == pytest.approx([2 / LENGTH**2])


def test_tables_of_one_kind_step_in_that_kind_always():
    numbers, codes = made(ONLY_NUMBERS), made(ONLY_CODES)
    assert (numbers.numbers != 0).all()
    assert numbers.weights.shape == codes.weights.shape == (2 * ROWS,)
    assert numbers.ways.shape == (2 * ROWS, 0)
    assert numbers.weights.unique().tolist() == pytest.approx([1 / LENGTH**2])
    assert codes.numbers.shape == (2 * ROWS, 0)
    assert float(codes.ways.any(1).float().mean()) > 0.8
    assert float(codes.weights.min()) >= CODES_WEIGHT


def test_other_rows_are_rows_of_the_table_as_often_as_they_occur():
    source = make_source(settings("compute.precision=fp32"))
    towards = torch.cat([source.batch(step).steps.towards for step in range(200)])
    shares = towards.mean(0)
    codes = torch.from_numpy(table().codes)
    expected = torch.cat(
        [torch.bincount(c.long(), minlength=w) / 400 for c, w in zip(codes.T, LAYOUT.widths, strict=True)]
    )
    torch.testing.assert_close(shares, expected, atol=0.04, rtol=0)


def test_no_steps_hold_nothing():
    assert no_steps(3).weights.shape == (6,)
    assert no_steps(3).numbers.shape == (6, 0)
