"""Nothing that is loaded runs code: no unpickling and no unsafe loader in src, by its text."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "src").rglob("*.py")}
# Modules whose only use is to unpickle, or to run what they read.
FORBIDDEN = {"pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "torch"}
# Calls that run what they are given.
RUNNING = {"eval", "exec", "compile", "__import__", "enable_unsafe_deserialization"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "full_load", "unsafe_load_all"}
IMPORTING = {"import_module", "run_path", "run_module", "spec_from_file_location"}
# Of names of our own, but for src/targets.py: the `_target_`s of a user's own configuration.
MAY_IMPORT = {"src/targets.py", "src/tracking/shipper.py", "src/benchmarks/peers/__main__.py"}


def called(call: ast.Call) -> str:
    """The dotted name of what is called, such as `np.load`."""
    return ast.unparse(call.func)


def given(call: ast.Call) -> dict[str, str]:
    return {each.arg: ast.unparse(each.value) for each in call.keywords if each.arg}


def faults(tree: ast.AST, name: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = names if isinstance(node, ast.Import) else [node.module or ""]
            bad = FORBIDDEN & {module.split(".")[0] for module in modules}
            yield from (f"{name}:{node.lineno} imports {module}" for module in sorted(bad))
        if not isinstance(node, ast.Call):
            continue
        dotted, arguments = called(node), given(node)
        last = dotted.rpartition(".")[2]
        where = f"{name}:{node.lineno} {dotted}"
        if dotted in ("np.load", "numpy.load") and arguments.get("allow_pickle") != "False":
            yield f"{where} without allow_pickle=False"
        if arguments.get("allow_pickle", "False") != "False":
            yield f"{where} with allow_pickle={arguments['allow_pickle']}"
        if arguments.get("safe_mode", "True") != "True":
            yield f"{where} with safe_mode={arguments['safe_mode']}"
        if dotted.startswith("yaml.") and last in UNSAFE_YAML:
            yield f"{where}: yaml.safe_load reads data alone"
        if last in RUNNING and dotted in (last, f"builtins.{last}", f"keras.config.{last}"):
            yield f"{where} runs what it is given"
        if last in IMPORTING and name not in MAY_IMPORT:
            yield f"{where} imports by name"


def test_no_file_loads_what_could_run():
    assert len(SOURCES) > 100
    found = [
        fault
        for name, path in sorted(SOURCES.items())
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")), name)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import torch.serialization",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=trusted)",
        "np.savez(path, allow_pickle=True)",
        "keras.saving.load_model(path, safe_mode=False)",
        "yaml.load(text, yaml.Loader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "keras.config.enable_unsafe_deserialization()",
        "importlib.import_module(name)",
    ],
)
def test_what_the_check_is_for_is_found(text):
    assert len(list(faults(ast.parse(text), "src/sample.py"))) >= 1


@pytest.mark.parametrize(
    "text",
    [
        "np.load(path, allow_pickle=False)",
        "yaml.safe_load(text)",
        "re.compile(text)",
        "model.compile()",
    ],
)
def test_what_is_safe_is_left_alone(text):
    assert list(faults(ast.parse(text), "src/sample.py")) == []
