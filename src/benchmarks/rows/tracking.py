"""What one tracked point an update costs the training."""

from functools import partial
from pathlib import Path

from src.benchmarks import commands, images
from src.benchmarks.bench import Bench, Row
from src.benchmarks.commands import train
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rounds import interleave

ROUNDS = 3


def _measure(bench: Bench) -> list[Line]:
    rows, epochs = (6_000, 3) if bench.settings.quick else (images.ALL, 20)
    data = images.overrides(bench.work, rows)
    whole: dict[str, list[float]] = {"mlflow": [], "none": []}

    def seconds(tracking: str) -> float:
        """From the end of the first epoch, which compiles, to that of the last."""
        outputs = bench.work / f"tracking {tracking}"
        done = commands.run(
            train(
                *data,
                "model=mlp",
                "model.hidden=[128]",
                "optimizer=sgd",
                f"epochs={epochs}",
                f"tracking={tracking}",
                f"outputs={outputs}",
            )
        )
        whole[tracking].append(done.seconds)
        return _training(commands.newest(outputs, "runs/*"))

    kinds = ("mlflow", "none")
    turns = {kind: partial(seconds, kind) for kind in kinds}
    samples = interleave(
        turns, bench.settings.rounds(ROUNDS), lambda text: bench.say(f"tracking: {text}")
    )
    return [
        Line(
            "training time, one tracked point an update",
            Figure.of(samples["mlflow"], "s"),
            peer="tracking=none",
            theirs=Figure.of(samples["none"], "s"),
            target=Target("<=", 1.03),
        ),
        Line(
            f"whole run of {epochs} epochs, everything delivered",
            Figure.of(whole["mlflow"], "s"),
            peer="tracking=none",
            theirs=Figure.of(whole["none"], "s"),
        ),
    ]


def _training(run: Path) -> float:
    ends = commands.moments(run, "metrics")
    # The last line of metrics is the test score, written after training.
    return ends[-2] - ends[0]


ROW = Row("tracking", "Tracking on against off", _measure)
