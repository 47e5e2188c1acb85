"""From a `_target_` in the configuration to the object it names, with errors a user can act on.

Hydra's own `instantiate` reports a misspelt argument as a chain of tracebacks from inside the
constructor. Here the arguments are held against the callable's signature and annotations first.
"""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from src.errors import UserError

VAGUE = ", unable to interpret input"  # says no more than what stands before it


def locate(dotted: str, key: str) -> Callable[..., Any]:
    """Import the class or function named by `dotted`, for example `keras.optimizers.SGD`.

    Raises:
        UserError: naming `key`, when a module or a name in it does not exist.
    """
    parts = dotted.split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise UserError(f"{key}={dotted}: give it as module.name, for example my_models.Model")
    for length in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (
                module_name == error.name or module_name.startswith(f"{error.name}.")
            ):
                continue
            raise UserError(f"{key}={dotted}: importing it failed: {error}") from error
        except Exception as error:
            raise UserError(f"{key}={dotted}: importing it failed: {_one_line(error)}") from error
        for position, name in enumerate(parts[length:], start=length):
            if not hasattr(found, name):
                where = ".".join(parts[:position])
                hint = suggest(name, (n for n in dir(found) if not n.startswith("_")))
                raise UserError(f"{key}={dotted}: {where} has no {name!r}{hint}")
            found = getattr(found, name)
        if not callable(found):
            raise UserError(f"{key}={dotted}: it is not a class or a function")
        return found
    raise UserError(f"{key}={dotted}: no module named {parts[0]!r}; is its folder on PYTHONPATH?")


def call(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    key: str,
    offered: Mapping[str, Any] | None = None,
) -> Any:
    """Call `function` with the configured `arguments`, each checked against its annotation.

    Of `offered` (what only the running program knows, such as `num_classes`) those are added that
    the signature names and the configuration leaves open.

    Raises:
        UserError: naming `key.argument` and what is allowed.
    """
    values = bind(function, arguments, key=key, offered=offered)
    try:
        return function(**values)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {_one_line(error)}") from error


def bind(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    *,
    key: str,
    offered: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The keyword arguments that `call` would pass; raises as `call` does."""
    parameters = _parameters(function)
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    values = {name: value for name, value in (offered or {}).items() if name in named}
    for name, value in arguments.items():
        if name not in named and not takes_any:
            raise UserError(
                f"{key}.{name}: {_name(function)} takes no such argument{suggest(name, named)}"
            )
        values[name] = _checked(value, _adapter(function, name), f"{key}.{name}")
    missing = [name for name, p in named.items() if p.default is p.empty and name not in values]
    if missing:
        raise UserError(f"{key}.{missing[0]}: {_name(function)} needs a value for it")
    return values


def suggest(name: str, candidates: Iterable[str]) -> str:
    """A closing clause for an error message: the nearest names, or all of a short list."""
    names = sorted(set(candidates))
    near = difflib.get_close_matches(name, names, n=3)
    if near:
        return f"; did you mean {' or '.join(near)}?"
    return f"; it has {', '.join(names)}" if 0 < len(names) <= 12 else ""


def validation_message(error: ValidationError, prefix: str = "") -> str:
    """The first complaint of a pydantic error as one line that opens with the key."""
    first, *others = error.errors(include_url=False)
    location = _location(first["loc"])
    name = ".".join(part for part in (prefix, location) if part)
    message = first["msg"].removeprefix("Value error, ")
    should = "Input should be "
    if message.startswith(should):  # of a union there is a complaint for each of its types
        same = [each["msg"] for each in others if _location(each["loc"]) == location]
        further = [text.removeprefix(should) for text in same if text.startswith(should)]
        message = " or ".join(
            dict.fromkeys(text.removesuffix(VAGUE) for text in (message, *further))
        )
    if first["type"] == "value_error" and message.partition("=")[0].isidentifier():
        return f"{name}.{message}"  # a rule of a whole group names the key itself
    if first["type"] in ("value_error", "missing", "extra_forbidden"):
        return f"{name}: {message}" if name else message
    return f"{name}={first['input']}: {message[0].lower()}{message[1:]}"


def _location(parts: Sequence[str | int]) -> str:
    return ".".join(str(part) or "''" for part in parts if not _is_type_tag(part))


def _is_type_tag(part: str | int) -> bool:
    """Whether pydantic put a type of a union, not a key, into an error's location."""
    tags = ("bool", "int", "float", "str", "none", "constrained-", "literal[", "list[", "function-")
    return isinstance(part, str) and (part in tags or part.startswith(tags[5:]))


def _checked(value: Any, adapter: TypeAdapter[Any] | None, key: str) -> Any:
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise UserError(validation_message(error, prefix=key)) from error


# Kept: for every job of a sweep the same are asked for, and making them takes milliseconds.
@functools.lru_cache(maxsize=256)
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


@functools.lru_cache(maxsize=1024)
def _adapter(function: Callable[..., Any], name: str) -> TypeAdapter[Any] | None:
    """What checks the argument `name`; None where any value is right."""
    annotation = _hints(function).get(name, inspect.Parameter.empty)
    if annotation is inspect.Parameter.empty and name in _parameters(function):
        annotation = _from_default(_parameters(function)[name].default, function)
    if annotation in (inspect.Parameter.empty, Any):
        return None
    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # the annotation is a type with a configuration of its own
        return TypeAdapter(annotation)


def _from_default(default: Any, function: Callable[..., Any]) -> Any:
    """What an unannotated argument may be, judged by its default: `momentum=0.0` takes a number."""
    if isinstance(default, bool):
        return bool
    if isinstance(default, int) and function.__module__.startswith("keras."):
        return int  # of steps, say; elsewhere `rate=1` may well be meant to take 0.5
    if isinstance(default, int | float):
        return float | int | None
    return inspect.Parameter.empty


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    subject = function.__init__ if inspect.isclass(function) else function
    try:
        return get_type_hints(subject, include_extras=True)
    except (NameError, TypeError, AttributeError):  # annotations that exist for a type checker only
        return {}


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", str(function))


def _one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
