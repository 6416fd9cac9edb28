import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.encoding.layout import Layout
from fingan.networks.heads import TEMPERATURE, StraightThroughHead, padded_index, width_groups
from tests.networks.toy import LAYOUTS, MIXED, NONE, NUMBERS, gumbel, keyed


def flat_layout(widths: tuple[int, ...], numeric: int = 2) -> Layout:
    fields = numeric + len(widths)
    return Layout(numeric, widths, fields, tuple(range(fields)), (NONE,) * numeric)


def soft_reference(raw: torch.Tensor, noise: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The relaxed row whose gradient the head must have, one softmax per field."""
    noisy = (raw[:, layout.numeric :] + noise) / TEMPERATURE
    return torch.cat(
        [raw[:, : layout.numeric], *(s.softmax(dim=1) for s in noisy.split(layout.widths, dim=1))], dim=1
    )


@given(st.lists(st.integers(1, 130), min_size=1, max_size=12), st.integers(0, 3), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_forward_is_exactly_one_hot_at_the_largest_noisy_logit(widths, numeric, seed):
    layout = flat_layout(tuple(widths), numeric)
    source = keyed(seed)
    raw = torch.randn(5, layout.dense, generator=source) * 3
    noise = gumbel((5, layout.codes), source)
    head = StraightThroughHead(layout)
    rows = head(raw, noise)
    assert torch.equal(rows[:, :numeric], raw[:, :numeric])
    blocks = zip(
        rows[:, numeric:].split(layout.widths, dim=1),
        (raw[:, numeric:] + noise).split(layout.widths, dim=1),
        strict=True,
    )
    for hard, noisy in blocks:
        assert torch.equal(hard, torch.eye(hard.shape[1])[noisy.argmax(dim=1)])


def test_ties_still_give_one_winner():
    head = StraightThroughHead(MIXED)
    rows = head(torch.zeros(4, MIXED.dense), torch.zeros(4, MIXED.codes))
    assert torch.equal(rows[:, 3:].sum(dim=1), torch.full((4,), 4.0))


def test_gradient_is_that_of_the_softmax():
    source = keyed(5)
    raw = torch.randn(6, MIXED.dense, generator=source, dtype=torch.float64, requires_grad=True)
    noise = gumbel((6, MIXED.codes), source).double()
    weight = torch.randn(6, MIXED.dense, generator=source, dtype=torch.float64)
    head = StraightThroughHead(MIXED).double()
    (hard,) = torch.autograd.grad((head(raw, noise) * weight).sum(), raw)
    (soft,) = torch.autograd.grad((soft_reference(raw, noise, MIXED) * weight).sum(), raw)
    assert torch.allclose(hard, soft, atol=1e-13)


def test_gradient_stays_finite_for_extreme_logits():
    raw = (torch.randn(8, MIXED.dense, generator=keyed(0)) * 1e4).requires_grad_()
    rows = StraightThroughHead(MIXED)(raw, torch.zeros(8, MIXED.codes))
    (slope,) = torch.autograd.grad(rows.square().sum(), raw)
    assert torch.isfinite(slope).all()


def test_draws_follow_the_softmax():
    layout = flat_layout((4,), 0)
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0])
    rows = 40_000
    head = StraightThroughHead(layout)
    share = head(logits.expand(rows, 4), gumbel((rows, 4), keyed(1))).mean(dim=0)
    expected = logits.softmax(dim=0)
    # Five standard errors of a share.
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / rows).sqrt()).all()


def test_without_noise_the_code_is_the_most_probable_one():
    head = StraightThroughHead(flat_layout((3,), 1))
    raw = torch.tensor([[9.0, 0.1, 0.3, 0.2]])
    assert head(raw, torch.zeros(1, 3)).tolist() == [[9.0, 0.0, 1.0, 0.0]]


def test_no_categories_pass_through():
    raw = torch.randn(3, 2, generator=keyed(0))
    head = StraightThroughHead(NUMBERS)
    assert torch.equal(head(raw, raw.new_empty(3, 0)), raw)


@given(st.lists(st.integers(1, 128), min_size=1, max_size=30))
def test_groups_hold_each_field_once_and_bound_the_padding(widths):
    groups = width_groups(tuple(widths))
    assert sorted(f for group in groups for f in group) == list(range(len(widths)))
    padded = sum(len(group) * max(widths[f] for f in group) for group in groups)
    assert padded <= 4 * sum(widths)
    assert len(groups) <= 4


def test_padding_repeats_the_first_code():
    assert np.array_equal(padded_index((2, 3), [1, 0]), [[2, 3, 4], [0, 1, 0]])


@pytest.mark.parametrize("name", LAYOUTS)
def test_bfloat16_logits_are_accepted(name):
    layout = LAYOUTS[name]
    raw = torch.randn(4, layout.dense, generator=keyed(0)).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        rows = StraightThroughHead(layout)(raw, gumbel((4, layout.codes), keyed(1)))
    rows.float().sum().backward()
    assert torch.isfinite(raw.grad).all()
