"""Imports flow downward, never in a circle, and heavy packages stay in the rooms that need them."""

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From top to bottom: a room imports rooms of its own layer and of those below. A new room belongs
# into one of them.
LAYERS = [
    {
        "train",
        "sync",
        "gradients",
        "benchmark",
        "evaluate",
        "predict",
        "export",
        "doctor",
        "effects",
    }
    | {"torture", "hydra_plugins"},
    {"benchmarks", "tape", "checkup", "measures"},
    {"execution", "following", "job", "training", "fusion", "sweep", "restored"},
    {"fit", "build", "closing", "programs"},
    {"initialisation"},
    {"recorded", "teacher"},
    {"report", "resume", "naming", "preflight", "interruption", "attributes", "own_target"},
    {"compose", "commands", "predictions"},
    {"run"},
    {"engine"},
    {"steps", "models", "losses", "metrics", "optimizers", "augmentations"},
    {"data", "schedules", "tracking", "workers"},
    {"identity"},
    {"config"},
    {"groups"},
    {"targets", "arguments", "strategy"},
    {"errors", "ranking", "patience", "provenance", "console", "startup", "composition", "storage"},
    {"crash_points", "locks"},
]
# Where TensorFlow and Keras may be imported as a module is imported.
NEEDS_TENSORFLOW = {
    "engine",
    "steps",
    "models",
    "losses",
    "metrics",
    "optimizers",
    "augmentations",
    "build",
    "closing",
    "programs",
    "fit",
    "run",
    "training",
    "restored",
    "tape",
    "measures",
    "benchmarks",
}
HEAVY = {"tensorflow", "keras", "mlflow", "matplotlib", "sklearn", "scipy", "pandas", "jax"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted((ROOT / "src").rglob("*.py"))}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def imports(path: Path, *, everywhere: bool) -> Iterator[str]:
    """The modules that a file imports: as it is imported itself, or in its functions too."""

    def visit(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: a relative import"
                module = node.module or ""
                for alias in node.names:
                    inner = f"{module}.{alias.name}"
                    yield inner if inner in FILES else module
            elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from visit(node.orelse)
            elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for field in ("body", "orelse", "finalbody"):
                    yield from visit(getattr(node, field, []))
                for handler in getattr(node, "handlers", []):
                    yield from visit(handler.body)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")).body)


def test_the_reader_of_imports_sees_what_it_should(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "import src.errors\n"
        "from src import job, report\n"
        "if TYPE_CHECKING:\n    from src.run import Run\n"
        "try:\n    import keras\nexcept ImportError:\n    import jax\n"
        "class A:\n    import numpy\n    def f(self):\n        from src.training import train\n"
    )
    at_import = {"typing", "src.errors", "src.job", "src.report", "keras", "jax", "numpy"}
    assert set(imports(file, everywhere=False)) == at_import
    assert set(imports(file, everywhere=True)) == at_import | {"src.training"}


def test_every_room_has_its_place():
    placed = set().union(*LAYERS)
    rooms = {room(name) for name in FILES} - {"src"}
    assert rooms - placed == set(), "give it a place in LAYERS"
    assert sum(map(len, LAYERS)) == len(placed)


def test_imports_flow_downward():
    level = {name: number for number, names in enumerate(LAYERS) for name in names}
    upward = [
        f"{name} imports {imported}"
        for name, path in FILES.items()
        for imported in imports(path, everywhere=True)
        if imported.startswith("src.") and name != "src"
        if level[room(imported)] < level[room(name)]
    ]
    assert upward == []


def test_no_module_imports_itself_in_a_circle():
    graph = {
        name: {
            imported
            for imported in imports(path, everywhere=False)
            if imported in FILES and imported != name
        }
        for name, path in FILES.items()
    }
    assert sum(map(len, graph.values())) > 100  # so that there was something to look at
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, naming the circle


def test_nothing_imports_an_entry():
    entries = {f"src.{name}" for name in LAYERS[0]}
    importing = [
        f"{name} imports {imported}"
        for name, path in FILES.items()
        for imported in imports(path, everywhere=True)
        if imported in entries
    ]
    assert importing == []


def test_tensorflow_is_imported_only_where_it_is_needed():
    found = {
        f"{name} imports {imported}"
        for name, path in FILES.items()
        if name != "src" and room(name) not in NEEDS_TENSORFLOW
        for imported in imports(path, everywhere=False)
        if imported.split(".")[0] in ("tensorflow", "keras")
    }
    assert found == set()


def test_mlflow_is_imported_by_the_shippers_side_and_by_measurements_alone():
    rooms = {
        room(name)
        for name, path in FILES.items()
        for imported in imports(path, everywhere=True)
        if imported.split(".")[0] == "mlflow"
    }
    assert rooms <= {"tracking", "benchmarks", "doctor"}


LIGHT = [
    *(name for name in FILES if room(name) in ("data", "schedules", "workers")),
    *(
        f"src.{name}"
        for name in ("config", "strategy", "targets", "errors", "identity", "naming", "ranking")
    ),
    *(
        f"src.{name}"
        for name in (
            "provenance",
            "preflight",
            "resume",
            "report",
            "console",
            "composition",
            "attributes",
            "compose",
            "commands",
            "predictions",
            "recorded",
            "evaluate",
            "predict",
            "export",
        )
    ),
    *(f"src.{name}" for name in ("startup", "interruption", "job", "sweep", "execution")),
    *(f"src.tracking.{name}" for name in ("tracker", "journal", "record", "shipping", "process")),
    *(f"src.tracking.{name}" for name in ("outstanding", "paths", "folders", "late")),
    *(name for name in FILES if room(name) == "checkup"),
    "src.engine.checkpoint",
    "src.doctor",
    "src.sync",
]


def test_what_comes_before_tensorflow_imports_nothing_heavy():
    program = f"""
import importlib, json, sys
found = {{}}
for name in {LIGHT!r}:
    before = set(sys.modules)
    importlib.import_module(name)
    new = {{module.split(".")[0] for module in set(sys.modules) - before}}
    found[name] = sorted(new & set({sorted(HEAVY)!r}))
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(LIGHT)
    assert {name: heavy for name, heavy in found.items() if heavy} == {}


@pytest.mark.parametrize("name", sorted(HEAVY - {"scipy", "jax"}))
def test_the_heavy_packages_are_here_so_that_their_absence_means_something(name):
    assert __import__("importlib.util").util.find_spec(name) is not None
