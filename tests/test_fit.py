"""The loop, around a program of plain numbers: what is called when, recorded and saved."""

import itertools
import math
import signal
from typing import Any

import numpy as np
import pytest

from src.augmentations.augmentation import row_numbers
from src.data.dataset import Split
from src.engine.checkpoint import Checkpoints, load
from src.fit import CALL_SECONDS, Pace, fit, row_order
from src.patience import Patience, Plateau
from src.run import Run
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker

VALIDATION = Split(np.zeros((1, 1), np.float32), np.zeros(1, np.int32))


class Counting:
    """A program whose whole state is the number of updates made; members differ by 1000."""

    def __init__(self, members=1, updates_per_epoch=5, capacity=2, rows=20):
        self.members, self.rows = members, rows
        self.updates_per_epoch, self.capacity = updates_per_epoch, capacity
        self.done = np.zeros(members, int)
        self.orders, self.calls, self.rates = [], [], []
        self.numbers, self.random = 2, []  # of each row, and those given
        self.reported = {}
        self.bad = {}  # (member, update): the loss there
        self.validation = {}  # epoch: loss
        self.after_call = lambda: None

    def shuffle(self, orders, numbers):
        self.orders.append(orders)
        self.random.append(numbers)

    def run(self, start, rates, active):
        assert len(rates) <= self.capacity
        assert start == self.done[active][0] % self.updates_per_epoch
        self.calls.append((start, len(rates), active.tolist()))
        self.rates.append(rates)
        losses = np.full((len(rates), self.members), -1, np.float32)
        for offset in range(len(rates)):
            self.done[active] += 1
            for member in np.flatnonzero(active):
                update = int(self.done[member])
                losses[offset, member] = self.bad.get((member, update), 1000 * member + update)
        self.after_call()
        self.reported = {"twice": 2 * losses}
        return losses

    def take_results(self):
        return [{"loss": float(done)} for done in self.done]

    def evaluate(self, split):
        assert split is VALIDATION
        epoch = int(self.done.max()) // self.updates_per_epoch
        return [{"loss": self.validation.get(epoch, float(-epoch))} for _ in self.done]

    def snapshot(self, member=0):
        return {"model/done": np.array(self.done[member], np.int64)}

    def evaluated(self, member=0):
        return self.snapshot(member)


class Silent:
    def __init__(self):
        self.updates, self.epochs = [], []

    def updated(self, first, losses):
        self.updates.append((first, len(losses)))

    def epoch_done(self, epoch, metrics):
        self.epochs.append((epoch, [dict(one) for one in metrics]))


class Signals:
    signal: int | None = None


@pytest.fixture
def runs(tmp_path):
    """Make as many runs as the program has members."""
    made = []

    def make(members=1, **changes):
        for number in range(members):
            folder = tmp_path / f"run{number}"
            record = RunRecord(id=str(number), name=str(number))
            record.claim(folder)
            tracker = Tracker(folder, record)
            tracker.begin()
            values: dict[str, Any] = {
                "tracker": tracker,
                "checkpoints": Checkpoints(folder / "checkpoints", keep=100),
                "seed": number,
                "learning_rate": 0.5 * (number + 1),
                "monitor": "val/loss",
                "objective": "val/loss",
            }
            made.append(Run(**values | changes))
        return made[-members:]

    yield make
    for run in made:
        run.tracker.close()


def train(program, runs, *, epochs=2, factors=None, interruption=None, seconds=1e9) -> Any:
    shown: Any = Silent()
    signals: Any = interruption or Signals()
    updates = epochs * program.updates_per_epoch
    fit(
        program,
        runs,
        VALIDATION,
        np.ones((updates, len(runs))) if factors is None else factors,
        epochs=epochs,
        checkpoint_seconds=seconds,
        interruption=signals,
        console=shown,
    )
    return shown


def saved(run) -> list[int]:
    return sorted(int(path.name) for path in (run.folder / "checkpoints").glob("0*"))


def test_a_whole_training(runs, journal_of):
    program, [run] = Counting(), runs()
    shown = train(program, [run])
    assert (run.status, run.reason) == ("FINISHED", "trained 2 epochs")
    assert (run.update, run.epoch) == (10, 2)
    journal = journal_of(run.folder)
    assert journal.updates["update/loss"].tolist() == list(range(1, 11))
    assert journal.updates["update/twice"].tolist() == list(range(2, 22, 2))
    assert journal.metrics == {
        ("train/loss", 1): 5.0,
        ("val/loss", 1): -1.0,
        ("train/loss", 2): 10.0,
        ("val/loss", 2): -2.0,
    }
    assert [epoch for epoch, _ in shown.epochs] == [1, 2]
    assert shown.epochs[1][1] == [{"train/loss": 10.0, "val/loss": -2.0}]
    assert sum(count for _, count in shown.updates) == 10
    assert saved(run) == [10]
    # No call reaches over an epoch's end, and each epoch has an order of its own.
    assert all(start + count <= 5 for start, count, _ in program.calls)
    assert len(program.orders) == 2
    np.testing.assert_array_equal(program.orders[1][0], row_order(0, 1, 20))
    np.testing.assert_array_equal(program.random[1][0], row_numbers(0, 1, 20, 2))


def test_the_schedule_reaches_each_update_times_the_members_own_base(runs, journal_of):
    program, members = Counting(members=2), runs(2)
    factors = np.stack([np.arange(10) / 4, np.arange(10) / 8], axis=1)
    train(program, members, factors=factors)
    rates = np.concatenate(program.rates)
    assert rates.dtype == np.float32
    np.testing.assert_array_equal(rates, np.float32(factors * [0.5, 1.0]))
    for number, run in enumerate(members):
        found = journal_of(run.folder).updates["update/learning_rate"]
        np.testing.assert_array_equal(found, rates[:, number])


def test_a_loss_that_is_not_finite_ends_the_run_at_its_update(runs, journal_of):
    program, [run] = Counting(), runs()
    program.bad[0, 7] = math.nan
    shown = train(program, [run], epochs=9)
    assert (run.status, run.reason) == ("FAILED", "the loss became nan at update 7")
    assert (run.update, run.epoch) == (7, 1)
    assert len(journal_of(run.folder).updates["update/loss"]) == 7
    assert [epoch for epoch, _ in shown.epochs] == [1]
    assert saved(run) == []  # what has turned to NaN is no state to go on from
    assert program.done[0] <= 8  # at most the rest of that call was computed


def test_one_members_failure_leaves_its_neighbours_alone(runs, journal_of):
    program, members = Counting(members=3), runs(3)
    program.bad[1, 3] = math.inf
    train(program, members)
    assert [run.status for run in members] == ["FINISHED", "FAILED", "FINISHED"]
    assert [run.update for run in members] == [10, 3, 10]
    assert [saved(run) for run in members] == [[10], [], [10]]
    for number in (0, 2):
        losses = journal_of(members[number].folder).updates["update/loss"]
        assert losses.tolist() == [1000 * number + update for update in range(1, 11)]
    assert journal_of(members[1].folder).kind("metrics") == []
    assert [True, False, True] in [active for _, _, active in program.calls]
    assert program.done[1] <= 4


def test_training_ends_when_no_member_is_left(runs):
    program, members = Counting(members=2), runs(2)
    program.bad = {(0, 2): math.nan, (1, 6): math.nan}
    shown = train(program, members, epochs=50)
    assert [run.status for run in members] == ["FAILED", "FAILED"]
    assert program.done.max() <= 7
    assert len(shown.epochs) == 1


def test_the_best_epochs_state_is_kept_and_saved_beside_the_last(runs):
    program, [run] = Counting(), runs()
    program.validation = {1: 3.0, 2: 1.0, 3: 2.0}
    train(program, [run], epochs=3)
    assert (run.best.epoch, run.best.update, run.best.value) == (2, 10, 1.0)
    checkpoint = load(run.folder / "checkpoints" / "00000015")
    assert int(checkpoint.last["model/done"]) == 15
    assert checkpoint.best is not None
    assert int(checkpoint.best["model/done"]) == 10


def test_a_run_that_no_longer_improves_ends_and_is_saved_as_it_stands(runs):
    program, [run] = Counting(), runs(stopping=Patience(2))
    program.validation = dict(enumerate([3.0, 1.0, 2.0, 1.0], start=1))
    shown = train(program, [run], epochs=9)
    expected = "stopped early after epoch 4: val/loss has not improved for 2 epochs"
    assert (run.status, run.reason, run.stopped_early) == ("FINISHED", expected, True)
    assert run.best is not None
    assert (run.update, run.epoch, run.best.epoch, len(shown.epochs)) == (20, 4, 2, 4)
    assert saved(run) == [20]
    checkpoint = load(run.folder / "checkpoints" / "00000020")
    assert checkpoint.best is not None
    assert [int(part["model/done"]) for part in (checkpoint.last, checkpoint.best)] == [20, 10]

    # It has ended for good, unless it goes on with more patience.
    again = Run(run.tracker, run.checkpoints, 0, 0.5, "val/loss", "val/loss", stopping=Patience(2))
    again.resume(checkpoint)
    assert (again.status, again.reason) == ("FINISHED", expected)
    patient = Run(run.tracker, run.checkpoints, 0, 0.5, "val/loss", "val/loss")
    patient.stopping = Patience(3)
    patient.resume(checkpoint)
    assert patient.status is None
    train(program, [patient], epochs=9)
    assert patient.best is not None
    assert (patient.epoch, patient.best.epoch, patient.stopped_early) == (9, 9, False)


@pytest.mark.parametrize(
    ("monitor", "target", "epochs"), [("val/loss", -3.0, 3), ("train/loss", 5.0, 1)]
)
def test_a_run_that_reaches_its_target_ends(runs, monitor, target, epochs):
    program, [run] = Counting(), runs(monitor=monitor, target=target)
    train(program, [run], epochs=9)
    assert run.reason == f"reached {monitor} {target} in epoch {epochs}"
    assert (run.status, run.epoch, run.stopped_early) == ("FINISHED", epochs, True)
    assert saved(run) == [5 * epochs]


def test_a_run_that_never_reaches_its_target_says_how_near_it_came(runs):
    program, [run] = Counting(), runs(target=-2.5)
    train(program, [run], epochs=2)
    assert run.reason == "trained 2 epochs without val/loss -2.5: its best was -2"
    assert not run.stopped_early


def test_a_member_that_stops_early_is_frozen_while_the_group_goes_on(runs, journal_of):
    program, members = Counting(members=3), runs(3)
    program.validation = dict.fromkeys(range(1, 10), 1.0)
    members[0].stopping, members[2].stopping = Patience(1), Patience(3)
    shown = train(program, members, epochs=5)
    assert [run.epoch for run in members] == [2, 5, 4]
    assert [len(metrics) for _, metrics in shown.epochs] == [3, 3, 2, 2, 1]
    assert [saved(run) for run in members] == [[10], [25], [20]]
    assert program.done.tolist() == [10, 25, 20]
    assert [run.stopped_early for run in members] == [True, False, True]
    for run, epochs in zip(members, (2, 5, 4), strict=True):
        journal = journal_of(run.folder)
        assert len(journal.updates["update/loss"]) == 5 * epochs
        assert [step for name, step in journal.metrics if name == "val/loss"] == [
            *range(1, epochs + 1)
        ]


def test_a_stopped_run_that_cannot_be_saved_has_failed(runs, monkeypatch):
    from src.engine import checkpoint

    def refuse(path, content):
        raise OSError(28, "No space left on device")

    program, [run] = Counting(), runs(stopping=Patience(1))
    program.validation = {1: 1.0, 2: 1.0}
    monkeypatch.setattr(checkpoint, "_write", refuse)
    train(program, [run], epochs=5)
    assert (run.status, run.epoch) == ("FAILED", 2)
    assert "the disk is full" in run.reason


def test_each_member_learns_slower_after_its_own_plateau(runs, journal_of):
    program, members = Counting(members=2), runs(2)
    program.validation = dict.fromkeys(range(1, 10), 1.0)
    members[0].plateau = Plateau(Patience(1), 0.5)
    members[1].plateau = Plateau(Patience(2), 0.25)
    factors = np.linspace(1, 2, 20)[:, None].repeat(2, axis=1)
    train(program, members, epochs=4, factors=factors)
    bases = np.array([[0.5, 1], [0.5, 1], [0.25, 1], [0.125, 0.25]]).repeat(5, axis=0)
    for number, run in enumerate(members):
        found = journal_of(run.folder).updates["update/learning_rate"]
        np.testing.assert_array_equal(found, (factors * bases)[:, number].astype(np.float32))


@pytest.mark.parametrize("call", range(1, 7))
def test_a_signal_saves_at_the_end_of_the_call_and_the_run_goes_on_from_there(
    runs, call, journal_of
):
    program, [run], signals = Counting(), runs(), Signals()

    def after_call():
        if len(program.calls) == call:
            signals.signal = signal.SIGTERM

    program.after_call = after_call
    train(program, [run], interruption=signals)
    assert len(program.calls) == call
    stopped = int(program.done[0])
    assert run.status == "KILLED"
    assert run.reason == f"interrupted by signal 15 after update {stopped}"
    assert saved(run) == [stopped]
    checkpoint = run.checkpoints.newest(warn=pytest.fail)
    assert (checkpoint.progress["epoch"], checkpoint.progress["update_in_epoch"]) == divmod(
        stopped, 5
    )

    # Another program, given what the checkpoint holds, makes the updates that are left.
    again = Counting()
    again.done[0] = checkpoint.last["model/done"]
    goes_on = Run(run.tracker, run.checkpoints, 0, 0.5, "val/loss", "val/loss")
    goes_on.resume(checkpoint)
    train(again, [goes_on])
    assert (goes_on.status, goes_on.update, goes_on.epoch) == ("FINISHED", 10, 2)
    journal = journal_of(run.folder)
    assert journal.updates["update/loss"].tolist() == list(range(1, 11))
    assert {key: value for key, value in journal.metrics.items() if key[0] == "val/loss"} == {
        ("val/loss", 1): -1.0,
        ("val/loss", 2): -2.0,
    }
    assert goes_on.best is not None
    assert goes_on.best.epoch == 2


def test_a_signal_in_an_epochs_last_call_waits_for_the_epochs_results(runs, journal_of):
    program, [run], signals = Counting(capacity=5), runs(), Signals()

    def after_call():
        if program.done[0] == 5:
            signals.signal = signal.SIGINT

    program.after_call = after_call
    train(program, [run], interruption=signals)
    assert (run.update, run.epoch, run.status) == (5, 1, "KILLED")
    assert ("val/loss", 1) in journal_of(run.folder).metrics
    assert saved(run) == [5]


def test_a_signal_after_a_members_failure_kills_the_others_alone(runs):
    program, members, signals = Counting(members=2), runs(2), Signals()
    program.bad[0, 1] = math.nan

    def after_call():
        if len(program.calls) == 2:
            signals.signal = signal.SIGINT

    program.after_call = after_call
    train(program, members, interruption=signals)
    assert [run.status for run in members] == ["FAILED", "KILLED"]
    assert saved(members[0]) == []
    assert len(saved(members[1])) == 1


def test_checkpoints_come_by_time(runs):
    program, [run] = Counting(), runs()
    train(program, [run], seconds=0.0)
    # After every call, and after the results of every epoch.
    ends = np.cumsum([count for _, count, _ in program.calls]).tolist()
    assert saved(run) == ends
    assert {5, 10} <= set(ends)
    checkpoint = load(run.folder / "checkpoints" / "00000005")
    assert checkpoint.progress["epoch"] == 1
    assert checkpoint.best is not None


def test_a_run_whose_checkpoint_is_refused_stops(runs, monkeypatch):
    from src.engine import checkpoint

    program, [run] = Counting(), runs()

    def refuse(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", refuse)
    train(program, [run], seconds=0.0)
    assert run.status == "FAILED"
    assert "the disk is full" in run.reason
    assert len(program.calls) == 1


def test_a_run_that_has_all_its_epochs_only_ends(runs):
    program, [run] = Counting(), runs()
    run.update, run.epoch = 10, 2
    train(program, [run])
    assert (run.status, program.calls, saved(run)) == ("FINISHED", [], [10])


# -- the order of the rows


@pytest.mark.parametrize("rows", [1, 2, 65])
def test_an_order_holds_each_row_once(rows):
    order = row_order(3, 4, rows)
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(rows))


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    orders = {}
    for seed in (0, 1, 2**31 - 1):
        for epoch in (0, 1, 2):
            orders[seed, epoch] = row_order(seed, epoch, 50).tolist()
    assert len({tuple(order) for order in orders.values()}) == 9
    np.random.default_rng(5).random(10)
    assert row_order(1, 2, 50).tolist() == orders[1, 2]


def test_the_order_stays_what_it_was_when_recorded_runs_were_made():
    assert row_order(0, 0, 8).tolist() == [5, 0, 6, 1, 7, 2, 4, 3]


# -- how long a call is


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def calls(pace: Pace, clock: Clock, seconds_an_update: float, updates: int, first: float = 0.0):
    """The lengths of the calls that make `updates` updates."""
    lengths: list[int] = []
    while updates:
        count = pace.next(updates)
        with pace:
            clock.now += count * seconds_an_update + (0 if lengths else first)
        lengths.append(count)
        updates -= count
    return lengths


def test_calls_grow_to_about_the_wanted_time():
    clock = Clock()
    pace = Pace(100_000, clock)
    lengths = calls(pace, clock, 0.0001, 50_000)
    assert lengths[0] == 8
    assert all(later <= 4 * earlier for earlier, later in itertools.pairwise(lengths))
    assert lengths[10] == pytest.approx(CALL_SECONDS / 0.0001, rel=0.01)


def test_the_time_of_compiling_is_not_taken_for_the_pace():
    clock = Clock()
    lengths = calls(Pace(100_000, clock), clock, 0.0001, 20_000, first=30.0)
    assert min(lengths[:-1]) == 8


def test_a_slow_program_makes_one_update_a_call():
    clock = Clock()
    lengths = calls(Pace(100, clock), clock, 3.0, 30)
    assert lengths[3:] == [1] * len(lengths[3:])
    assert sum(lengths) == 30


@pytest.mark.parametrize("capacity", [1, 3, 8, 50])
def test_a_call_is_never_longer_than_the_program_or_the_epoch_allows(capacity):
    clock = Clock()
    pace = Pace(capacity, clock)
    for left in [1, 2, 7, 100, 100, 100, 100, 3]:
        count = pace.next(left)
        assert 1 <= count <= min(left, capacity)
        with pace:
            clock.now += 1e-9
