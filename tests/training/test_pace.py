"""When a run ends and validates, by steps and by an injected clock."""

import pytest

from fingan.training import Progress
from fingan.training.pace import REASONS, UNTIMED_STEPS, Pace, Verdict
from tests.training.toys import settings

ROWS = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Drive:
    """Takes imaginary steps of a fixed length."""

    def __init__(self, *overrides: str, progress: Progress | None = None, rows: int = ROWS) -> None:
        self.clock, self.progress = Clock(), Progress() if progress is None else progress
        self.pace = Pace(settings(*overrides), rows, self.progress, self.clock)

    def steps(self, count: int, seconds: float = 0.1) -> Verdict:
        for _ in range(count):
            self.clock.now += seconds
            self.progress.step += 1
            self.pace.stepped()
        verdict = self.pace.verdict(stop=False)
        self.progress.planned = verdict.planned
        return verdict

    def validate(self, seconds: float) -> None:
        self.clock.now += seconds
        self.pace.validated(seconds)


BUDGET = ("training.steps=null", "training.time_budget=100s")


def test_verdicts_survive_the_broadcast():
    for reason in REASONS:
        verdict = Verdict(reason, True, 123_456, 78.9, 2)
        assert Verdict.unpack(verdict.pack()) == verdict


def test_steps_alone_plan_the_same_whatever_the_clock_says():
    fast, slow = Drive("training.steps=100"), Drive("training.steps=100")
    for _ in range(4):
        left, right = fast.steps(20, 0.001), slow.steps(20, 50.0)
        assert (left.reason, left.validate, left.planned) == (right.reason, right.validate, right.planned)
        assert left.reason == ""
        assert left.planned == 100
    assert fast.steps(20).reason == "finished"


def test_steps_spread_validations_evenly():
    drive = Drive("training.steps=240", "training.validations=4")
    due = []
    for _ in range(12):
        if drive.steps(20).validate:
            due.append(drive.progress.step)
            drive.validate(1.0)
    assert due == [60, 120, 180, 240]


def test_a_budget_is_estimated_from_the_first_window_on():
    drive = Drive(*BUDGET)
    assert drive.pace.verdict(stop=False).planned == UNTIMED_STEPS
    # 2 of 100 seconds for 20 steps; a tenth of the rest is set aside for validations.
    assert drive.steps(20).planned == pytest.approx(20 + 882, abs=1)
    assert drive.pace.remaining() == pytest.approx(88.2, abs=0.2)
    assert drive.pace.rows_per_second == pytest.approx(620.0)


def test_a_budget_is_kept_and_never_called_finished():
    drive = Drive(*BUDGET)
    reason = ""
    while not reason:
        reason = drive.steps(20).reason
    assert reason == "time budget"
    assert drive.clock.now - 1_000 <= 102.0


def test_the_last_validation_is_within_the_budget():
    drive = Drive(*BUDGET)
    reason = ""
    while not reason:
        verdict = drive.steps(20)
        reason = verdict.reason
        if verdict.validate and not reason:
            drive.validate(4.0)
    drive.validate(4.0)
    assert 96.0 <= drive.clock.now - 1_000 <= 102.0


def test_slower_steps_shorten_the_plan():
    drive = Drive(*BUDGET)
    planned = drive.steps(100).planned
    assert drive.steps(20, 1.0).planned < planned


def test_steps_within_a_budget_finish():
    drive = Drive("training.steps=40", "training.time_budget=100s")
    assert drive.steps(20).planned == 40
    assert drive.steps(20).reason == "finished"
    hurried = Drive("training.steps=4000", "training.time_budget=10s")
    assert hurried.steps(20).planned == pytest.approx(20 + 72, abs=1)
    assert hurried.steps(80).reason == "time budget"


def test_a_small_table_is_not_gone_through_more_often_than_allowed():
    # A batch is 62 rows: 24 epochs of 620 rows are 240 steps, a quarter of what the budget allows.
    drive = Drive(*BUDGET, "training.epochs=24", "training.validations=4", rows=620)
    due, verdict = [], drive.steps(10)
    while not verdict.reason:
        assert verdict.planned == 240
        if verdict.validate:
            due.append(drive.progress.step)
            drive.validate(0.1)
        verdict = drive.steps(10)
    assert (verdict.reason, drive.progress.step) == ("epochs", 240)
    assert due == [pytest.approx(step, abs=20) for step in (60, 120, 180)]
    assert drive.clock.now - 1_000 < 30.0


def test_a_step_of_several_batches_goes_through_as_many_rows():
    drive = Drive(*BUDGET, "training.epochs=24", "objective.discriminator_steps=3", rows=620)
    assert drive.steps(20).planned == 80
    assert drive.pace.rows_per_second == pytest.approx(3 * 620.0)


@pytest.mark.parametrize("overrides", [["training.epochs=null"], ["training.steps=600"]])
def test_epochs_end_a_run_of_a_time_budget_alone_and_only_where_they_are_bounded(overrides):
    drive = Drive(*BUDGET, "training.epochs=24", *overrides, rows=620)
    assert drive.steps(240).reason == ""
    assert drive.steps(20).planned > 500


def test_a_clock_that_ends_before_the_epochs_do_has_the_last_word():
    drive = Drive("training.steps=null", "training.time_budget=10s", "training.epochs=24", rows=620)
    assert drive.steps(20).planned == pytest.approx(20 + 72, abs=1)
    assert drive.steps(80).reason == "time budget"


def test_dear_validations_take_a_tenth_of_the_budget_at_most():
    drive = Drive(*BUDGET, "training.validations=20")
    count = 0
    while not (verdict := drive.steps(5)).reason:
        if verdict.validate:
            drive.validate(2.5)
            count += 1
    assert 3 <= count <= 4


def test_validations_do_not_count_as_training_speed():
    drive = Drive("training.steps=100")
    drive.steps(20)
    drive.validate(30.0)
    assert drive.pace.rows_per_second == pytest.approx(620.0)
    assert drive.pace.elapsed == pytest.approx(32.0)


def test_a_rolled_back_step_took_its_time_all_the_same():
    drive = Drive(*BUDGET)
    drive.steps(40)
    drive.progress.step = 0
    verdict = drive.steps(20)
    assert drive.pace.rows_per_second == pytest.approx(620.0)
    assert verdict.planned == pytest.approx(20 + 94 * 0.9 / 0.1, abs=1)


def test_a_user_may_stop_at_any_time():
    drive = Drive()
    assert drive.pace.verdict(stop=True).reason == "interrupted"


def test_nothing_is_validated_before_the_first_step_of_this_life():
    progress = Progress(step=40, planned=60, validated_step=0)
    drive = Drive("training.steps=60", progress=progress)
    assert not drive.pace.verdict(stop=False).validate
    assert drive.steps(20).validate


def test_a_resumed_run_counts_what_was_spent_before():
    progress = Progress(step=900, planned=1_000, elapsed=95.0)
    drive = Drive(*BUDGET, progress=progress)
    assert drive.pace.verdict(stop=False) == Verdict("", False, 1_000, 95.0)
    assert drive.steps(20).planned == pytest.approx(920 + 27, abs=1)
    assert drive.steps(30).reason == "time budget"
    spent = Drive(*BUDGET, progress=Progress(step=900, planned=1_000, elapsed=100.0))
    assert spent.pace.verdict(stop=False).reason == "time budget"


@pytest.mark.parametrize(
    ("overrides", "reached"), [(["training.steps=200"], 100), ([*BUDGET, "training.validations=2"], 500)]
)
def test_a_run_pauses_at_its_share_and_looks_there(overrides, reached):
    drive = Drive(*overrides)
    drive.pace = Pace(settings(*overrides), ROWS, drive.progress, drive.clock, (0.5, 1.0), until=0.5)
    verdict = drive.steps(20)
    while not verdict.reason:
        assert not verdict.validate
        verdict = drive.steps(20)
    assert (verdict.reason, verdict.validate) == ("pause", True)
    assert drive.progress.step == pytest.approx(reached, abs=20)


EPOCHS = (*BUDGET, "training.epochs=24")
"""With 620 rows they are 240 steps, a quarter of what the budget allows."""


def looked(looks: tuple[float, ...], *overrides: str, window: int = 20, until: float = 1.0, rows: int = 620):
    """Return the number and the step of each look, and the last verdict."""
    drive = Drive(*overrides, rows=rows)
    drive.pace = Pace(settings(*overrides), rows, drive.progress, drive.clock, looks, until)
    found, verdict = [], drive.steps(window)
    while not verdict.reason or verdict.validate:
        assert verdict.validate is (verdict.look > 0)
        if verdict.validate:
            found.append((verdict.look, drive.progress.step))
            drive.validate(0.1)
        if verdict.reason:
            break
        verdict = drive.steps(window)
    return found, verdict


def test_looks_are_shares_of_the_epochs_where_these_end_the_run():
    found, verdict = looked((1 / 9, 1 / 3, 2 / 3), *EPOCHS)
    assert found == [(1, 40), (2, 80), (3, 160)]
    assert verdict.reason == "epochs"


def test_looks_are_shares_of_the_budget_where_it_ends_the_run():
    found, verdict = looked((0.2, 0.6), *BUDGET, rows=ROWS)
    assert found == [(1, 200), (2, 600)]
    assert verdict.reason == "time budget"


def test_of_two_looks_in_a_window_the_second_counts():
    assert looked((1 / 9, 1 / 3, 2 / 3), *EPOCHS, window=100)[0] == [(2, 100), (3, 200)]
    assert looked((1 / 9, 1 / 3, 2 / 3), "training.steps=60")[0] == [(2, 20), (3, 40)]


def test_a_run_that_its_epochs_end_pauses_at_its_share_of_them():
    found, verdict = looked((0.25, 0.5, 0.75), *EPOCHS, until=0.5)
    assert found == [(1, 60), (2, 120)]
    assert verdict.reason == "pause"


def test_a_run_that_goes_on_after_a_pause_comes_to_its_end():
    drive = Drive("training.steps=200", progress=Progress(step=100, validated_step=100))
    drive.pace = Pace(
        settings("training.steps=200"), ROWS, drive.progress, drive.clock, (0.5, 1.0), until=1.0
    )
    assert drive.steps(20).reason == ""
    assert drive.steps(80).reason == "finished"
