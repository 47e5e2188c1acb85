"""A trace of TensorFlow's profiler over some calls of a program.

TensorBoard with its profile plugin shows the trace; neither is needed to write it, nor to read the
table of the operations that took longest.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from src.engine.program import Program

FOLDER = "profile"
TABLE = "operations.txt"
SHOWN = 40  # lines of the table
COMPILING = 5  # calls; those of a first epoch compile, or the first so many of a long one


@contextlib.contextmanager
def profiled(
    program: Program, folder: Path, calls: int, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Within it, `calls` calls of the program are traced, after those in which it is compiled.

    Args:
        program: what is called.
        folder: of the run; the trace and the table go into its folder `profile`.
        calls: how many; 0 for none at all.
        say: told where the trace is.
    """
    if not calls:
        yield
        return
    run, made, traced, goes_on = program.run, 0, 0, False

    def traced_run(start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        nonlocal made, traced, goes_on
        if not traced and made and (start == 0 or made >= COMPILING):
            tf.profiler.experimental.start(str(folder / FOLDER))
            goes_on = True
        with tf.profiler.experimental.Trace("call", step_num=made):
            losses = run(start, rates, active)
        made += 1
        traced += goes_on
        if goes_on and traced == calls:
            tf.profiler.experimental.stop()
            goes_on = False
        return losses

    program.run = traced_run  # type: ignore[method-assign]
    try:
        yield
    finally:
        program.run = run  # type: ignore[method-assign]
        if goes_on:
            tf.profiler.experimental.stop()
    if not traced:
        say(
            "Nothing was traced: the program is compiled in the first epoch; train for more epochs."
        )
        return
    table = folder / FOLDER / TABLE
    table.write_text(_table(folder / FOLDER), encoding="utf-8")
    say(f"{traced} calls are traced in {folder / FOLDER}; what took longest stands in {table.name}")


def _table(folder: Path) -> str:
    """The names in a trace that took longest: their time in all, how often, and where."""
    spent: dict[tuple[str, str], list[int]] = {}
    for path in sorted(folder.rglob("*.xplane.pb")):
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    name = plane.event_metadata[event.metadata_id].name
                    entry = spent.setdefault((plane.name, name), [0, 0])
                    entry[0] += event.duration_ps
                    entry[1] += 1
    rows = sorted(spent.items(), key=lambda item: -item[1][0])[:SHOWN]
    lines = ["   total ms       times  where        what (with all that it calls)"]
    lines += [
        f"{time / 1e9:11.3f}  {count:10,}  {where:11}  {name}"
        for (where, name), (time, count) in rows
    ]
    return "\n".join(lines) + "\n"
