"""One run's folder on its way into the tracking store.

delivery.json holds how far it got: {run_id, experiment_id, tracking_uri, cursor (byte offset of the
first line not yet delivered), part (values of that line that are), seq (number of the last whole
line delivered), status, run_status, error}. It advances after the store's answer, so killing this
process at any instant loses nothing and sends again at most what was on its way, which the store
knows to be the same.
"""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from src import crash_points, locks
from src.tracking import journal, limits, outstanding
from src.tracking.batch import Batch, text_batches
from src.tracking.ending import deliver_end
from src.tracking.journal import JournalDamagedError, Line
from src.tracking.mlflow_model import deliver_model
from src.tracking.paths import write_json_atomically
from src.tracking.record import FOLDER_TAG, ID_TAG, RunRecord
from src.tracking.store import Store, StoreError
from src.tracking.uploads import keep_whole, upload

LOCK_NAME = "delivery.lock"

Progress = Literal["progress", "waiting", "done"]


class FolderBusyError(Exception):
    """Another process is delivering this folder."""


class FolderDelivery:
    """Delivers one folder step by step. Raises FolderBusyError, UserError (no run there).

    tracking_uri: where to, if not where run.json says. look_for_run: the store may know this run
    although delivery.json doesn't say so (a copy, a lost file).
    """

    def __init__(
        self, folder: Path, tracking_uri: str | None = None, look_for_run: bool = True
    ) -> None:
        self.folder = folder
        self.record = RunRecord.load(folder)
        self.uri = tracking_uri or self.record.tracking_uri
        # What can't be delivered, such as a missing file: an artifact's path, or the text, to text.
        self.problems: dict[str, str] = {}
        self._journal = folder / journal.FILE_NAME
        self._lock = locks.try_lock(folder / LOCK_NAME)
        if self._lock is None:
            raise FolderBusyError(f"{folder} is being delivered by another process")
        for abandoned in folder.glob(f".{outstanding.FILE_NAME}.*"):  # by one that was killed
            abandoned.unlink(missing_ok=True)
        self._restarted = False
        self.state: dict[str, Any] = {}
        self.reload()
        self._look_for_run = look_for_run or (folder / outstanding.FILE_NAME).exists()
        self.goal = self.size()

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, None while it isn't known."""
        return self.state["run_id"]

    @property
    def reached(self) -> tuple[str | None, int, int]:
        """How far it got; grows with each step."""
        return self.run_id, self.state["cursor"], self.state["part"]

    @property
    def delivered(self) -> bool:
        """Everything the journal holds is delivered, its end included."""
        return self.state.get("status") == "delivered" and self.state["cursor"] >= self.size()

    def size(self) -> int:
        """Bytes of the journal, 0 while there is none."""
        try:
            return self._journal.stat().st_size
        except FileNotFoundError:
            return 0

    def restart(self) -> None:
        """Deliver everything again, into the run that carries this run's id if there is one."""
        self._reset()
        self.note()

    def advance(self, store: Store) -> Progress:
        """Deliver one batch of what the journal held when `goal` was set.

        Raises StoreError, JournalDamagedError, OSError (the run's own folder).
        """
        if self.delivered:
            return "done"
        if self.goal <= self.state["cursor"]:
            return "waiting"
        lines = self._lines()
        first = next(lines, None)
        if first is None or (self.run_id is None and not self._create(store)):
            return "waiting"
        return self._deliver(store, first, lines)

    def begin_anew(self) -> bool:
        """Restart because the store doesn't know the run (it was made anew); False: not again."""
        if self.run_id is None or self._restarted:
            return False
        self.restart()
        self._restarted = True
        return True

    def note(self, **changes: Any) -> None:
        """Write changes of the state to delivery.json."""
        self.state.update(changes, tracking_uri=self.uri)
        # Not flushed: after a power cut an older cursor only sends again what the store knows.
        write_json_atomically(self.folder / outstanding.FILE_NAME, self.state, durable=False)

    def reload(self) -> None:
        """Take up the state of delivery.json: what came after it was not taken by the store."""
        self._reset()
        stored = outstanding.load_delivery(self.folder)
        if stored.get("tracking_uri") == self.uri:
            self.state.update(stored)
        if not self._fits():
            self._reset()

    def _reset(self) -> None:
        self.state = {"run_id": None, "cursor": 0, "part": 0, "seq": -1, "run_status": None}
        self._look_for_run = True

    def _advanced(self, store: Store, **changes: Any) -> None:
        """Note how far it got, once the store has it safe."""
        crash_points.passing("delivery.answered")
        self.state.update(changes, tracking_uri=self.uri)
        store.after(self.folder, self.note)

    def _delivered(self, store: Store, **changes: Any) -> Progress:
        # What was measured later comes after the end.
        status = "delivered" if self.state["run_status"] else "delivering"
        self._advanced(store, status=status, **changes)
        return "done" if self.delivered else "progress"

    def close(self) -> None:
        """Let others deliver this folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _fits(self) -> bool:
        """Whether the cursor stands where the next line begins.

        It doesn't when delivered lines were lost on disk, or two copies of a folder were mixed.
        What is sent again is the same to the store, so everything is then.
        """
        cursor = self.state["cursor"]
        if cursor == 0:
            return True
        try:
            following = next(journal.read(self._journal, cursor), None)
        except (JournalDamagedError, OSError):
            return False
        if following is None:
            return cursor <= self.size()
        return following[1].get("seq") == self.state["seq"] + 1

    def _lines(self) -> Iterator[tuple[int, Line]]:
        """Undelivered lines; a damaged one is raised only when it is the first of them."""
        first = expected = self.state["seq"] + 1
        lines = journal.read(self._journal, self.state["cursor"])
        while True:
            try:
                offset, line = next(lines)
            except StopIteration:
                return
            except JournalDamagedError:
                if expected > first:
                    return
                raise
            if line.get("seq") != expected:
                raise JournalDamagedError(f"{self._journal}: line {expected + 1} is missing")
            expected += 1
            yield offset, line

    def _create(self, store: Store) -> bool:
        """Find or make the run, with all that run.json says; False: its sweep isn't known yet."""
        parent, known = self._parent_run()
        if not known:
            return False
        experiment = store.experiment(self.record.experiment)
        run = store.find_run(experiment, self.record.id) if self._look_for_run else None
        self._look_for_run = True  # from here on the answer to "create" may have been lost
        own = {ID_TAG: self.record.id}
        if run is None:  # not the folder of a copy that is delivered once more
            own[FOLDER_TAG] = str(self.folder.resolve())
        if parent:
            own["mlflow.parentRunId"] = parent
        tags, changed_tags = limits.fit(
            {**own, **self.record.tags}, limits.MAX_TAG_VALUE, limits.TAGS_FILE
        )
        params, changed_params = limits.fit(
            self.record.params, limits.MAX_PARAM_VALUE, limits.PARAMS_FILE
        )
        if run is None:
            self.note(status="creating", experiment_id=experiment)
            crash_points.passing("run.create")
            early = dict(itertools.islice(tags.items(), 50))
            run_id = store.create_run(experiment, self.record.name, self.record.created, early)
            crash_points.passing("run.created")
            tags = dict(itertools.islice(tags.items(), 50, None))
        else:
            run_id = run
        for batch in text_batches(params, tags):
            store.log(run_id, params=batch.params, tags=batch.tags)
        keep_whole(store, self.folder, run_id, changed_params, changed_tags)
        if self.record.dataset:
            store.log_dataset(run_id, self.record.dataset)
        self._advanced(
            store, run_id=run_id, experiment_id=experiment, status="delivering", error=None
        )
        return True

    def _parent_run(self) -> tuple[str | None, bool]:
        """(run id of the sweep, whether that is all there will ever be to know)."""
        if self.record.parent is None:
            return None, True
        folder = (self.folder / self.record.parent).resolve()
        if not (folder / "run.json").is_file():
            return None, True  # a child copied without its sweep
        state = outstanding.load_delivery(folder)
        if state.get("status") == "failed":
            raise StoreError(f"its sweep is undelivered: {state.get('error')}", permanent=True)
        known = state.get("tracking_uri") == self.uri and bool(state.get("run_id"))
        return (state["run_id"] if known else None), known

    def _deliver(
        self, store: Store, first: tuple[int, Line], rest: Iterator[tuple[int, Line]]
    ) -> Progress:
        """Send the next batch of values, or handle the one line that isn't values."""
        crash_points.passing("delivery.send")
        offset, line = first
        if line["kind"] in Batch.KINDS:
            return self._deliver_values(store, itertools.chain([first], rest))
        assert self.run_id is not None
        if line["kind"] == "begin" and self.state["run_status"]:
            store.set_status(self.run_id, "RUNNING")
            self.state["run_status"] = None
        elif line["kind"] == "artifact":
            problem = upload(store, self.folder, self.run_id, line["path"])
            self.problems.pop(line["path"], None)  # an attempt before this one removed it
            if problem:
                self.problems[line["path"]] = problem
        elif line["kind"] == "model":
            experiment = self.state["experiment_id"]
            problems = deliver_model(store, self.folder, experiment, self.run_id, line)
            self.problems.update(zip(problems, problems, strict=True))
        elif line["kind"] == "end" and not any(later["kind"] == "begin" for _, later in rest):
            found = deliver_end(store, self.folder, self.record, self.run_id, line)
            if found is None:
                return "waiting"
            self.problems.update(zip(found, found, strict=True))
            self.state["run_status"] = line["status"]
        error = "; ".join(list(dict.fromkeys(self.problems.values()))[:5]) or None
        return self._delivered(store, cursor=offset, part=0, seq=line["seq"], error=error)

    def _deliver_values(self, store: Store, lines: Iterator[tuple[int, Line]]) -> Progress:
        assert self.run_id is not None
        batch = Batch(largest=store.largest_batch)
        cursor, part, seq = self.state["cursor"], self.state["part"], self.state["seq"]
        for offset, line in lines:
            if line["kind"] not in Batch.KINDS:
                break
            part = batch.add(line, part)
            if part:
                break  # full in the middle of this line
            cursor, seq = offset, line["seq"]
            if batch.full:
                break
        params = self._new_params(store, batch) if batch.params else {}
        store.log(self.run_id, batch.metrics, params, batch.tags)
        keep_whole(store, self.folder, self.run_id, batch.changed_params, batch.changed_tags)
        return self._delivered(store, cursor=cursor, part=part, seq=seq, error=None)

    def _new_params(self, store: Store, batch: Batch) -> dict[str, str]:
        """Those the store can take; one that changed becomes a tag, as MLflow's never change."""
        assert self.run_id is not None
        known = store.params(self.run_id)
        for key, value in batch.params.items():
            if known.get(key, value) != value:
                batch.tags[limits.key(f"changed.{key}")] = value
        return {key: value for key, value in batch.params.items() if key not in known}
