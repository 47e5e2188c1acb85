"""The command line of the entries that use a recorded run: words like KEY=VALUE."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from src.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from src.targets import suggest


def parse(
    words: Sequence[str], keys: Mapping[str, str | None], groups: Sequence[str] = ()
) -> tuple[dict[str, str], list[str]]:
    """Read a command's words.

    Args:
        words: of the command line.
        keys: each with its default; None: it must be given.
        groups: configuration groups whose choice and keys may be given as well.

    Returns:
        The value of each key, and the words for the groups as they are.

    Raises:
        UserError: naming the word that is wrong, and the nearest key.
    """
    given: dict[str, str] = {}
    overrides: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if key.lstrip("+~").split(".")[0] in groups:
            if not equals:
                raise UserError(f"{key}: give it as {key}=VALUE")
            overrides.append(word)
        elif key not in keys:
            raise UserError(f"{key}: there is no such key{suggest(key, [*keys, *groups])}")
        elif not equals or not value:
            raise UserError(f"{key}: give it as {key}=VALUE")
        elif key in given:
            raise UserError(f"{key}: it is given twice; leave one of them out")
        else:
            given[key] = value
    missing = [key for key, default in keys.items() if default is None and key not in given]
    if missing:
        raise UserError(f"{missing[0]}: it is missing; give it as {missing[0]}=VALUE")
    return {key: given.get(key, default or "") for key, default in keys.items()}, overrides


def choice(values: Mapping[str, str], key: str, allowed: Sequence[str]) -> str:
    """The value of `key`, one of those allowed.

    Raises:
        UserError: it is another one.
    """
    if values[key] not in allowed:
        raise UserError(f"{key}={values[key]}: allowed are {', '.join(allowed)}")
    return values[key]


def path(text: str) -> Path:
    """A file or folder of the command line, absolute."""
    return Path(os.path.expandvars(text)).expanduser().absolute()


def enter(command: Callable[[Sequence[str]], int], words: Sequence[str], help_text: str) -> int:
    """Run a command; returns its exit code (see `src.errors`)."""
    try:
        if {"--help", "-h"} & set(words):
            print(help_text.strip())
            code = 0
        else:
            code = command(words)
        sys.stdout.flush()
        return code
    except UserError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except BrokenPipeError:  # what reads the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
