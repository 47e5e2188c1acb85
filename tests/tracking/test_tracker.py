"""The small tracker: what a run that goes on records again, and what it does not."""

import threading

import pytest

from src.tracking import journal
from src.tracking.journal import Journal, JournalBusyError
from src.tracking.record import RunRecord
from src.tracking.tracker import Tracker


@pytest.fixture
def tracker(tmp_path):
    opened: list[Tracker] = []

    def make():
        folder = tmp_path / "run"
        record = RunRecord(id="a", name="n")
        if not folder.exists():
            record.claim(folder)
        for before in opened:
            before.close()
        opened.append(Tracker(folder, record))
        opened[-1].begin()
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def lines(tracker, kind):
    return [
        line for _, line in journal.read(tracker.folder / journal.FILE_NAME) if line["kind"] == kind
    ]


def test_a_model_is_written_before_it_is_recorded(tracker):
    written = []
    now = tracker()
    now.model(
        "model",
        input_shape=(3,),
        output_shape=(2,),
        write=lambda: written.append(lines(now, "model")),
    )
    assert written == [[]]
    assert [line["path"] for line in lines(now, "model")] == ["model"]


def test_a_run_killed_after_its_model_was_recorded_makes_no_second_one(tracker):
    described = {"input_shape": (3,), "output_shape": (2,), "metadata": {"epoch": 4}}
    tracker().model("model", **described)
    resumed = tracker()
    resumed.model("model", **described, write=lambda: pytest.fail("it may be on its way"))
    assert len(lines(resumed, "model")) == 1
    resumed.model("model", **{**described, "metadata": {"epoch": 5}})
    assert len(lines(resumed, "model")) == 2


def test_an_artifact_is_known_to_the_attempt_after_the_one_that_recorded_it(tracker):
    first = tracker()
    assert not first.journal.holds("artifact", path="a.txt")
    first.artifact("a.txt")
    assert first.journal.holds("artifact", path="a.txt")
    second = tracker()
    assert second.journal.holds("artifact", path="a.txt")
    assert not second.journal.holds("artifact", path="b.txt")
    second.artifact("a.txt")  # its content may have changed
    assert len(lines(second, "artifact")) == 2


def test_a_shipper_that_is_closing_the_run_is_waited_for(tmp_path, monkeypatch):
    record = RunRecord(id="a", name="n")
    record.claim(tmp_path)
    holder = Journal(tmp_path / journal.FILE_NAME)
    threading.Timer(0.2, holder.close).start()
    Tracker(tmp_path, record).close()
    monkeypatch.setattr(journal, "PATIENCE_SECONDS", 0.1)
    with Journal(tmp_path / journal.FILE_NAME), pytest.raises(JournalBusyError):
        Tracker(tmp_path, record)
