"""Gradients: `python -m src.gradients [overrides]`.

Without arguments: lessons on `tf.GradientTape`, each with what it computes.
With any override, such as model=cnn: the model, loss and step that the
configuration composes; their gradients are compared with finite differences.
"""

import argparse
import sys
import textwrap
from collections.abc import Sequence

from src import config, startup
from src.commands import exit_code
from src.compose import CONFIGURATION, compose
from src.errors import EXIT_FAILED
from src.groups import Group
from src.job import load_data
from src.tape import settings

OWN_KEYS = ("tolerance", "check")  # of conf/gradients.yaml; all others are conf/config.yaml's


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the lessons, or check what the overrides compose; returns the exit code."""
    overrides = _parse(arguments)
    return exit_code(lambda: check(overrides) if overrides else teach())


def teach() -> int:
    """Show each lesson with the values it computes."""
    startup.import_tensorflow()
    from src.tape.lessons import LESSONS, show  # needs TensorFlow

    print("\n\n".join(show(number, lesson) for number, lesson in enumerate(LESSONS, start=1)))
    return 0


def check(overrides: Sequence[str]) -> int:
    """Compare gradients with finite differences; 1 where one is further off than the tolerance.

    Raises:
        UserError: naming the key, before TensorFlow is imported where that is possible.
    """
    own = [override for override in overrides if _key(override).split(".")[0] in OWN_KEYS]
    chosen = settings.validate(compose("gradients", own))
    configuration = config.validate(
        compose("config", [override for override in overrides if override not in own])
    )
    dataset, _ = load_data(configuration)
    startup.import_tensorflow()
    from src.tape import check as gradient_check  # this room needs TensorFlow
    from src.tape import precision, subject, table

    with precision.precision(chosen.check.dtype):
        checked = subject.prepare(configuration, dataset, chosen.check)
        print(_what_is_checked(configuration, chosen.check, len(checked.x)), end="\n\n", flush=True)
        rows = gradient_check.run(
            checked, chosen.check.entries, configuration.seed, chosen.tolerance
        )
        casts = checked.casts()
    if table.show(rows, chosen.tolerance):
        return 0
    _explain(chosen.check, casts)
    return EXIT_FAILED


def _explain(check: settings.Check, casts: Sequence[str]) -> None:
    """Say what else than a wrong gradient may be behind a difference."""
    if casts:
        print(
            f"Part of the loss is not computed in {check.dtype} (operation {casts[0]}).\n"
            "If it depends on weights, try check.dtype=float32 tolerance=0.1 instead."
        )
    if check.gradient == "step":
        print(
            "check.gradient=loss checks the model and the loss alone: where that agrees, the\n"
            "step's own rule makes the difference, by mistake or on purpose."
        )


def _parse(arguments: Sequence[str] | None) -> list[str]:
    parser = argparse.ArgumentParser(
        prog="python -m src.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Exit codes: 0 the gradients agree, 1 they differ, 2 the input was wrong.\n\n"
        + (CONFIGURATION / "gradients.yaml").read_text(encoding="utf-8"),
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for src.train")
    return parser.parse_args(arguments).overrides


def _key(override: str) -> str:
    return override.partition("=")[0]


def _what_is_checked(configuration: config.Config, check: settings.Check, rows: int) -> str:
    model, step = (_class_name(group) for group in (configuration.model, configuration.step))
    what = (
        f"the gradients that {step} hands to its optimizer, against the loss it minimises,"
        if check.gradient == "step"
        else "the tape's gradients of the loss, against the loss"
    )
    return textwrap.fill(
        f"{model} on {rows} rows in {check.dtype}: {what} by central finite differences. The "
        "weights are the initial ones with a little noise, the model is in training mode, and "
        "every evaluation starts from the same state, so that dropout masks stay the same.",
        80,
    )


def _class_name(group: Group) -> str:
    return group.target.rpartition(".")[2]


if __name__ == "__main__":
    sys.exit(main())
