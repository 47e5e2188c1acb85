"""One tracking store: the few calls on MLflow that the delivery of a run needs.

Every call may be sent again without harm: runs and models are looked for by tag before they are
made, metrics carry the journal's timestamps, parameters and tags keep their values. MLflow is
imported here and in modules below it only; the trainer never imports them.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Before MLflow is imported: short waits, so that a store that hangs is noticed; no code from
# pickles; no reports to anyone. What the user has set stands, except for pickles.
for _name, _value in {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(_name, _value)
os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (  # noqa: E402
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException  # noqa: E402

from src.locks import HeldError  # noqa: E402
from src.tracking import limits, sqlite_file, sqlite_rows  # noqa: E402
from src.tracking.record import ID_TAG  # noqa: E402

# Sending the same again can't help against these; everything else may pass.
_PERMANENT = {
    "BAD_REQUEST",
    "CUSTOMER_UNAUTHORIZED",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "NOT_FOUND",
    "NOT_IMPLEMENTED",
    "PERMISSION_DENIED",
    "RESOURCE_DOES_NOT_EXIST",
    "UNAUTHENTICATED",
}


# MLflow's pages open on the curves of training, not on traces of language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


class StoreError(Exception):
    """The store did not take something.

    permanent: trying again can't help. gone: what it was meant for isn't in the store. queued:
    another process of ours is delivering to it.
    """

    def __init__(
        self, message: str, permanent: bool, gone: bool = False, queued: bool = False
    ) -> None:
        super().__init__(message)
        self.queued = queued
        self.permanent = permanent
        self.gone = gone


class Store:
    """A client of the store at `uri`; every method raises StoreError when the store fails."""

    largest_batch = limits.MAX_BATCH_METRICS  # how many metrics `log` takes at once

    def __init__(self, uri: str, database: Path | None = None) -> None:
        self.uri = uri
        self._sqlite = database
        self._experiments: dict[str, str] = {}
        with self._errors():
            self.client = MlflowClient(tracking_uri=uri)

    def after(self, key: Hashable, action: Callable[[], None]) -> None:
        """Call `action` once what was written so far is safe: here it is already."""
        action()

    def flush(self) -> None:
        """Make what was written safe."""

    @property
    def due(self) -> bool:
        """Whether it is time to flush."""
        return False

    def abandon(self) -> None:
        """Forget what was written since the last flush."""

    def warm_up(self) -> None:
        """Ask something, so that what MLflow imports and compiles at first use is ready."""
        with self._errors():
            self.client.search_runs(["0"], f"tags.`{ID_TAG}` = '-'", max_results=1)

    def experiment(self, name: str) -> str:
        """The id of the experiment `name`, made if absent."""
        if name not in self._experiments:
            with self._writing():
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    self._experiments[name] = self._create_experiment(name)
                elif found.lifecycle_stage != "active":
                    raise StoreError(
                        f"experiment {name!r} is deleted in {self.uri}: restore it there "
                        "(mlflow experiments restore), or choose another tracking.experiment",
                        permanent=True,
                    )
                else:
                    self._experiments[name] = found.experiment_id
        return self._experiments[name]

    def find_run(self, experiment_id: str, harness_id: str) -> str | None:
        """The id of the run that carries this harness id, None when there is none."""
        with self._errors():
            quoted = harness_id.replace("'", "")
            found = self.client.search_runs(
                [experiment_id],
                f"tags.`{ID_TAG}` = '{quoted}'",
                run_view_type=ViewType.ACTIVE_ONLY,
                max_results=1,
                order_by=["attributes.start_time ASC"],
            )
        return str(found[0].info.run_id) if found else None

    def create_run(self, experiment_id: str, name: str, created: int, tags: dict[str, str]) -> str:
        """The id of a new run, RUNNING since `created` (ms); at most 100 tags."""
        with self._writing():
            run = self.client.create_run(experiment_id, created, tags, name)
        return str(run.info.run_id)

    def params(self, run_id: str) -> dict[str, str]:
        """The parameters the run has."""
        with self._errors():
            return dict(self.client.get_run(run_id).data.params)

    def log(
        self,
        run_id: str,
        metrics: list[tuple[str, float, int, int]] | None = None,
        params: dict[str, str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        """Log metrics (key, value, timestamp in ms, step), params and tags: one batch at most."""
        with self._writing():
            self.client.log_batch(
                run_id,
                metrics=[Metric(*metric) for metric in metrics or []],
                params=[Param(*item) for item in (params or {}).items()],
                tags=[RunTag(*item) for item in (tags or {}).items()],
            )

    def log_dataset(self, run_id: str, record: dict[str, Any], context: str = "training") -> None:
        """The data set of run.json as the run's input."""
        dataset = Dataset(**self.dataset(record))
        tag = InputTag("mlflow.data.context", context)
        with self._writing():
            self.client.log_inputs(run_id, datasets=[DatasetInput(dataset=dataset, tags=[tag])])

    @staticmethod
    def dataset(record: dict[str, Any]) -> dict[str, str | None]:
        """The data set of run.json as MLflow describes it."""
        return {
            "name": str(record.get("name", "data"))[:500],
            "digest": str(record.get("digest", ""))[: limits.MAX_DIGEST - 4],  # 32 hex digits
            "source_type": "local",
            "source": _json({"uri": str(record.get("source", ""))[:60_000]}),
            "schema": _schema(record),
            "profile": _json(record),
        }

    def upload(self, run_id: str, path: Path, folder: str | None) -> None:
        """Store the file `path` in the artifact folder `folder` (None: the root)."""
        with self._errors():
            self.client.log_artifact(run_id, str(path), folder)

    def open_model(
        self,
        experiment_id: str,
        run_id: str,
        name: str,
        tags: dict[str, str],
        params: dict[str, str],
    ) -> tuple[str, str]:
        """(model id, artifact location) of the run's model with these tags, made if absent."""
        with self._writing():
            found = self.client.search_logged_models(
                [experiment_id], f"source_run_id = '{run_id}'", max_results=100
            )
            for model in found:
                if model.name == name and tags.items() <= model.tags.items():
                    break
            else:
                model = self.client.create_logged_model(
                    experiment_id, name, run_id, tags, params, model_type="tensorflow"
                )
        return str(model.model_id), str(model.artifact_location)

    def finish_model(self, run_id: str, model_id: str, folder: Path, step: int) -> None:
        """Upload the model's files, show it at its run, and declare it ready."""
        with self._errors():
            self.client.log_model_artifacts(model_id, str(folder))
        with self._writing():
            outputs = self.client.get_run(run_id).outputs
            if model_id not in {m.model_id for m in (outputs.model_outputs if outputs else [])}:
                self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])
            self.client.finalize_logged_model(model_id, "READY")

    def set_status(self, run_id: str, status: str, end_time: int | None = None) -> None:
        """Status RUNNING, FINISHED, FAILED or KILLED; end_time in ms."""
        with self._writing():
            if end_time is None:
                self.client.update_run(run_id, status=status)
            else:
                self.client.set_terminated(run_id, status=status, end_time=end_time)

    def _create_experiment(self, name: str) -> str:
        location = None
        if self._sqlite is not None:
            folder = sqlite_file.artifact_root(self._sqlite) / limits.key(name).replace("/", "_")
            location = folder.as_uri()
        try:
            return str(self.client.create_experiment(name, location, EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return str(self.client.get_experiment_by_name(name).experiment_id)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._errors():
            if self._sqlite is None:
                yield
            else:
                with sqlite_file.writing(self._sqlite):
                    yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except MlflowException as error:
            permanent = error.error_code in _PERMANENT
            gone = error.error_code == "RESOURCE_DOES_NOT_EXIST"
            raise StoreError(_short(error), permanent, gone) from error
        except sqlite_rows.GoneError as error:
            raise StoreError(_short(error), permanent=True, gone=True) from error
        except (sqlite_rows.RefusedError, sqlite3.IntegrityError) as error:
            raise StoreError(_short(error), permanent=True) from error
        except HeldError as error:
            raise StoreError(_short(error), permanent=False, queued=True) from error
        except Exception as error:  # requests, the operating system, cloud clients: all may pass
            raise StoreError(_short(error), permanent=False) from error


def open_store(uri: str) -> Store:
    """The store at `uri`, a new SQLite database made if need be. Raises StoreError."""
    from src.tracking.sqlite_store import SqliteStore

    uri = sqlite_file.absolute_uri(uri)
    database = sqlite_file.path_of(uri)
    if database is None:
        return Store(uri)
    try:
        sqlite_file.prepare(database)
        known = sqlite_rows.knows(database)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(_short(error), permanent=False) from error
    return SqliteStore(uri, database) if known else Store(uri, database)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)


def _schema(record: dict[str, Any]) -> str | None:
    shape = record.get("input_shape")
    if not isinstance(shape, list):
        return None
    dtype = record.get("input_dtype", "float32")
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
    return _json({"mlflow_tensorspec": {"features": _json([spec]), "targets": None}})


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:600]}" if text else type(error).__name__
