"""The command's arguments before Hydra sees them. It imports little: `--help` waits for it."""

from collections.abc import Sequence
from pathlib import Path

from src.errors import UserError

CONFIGURATION = Path(__file__).resolve().parents[1] / "conf"


def check_overrides(arguments: Sequence[str]) -> None:
    """What Hydra answers with a traceback: no key before `=`, no name for a group's choice.

    Raises:
        UserError: naming the argument.
    """
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if argument.startswith("-") or not equals:
            continue
        if not key:
            raise UserError(f"{argument}: a key is missing before =")
        choices = sorted(path.stem for path in (CONFIGURATION / key).glob("*.yaml"))
        if choices and _holds_no_names(value):
            raise UserError(f"{argument}: choose from {', '.join(choices)}")


def _holds_no_names(value: str) -> bool:
    """Whether a choice, or one of a list of them, is something else than a name."""
    listed = value.strip().removeprefix("[").removesuffix("]")
    if any(mark in listed for mark in "[]{}"):
        return True  # a list in a list, or a mapping
    return any(_is_no_name(part.strip()) for part in listed.split(","))


def _is_no_name(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false", "null")
    return True
