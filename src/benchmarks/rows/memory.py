"""Whether a process keeps its size and its pace over hundreds of jobs."""

import itertools
import re
import statistics
import subprocess
import time
from pathlib import Path

from src.benchmarks import commands
from src.benchmarks.bench import Bench, Row, Skipped
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rows.sweeps import sweep_command

JOB_DONE = re.compile(r"\(\d+\.\d s\)$")  # how the line ends that a sweep says about a job


def _measure(bench: Bench) -> list[Line]:
    if not Path("/proc/self/status").exists():
        raise Skipped("the memory of a process is read from /proc, which this system has not")
    early, jobs = (2, 6) if bench.settings.quick else (20, 200)
    bench.say(f"{jobs} jobs in one process")
    peaks, moments = _watch(sweep_command(bench.work / "memory", {"seed": range(jobs)}, "epochs=1"))
    seconds = [after - before for before, after in itertools.pairwise(moments)]
    if len(peaks) != jobs:
        raise commands.CommandFailed(f"{len(peaks)} jobs of {jobs} said that they were done")
    return [
        Line(
            f"peak memory up to job {jobs}",
            Figure.of([peaks[-1]], "MiB"),
            peer=f"up to job {early}",
            theirs=Figure.of([peaks[early - 1]], "MiB"),
            target=Target("<=", 1.1),
        ),
        Line(
            f"seconds a job, the last {early}",
            Figure.of([statistics.median(seconds[-early:])], "s"),
            peer=f"the first {early}",
            theirs=Figure.of([statistics.median(seconds[:early])], "s"),
        ),
    ]


def _watch(command: list[str]) -> tuple[list[float], list[float]]:
    """Run a sweep; its peak memory (MiB) and the moment (s) at the end of each job."""
    peaks, moments, said = [], [], []
    with subprocess.Popen(
        command,
        cwd=commands.ROOT,
        env=commands.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        status = Path(f"/proc/{process.pid}/status")
        for line in process.stdout:
            said.append(line)
            if JOB_DONE.search(line.rstrip()):
                peaks.append(_peak(status))
                moments.append(time.perf_counter())
    if process.returncode:
        raise commands.failure(command, process.returncode, "".join(said))
    return peaks, moments


def _peak(status: Path) -> float:
    """The largest resident size so far, in MiB."""
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


ROW = Row("memory", "Many jobs in one process", _measure)
