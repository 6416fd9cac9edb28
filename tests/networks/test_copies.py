import numpy as np
import torch

from fingan.encoding.layout import CopyMap, Layout
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
        CopyMap(1, 0, (0,), (0.5 * LINE)[None], 4.0),
        CopyMap(2, 1, (1, 0), np.stack([LINE, -LINE]), 4.0),
    ),
)


def rows(numbers: list[float], first: int, second: int) -> torch.Tensor:
    codes = [*torch.eye(2)[first].tolist(), *torch.eye(3)[second].tolist()]
    return torch.tensor([[*numbers, *codes]])


NOTHING = torch.zeros(1, LAYOUT.dense, dtype=torch.bool)


def test_a_relation_of_none_keeps_the_number():
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


def test_without_copies_rows_pass_untouched():
    layout = Layout(1, (2,), 2, (0, 1), (NONE,))
    plain = torch.randn(4, 3)
    assert CopiedNumbers(layout)(plain, torch.zeros(4, 3, dtype=torch.bool)) is plain
