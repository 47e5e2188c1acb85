"""Measure this harness on your own machine: `python -m src.benchmark [rows=...] [quick=true]`.

One story: choose the rows, measure each, write the table and the picture. What is measured stands
in `src/benchmarks/rows`.
"""

import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path

from src import naming
from src.benchmarks import machine, picture, table
from src.benchmarks.bench import Bench, Row, Skipped
from src.benchmarks.peer_process import Peers
from src.benchmarks.result import Result
from src.benchmarks.rows import ROWS
from src.benchmarks.settings import Settings, parse
from src.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER_ERROR, UserError
from src.preflight import check_outputs

HELP = """\
Measures this harness beside other ways to do the same, on this machine: about ten minutes when
nothing else runs on it. The figures are ratios with their spread, the targets beside them.

  python -m src.benchmark                          everything
  python -m src.benchmark rows=updates_mlp,help    some rows
  python -m src.benchmark quick=true               small sizes, one round: does it all work?

  rows=NAME,...   default all
  quick=true      default false
  outputs=DIR     the table, the numbers and the picture go to DIR/benchmarks/ID; default outputs

JAX is measured too where it is installed (pip install jax).

Rows:
"""


def main(words: list[str]) -> int:
    """Run the command; returns its exit code. A target that is not reached is no failure."""
    if {"--help", "-h"} & set(words):
        names = "\n".join(f"  {row.name:<15} {row.title}" for row in ROWS.values())
        print(f"{HELP}{names}")
        return 0
    try:
        settings = parse(words, ROWS)
        check_outputs(str(settings.outputs))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    folder = settings.outputs / "benchmarks" / naming.new_id()
    folder.mkdir(parents=True)
    try:
        return _benchmark(settings, folder)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        shutil.rmtree(folder / "work", ignore_errors=True)


def _benchmark(settings: Settings, folder: Path) -> int:
    surroundings = machine.describe()
    results: list[Result] = []
    with Peers(folder / "work") as peers:
        bench = Bench(settings, folder / "work", peers, _say)
        for name in settings.rows:
            results.append(_measure(ROWS[name], bench))
            _write(folder, results, surroundings, settings)  # after each: nothing measured is lost
    print("\n" + table.render(results, surroundings, settings.quick))
    if picture.draw(results, folder / "benchmark.png"):
        print(f"picture  {folder / 'benchmark.png'}")
    print(f"table    {folder / 'benchmark.md'}\nnumbers  {folder / 'benchmark.json'}")
    return EXIT_FAILED if any(result.failed for result in results) else 0


def _measure(row: Row, bench: Bench) -> Result:
    result = Result(row.name, row.title)
    began = time.perf_counter()
    _say(f"== {row.name}: {row.title}")
    try:
        result.lines = row.measure(bench)
    except Skipped as reason:
        result.skipped = str(reason)
    except Exception as error:  # the other rows are still worth measuring
        result.failed = f"{type(error).__name__}: {error}"
    result.seconds = time.perf_counter() - began
    if result.skipped or result.failed:
        _say(result.skipped or f"failed: {result.failed}")
    for line in result.lines:
        _say("   " + "  ".join(cell for cell in table.cells(result, line) if cell))
    return result


def _write(
    folder: Path, results: list[Result], surroundings: dict[str, str], settings: Settings
) -> None:
    text = table.render(results, surroundings, settings.quick)
    (folder / "benchmark.md").write_text(text, encoding="utf-8")
    content = {
        "machine": surroundings,
        "quick": settings.quick,
        "rows": [
            dataclasses.asdict(result)
            | {
                "lines": [
                    dataclasses.asdict(line) | {"reached": result.reached(line)}
                    for line in result.lines
                ]
            }
            for result in results
        ],
    }
    path = folder / "benchmark.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
