"""The results as a Markdown table that reads well in a terminal too."""

from collections.abc import Mapping, Sequence

from src.benchmarks.machine import busy
from src.benchmarks.result import Figure, Line, Result, Target

HEADINGS = ("work", "this harness", "against", "theirs", "ratio", "target", "reached")
EXPLANATION = (
    "Medians, and in brackets the smallest and largest of the rounds. "
    "A ratio is this harness' figure over the peer's, round by round."
)
SAID = {True: "yes", False: "NO", None: ""}


def render(results: Sequence[Result], machine: Mapping[str, str], quick: bool) -> str:
    """The whole report as Markdown: machine, table, what was skipped or failed, the checks."""
    parts = ["# Benchmark", "", *(f"- {name}: {value}" for name, value in machine.items()), ""]
    if quick:
        parts += ["**quick=true: small sizes and one round. These figures say nothing.**", ""]
    elif busy(dict(machine)):
        parts += ["**The machine was busy with other work when this began.**", ""]
    parts += [EXPLANATION, ""]
    parts += table([cells(each, line) for each in results for line in each.lines])
    for heading, attribute in (("Skipped", "skipped"), ("Failed", "failed")):
        found = [each for each in results if getattr(each, attribute)]
        if found:
            parts += ["", f"## {heading}", ""]
            parts += [f"- {each.name}: {getattr(each, attribute)}" for each in found]
    checks = [(line.what, line.peer, line.check) for r in results for line in r.lines if line.check]
    if checks:
        parts += ["", "## The same work", ""]
        parts += ["What this harness and the peer reached with the same number of updates.", ""]
        parts += [f"- {what}, {peer or 'alone'}: {check}" for what, peer, check in checks]
    parts += ["", "## Time taken", ""]
    parts += [f"- {each.name}: {each.seconds:.0f} s" for each in results]
    return "\n".join(parts) + "\n"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of the table, its columns aligned."""
    if not rows:
        return ["Nothing was measured."]
    everything = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(HEADINGS))]
    rule = "|".join("-" * (width + 2) for width in widths)
    drawn = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in everything]
    return [drawn[0], f"|{rule}|", *drawn[1:]]


def cells(result: Result, line: Line) -> tuple[str, ...]:
    """A line as the texts of its columns."""
    said = SAID[result.reached(line)]
    if line.reached is False and result.reached(line):
        said = "the other is"  # one of these lines suffices
    return (
        line.what,
        show(line.ours),
        line.peer,
        show(line.theirs) if line.theirs else "",
        show(line.judged) if line.theirs else "",
        show_target(line.target, line.judged.unit) if line.target else "",
        said if line.same else "NOT THE SAME WORK",
    )


def show(figure: Figure) -> str:
    """The median, with the spread where there were several rounds."""
    unit = "x" if figure.unit == "x" else f" {figure.unit}"
    if len(figure.samples) == 1:
        return f"{number(figure.median)}{unit}"
    return f"{number(figure.median)}{unit} ({number(figure.low)} .. {number(figure.high)})"


def show_target(target: Target, unit: str) -> str:
    """What has to be reached."""
    return f"{target.relation} {number(target.value)}{'x' if unit == 'x' else f' {unit}'}"


def number(value: float) -> str:
    """Three significant digits, thousands with commas."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
