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
SHOWN = 25  # lines of the table


@contextlib.contextmanager
def profiled(
    program: Program, folder: Path, calls: int, say: Callable[[str], None] = print
) -> Iterator[None]:
    """Within it, `calls` calls of the program after the first, which compiles, are traced.

    Args:
        program: what is called.
        folder: of the run; the trace and the table go into its folder `profile`.
        calls: how many; 0 for none at all.
        say: told where the trace is.
    """
    if not calls:
        yield
        return
    run, made, goes_on = program.run, 0, False

    def traced_run(start: int, rates: np.ndarray, active: np.ndarray) -> np.ndarray:
        nonlocal made, goes_on
        if made == 1:
            tf.profiler.experimental.start(str(folder / FOLDER))
            goes_on = True
        with tf.profiler.experimental.Trace("call", step_num=made):
            losses = run(start, rates, active)
        made += 1
        if made == 1 + calls:
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
    if made < 2:
        say("There was only one call of the program, which compiles it: nothing was traced.")
        return
    table = folder / FOLDER / TABLE
    table.write_text(_table(folder / FOLDER), encoding="utf-8")
    traced = min(made - 1, calls)
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
