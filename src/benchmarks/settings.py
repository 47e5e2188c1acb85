"""The command line of the benchmark: `key=value` words, as `src.train` has them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from src import commands
from src.errors import UserError

KEYS = {"rows": "all", "quick": "false", "outputs": "outputs"}


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Attributes:
        rows: names, in the order of the table.
        quick: small sizes and one round: shows that all works, measures nothing worth telling.
        outputs: absolute; the results go into its folder `benchmarks`.
    """

    rows: tuple[str, ...]
    quick: bool
    outputs: Path

    def rounds(self, full: int) -> int:
        """How often something is measured that a whole benchmark measures `full` times."""
        return 1 if self.quick else full


def parse(words: Sequence[str], known: Collection[str]) -> Settings:
    """Read the command's words; `known` are the rows there are, in the order of the table.

    Raises:
        UserError: naming the word that is wrong.
    """
    values, _ = commands.parse(words, KEYS)
    quick = values["quick"].lower()
    if quick not in ("true", "false"):
        raise UserError(f"quick={values['quick']}: allowed are true and false")
    names = [name.strip() for name in values["rows"].strip("[]").split(",")]
    for name in names:
        if name not in known and name != "all":
            raise UserError(f"rows={name}: there is no such row; there are {', '.join(known)}")
    chosen = [name for name in known if "all" in names or name in names]
    return Settings(tuple(chosen), quick == "true", commands.path(values["outputs"]))
