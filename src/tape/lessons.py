"""What `tf.GradientTape` records and what it answers: each lesson is a few lines that run.

`python -m src.gradients` shows a lesson's own source with the values it returned.
"""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import tensorflow as tf

Lesson = Callable[[], dict[str, Any]]
WIDTH = 80  # columns of the terminal that every line fits


def watch() -> dict[str, Any]:
    """The derivative of x^2 at x = 3 is 2x = 6. A constant is followed only if it is watched."""
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
    derivative = tape.gradient(y, x)

    with tf.GradientTape() as tape:
        y = x * x
    unwatched = tape.gradient(y, x)
    return {"derivative": derivative, "unwatched": unwatched}


def asked_twice() -> dict[str, Any]:
    """A tape answers once: it lets go of what it recorded as soon as it has answered."""
    x = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        y = x * x
    first = tape.gradient(y, x)
    try:
        second = tape.gradient(y, x)
    except RuntimeError as error:
        second = error
    return {"first": first, "second": second}


def persistent() -> dict[str, Any]:
    """A persistent tape answers as often as it is asked, and keeps its memory until deleted."""
    x = tf.Variable(3.0)
    with tf.GradientTape(persistent=True) as tape:
        y = x * x
        z = y * y
    dy_dx = tape.gradient(y, x)  # 2x
    dz_dx = tape.gradient(z, x)  # 4x^3
    del tape
    return {"dy_dx": dy_dx, "dz_dx": dz_dx}


def watch_accessed_variables() -> dict[str, Any]:
    """A tape follows every trainable variable it meets; told not to, only what it is asked to."""
    a, b = tf.Variable(2.0, name="a"), tf.Variable(5.0, name="b")
    frozen = tf.Variable(7.0, name="frozen", trainable=False)
    with tf.GradientTape() as tape:
        y = a * b * frozen
    followed = [variable.name for variable in tape.watched_variables()]
    gradients = tape.gradient(y, [a, b, frozen])

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(a)
        y = a * b * frozen
    only_a_followed = [variable.name for variable in tape.watched_variables()]
    only_a_gradients = tape.gradient(y, [a, b, frozen])
    return {
        "followed": followed,
        "gradients": gradients,
        "only_a_followed": only_a_followed,
        "only_a_gradients": only_a_gradients,
    }


def order_of_sources() -> dict[str, Any]:
    """The gradients come in the order, and in the structure, of the sources they are asked for."""
    a, b = tf.Variable(2.0), tf.Variable(5.0)
    with tf.GradientTape(persistent=True) as tape:
        y = a * a * b
    a_then_b = tape.gradient(y, [a, b])  # 2ab, a^2
    b_then_a = tape.gradient(y, [b, a])
    by_name = tape.gradient(y, {"a": a, "b": b})
    return {"a_then_b": a_then_b, "b_then_a": b_then_a, "by_name": by_name}


LESSONS: tuple[Lesson, ...] = (
    watch,
    asked_twice,
    persistent,
    watch_accessed_variables,
    order_of_sources,
)


def show(number: int, lesson: Lesson) -> str:
    """Run a lesson: its heading, its code and what that computed, no line wider than `WIDTH`."""
    heading = f"{number}. {inspect.getdoc(lesson)}"
    values = lesson()
    width = max(map(len, values))
    results = [
        textwrap.fill(
            f"{name:<{width}} = {describe(value)}", WIDTH, subsequent_indent=" " * (width + 3)
        )
        for name, value in values.items()
    ]
    return "\n".join(
        [textwrap.fill(heading, WIDTH), "", textwrap.indent(code(lesson), "    "), "", *results]
    )


def code(lesson: Lesson) -> str:
    """The lines of a lesson between its docstring and its return."""
    lines = textwrap.dedent(inspect.getsource(lesson)).splitlines()
    end = next(number for number, line in enumerate(lines) if line.startswith("    return "))
    return textwrap.dedent("\n".join(lines[2:end]))


def describe(value: Any) -> str:
    """A value as a person writes it: the number in a tensor, what an error says."""
    if isinstance(value, list):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {describe(item)}' for key, item in value.items())}}}"
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {value}"
    return str(value.numpy()) if tf.is_tensor(value) else repr(value)
