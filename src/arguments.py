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
        if choices and any(_is_no_name(part) for part in value.split(",")):
            raise UserError(f"{argument}: choose from {', '.join(choices)}")


def _is_no_name(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in ("true", "false", "null")
    return True
