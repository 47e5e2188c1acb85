"""Effects: `python -m src.effects [overrides]`.

Trains each kind of step of conf/effects.yaml under the same budget, over several
seeds, and prints what it made of the model: a Markdown table of accuracy,
calibration, robust accuracy and sharpness.
"""

import argparse
import sys
from collections.abc import Sequence
from statistics import mean, stdev
from typing import TYPE_CHECKING

from src import job, startup
from src.commands import exit_code
from src.compose import CONFIGURATION, compose
from src.errors import EXIT_FAILED, CannotFuse, UserError
from src.measures import settings

if TYPE_CHECKING:
    from src.measures.effects import Effects

OWN_KEYS = ("seeds", "kinds", "keys", "measure")  # of conf/effects.yaml; the rest is training's
TAKEN = ("step", "seed", "resume", "eager", "debug")
HEADINGS = ("step", "test accuracy", "calibration error", "robust accuracy", "sharpness")


class RunFailed(Exception):
    """A run that was to be measured ended without a best epoch; the message says why."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure and print the table; returns the exit code."""

    def work() -> int:
        try:
            return compare(_parse(arguments))
        except RunFailed as error:
            print(f"failed: {error}", file=sys.stderr)
            return EXIT_FAILED

    return exit_code(work)


def compare(overrides: Sequence[str]) -> int:
    """Print a row for each kind of step.

    Raises:
        UserError: naming the key that is wrong, before anything is trained.
    """
    own = [override for override in overrides if _key(override) in OWN_KEYS]
    others = [override for override in overrides if override not in own]
    for override in others:
        if _key(override) in TAKEN:
            raise UserError(
                f"{override}: the kinds of step are compared; see the keys kinds, seeds"
            )
    chosen = settings.validate(compose("effects", own))
    prepared = {
        name: [_job(others, name, chosen.keys.get(name, {}), seed) for seed in chosen.seeds]
        for name in chosen.kinds
    }
    lines = [HEADINGS, ("---",) + ("---:",) * (len(HEADINGS) - 1)]
    for name, jobs in prepared.items():
        print(f"step={name}, seeds {', '.join(map(str, chosen.seeds))}", flush=True)
        lines.append((name, *_figures(_measured(jobs, chosen.measure))))
    print()
    for line in lines:
        print(f"| {' | '.join(line)} |")
    return 0


def _job(overrides: Sequence[str], name: str, keys: dict[str, object], seed: int) -> job.Job:
    values = {key: "null" if value is None else value for key, value in keys.items()}
    own = [
        f"step={name}",
        f"seed={seed}",
        *(f"step.{key}={value}" for key, value in values.items()),
    ]
    given = ["tracking=none", "tracking.artifacts=none", *overrides, *own]
    return job.prepare(compose("config", given), given)


def _measured(jobs: Sequence[job.Job], how: settings.Measure) -> list["Effects"]:
    """Train the jobs, side by side where they can be, and measure each run's best weights."""
    config = jobs[0].config
    dataset, factors = job.load_data(config)
    startup.import_tensorflow()
    from src import training  # these need TensorFlow
    from src.build import build
    from src.engine import state
    from src.measures.effects import measure

    try:
        runs = training.train(jobs, dataset, factors[:, None].repeat(len(jobs), 1), None)
    except CannotFuse:
        runs = [training.train([each], dataset, factors[:, None], None)[0] for each in jobs]
    found = []
    for run in runs:
        if run.best is None or run.status != "FINISHED":
            raise RunFailed(f"{config.step.target}: {run.reason}")
        step = build(config, dataset, config.seed)
        state.restore(step, run.best.state)
        found.append(measure(step, dataset, config.data.evaluation_batch_size, how))
    return found


def _figures(effects: Sequence["Effects"]) -> list[str]:
    """Mean and deviation of each figure, in the order of the headings."""
    columns = zip(*(vars(each).values() for each in effects), strict=True)
    return [
        f"{mean(values):.3g}" + (f" +- {stdev(values):.1g}" if len(values) > 1 else "")
        for values in columns
    ]


def _parse(arguments: Sequence[str] | None) -> list[str]:
    parser = argparse.ArgumentParser(
        prog="python -m src.effects",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 done, 1 a run failed, 2 the input was wrong.\n\n"
        + (CONFIGURATION / "effects.yaml").read_text(encoding="utf-8"),
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for src.train")
    return list(parser.parse_args(arguments).overrides)


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].split(".")[0]


if __name__ == "__main__":
    sys.exit(main())
