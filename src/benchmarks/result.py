"""What a measurement says: figures with their spread, the target beside them, the checks."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One quantity, measured once a round."""

    samples: tuple[float, ...]
    unit: str

    @classmethod
    def of(cls, samples: Sequence[float], unit: str) -> "Figure":
        """A figure of at least one sample."""
        if not samples:
            raise ValueError("a figure needs a sample")
        return cls(tuple(float(sample) for sample in samples), unit)

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """The smallest sample."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The largest sample."""
        return max(self.samples)

    def over(self, other: "Figure") -> "Figure":
        """The ratio to another figure, round by round."""
        pairs = zip(self.samples, other.samples, strict=True)
        return Figure(tuple(own / others for own, others in pairs), "x")


@dataclass(frozen=True)
class Target:
    """What the median of a figure must reach, in the figure's own unit."""

    relation: Literal[">=", "<="]
    value: float

    def met(self, figure: Figure) -> bool:
        """Whether the median reaches it."""
        if self.relation == ">=":
            return figure.median >= self.value
        return figure.median <= self.value


@dataclass
class Line:
    """One line of the table: this harness against one peer, or on its own.

    Attributes:
        what: the work.
        ours: this harness' figure.
        peer: whom it is compared with; empty when it stands alone.
        theirs: the peer's figure.
        judged: what the target speaks of: the ratio, or `ours` when there is no peer.
        target: None for a line that is there to be read.
        check: what shows that both did the same work, such as their losses.
        same: False when that check failed, which makes the line worthless.
        alternatives: names a group of lines of which one has to reach its target.
    """

    what: str
    ours: Figure
    peer: str = ""
    theirs: Figure | None = None
    judged: Figure = field(init=False)
    target: Target | None = None
    check: str = ""
    same: bool = True
    alternatives: str = ""

    def __post_init__(self) -> None:
        self.judged = self.ours if self.theirs is None else self.ours.over(self.theirs)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none, or the work was not the same."""
        if self.target is None or not self.same:
            return None
        return self.target.met(self.judged)


@dataclass
class Result:
    """What became of a row: lines, or the reason why there are none."""

    name: str
    title: str
    lines: list[Line] = field(default_factory=list)
    skipped: str = ""
    failed: str = ""
    seconds: float = 0.0

    def reached(self, line: Line) -> bool | None:
        """Whether a line's target is reached, by itself or by its alternatives."""
        if line.reached is False and line.alternatives:
            group = [each for each in self.lines if each.alternatives == line.alternatives]
            return any(each.reached for each in group)
        return line.reached


def compare_losses(ours: float, theirs: float, tolerance: float) -> tuple[str, bool]:
    """The losses in words, and whether they differ by no more than `tolerance` of ours."""
    same = abs(theirs - ours) <= tolerance * abs(ours)
    sign = "" if same else f", NOT the same within {tolerance:.1%}"
    return f"loss {ours:.4f}, peer {theirs:.4f}{sign}", same
