"""Something inconsistent in what runs wrote, and how it is mended."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One inconsistency.

    folder: of the run it is about, or of the database.
    kind: with `folder` it tells findings apart.
    name: what to call the folder.
    text: what is wrong.
    remedy: what mending does; what a person has to do where it can't be mended.
    mend: does it. Raises OSError, UserError. None: a delivery, or nothing a program can do.
    delivers: it is mended by delivering the folder, together with others.
    """

    folder: Path
    kind: str
    name: str
    text: str
    remedy: str
    mend: Callable[[], object] | None = field(default=None, compare=False)
    delivers: bool = False

    @property
    def key(self) -> tuple[Path, str]:
        """The same for the same finding of a later examination."""
        return self.folder, self.kind

    @property
    def mendable(self) -> bool:
        """Whether a program can mend it."""
        return self.mend is not None or self.delivers


@dataclass
class Examination:
    """What was found in `runs` runs. notes: what is no fault, but good to know."""

    runs: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
