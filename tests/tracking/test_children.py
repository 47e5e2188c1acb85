"""Where a sweep's jobs have their runs."""

import pytest

from src.tracking.children import point_to, run_of
from src.tracking.record import RunRecord


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "sweeps" / "earlier" / "0"
    RunRecord(id="a", name="a").claim(folder)
    return folder


def test_a_job_has_its_run_in_its_own_folder_or_in_one_it_points_to(run, tmp_path):
    folder = tmp_path / "sweeps" / "later" / "0"
    assert run_of(run) == run
    assert run_of(folder) is None
    point_to(run, folder)
    assert run_of(folder) == run
    assert [path.name for path in folder.iterdir()] == ["goes_on_in.txt"]


def test_a_run_does_not_point_to_itself(run):
    before = sorted(run.iterdir())
    point_to(run, run)
    assert sorted(run.iterdir()) == before


def test_a_run_of_its_own_comes_first(run, tmp_path):
    folder = tmp_path / "sweeps" / "later" / "0"
    point_to(run, folder)
    RunRecord(id="b", name="b").claim(folder)  # it failed before it could go on
    assert run_of(folder) == folder
