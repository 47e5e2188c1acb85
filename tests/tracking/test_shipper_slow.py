"""The shipper under long trials; see `test_shipper.py`."""

import contextlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from src import sync
from src.tracking.shipping import ShipperProcess
from tests.tracking.runs import exact_updates, write_run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120


@pytest.mark.slow
def test_killed_at_ten_random_instants_nothing_is_lost_or_doubled(outputs, uri, rows):
    count = 200_000
    folder = outputs / "runs" / "a"
    write_run(folder, uri, epochs=1, updates=count, artifacts="full")
    generator = random.Random(0)
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-m", "src.sync", str(folder)], cwd=ROOT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(1, 5))
        process.kill()
        process.wait()
    assert sync.main([str(folder)]) == 0
    [(run_id, _, status)] = rows.runs()
    assert status == "FINISHED"
    assert rows.metrics(run_id, "update/loss") == exact_updates(count)


@pytest.mark.slow
def test_eight_shippers_make_one_new_database(tmp_path):
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    shippers = []
    for number in range(8):
        folder = tmp_path / "runs" / str(number)
        shipper = ShipperProcess.start(uri)
        shipper.prepare()
        write_run(folder, uri, artifacts="none")
        shipper.ship(folder)
        shippers.append(shipper)
    deliveries = [shipper.finish(PATIENCE) for shipper in shippers]
    assert [delivery.error for delivery in deliveries] == [None] * 8
    assert len({delivery.run_id for delivery in deliveries}) == 8
    assert not list(tmp_path.glob("new/*.new*"))
