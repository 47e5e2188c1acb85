import math
import random
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from src.tracking import sqlite_file, sqlite_rows
from src.tracking.sqlite_store import SqliteStore
from src.tracking.store import Store, StoreError, open_store

VALUES = [0.1, math.nan, math.inf, -math.inf, 1e-320, -0.0, 1.7976931348623157e308]


@pytest.fixture
def store(uri):
    opened = open_store(uri)
    assert isinstance(opened, SqliteStore)
    return opened


@pytest.fixture
def run_id(store):
    made = store.create_run(store.experiment("x"), "n", 1, {})
    store.flush()
    return made


def test_the_installed_mlflow_has_tables_that_are_known(database):
    """When this fails after an update of MLflow: look at its tables, then at `KNOWN_SCHEMAS`."""
    assert sqlite_rows.knows(database)


DATASET = {"name": "d", "digest": "ab" * 32, "source": "s", "input_shape": [4], "num_classes": 3}


def fill(store: Store) -> str:
    """Everything that a run gets, in several batches, some of it twice."""
    generator = random.Random(0)
    metrics = [
        (key, generator.choice([*VALUES, generator.random()]), 100 + step // 7, step // 3)
        for step in range(700)
        for key in ("train/loss", "b")
    ]
    run_id = store.create_run(store.experiment("x"), "name", 17, {"mlflow.user": "me", "a": "b"})
    for start in (0, 400, 800, 400, 1200):
        batch = metrics[start : start + 400]
        texts = {"t": str(start), f"t{start}": "x" * 8000}
        store.log(run_id, batch, {f"p{start}": "v", "p": "ä"}, texts)
    for _ in range(2):
        store.log_dataset(run_id, DATASET)
    store.set_status(run_id, "FINISHED", 99)
    store.set_status(run_id, "RUNNING")
    store.flush()
    return run_id


def test_rows_are_those_that_mlflow_itself_writes(store, uri, database, rows):
    ours, mlflows = fill(store), fill(Store(uri, database))
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        columns = [row[1] for row in rows.query(f"PRAGMA table_info({table})")]
        columns = [column for column in columns if column != "run_uuid"]
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE run_uuid = ?"
        mine = [str(row).replace(ours, "RUN") for row in rows.query(query, ours)]
        theirs = [str(row).replace(mlflows, "RUN") for row in rows.query(query, mlflows)]
        assert mine
        assert sorted(mine) == sorted(theirs), table
    query = (
        "SELECT datasets.*, source_type, destination_type, step, input_tags.name, value"
        " FROM inputs JOIN datasets ON source_id = dataset_uuid"
        " JOIN input_tags USING (input_uuid) WHERE destination_id = ?"
    )
    assert rows.query(query, ours) == rows.query(query, mlflows)
    assert len(rows.query(query, ours)) == 1


def test_datasets_are_those_that_mlflow_itself_writes(store, uri, database, rows):
    query = (
        "SELECT name, digest, dataset_source_type, dataset_source, dataset_schema, dataset_profile"
    )
    for number, one in enumerate([store, Store(uri, database)]):
        run_id = one.create_run(one.experiment(f"e{number}"), "n", 1, {})
        one.log_dataset(run_id, DATASET)
        one.flush()
    mine, theirs = rows.query(f"{query} FROM datasets")
    assert mine == theirs


def test_nothing_counts_before_the_flush(store, rows):
    experiment = store.experiment("x")
    said = []
    run_id = store.create_run(experiment, "n", 1, {})
    store.log(run_id, [("loss", 1.0, 0, 0)])
    store.after("a", lambda: said.append("first"))
    store.after("a", lambda: said.append("last"))
    assert rows.runs() == []
    store.abandon()
    store.flush()
    assert (rows.runs(), said) == ([], [])
    run_id = store.create_run(experiment, "n", 1, {})
    store.after("a", lambda: said.append("first"))
    store.after("a", lambda: said.append("last"))
    store.flush()
    assert [row[0] for row in rows.runs()] == [run_id]
    assert said == ["last"]


def test_a_failure_takes_back_the_whole_transaction(store, rows):
    experiment = store.experiment("x")
    store.create_run(experiment, "n", 1, {})
    with pytest.raises(StoreError):
        store.log("0" * 32, [("loss", 1.0, 0, 0)])
    store.flush()
    assert rows.runs() == []


def test_a_run_is_found_by_its_tag(store, uri, database):
    experiment = store.experiment("x")
    run_id = store.create_run(experiment, "n", 1, {"harness.id": "it's"})
    store.flush()
    for one in (store, Store(uri, database)):
        assert one.find_run(experiment, "it's" if one is store else "its") in (run_id, None)
        assert one.find_run(experiment, "other") is None
    assert store.find_run(store.experiment("y"), "it's") is None
    store.client.delete_run(run_id)
    assert store.find_run(experiment, "it's") is None


def test_artifacts_are_where_mlflow_finds_them(store, tmp_path):
    run_id = store.create_run(store.experiment("a b/ä"), "n", 1, {})
    (tmp_path / "x.txt").write_text("x")
    store.upload(run_id, tmp_path / "x.txt", "deep/er")
    store.upload(run_id, tmp_path / "x.txt", None)
    store.flush()
    found = store.client.list_artifacts(run_id)
    assert [info.path for info in found] == ["deep", "x.txt"]
    path = store.client.download_artifacts(run_id, "deep/er/x.txt", str(tmp_path))
    assert Path(path).read_text() == "x"


def test_a_run_that_is_gone_or_deleted_or_differs_is_refused(store, run_id):
    with pytest.raises(StoreError) as caught:
        store.log("0" * 32, [("loss", 1.0, 0, 0)])
    assert (caught.value.permanent, caught.value.gone) == (True, True)
    store.log(run_id, params={"p": "v"})
    store.flush()
    with pytest.raises(StoreError, match="'p' of run") as caught:
        store.log(run_id, params={"p": "w"})
    assert (caught.value.permanent, caught.value.gone) == (True, False)
    store.client.delete_run(run_id)
    with pytest.raises(StoreError, match="deleted") as caught:
        store.log(run_id, [("loss", 1.0, 0, 0)])
    assert caught.value.permanent


def test_a_locked_database_is_noticed_within_seconds_and_passes(store, run_id, database):
    with sqlite3.connect(database) as other:
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(StoreError, match="locked") as caught:
            store.log(run_id, [("loss", 1.0, 0, 0)])
        assert not caught.value.permanent
        assert time.monotonic() - start < 5
        other.rollback()
    store.log(run_id, [("loss", 1.0, 0, 0)])


def test_an_unknown_schema_is_left_to_mlflow(database, uri):
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    assert not sqlite_rows.knows(database)
    with pytest.raises(StoreError, match="schema"):
        open_store(uri)


def test_a_new_database_appears_whole_for_threads_that_ask_at_once(tmp_path, monkeypatch, database):
    made = []

    def create(draft, root):
        made.append(draft)
        shutil.copyfile(database, draft)
        time.sleep(0.05)

    monkeypatch.setattr(sqlite_file, "_create", create)
    target = tmp_path / "new" / "mlflow.db"
    threads = [threading.Thread(target=sqlite_file.prepare, args=[target]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert target.read_bytes() == database.read_bytes()
    assert {path.name for path in target.parent.iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_a_failed_preparation_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch, database):
    target = tmp_path / "new" / "mlflow.db"

    def fail(draft, root):
        draft.write_bytes(b"half")
        raise OSError("killed")

    monkeypatch.setattr(sqlite_file, "_create", fail)
    with pytest.raises(OSError, match="killed"):
        sqlite_file.prepare(target)
    assert [path.name for path in target.parent.iterdir()] == [".mlflow.db.lock"]
    monkeypatch.setattr(
        sqlite_file, "_create", lambda draft, root: shutil.copyfile(database, draft)
    )
    sqlite_file.prepare(target)
    assert target.exists()
