import errno
import json
import math
import os
import statistics
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.storage import StorageError
from src.tracking import journal
from src.tracking.journal import Journal, JournalBusyError, JournalDamagedError

FLOATS = np.array([0.5, np.nan, np.inf, -np.inf, 1e-45, -0.0], np.float32)


def lines(path):
    return [line for _, line in journal.read(path)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_a_line_is_checksum_space_and_compact_json(path):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
    raw = path.read_bytes()
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    content = json.loads(raw[9:])
    assert content["seq"] == 0
    assert content["kind"] == "begin"
    assert abs(content["t"] / 1000 - time.time()) < 60
    assert b": " not in raw


def test_what_was_written_is_read_back_with_its_bits(path):
    with Journal(path) as writer:
        writer.updates(1, {"update/loss": FLOATS, "update/learning_rate": FLOATS[::-1]})
        writer.metrics(1, {"a": math.nan, "b": -math.inf, "c": 0.1})
    update, metric = lines(path)
    assert update["first"] == 1
    assert update["count"] == len(FLOATS)
    held = journal.decode_array(update["values"]["update/loss"])
    assert held.tobytes() == FLOATS.tobytes()
    assert math.isnan(metric["values"]["a"])
    assert metric["values"]["b"] == -math.inf
    assert metric["values"]["c"] == 0.1


def test_opening_again_continues(path):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
        writer.updates(1, {"update/loss": FLOATS})
        writer.metrics(1, {"train/loss": 1.0})
        writer.append("end", status="KILLED", reason="", update=6, epoch=1)
    with Journal(path) as writer:
        assert (writer.last_update, writer.epochs_done, writer.attempts) == (6, 1, 1)
        assert writer.ended is not None
        assert writer.ended["status"] == "KILLED"
        writer.append("begin", attempt=2, update=6)
        assert writer.ended is None
    assert [line["seq"] for line in lines(path)] == [0, 1, 2, 3, 4]


def test_a_torn_last_line_is_dropped_wherever_it_is_torn(path):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
        whole = path.read_bytes()
        writer.metrics(1, {"train/loss": 1.0})
    torn = path.read_bytes()
    for size in range(len(whole), len(torn)):
        path.write_bytes(torn[:size])
        assert len(lines(path)) == 1
        with Journal(path) as writer:
            assert writer.epochs_done == 0
        assert path.read_bytes() == whole
    path.write_bytes(torn[:-9] + bytes(9))  # as a file system may leave it after a power cut
    with Journal(path) as writer:
        writer.metrics(1, {"train/loss": 2.0})
    assert [line["seq"] for line in lines(path)] == [0, 1]


def test_every_flipped_byte_before_the_last_line_is_noticed(path):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
        first = len(path.read_bytes())
        writer.metrics(1, {"train/loss": 1.0})
    whole = path.read_bytes()
    for position in range(first - 1):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(JournalDamagedError, match=r"journal\.jsonl line 1 ") as caught:
            Journal(path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == bytes(damaged)  # left as it is


@pytest.mark.parametrize("other", [b" ", b"+"])
def test_a_checksum_of_the_same_number_in_other_bytes_is_damaged(other):
    raws = (journal.encode_line({"seq": number})[:-1] for number in range(1000))
    raw = next(raw for raw in raws if raw.startswith(b"0") and raw[:8].upper() != raw[:8])
    assert journal.decode_line(raw) is not None
    assert journal.decode_line(other + raw[1:]) is None
    assert journal.decode_line(raw[:8].upper() + raw[8:]) is None


def test_a_missing_line_is_noticed(path):
    with Journal(path) as writer:
        for _ in range(3):
            writer.append("tags", tags={})
    first, _, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + third)
    with pytest.raises(JournalDamagedError, match="line 2 is missing"):
        Journal(path)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_tail_whatsoever_stops_reading_the_lines_before_it(tmp_path_factory, tail, cut):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    good = b"".join(journal.encode_line({"seq": i, "t": 0, "kind": "tags"}) for i in range(2))
    path.write_bytes(good + tail.replace(b"\n", b"")[:cut])
    assert len(lines(path)) == 2


def test_updates_and_metrics_run_again_are_not_written_twice(path):
    values = np.arange(10, dtype=np.float32)
    with Journal(path) as writer:
        writer.updates(1, {"update/loss": values})
        writer.metrics(1, {"train/loss": math.nan, "val/loss": 1.0})
    size = path.stat().st_size
    with Journal(path) as writer:
        assert writer.updates(4, {"update/loss": values[3:7]}) is None
        assert writer.updates(8, {"update/loss": values[7:]}) is None
        assert writer.metrics(1, {"train/loss": math.nan, "val/loss": 1.0}) is None
        assert path.stat().st_size == size
        assert writer.updates(9, {"update/loss": np.array([8, 9, 10, 11], np.float32)}) is None
        assert writer.metrics(1, {"val/loss": 1.0, "test/loss": 3.0}) is None
    added = lines(path)[2:]
    assert (added[0]["first"], added[0]["count"]) == (11, 2)
    assert journal.decode_array(added[0]["values"]["update/loss"]).tolist() == [10, 11]
    assert added[1]["values"] == {"test/loss": 3.0}


def test_a_disagreement_of_one_bit_is_reported_with_key_step_and_both_values(path):
    values = np.arange(10, dtype=np.float32)
    with Journal(path) as writer:
        writer.updates(1, {"update/loss": values})
        writer.metrics(2, {"val/loss": 1.0, "time/epoch": 1.0})
    with Journal(path) as writer:
        other = values[5:].copy()
        other[2] = np.nextafter(other[2], np.float32(100))
        found = writer.updates(6, {"update/loss": other})
        assert found is not None
        assert (found.key, found.step, found.held) == ("update/loss", 8, 7.0)
        assert "update/loss at step 8 is 7.00000" in str(found)
        assert "was 7.0" in str(found)
        found = writer.metrics(2, {"val/loss": 1.0000000000000002, "time/epoch": 9.0})
        assert found is not None
        assert found.key == "val/loss"


def test_a_full_disk_leaves_whole_lines(path, monkeypatch):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
        before = path.read_bytes()
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[: len(data) // 2]))
        with pytest.raises(
            StorageError, match=r"the disk is full: [0-9]+ bytes are needed"
        ) as caught:
            writer.metrics(1, {"train/loss": 1.0})
        assert caught.value.errno == errno.ENOSPC
        monkeypatch.undo()
        assert path.read_bytes() == before
        writer.append("end", status="FAILED", reason="disk full", update=0, epoch=0)
    assert [line["kind"] for line in lines(path)] == ["begin", "end"]


def test_only_one_writer_at_a_time(path):
    with Journal(path), pytest.raises(JournalBusyError):
        Journal(path)
    Journal(path).close()


def test_reading_goes_on_from_an_offset(path):
    with Journal(path) as writer:
        writer.append("begin", attempt=1, update=0)
        (offset, _), *_ = journal.read(path)
        writer.append("tags", tags={"a": "b"})
    assert [line["kind"] for _, line in journal.read(path, offset)] == ["tags"]


def test_ten_thousand_updates_cost_little(path):
    values = np.random.default_rng(0).random(10_000, np.float32)
    with Journal(path) as writer:
        times = []
        for call in range(30):
            start = time.thread_time()
            writer.updates(
                1 + call * 10_000, {"update/loss": values, "update/learning_rate": values}
            )
            times.append(time.thread_time() - start)
    assert statistics.median(times) < 2e-3  # 0.4 ms measured
