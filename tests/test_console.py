"""What a person sees while training."""

import io
import sys

import numpy as np
import pytest

from src.console import Console, JobConsole, LiveConsole, console_class, describe, warn


def losses(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def test_a_line_every_so_many_updates_as_in_the_notes(capsys):
    # 5 updates an epoch: four batches of 64 and one of 44.
    with Console(2, 5, 64, 300, log_every=2) as shown:
        shown.updated(1, losses(1.0, 2.0, 3.0))
        shown.updated(4, losses(4.0, 5.0))
        shown.updated(6, losses(6.0))
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1 update 1/5: loss 1.0000, seen so far 64 samples",
        "epoch 1 update 3/5: loss 3.0000, seen so far 192 samples",
        "epoch 1 update 5/5: loss 5.0000, seen so far 300 samples",
        "epoch 2 update 1/5: loss 6.0000, seen so far 64 samples",
    ]


def test_where_a_call_ends_changes_no_line(capsys):
    with Console(1, 7, 10, 70, log_every=3) as shown:
        shown.updated(1, losses(*range(7)))
    whole = capsys.readouterr().out
    with Console(1, 7, 10, 70, log_every=3) as shown:
        for update in range(7):
            shown.updated(update + 1, losses(update))
    assert capsys.readouterr().out == whole
    assert len(whole.splitlines()) == 3


def test_no_line_between_epochs_unless_asked_for(capsys):
    with Console(1, 5, 64, 300, log_every=0) as shown:
        shown.updated(1, losses(1.0))
    assert capsys.readouterr().out == ""


def test_large_numbers_of_samples_are_grouped(capsys):
    with Console(1, 100, 1000, 100_000, log_every=200) as shown:
        shown.updated(1, losses(1.0))
    assert capsys.readouterr().out.endswith("seen so far 1,000 samples\n")


def test_one_line_an_epoch_with_updates_per_second(capsys, monkeypatch):
    now = iter([100.0, 100.0, 102.0, 102.0, 106.0, 106.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    with Console(2, 5, 64, 300, log_every=0) as shown:
        shown.updated(1, losses(*range(5)))
        shown.epoch_done(1, [{"train/loss": 0.5, "val/loss": 1.25}])
        shown.updated(6, losses(*range(8)))
        shown.epoch_done(2, [{"train/loss": 0.25, "val/loss": 1.0}])
    assert capsys.readouterr().out.splitlines() == [
        "epoch 1/2: train/loss 0.5000  val/loss 1.2500  (2 updates/s)",  # 5 in 2 s
        "epoch 2/2: train/loss 0.2500  val/loss 1.0000  (2 updates/s)",  # 8 in 4 s
    ]


def test_a_label_stands_before_each_line(capsys):
    with Console(1, 5, 64, 300, log_every=1, label="seed=1") as shown:
        shown.updated(1, losses(1.0))
        shown.epoch_done(1, [{"train/loss": 0.5}])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("seed=1: epoch 1") for line in lines)


def test_a_job_of_a_sweep_says_nothing_an_epoch(capsys):
    with JobConsole(1, 5, 64, 300, log_every=0) as shown:
        shown.epoch_done(1, [{"train/loss": 0.5}])
    assert capsys.readouterr().out == ""


def test_the_live_bar_moves_with_the_updates_and_shows_the_metrics(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    with LiveConsole(2, 5, 64, 300, log_every=5) as shown:
        [task] = shown._progress.tasks
        assert task.total == 10
        shown.updated(1, losses(1.0, 2.0))
        assert task.completed == 2
        shown.updated(3, losses(3.0, 4.0, 5.0))
        shown.epoch_done(1, [{"val/loss": 1.25}])
        assert (task.completed, task.fields["values"]) == (5, "val loss 1.250")
        shown.updated(6, losses(6.0))
        assert (task.completed, task.fields["epoch"]) == (6, 2)
    assert "epoch 1 update 1/5: loss 1.0000" in terminal.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "term", "expected"),
    [
        (Terminal(), "xterm", LiveConsole),
        (Terminal(), "dumb", Console),
        (Terminal(), None, Console),
        (io.StringIO(), "xterm", Console),
    ],
)
def test_the_bar_is_for_terminals_that_can_draw_it(monkeypatch, stream, term, expected):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    assert console_class() is expected


def test_metrics_in_one_line():
    assert describe({"a/b": 1, "c": 0.12345}) == "a/b 1.0000  c 0.1235"
    assert describe({"a": float("nan")}) == "a nan"
    assert describe({}) == ""


def test_warnings_go_to_the_error_stream(capsys):
    warn("the disk is nearly full")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "warning: the disk is nearly full\n")
