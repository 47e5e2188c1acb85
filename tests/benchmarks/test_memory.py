import pytest

from src.benchmarks.commands import CommandFailed, python
from src.benchmarks.rows import memory


def test_only_a_job_that_is_done_counts():
    assert memory.JOB_DONE.search("seed=3: train/loss 11.6  val/loss 11.3  (0.4 s)")
    assert not memory.JOB_DONE.search("sweep 20261123 over seed")


def test_the_peak_grows_with_what_a_process_holds():
    held = "x = [bytes(1)]\nfor i in range(3): x.append(bytearray(40 << 20)); print('(0.1 s)')"
    peaks, moments = memory._watch(python("-u", "-c", held))
    assert len(peaks) == len(moments) == 3
    assert sorted(moments) == moments
    assert peaks[-1] > 20


def test_a_sweep_that_fails_is_told():
    with pytest.raises(CommandFailed, match="exit code 4"):
        memory._watch(python("-c", "raise SystemExit(4)"))
