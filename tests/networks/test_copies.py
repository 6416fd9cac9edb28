import numpy as np
import torch

from fingan.encoding.layout import CopyField, Layout
from fingan.networks.copies import CopiedNumbers
from tests.networks.toy import NONE

LINE = np.linspace(-4, 4, 9)
LAYOUT = Layout(
    numeric=3,
    widths=(2, 3),
    units=3,
    unit_of_field=(0, 1, 2, 1, 2),
    edges=(NONE, NONE, NONE),
    copies=(
        CopyField(1, 0, (0,), (0.5 * LINE)[None], 4.0, np.empty((2, 0))),
        CopyField(2, 1, (1, 0), np.stack([LINE, -LINE]), 4.0, np.empty((2, 0))),
    ),
)


def rows(numbers: list[float], first: int, second: int) -> torch.Tensor:
    codes = [*torch.eye(2)[first].tolist(), *torch.eye(3)[second].tolist()]
    return torch.tensor([[*numbers, *codes]])


NOTHING = torch.zeros(1, LAYOUT.dense, dtype=torch.bool)


def test_an_own_number_stays():
    plain = rows([1.5, -0.3, 0.7], 0, 0)
    assert torch.equal(CopiedNumbers(LAYOUT)(plain, NOTHING), plain)


def test_copies_follow_chains_through_their_maps():
    made = CopiedNumbers(LAYOUT)(rows([1.3, 9.0, 9.0], 1, 1), NOTHING)
    torch.testing.assert_close(made[0, :3], torch.tensor([1.3, 0.65, 0.65]))
    made = CopiedNumbers(LAYOUT)(rows([1.3, 9.0, 9.0], 1, 2), NOTHING)
    torch.testing.assert_close(made[0, :3], torch.tensor([1.3, 0.65, -1.3]))
    far = CopiedNumbers(LAYOUT)(rows([7.0, 9.0, 9.0], 1, 1), NOTHING)
    torch.testing.assert_close(far[0, :3], torch.tensor([7.0, 2.0, 2.0]))


def test_what_is_given_stays():
    given = NOTHING.clone()
    given[0, 1] = True
    made = CopiedNumbers(LAYOUT)(rows([1.3, 9.0, 0.2], 1, 1), given)
    torch.testing.assert_close(made[0, :3], torch.tensor([1.3, 9.0, 4.0]))


def test_gradients_reach_the_source_and_the_choice_to_copy():
    row = rows([1.3, 0.2, 0.1], 1, 0).requires_grad_()
    CopiedNumbers(LAYOUT)(row, NOTHING)[0, 1].backward()
    assert row.grad is not None
    expected = torch.zeros(LAYOUT.dense)
    # Half a unit per unit of the source; choosing none would give 0.2, choosing to copy gives 0.65.
    expected[0], expected[3], expected[4] = 0.5, 0.2, 0.65
    torch.testing.assert_close(row.grad[0], expected)


def plain(rows_BD: torch.Tensor, given_BD: torch.Tensor) -> torch.Tensor:
    """The same steps as a graph of small operations."""
    numbers = list(rows_BD[:, :3].unbind(1))
    place = 3
    for copy, width in zip(LAYOUT.copies, LAYOUT.widths, strict=True):
        value = rows_BD[:, place] * numbers[copy.target]
        for k, source in enumerate(copy.sources):
            table = torch.from_numpy(copy.scores[k]).float().double()
            where = (numbers[source].clamp(-4, 4) + 4) * (table.numel() - 1) / 8
            left = where.detach().floor().clamp(max=table.numel() - 2)
            low, high = table[left.long()], table[left.long() + 1]
            value = value + rows_BD[:, place + 1 + k] * (low + (where - left) * (high - low))
        numbers[copy.target] = torch.where(given_BD[:, copy.target], numbers[copy.target], value)
        place += width
    return torch.cat([torch.stack(numbers, dim=1), rows_BD[:, 3:]], dim=1)


def test_values_and_gradients_are_those_of_the_plain_steps():
    source = torch.Generator().manual_seed(0)
    made = torch.rand(64, LAYOUT.dense, generator=source, dtype=torch.float64)
    made[:, :3] = 3 * torch.randn(64, 3, generator=source, dtype=torch.float64)
    given = torch.rand(64, LAYOUT.dense, generator=source) < 0.3
    weight = torch.randn(64, LAYOUT.dense, generator=source, dtype=torch.float64)
    results = []
    for function in (CopiedNumbers(LAYOUT).double(), plain):
        leaf = made.clone().requires_grad_()
        rows_made = function(leaf, given)
        (rows_made * weight).sum().backward()
        results.append((rows_made.detach(), leaf.grad))
    torch.testing.assert_close(results[0][0], results[1][0])
    torch.testing.assert_close(results[0][1], results[1][1])


def test_without_copies_rows_pass_untouched():
    layout = Layout(1, (2,), 2, (0, 1), (NONE,))
    plain = torch.randn(4, 3)
    assert CopiedNumbers(layout)(plain, torch.zeros(4, 3, dtype=torch.bool)) is plain
