"""The result table of a sweep: as CSV, Markdown and HTML, the best job first."""

import csv
import html
import io
import math
from pathlib import Path
from typing import Any

Results = dict[str, Any]


def ranked(results: Results) -> list[dict[str, Any]]:
    """Rows by objective, the best first; those without one last, by number."""
    sign = -1.0 if results.get("direction") == "max" else 1.0

    def rank(row: dict[str, Any]) -> tuple[bool, float, int]:
        value, number = row.get("objective"), int(row.get("number", 0))
        if not isinstance(value, int | float) or math.isnan(value):
            return True, 0.0, number
        return False, sign * value, number

    return sorted(results.get("rows", []), key=rank)


def table(results: Results) -> tuple[list[str], list[list[Any]]]:
    """(titles, rows) of the values as they are."""
    rows = ranked(results)
    keys = results.get("keys", [])
    objective = results.get("objective", "objective")
    metrics = sorted({key for row in rows for key in row.get("metrics") or {}})
    # The objective is the best over the epochs, the metric of the same name the last.
    titles = ["job", "name", "status", *keys, f"best {objective}", *metrics]
    body = [
        [
            row.get("number"),
            row.get("name", ""),
            row.get("status", ""),
            *((row.get("values") or {}).get(key) for key in keys),
            row.get("objective"),
            *((row.get("metrics") or {}).get(key) for key in metrics),
        ]
        for row in rows
    ]
    return titles, body


def markdown(results: Results) -> str:
    """A Markdown table."""
    titles, body = table(results)
    lines = [titles, ["---"] * len(titles), *([_text(cell) for cell in row] for row in body)]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def write(results: Results, folder: Path) -> list[Path]:
    """Write table.csv, table.md and table.html into `folder`; their paths."""
    titles, body = table(results)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(body)
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in row) + "</tr>"
        for row in body
    )
    page = _PAGE.format(head=head, rows=rows)
    contents = {
        "table.csv": buffer.getvalue(),
        "table.md": markdown(results) + "\n",
        "table.html": page,
    }
    paths = []
    for name, content in contents.items():
        paths.append(folder / name)
        paths[-1].write_text(content, encoding="utf-8")
    return paths


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


_PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Results of the sweep</title>
<style>
body {{ font: 14px sans-serif; margin: 1em }}
table {{ border-collapse: collapse }}
th, td {{ border: 1px solid #ccc; padding: 3px 8px; text-align: left }}
th {{ background: #f0f0f0 }}
tbody tr:first-child {{ font-weight: bold }}
</style>
<table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
"""
