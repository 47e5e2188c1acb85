"""The command lines of the entries that Hydra does not run: words like KEY=VALUE, exit codes."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    """Run a command of words KEY=VALUE, or print its help; its exit code (see `src.errors`)."""

    def work() -> int:
        if {"--help", "-h"} & set(words):
            print(help_text.strip())
            return 0
        return command(words)

    return exit_code(work)


def exit_code(work: Callable[[], int], interrupted: str = "") -> int:
    """Run a command's work: what it returns, or the code of what it raises (see `src.errors`).

    Args:
        work: to be run.
        interrupted: what to say after Ctrl-C.
    """
    try:
        code = work()
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
        if interrupted:
            print(f"\n{interrupted}", file=sys.stderr)
        return EXIT_INTERRUPTED


@dataclass(frozen=True)
class Setting:
    """A key of a command that also takes folders.

    Args:
        text: what it does, for the help.
        default: its value where it is not given.
        kind: what its values must be.
    """

    text: str
    default: str = ""
    kind: Literal["text", "flag", "seconds"] = "text"


def folders_and_settings(
    module: str,
    description: str | None,
    settings: Mapping[str, Setting],
    codes: str,
    words: Sequence[str] | None,
) -> tuple[list[str], dict[str, str]]:
    """Read the words of a command that takes folders, or runs' ids, and settings KEY=VALUE.

    Args:
        module: the command's name after `python -m`.
        description: for the help.
        settings: its keys.
        codes: the exit codes, for the help.
        words: of the command line; None: this process's.

    Returns:
        The folders and ids, and the value of every setting.

    Raises:
        UserError: an unknown key, or a value that its kind does not allow.
    """
    lines = "\n".join(f"  {key}=...  {setting.text}" for key, setting in settings.items())
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        epilog=f"settings:\n{lines}\n\nExit codes: {codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="FOLDER or key=value")
    names: list[str] = []
    values = {key: setting.default for key, setting in settings.items()}
    for word in parser.parse_args(words).words:
        key, equals, value = word.partition("=")
        if equals and key in settings:
            values[key] = value
        elif equals and not Path(word).exists() and "/" not in key:
            raise UserError(f"unknown setting {key!r}: allowed are {', '.join(settings)}")
        else:
            names.append(word)
    for key, setting in settings.items():
        if setting.kind == "flag" and values[key] not in ("true", "false"):
            raise UserError(f"{key}={values[key]}: allowed are true and false")
        if setting.kind == "seconds":
            _check_seconds(key, values[key])
    return names, values


def _check_seconds(key: str, value: str) -> None:
    try:
        positive = float(value) > 0  # nan is no time either
    except ValueError:
        positive = False
    if not positive:
        raise UserError(f"{key}={value}: give seconds, more than 0")
