"""What the gradient check shows: a table of the variables and a verdict."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from src.tape.check import Row


def show(rows: Sequence[Row], tolerance: float) -> bool:
    """Print the table and the verdict; returns whether every error is within the tolerance."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("variable", overflow="fold")
    table.add_column("shape", no_wrap=True)
    table.add_column("checked", justify="right")
    table.add_column("gradient", justify="right")
    table.add_column("error", justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        size = 1
        for length in row.shape:
            size *= length
        table.add_row(
            row.name,
            "x".join(map(str, row.shape)) or "scalar",
            f"{row.entries}/{size}",
            _gradient(row),
            f"{row.error:.1e}" if row.trained else "",
            "differs" if row.error > tolerance else "",
        )
    Console(highlight=False, markup=False).print(table)
    worst = max(rows, key=lambda row: row.error)
    agrees = worst.error <= tolerance
    print(f"\ngreatest relative error {worst.error:.1e} ({worst.name}), tolerance {tolerance:.1e}:")
    print("the gradients agree" if agrees else _difference(worst))
    return agrees


def _gradient(row: Row) -> str:
    if not row.trained:
        return "not trained"
    return f"{row.greatest:.1e}" if row.connected else "none"


def _difference(row: Row) -> str:
    assert row.worst is not None
    place = f"[{', '.join(map(str, row.index))}]" if row.index else ""
    return (
        f"the gradients differ: at {row.name}{place}\n"
        f"the tape says {row.worst.tape:.9g}, finite differences {row.worst.difference:.9g}"
    )
