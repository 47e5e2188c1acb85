"""How long the first update, the help and a mistake take to appear."""

import compileall
from collections.abc import Callable
from functools import partial

from src.benchmarks import commands
from src.benchmarks.bench import Bench, Row
from src.benchmarks.commands import ROOT, python, train
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rounds import interleave

IMPORT = "import os, tensorflow; os._exit(0)"
WITHOUT_TENSORFLOW = 0.8  # seconds
HYDRA_ERROR = 1  # its exit code for a wrong key


def _first_update(bench: Bench) -> list[Line]:
    _compile_bytecode()
    data = ["data=random"] if bench.settings.quick else ["data=random", "data=digits"]

    def import_tensorflow() -> float:
        return commands.run(python("-c", IMPORT)).seconds

    def first_update(chosen: str) -> float:
        outputs = bench.work / "first_update"
        done = commands.run(train(chosen, "epochs=1", f"outputs={outputs}"))
        run = commands.newest(outputs, "runs/*")
        return commands.moments(run, "updates")[0] - done.began

    turns: dict[str, Callable[[], float]] = {"import": import_tensorflow}
    turns |= {chosen: partial(first_update, chosen) for chosen in data}
    samples = interleave(
        turns, bench.settings.rounds(5), lambda text: bench.say(f"first update: {text}")
    )
    allowed = Figure.of([1.3 * seconds + 1 for seconds in samples["import"]], "s")
    return [
        Line("import tensorflow, nothing else", Figure.of(samples["import"], "s")),
        *(
            Line(
                f"time to the first update, {chosen}",
                Figure.of(samples[chosen], "s"),
                peer="1.3 x import tensorflow + 1 s",
                theirs=allowed,
                target=Target("<=", 1),
            )
            for chosen in data
        ),
    ]


def _help(bench: Bench) -> list[Line]:
    _compile_bytecode()
    turns = {
        "--help": lambda: commands.run(train("--help")).seconds,
        "a wrong key": lambda: commands.run(train("optimizer.lr=1"), expected=HYDRA_ERROR).seconds,
        "a wrong value": lambda: commands.run(train("data.batch_size=0"), expected=2).seconds,
    }
    samples = interleave(turns, bench.settings.rounds(5), lambda text: bench.say(f"help: {text}"))
    return [
        Line(what, Figure.of(seconds, "s"), target=Target("<=", WITHOUT_TENSORFLOW))
        for what, seconds in samples.items()
    ]


def _compile_bytecode() -> None:
    """As `make setup` does it: Python itself may be told not to write bytecode."""
    compileall.compile_dir(ROOT / "src", quiet=2)


FIRST_UPDATE = Row("first_update", "Time to the first update", _first_update)
HELP = Row("help", "Help and mistakes", _help)
