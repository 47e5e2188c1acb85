"""List what is inconsistent in what training wrote, and mend it after asking.

    python -m src.doctor                      everything below outputs/
    python -m src.doctor FOLDER ...           these runs or sweeps, or their ids
    python -m src.doctor fix=true             mend without asking

Looked for: runs recorded as going on whose process is gone, undelivered or torn journals, damaged
checkpoints and records, half-claimed folders, leftovers of interrupted saves, locks that hang, runs
in MLflow's database without a folder. A run that is going on is never touched.
"""

import sys
from pathlib import Path

from src.checkup.examination import examine
from src.checkup.finding import Examination, Finding
from src.commands import Setting, exit_code, folders_and_settings
from src.errors import EXIT_FAILED, UserError
from src.tracking import late

SETTINGS = {
    "fix": Setting("true: mend everything without asking (default: false)", "false", "flag"),
    "outputs": Setting("root of all that training wrote (default: outputs)", "outputs"),
    "timeout": Setting("seconds that a delivery may take (default: 600)", "600", "seconds"),
}
CODES = "0 all is well or was mended, 1 something is not, 2 wrong input"
ROUNDS = 4  # what is mended may bring up more: a run that is closed has an end to deliver


def main(arguments: list[str] | None = None) -> int:
    """Run the command; its exit code."""

    def work() -> int:
        given = folders_and_settings("src.doctor", __doc__, SETTINGS, CODES, arguments)
        return _Visit(*given).run()

    return exit_code(work, interrupted="stopped; what was mended stays mended")


class _Visit:
    """Examine, list, ask, mend, and examine again what came of it."""

    def __init__(self, names: list[str], options: dict[str, str]) -> None:
        self.names = names
        self.outputs = Path(options["outputs"])
        self.seconds = float(options["timeout"])
        self.everything = options["fix"] == "true"  # mend without asking
        self.asks = sys.stdin.isatty() and sys.stdout.isatty()

    def run(self) -> int:
        found = self._examine()
        offered: set[tuple[Path, str]] = set()
        for _ in range(ROUNDS):
            news = [f for f in found.findings if f.mendable and f.key not in offered]
            offered |= {finding.key for finding in news}
            chosen = [finding for finding in news if self._wants(finding)]
            if not chosen:
                break
            self._mend(chosen)
            found = self._examine()
        return self._conclude(found)

    def _examine(self) -> Examination:
        return examine(self.outputs, self.names)

    def _wants(self, finding: Finding) -> bool:
        """Whether to mend it: asked of whoever sits at the terminal."""
        if self.everything or not self.asks:
            return self.everything
        try:
            print(f"{finding.name}: {finding.text}")
            answer = input(f"  {finding.remedy}? [y/N, a: all] ").strip().lower()
        except EOFError:
            self.asks = False
            return False
        self.everything = answer in ("a", "all")
        return self.everything or answer in ("y", "yes")

    def _mend(self, chosen: list[Finding]) -> None:
        for finding in chosen:
            if finding.mend is None:
                continue
            try:
                finding.mend()
                print(f"mended: {finding.name}: {finding.remedy}")
            except (OSError, UserError) as error:
                print(f"NOT mended: {finding.name}: {error}")
        delivered = [finding for finding in chosen if finding.delivers]
        if delivered:
            problems = late.deliver([finding.folder for finding in delivered], self.seconds)
            for finding in delivered:
                problem = problems.get(finding.folder)
                said = f"NOT delivered: {problem}" if problem else f"tried to {finding.remedy}"
                print(f"{finding.name}: {said}")

    def _conclude(self, found: Examination) -> int:
        for note in found.notes:
            print(f"note: {note}")
        left = found.findings
        runs = f"{found.runs} run{'s' * (found.runs != 1)}"
        for finding in left:
            way = "to mend it" if finding.mendable else "by hand"
            print(f"{finding.name}: {finding.text}\n  {way}: {finding.remedy}")
        if not left:
            print(f"{runs}, all is well")
            return 0
        hint = any(finding.mendable for finding in left) and not self.everything
        print(f"{runs}, {len(left)} to mend" + ("; fix=true does it without asking" * hint))
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
