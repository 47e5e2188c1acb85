"""What besides the configuration decides bits, and how a run that goes on elsewhere tells."""

import json
import os
import platform
from importlib.metadata import version

import pytest

from src.engine import checkpoint, surroundings


def test_versions_processor_threads_and_mode(monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    found = surroundings.present(True, 8)
    for package in ("tensorflow", "keras", "numpy"):
        assert found[package] == version(package)
    assert found["machine"] == platform.machine()
    assert (found["jit"], found["fused_members"]) == ("true", "8")
    cpus = str(len(os.sched_getaffinity(0)))
    assert (found["intra_op_threads"], found["inter_op_threads"]) == (cpus, cpus)
    assert all(isinstance(value, str) for value in found.values())
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    assert surroundings.present(False)["intra_op_threads"] == "7"


def test_instructions_are_those_that_the_system_lists(tmp_path):
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma amx_bf16 nx\n\nflags\t: avx\n")
    assert surroundings.instructions(listed) == ["fma", "avx2", "amx_bf16"]
    listed.write_text("Features\t: fp asimd sve2\n")
    assert surroundings.instructions(listed) == ["asimd", "sve2"]
    listed.write_text("")
    assert surroundings.instructions(listed) == []
    assert surroundings.instructions(tmp_path / "none") == []


def test_what_differs_is_named_with_both_values():
    before = {"tensorflow": "2.20.0", "gpus": "", "of another version": "x"}
    now = {"tensorflow": "2.21.0", "gpus": "/GPU:0", "jit": "true"}
    text = "tensorflow was 2.20.0 and is 2.21.0, gpus was none and is /GPU:0"
    assert surroundings.difference(before, now) == text
    assert surroundings.difference(before, before) == ""


def made_elsewhere(folder, **changes):
    """Make the newest checkpoint of a run one of another process."""
    path = max((folder / "checkpoints").iterdir()) / checkpoint.MANIFEST
    manifest = checkpoint._unsealed(path)
    assert changes.keys() <= manifest["surroundings"].keys()
    manifest["surroundings"] |= changes
    path.write_bytes(checkpoint._sealed(manifest))


@pytest.mark.parametrize(
    "changes",
    [
        {"tensorflow": "2.20.0", "keras": "3.14.0", "numpy": "1.26.4"},
        {"intra_op_threads": "64", "instructions": "sse4_2 avx", "jit": "true"},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_going_on_elsewhere_is_one_warning_and_a_tag(trained, capsys, journal_of, changes):
    folder = trained("epochs=1").folder
    made_elsewhere(folder, **changes)
    run = trained("epochs=2", f"resume={folder}")
    lines = capsys.readouterr().err.splitlines()
    [warning] = [line for line in lines if line.startswith("warning: ")]
    assert warning.startswith("warning: resume: the bits may differ from those of a run never")
    for key, value in changes.items():
        assert f"{key} was {value} and is " in warning
    assert run.status == "FINISHED"
    tag = journal_of(folder).tags["resumed_elsewhere"]
    assert warning.endswith(f": {tag}")
    found = checkpoint.load(max((folder / "checkpoints").iterdir()))
    assert found.surroundings == surroundings.present(False)  # what it is from here on


def test_going_on_in_the_same_place_says_nothing(trained, capsys, journal_of):
    folder = trained("epochs=1").folder
    trained("epochs=2", f"resume={folder}")
    assert "warning" not in capsys.readouterr().err
    assert "resumed_elsewhere" not in journal_of(folder).tags
    record = json.loads((folder / "run.json").read_text())
    assert record["tags"]["instructions"] == surroundings.present(False)["instructions"]
    assert "intra-op" in record["tags"]["threads"]


def test_a_checkpoint_that_tells_no_surroundings_goes_on_too(trained, capsys):
    folder = trained("epochs=1").folder
    path = max((folder / "checkpoints").iterdir()) / checkpoint.MANIFEST
    manifest = checkpoint._unsealed(path)
    del manifest["surroundings"]
    path.write_bytes(checkpoint._sealed(manifest))
    assert trained("epochs=2", f"resume={folder}").status == "FINISHED"
    assert "warning" not in capsys.readouterr().err


@pytest.mark.slow
def test_another_number_of_threads_in_a_process_of_its_own(process, tiny, tmp_path, only_run):
    outputs = tmp_path / "outputs"
    given = (*tiny("epochs=1"), f"outputs={outputs}")
    assert process(*given, TF_NUM_INTRAOP_THREADS="1").code == 0
    folder = only_run(outputs)
    ended = process(f"resume={folder}", "epochs=2", TF_NUM_INTRAOP_THREADS="2")
    assert ended.code == 0
    assert "intra_op_threads was 1 and is 2" in ended.err
