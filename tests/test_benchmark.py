import json
import subprocess
import sys
from pathlib import Path

import pytest

from src import benchmark
from src.benchmarks.bench import Row, Skipped
from src.benchmarks.result import Figure, Line, Target
from src.benchmarks.rows import ROWS

ROOT = Path(__file__).resolve().parents[1]


def command(*words, prefix=()):
    return subprocess.run(
        [sys.executable, *prefix, "-m", "src.benchmark", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=580,
    )


def read(outputs):
    [folder] = (outputs / "benchmarks").iterdir()
    return folder, json.loads((folder / "benchmark.json").read_text())


def test_help_names_every_row_and_imports_nothing_heavy():
    done = command("--help", prefix=("-X", "importtime"))
    assert done.returncode == 0
    for row in ROWS.values():
        assert f"  {row.name} " in done.stdout
    for heavy in ("tensorflow", "keras", "mlflow", "jax", "matplotlib"):
        assert f" {heavy}\n" not in done.stderr


def test_an_unknown_row_is_one_line_and_writes_nothing(tmp_path):
    done = command("rows=updates_mpl", f"outputs={tmp_path / 'outputs'}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: rows=updates_mpl: there is no such row; there are ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_outputs_that_are_a_file_are_refused(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert benchmark.main(["rows=help", f"outputs={tmp_path / 'file'}"]) == 2
    assert capsys.readouterr().err.startswith("error: outputs=")


def test_a_real_row_is_measured_into_table_and_numbers(tmp_path):
    done = command("rows=help", "quick=true", f"outputs={tmp_path}")
    assert done.returncode == 0, done.stderr
    folder, content = read(tmp_path)
    assert "| --help " in done.stdout
    assert "| --help " in (folder / "benchmark.md").read_text()
    [row] = content["rows"]
    assert [line["what"] for line in row["lines"]] == ["--help", "a wrong key", "a wrong value"]
    for line in row["lines"]:
        assert 0.05 < line["ours"]["samples"][0] < 60
        assert line["reached"] in (True, False)
    assert not (folder / "work").exists()


@pytest.fixture
def rows(monkeypatch):
    """Replaces the rows of the benchmark."""

    def put(**measure):
        made = {name: Row(name, name.title(), function) for name, function in measure.items()}
        monkeypatch.setattr(benchmark, "ROWS", made)

    return put


def line(bench):
    figures = Figure.of([1, 2, 3], "s"), Figure.of([2, 4, 6], "s")
    return [Line("work", figures[0], peer="peer", theirs=figures[1], target=Target("<=", 0.4))]


def test_a_row_that_fails_or_is_skipped_does_not_end_the_others(tmp_path, capsys, rows):
    def fails(bench):
        raise RuntimeError("it fell over")

    def is_skipped(bench):
        raise Skipped("it is not there")

    rows(bad=fails, gone=is_skipped, good=line)
    assert benchmark.main([f"outputs={tmp_path}"]) == 1
    folder, content = read(tmp_path)
    bad, gone, good = content["rows"]
    assert bad["failed"] == "RuntimeError: it fell over"
    assert gone["skipped"] == "it is not there"
    assert good["lines"][0]["judged"]["samples"] == [0.5, 0.5, 0.5]
    assert good["lines"][0]["reached"] is False
    assert (folder / "benchmark.png").exists()
    assert "it is not there" in capsys.readouterr().out


def test_a_target_that_is_not_reached_is_no_failure(tmp_path, rows):
    rows(good=line)
    assert benchmark.main([f"outputs={tmp_path}"]) == 0


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, rows):
    def interrupted(bench):
        raise KeyboardInterrupt

    rows(good=line, slow=interrupted)
    assert benchmark.main([f"outputs={tmp_path}"]) == 130
    folder, content = read(tmp_path)
    assert [row["name"] for row in content["rows"]] == ["good"]
    assert not (folder / "work").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("updates_small", "fused_members"),
        ("updates_mlp", "updates_cnn"),
        ("run", "sweep", "fused_sweep"),
        ("jobs", "tracking", "first_update", "memory"),
    ],
)
def test_every_row_measures_the_same_work_in_small(tmp_path, names):
    done = command(f"rows={','.join(names)}", "quick=true", f"outputs={tmp_path}")
    assert done.returncode == 0, done.stdout + done.stderr
    folder, content = read(tmp_path)
    assert [row["name"] for row in content["rows"]] == list(names)
    for row in content["rows"]:
        assert row["skipped"] == row["failed"] == ""
        assert row["lines"]
        for each in row["lines"]:
            assert each["same"], each["check"]
            if not each["what"].startswith("each further job"):  # a difference of noisy times
                assert min(each["ours"]["samples"]) > 0
    assert (folder / "benchmark.png").exists()
