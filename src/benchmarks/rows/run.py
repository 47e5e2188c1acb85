"""A whole tracked run, from the command to the prompt, against Keras `fit` with autologging."""

from src.benchmarks import commands, images
from src.benchmarks.bench import Bench, Row
from src.benchmarks.commands import CommandFailed, python, train
from src.benchmarks.result import Figure, Line, Target, compare_losses
from src.benchmarks.rounds import interleave

EPOCHS = 3
ROUNDS = 3
SAME_TRAINING = 0.05  # relative: orders of the rows and the split differ


def _measure(bench: Bench) -> list[Line]:
    rows = 6_000 if bench.settings.quick else images.ALL
    outputs = bench.work / "run"
    harness = train(
        *images.overrides(bench.work, rows),
        "model=mlp",
        "model.hidden=[128]",
        "optimizer=sgd",
        f"epochs={EPOCHS}",
        f"outputs={outputs}",
    )
    read = (
        images.folder() if rows == images.ALL and images.real() else images.file(bench.work, rows)
    )
    keras = python(
        "-m", "src.benchmarks.scripts.keras_run", str(read), str(outputs / "keras"), str(EPOCHS)
    )
    losses = {"harness": 0.0, "keras": 0.0}

    def run_harness() -> float:
        done = commands.run(harness)
        summary = commands.summary(commands.newest(outputs, "runs/*"))
        losses["harness"] = summary["metrics"]["train/loss"]
        if "undelivered" in done.output:
            raise CommandFailed("a run left its record undelivered, so it didn't do all its work")
        return done.seconds

    def run_keras() -> float:
        done = commands.run(keras)
        losses["keras"] = commands.last_json(done)["loss"]
        return done.seconds

    turns = {"harness": run_harness, "keras": run_keras}
    if not bench.settings.quick:
        bench.say("whole run: once without the clock, so that stores and caches are there")
        for turn in turns.values():
            turn()
    samples = interleave(
        turns, bench.settings.rounds(ROUNDS), lambda text: bench.say(f"whole run: {text}")
    )
    check, same = compare_losses(losses["harness"], losses["keras"], SAME_TRAINING)
    return [
        Line(
            f"whole tracked run, Fashion-MNIST MLP, {EPOCHS} epochs",
            Figure.of(samples["harness"], "s"),
            peer="Keras fit + mlflow.keras.autolog",
            theirs=Figure.of(samples["keras"], "s"),
            target=Target("<=", 0.5),
            check=check,
            same=same,
        )
    ]


ROW = Row("run", "A whole tracked run", _measure)
