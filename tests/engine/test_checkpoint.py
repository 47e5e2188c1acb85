"""Checkpoints: whole or invisible, and held against their digests before anything is used."""

import errno
import hashlib
import json
import os
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest

from src.engine import checkpoint
from src.engine.checkpoint import CheckpointError, Checkpoints, load

STATE: dict[str, np.ndarray] = {
    "model/000/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "model/001/seed": np.array([7, 8], np.uint32),
    "optimizer/000/iteration": np.array(3, np.int64),
    "model/002/empty": np.zeros((0, 4), np.float32),
}
BEST = {"model/000/w": np.full((2, 3), -1.5, np.float32)}
PROGRESS = {"epoch": 2, "update_in_epoch": 1, "metrics": {"val/loss": 0.5}, "best": None}


def state(value: float) -> dict[str, np.ndarray]:
    return {"model/w": np.array([value], np.float32)}


def value(found) -> float:
    return float(found.last["model/w"][0])


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def checkpoints(folder) -> Checkpoints:
    return Checkpoints(folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# -- what is written


def test_everything_comes_back_as_it_was(checkpoints, folder):
    written = checkpoints.save(7, STATE, BEST, PROGRESS)
    assert written == folder / "00000007"
    found = checkpoints.newest(warn=pytest.fail)
    assert (found.folder, found.update, found.progress) == (written, 7, PROGRESS)
    for original, copy in ((STATE, found.last), (BEST, found.best)):
        assert copy.keys() == original.keys()
        for name, array in original.items():
            assert copy[name].dtype == array.dtype
            np.testing.assert_array_equal(copy[name], array)


def test_it_is_tensors_and_json_alone(checkpoints):
    written = checkpoints.save(7, STATE, BEST, PROGRESS)
    assert names(written) == ["best.safetensors", "last.safetensors", "manifest.json"]
    # Read by hand: eight bytes of length, a JSON header, then the bytes of the tensors.
    content = (written / "last.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    begin, end = header["model/000/w"]["data_offsets"]
    assert header["model/000/w"]["shape"] == [2, 3]
    assert np.frombuffer(data[begin:end], "<f4").tolist() == [0, 1, 2, 3, 4, 5]


def test_the_manifest_holds_the_digest_of_every_file_and_its_own(checkpoints):
    written = checkpoints.save(7, STATE, BEST, PROGRESS)
    sealed = json.loads((written / "manifest.json").read_text())
    assert sealed["sha256"] == hashlib.sha256(sealed["manifest"].encode()).hexdigest()
    manifest = json.loads(sealed["manifest"])
    assert manifest["update"] == 7
    assert manifest["files"] == {
        name: {
            "sha256": hashlib.sha256((written / name).read_bytes()).hexdigest(),
            "bytes": (written / name).stat().st_size,
        }
        for name in ("last.safetensors", "best.safetensors")
    }


def test_there_is_no_best_before_the_first_epochs_end(checkpoints):
    written = checkpoints.save(1, STATE, None, PROGRESS)
    assert names(written) == ["last.safetensors", "manifest.json"]
    assert checkpoints.newest(warn=pytest.fail).best is None


def test_no_checkpoint_at_all(checkpoints):
    assert checkpoints.newest(warn=pytest.fail) is None


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_newest_are_kept(folder, keep):
    checkpoints = Checkpoints(folder, keep)
    for update in (5, 10, 9_999_999, 7):
        checkpoints.save(update, state(update), None, PROGRESS)
    kept = ["00000005", "00000007", "00000010", "09999999"][-keep:]
    assert names(folder) == kept
    assert value(checkpoints.newest(warn=pytest.fail)) == 9_999_999


def test_the_same_update_again_replaces_it(checkpoints, folder):
    for number in (1, 2):
        checkpoints.save(5, state(number), None, PROGRESS)
    assert names(folder) == ["00000005"]
    assert value(checkpoints.newest(warn=pytest.fail)) == 2


# -- whole or invisible


def test_files_and_folders_are_flushed_before_the_name_appears(checkpoints, folder, monkeypatch):
    flushed = []
    fsync, rename = os.fsync, Path.rename

    def flush(descriptor):
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def appear(path, target):
        flushed.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(Path, "rename", appear)
    checkpoints.save(7, STATE, BEST, PROGRESS)
    aside = next(name for name in flushed if name.startswith("."))
    assert sorted(flushed[:3]) == ["best.safetensors", "last.safetensors", "manifest.json"]
    assert flushed[3:] == [aside, "rename", "checkpoints"]


def killed_while_saving(folder: Path, call: str, number: int) -> int:
    """Save update 5, then 10 with SIGKILL at the `number`-th `call`; how the process ended."""
    owner = {
        "fsync": os,
        "unlink": os,
        "rename": Path,
        "_write": checkpoint,
        "rmtree": shutil,
    }[call]
    original = getattr(owner, call)
    passed = 0

    def dying(*arguments, **named):
        nonlocal passed
        passed += 1
        if passed == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(5, state(5), None, PROGRESS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other threads of this process have no part in it
        child = os.fork()
    if child == 0:
        try:
            setattr(owner, call, dying)
            checkpoints.save(10, state(10), None, PROGRESS)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
    ("call", "number", "newest"),
    [
        ("_write", 1, 5),
        ("_write", 2, 5),
        ("fsync", 1, 5),
        ("fsync", 2, 5),
        ("fsync", 3, 5),
        ("rename", 1, 5),
        ("fsync", 4, 10),
        ("rmtree", 1, 5),
        ("rmtree", 2, 5),
        ("rename", 2, 10),
        ("rmtree", 3, 10),
        ("unlink", 1, 10),
        ("unlink", 2, 10),
    ],
)
def test_killed_between_any_two_calls_a_whole_checkpoint_is_the_newest(
    folder, call, number, newest
):
    assert killed_while_saving(folder, call, number) == -signal.SIGKILL
    checkpoints = Checkpoints(folder, keep=1)
    for path in folder.glob("[0-9]*"):
        load(path)  # what is visible is whole, an old one that was being removed too
    assert value(checkpoints.newest(warn=pytest.fail)) == newest
    # The next save leaves nothing of the killed one behind.
    checkpoints.save(15, state(15), None, PROGRESS)
    assert names(folder) == ["00000015"]


def test_what_a_killed_process_of_the_same_number_left_does_no_harm(checkpoints, folder):
    # In a container every process is number 1, so the resumed one finds its own number taken.
    aside = folder / f".00000005.{os.getpid()}"
    aside.mkdir(parents=True)
    (aside / "last.safetensors").write_bytes(b"half")
    checkpoints.save(5, state(5), None, PROGRESS)
    assert value(checkpoints.newest(warn=pytest.fail)) == 5


@pytest.mark.parametrize("again", [5, 10])
def test_a_failed_save_is_told_and_never_harms_the_one_before(folder, monkeypatch, again):
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(5, state(5), None, PROGRESS)

    def refuse(path, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(CheckpointError, match=f"{again:08d}: Input/output error"):
        checkpoints.save(again, state(6), None, PROGRESS)
    monkeypatch.undo()
    assert value(checkpoints.newest(warn=pytest.fail)) == 5
    assert names(folder) == ["00000005"]


def test_a_full_disk_says_what_is_needed_and_what_is_free(checkpoints, folder, monkeypatch):
    checkpoints.save(5, state(5), None, PROGRESS)

    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write", full)
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1234))
    large = {"model/w": np.zeros(2500, np.float32)}
    with pytest.raises(CheckpointError, match="the disk is full") as raised:
        checkpoints.save(10, large, None, PROGRESS)
    needed = int(str(raised.value).split(": ")[2].split()[0].replace(",", ""))
    assert 10_000 <= needed < 10_200  # 2,500 floats and a header
    assert "1,234 are free" in str(raised.value)
    assert names(folder) == ["00000005"]


# -- damage


def damage_flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("name", ["last.safetensors", "best.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", [damage_flip, damage_cut, damage_empty, damage_remove])
def test_a_damaged_one_is_named_and_set_aside_and_the_one_before_is_used(
    checkpoints, folder, damage, name
):
    checkpoints.save(5, state(5), BEST, PROGRESS)
    checkpoints.save(10, state(10), BEST, PROGRESS)
    damage(folder / "00000010" / name)
    with pytest.raises(CheckpointError, match=name):
        load(folder / "00000010")
    said: list[str] = []
    assert value(checkpoints.newest(said.append)) == 5
    assert len(said) == 1
    assert "00000010" in said[0]
    assert name in said[0]
    assert names(folder) == ["00000005", "damaged-00000010"]
    # Training goes on to the same update, and is damaged there again.
    checkpoints.save(10, state(11), BEST, PROGRESS)
    damage(folder / "00000010" / name)
    assert value(checkpoints.newest(said.append)) == 5
    assert names(folder) == ["00000005", "damaged-00000010"]


def test_a_damaged_one_never_crowds_out_a_whole_one(folder):
    checkpoints = Checkpoints(folder, keep=1)
    checkpoints.save(5, state(5), None, PROGRESS)
    damage_cut(folder / "00000005" / "last.safetensors")
    assert checkpoints.newest(lambda _: None) is None
    checkpoints.save(3, state(3), None, PROGRESS)
    assert value(checkpoints.newest(pytest.fail)) == 3


def test_every_byte_of_a_small_checkpoint_counts(checkpoints, folder):
    checkpoints.save(5, state(5), None, PROGRESS)
    undetected = []
    for path in sorted((folder / "00000005").iterdir()):
        content = path.read_bytes()
        for place in range(len(content)):
            changed = bytearray(content)
            changed[place] ^= 0x20
            path.write_bytes(changed)
            try:
                found = load(folder / "00000005")
            except CheckpointError:
                continue
            # JSON may be written in several ways that mean the same.
            if found.update != 5 or found.progress != PROGRESS or value(found) != 5:
                undetected.append((path.name, place))
        path.write_bytes(content)
    assert undetected == []


# -- hostile files: sealed as they should be, and wrong inside


def sealed(folder: Path, manifest: object) -> Path:
    body = json.dumps(manifest)
    digest = hashlib.sha256(body.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps({"sha256": digest, "manifest": body}))
    return folder


def listed(folder: Path, name: str, content: bytes) -> dict:
    (folder / name).write_bytes(content)
    return {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [],
        "text",
        None,
        {"format": 2},
        {"format": 1},
        {"format": 1, "files": []},
        {"format": 1, "files": {}, "update": 5, "progress": {}},
        {"format": 1, "files": {"../../etc/passwd": {}}, "update": 5, "progress": {}},
        {"format": 1, "files": {"last.safetensors": None}, "update": 5, "progress": {}},
    ],
    ids=str,
)
def test_a_foreign_manifest_is_refused(checkpoints, folder, manifest):
    written = checkpoints.save(5, state(5), None, PROGRESS)
    with pytest.raises(CheckpointError, match=r"manifest\.json|last\.safetensors"):
        load(sealed(written, manifest))
    assert checkpoints.newest(lambda _: None) is None


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x04\x95\x19\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        b"",
        b"PK\x03\x04",
        b"\xff" * 16,
        (2**62).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little")
        + b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,999999]}}'.ljust(60),
    ],
    ids=["pickle", "empty", "zip", "ones", "huge header", "no mapping", "beyond the end"],
)
def test_a_foreign_tensor_file_is_refused_even_with_a_fitting_digest(checkpoints, folder, content):
    written = checkpoints.save(5, state(5), None, PROGRESS)
    files = listed(written, "last.safetensors", content)
    manifest = {"format": 1, "files": files, "update": 5, "progress": PROGRESS}
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        load(sealed(written, manifest))


def test_other_files_and_folders_are_left_alone(checkpoints, folder):
    checkpoints.save(5, state(5), None, PROGRESS)
    (folder / "notes").mkdir()
    (folder / "00000099").write_text("a file, no folder")
    checkpoints.save(10, state(10), None, PROGRESS)
    assert value(checkpoints.newest(warn=pytest.fail)) == 10
    assert {"notes", "00000099"} <= set(names(folder))


def test_the_newest_of_a_long_run_has_more_digits(folder):
    checkpoints = Checkpoints(folder, keep=2)
    for update in (99_999_998, 99_999_999, 100_000_005, 100_000_010):
        checkpoints.save(update, state(update % 1000), None, PROGRESS)
    (folder / ".100000015.77").mkdir()
    assert names(folder) == [".100000015.77", "100000005", "100000010"]
    found = checkpoints.newest(pytest.fail)
    assert found is not None
    assert (found.update, value(found)) == (100_000_010, 10)
    assert [path.name for path in checkpoints.abandoned()] == [".100000015.77"]
