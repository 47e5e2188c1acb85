"""64 members of the small MLP in one program, in updates of all members a second."""

from src.benchmarks.bench import Bench, Row, Skipped
from src.benchmarks.configuration import fused_launcher
from src.benchmarks.peers.fused import MEMBERS
from src.benchmarks.result import Line, Target
from src.benchmarks.rows.updates import ROUNDS, SMALL, measure
from src.benchmarks.workloads import Workload


def _measure(bench: Bench) -> list[Line]:
    if not fused_launcher():
        raise Skipped("there is no hydra/launcher=fused yet")
    workload = Workload("fused", "small MLP", SMALL, 2 if bench.settings.quick else 20)
    rounds = bench.settings.rounds(ROUNDS)
    measured = measure(bench, workload, ["harness", "fused"], rounds, members=MEMBERS)
    solo, fused = measured["harness"], measured["fused"]
    what = f"member-updates/s, {MEMBERS} fused members of the small MLP"
    return [
        Line(
            what,
            fused.rate,
            target=Target(">=", 120_000),
            alternatives="rate",
            check=fused.check,
            same=fused.same,
        ),
        Line(
            what,
            fused.rate,
            peer="the solo program",
            theirs=solo.rate,
            target=Target(">=", 2),
            alternatives="rate",
            check=fused.check,
            same=fused.same,
        ),
    ]


ROW = Row("fused_members", f"{MEMBERS} fused members of the small MLP", _measure)
