"""A multirun is one parent run with a child for each job.

Hydra calls `SweepCallback` before the first job and after the last. The parent's folder
`outputs/sweeps/ID` is claimed first, the jobs write into its numbered subfolders, and one shipper
process delivers them all; it is the only writer to the store.
"""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from src import (
    crash_points,
    naming,
    preflight,
    provenance,
    ranking,
    report,
    resume,
    storage,
    strategy,
)
from src.composition import overrides_of
from src.config import Config, flatten, validate
from src.console import warn
from src.errors import EXIT_FAILED, EXIT_USER_ERROR, UserError
from src.tracking.children import run_of
from src.tracking.paths import write_json_atomically
from src.tracking.record import RunRecord
from src.tracking.shipping import ShipperProcess
from src.tracking.tracker import Tracker

RESULTS = "results.json"
INTERRUPTED = "interrupted"


class SweepCallback(Callback):
    """Opens and closes the parent run of a multirun.

    Attributes:
        current: the sweep whose jobs are running, None before and after.
        exit_code: of the multirun that has ended: 1 when a job of it failed.
    """

    current: "ClassVar[Sweep | None]" = None
    exit_code: ClassVar[int] = 0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Claim the sweep's folder before any job starts."""
        try:
            SweepCallback.current = Sweep(config)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(EXIT_USER_ERROR)  # an exception would only be logged by Hydra
        except OSError as error:
            print(f"error: {storage.described(error, Path()) or error}", file=sys.stderr)
            sys.exit(EXIT_FAILED)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Close the parent with the table of results."""
        ended, SweepCallback.current = SweepCallback.current, None
        if ended is not None:
            SweepCallback.exit_code = ended.end()


class Sweep:
    """The parent run while its jobs run."""

    def __init__(self, config: DictConfig) -> None:
        overrides = overrides_of(config.hydra)
        composed = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        self.config: Config = validate(composed)
        strategy.check_sweep(self.config)
        self.outputs = preflight.check_outputs(self.config.outputs)
        self.keys = _swept_keys(config, overrides)
        identifier = naming.new_id()
        self.folder = self.outputs / "sweeps" / identifier
        varies = ", ".join(self.keys) or "jobs"
        values = self.config.model_dump(by_alias=True)
        record = RunRecord(
            id=identifier,
            name=self.config.name or f"sweep of {varies}",
            kind="sweep",
            experiment=self.config.tracking.experiment,
            tracking_uri=self.config.tracking.store_uri,
            artifacts="none" if self.config.tracking.artifacts == "none" else "full",
            params={
                key: value
                for key, value in flatten(values)
                if value is not None and key not in self.keys
            },
            tags=provenance.tags(["-m", *overrides], "src.train")
            | {naming.SWEPT_KEYS: json.dumps(self.keys)},
        )
        record.claim(self.folder, resume.files(values, overrides))
        crash_points.passing("sweep.claimed")
        # Jobs are composed anew, with these overrides: so each of them knows the sweep's folder.
        with open_dict(config):
            config.hydra.sweep.dir = str(self.folder)
            config.hydra.overrides.hydra.append(f"hydra.sweep.dir={_quoted(self.folder)}")
        self.tracker = Tracker(self.folder, record, warn=warn)
        self.tracker.begin()
        self.shipper = ShipperProcess.start(record.tracking_uri) if record.tracking_uri else None
        if self.shipper is not None:
            self.shipper.prepare()
            self.shipper.ship(self.folder)
            self.shipper.watch(self.folder)
        print(f"sweep {identifier} over {varies}", flush=True)

    def end(self, cut_short: str | None = None) -> int:
        """Gather the children's results, close the record and show the table; the exit code.

        cut_short: why the sweep was left before its end; `INTERRUPTED`: by the user.
        """
        results = gather(self.folder, self.keys, self.config.objective)
        rows = results["rows"]
        failed = [row for row in rows if row["status"] != "FINISHED"]
        if not rows and cut_short is None:
            cut_short = "the command gives no jobs"
            print(f"error: {cut_short}", file=sys.stderr)
        code = EXIT_FAILED if failed or cut_short else 0
        try:
            self._record_end(results, len(failed), cut_short)
        except OSError as error:
            full = storage.described(error, self.folder) or error
            print(f"error: the sweep's end could not be recorded: {full}", file=sys.stderr)
            code = EXIT_FAILED
        finally:
            self.tracker.close()
        delivery = self.shipper.finish(self.config.tracking.wait_seconds) if self.shipper else None
        if rows:
            report.show_sweep(results, self.folder, self.outputs, delivery)
        return code

    def _record_end(self, results: dict[str, Any], failed: int, cut_short: str | None) -> None:
        write_json_atomically(self.tracker.artifact_path(RESULTS), results)
        crash_points.passing("sweep.results")
        self.tracker.artifact(RESULTS)
        rows = len(results["rows"])
        finished = f"{rows - failed} of {rows} jobs finished"
        if cut_short:
            self.tracker.end(
                "KILLED" if cut_short == INTERRUPTED else "FAILED", f"{cut_short}; {finished}"
            )
        else:
            self.tracker.end("FAILED" if failed else "FINISHED", finished)
        crash_points.passing("sweep.ended")


def exit_code() -> int:
    """1 when a job of the multirun that just ended has failed."""
    return SweepCallback.exit_code


def abandon(reason: str) -> None:
    """Close a multirun that was left before its end."""
    ended, SweepCallback.current = SweepCallback.current, None
    if ended is not None:
        ended.end(reason)


def gather(folder: Path, keys: list[str], objective: str) -> dict[str, Any]:
    """The results of a sweep's children, from their folders."""
    rows = []
    children = (path for path in folder.iterdir() if path.name.isdigit())
    for child in sorted(children, key=lambda path: int(path.name)):
        run = run_of(child)
        if run is None:
            continue
        record, summary = RunRecord.load(run), resume.summary_of(run)
        value = summary.get("objective_value")
        # The choice of a group, such as step=sam, is no parameter: its keys are.
        chosen = naming.assignments(shlex.split(record.tags.get("overrides", "")))
        rows.append(
            {
                "number": int(child.name),
                "name": record.name,
                "status": summary.get("status", "KILLED"),
                "reason": summary.get("reason", "the process ended without closing the run"),
                "values": {key: record.params.get(key, chosen.get(key)) for key in keys},
                "objective": value if value is not None and math.isfinite(value) else None,
                "epoch": summary.get("best_epoch"),
                "metrics": summary.get("metrics", {}),
            }
        )
    return {
        "objective": objective,
        "direction": ranking.direction(objective),
        "keys": keys,
        "rows": rows,
    }


def _swept_keys(config: DictConfig, overrides: list[str]) -> list[str]:
    """The keys that vary: those with several values in the command, and the sweeper's own."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    keys = [override.key_or_group for override in parsed if override.is_sweep_override()]
    for key in config.hydra.sweeper.get("params") or {}:
        if str(key).lstrip("+") not in keys:
            keys.append(str(key).lstrip("+"))
    return keys


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
