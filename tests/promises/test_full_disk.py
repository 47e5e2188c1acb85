"""A disk that is really full: the run stops and says so, and what was good stays and goes on.

The disk is a file system of some hundred kilobytes in memory; mounting one takes the right to.
"""

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from src.engine.checkpoint import Checkpoints, load
from src.tracking import journal

SIZE = 1 << 20
# 400 updates an epoch on two rows each: the journal grows by some kilobytes a second.
MANY_UPDATES = ("data.rows=800", "data.batch_size=2", "log_every=0")
SAID = r"the disk is full: ([0-9,]+) bytes are needed, ([0-9,]+) are free; make room and go on"


@pytest.fixture
def disk(tmp_path):
    """An outputs folder on a disk of its own, of `SIZE` bytes."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    done = subprocess.run(options, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no right to mount a small disk: {done.stderr.strip()}")
    yield place / "outputs"
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(outputs: Path, leave: int) -> Path:
    """Use the disk up but for `leave` bytes; the file to remove for room."""
    filler = outputs.parent / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(filler).free == 0
    os.truncate(filler, filler.stat().st_size - leave)
    return filler


def checkpoints(folder: Path) -> dict[str, bytes]:
    """The files of all checkpoints, each held against its digest."""
    for path in (folder / "checkpoints").iterdir():
        load(path)
    return {str(path): path.read_bytes() for path in (folder / "checkpoints").rglob("*.*")}


def digest(outputs: Path, only_run, journal_of) -> str:
    return str(journal_of(only_run(outputs)).tags["state_sha256"])


def test_a_checkpoint_without_room_ends_the_run_and_keeps_the_one_before(
    disk, command, tiny, tmp_path, only_run, journal_of
):
    given = tiny("model.hidden=[3000]")  # 100 kB a checkpoint, with the best one 200
    assert command(*given, "epochs=3", f"outputs={tmp_path / 'whole'}").code == 0
    assert command(*given, "epochs=2", f"outputs={disk}").code == 0
    folder = only_run(disk)
    kept, lines = checkpoints(folder), (folder / "journal.jsonl").read_bytes()

    filler = fill(disk, leave=64 << 10)
    ended = command(f"resume={folder.name}", "epochs=3", f"outputs={disk}")
    assert ended.code == 1
    assert ended.err == ""
    said = re.search(
        rf"failed +the checkpoint could not be written: .*/00000009: {SAID}", ended.out
    )
    assert said, ended.out
    needed, free = (int(text.replace(",", "")) for text in said.groups())
    assert needed > 190_000
    assert free <= 80 << 10  # the filler takes whole pages
    assert checkpoints(folder) == kept
    assert (folder / "journal.jsonl").read_bytes().startswith(lines)
    last = journal_of(folder).lines[-1]
    assert (last["kind"], last["status"], last["update"]) == ("end", "FAILED", 9)
    assert "the disk is full" in last["reason"]

    filler.unlink()
    ended = command(f"resume={folder.name}", "epochs=3", f"outputs={disk}")
    assert ended.code == 0, ended.err
    assert digest(disk, only_run, journal_of) == digest(tmp_path / "whole", only_run, journal_of)
    assert journal_of(folder).kind("mismatch") == []


def test_a_journal_without_room_ends_the_run_and_keeps_every_whole_line(
    disk, command, tiny, tmp_path, only_run, journal_of
):
    given = tiny(*MANY_UPDATES)
    assert command(*given, "epochs=6", f"outputs={tmp_path / 'whole'}").code == 0
    assert command(*given, "epochs=1", f"outputs={disk}").code == 0
    folder = only_run(disk)
    kept, lines = checkpoints(folder), (folder / "journal.jsonl").read_bytes()

    filler = fill(disk, leave=0)
    ended = command(f"resume={folder.name}", "epochs=6", f"outputs={disk}")
    assert ended.code == 1
    assert ended.err == ""
    assert re.search(rf"failed +.*/journal\.jsonl: {SAID}", ended.out), ended.out
    assert checkpoints(folder) == kept
    raw = (folder / "journal.jsonl").read_bytes()
    assert raw.startswith(lines)
    assert raw.endswith(b"\n")
    assert all(journal.decode_line(line) for line in raw.splitlines())
    assert len(journal_of(folder).updates["update/loss"]) > 400

    filler.unlink()
    ended = command(f"resume={folder.name}", "epochs=6", f"outputs={disk}")
    assert ended.code == 0, ended.err
    assert digest(disk, only_run, journal_of) == digest(tmp_path / "whole", only_run, journal_of)
    expected = journal_of(only_run(tmp_path / "whole")).updates["update/loss"]
    np.testing.assert_array_equal(journal_of(folder).updates["update/loss"], expected)
    assert journal_of(folder).kind("mismatch") == []


def test_a_disk_that_is_full_from_the_start_is_one_line(disk, command, tiny):
    disk.mkdir()
    fill(disk, leave=0)
    ended = command(*tiny("epochs=1"), f"outputs={disk}")
    assert ended.code == 1
    assert "the disk is full: more is needed, 0 are free" in ended.error
    assert not list(disk.glob("runs/*/run.json"))


def test_a_model_without_room_ends_the_run_as_failed_after_its_last_checkpoint(
    disk, command, tiny, only_run, journal_of
):
    given = [g for g in tiny("epochs=1") if not g.startswith("tracking.artifacts")]
    command(*given, "tracking.artifacts=none", f"outputs={disk}")
    folder = only_run(disk)
    fill(disk, leave=12 << 10)
    ended = command(f"resume={folder.name}", "tracking.artifacts=full", f"outputs={disk}")
    assert ended.code == 1
    assert ended.err == ""
    assert "the disk is full: more is needed" in ended.out
    newest = Checkpoints(folder / "checkpoints").newest(warn=pytest.fail)
    assert newest is not None
    assert newest.update == 3
    assert journal_of(folder).kind("model") == []


def test_jobs_of_a_sweep_on_a_full_disk_fail_one_by_one(disk, command, tiny):
    disk.mkdir()
    filler = fill(disk, leave=24 << 10)
    ended = command("-m", *tiny("epochs=1", "seed=1,2,3"), f"outputs={disk}")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "the disk is full" in ended.err + ended.out
    filler.unlink()


@pytest.mark.parametrize("leave", [24 << 10, 48 << 10])
def test_fused_jobs_on_a_full_disk_fail_without_a_traceback(disk, command, tiny, leave):
    disk.mkdir()
    fill(disk, leave)
    given = tiny("epochs=1", "seed=1,2,3")
    ended = command("-m", "hydra/launcher=fused", *given, f"outputs={disk}")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "the disk is full" in ended.err + ended.out
