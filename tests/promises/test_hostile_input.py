"""Valid configurations and data files, mutated at random: each failure is one short message.

What is allowed: the run goes its way, or a `UserError` of one line that names the key or the file,
before a folder is claimed. Anything else (a traceback, a hang, a run that starts and then dies of
what it was given) is a bug. The examples are the same in every run; `HYPOTHESIS_EXAMPLES=1000`
multiplies them for a hunt.
"""

import copy
import io
import math
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from src import job
from src.config import flatten
from src.errors import LONGEST, UserError

MORE = int(os.environ.get("HYPOTHESIS_EXAMPLES", "1"))


def hunted(examples: int):
    """Settings of a deterministic test of so many examples."""
    return settings(
        max_examples=examples * MORE,
        derandomize=MORE == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# -- configurations

BASES = [
    (),
    ("optimizer=adamw", "schedule=cosine"),
    ("optimizer=momentum", "schedule=warmup_cosine", "model=linear"),
    ("optimizer=muon", "schedule=piecewise", "loss=huber"),
    ("optimizer=rmsprop", "schedule=exponential", "loss=mean_squared_error"),
    ("step=mixup", "optimizer=lion"),
    ("step=sam", "optimizer=adafactor"),
    ("step=adversarial",),
    ("step=gradient_penalty", "optimizer=nesterov"),
]
SCALARS = st.one_of(
    st.sampled_from(["", " ", "\n", "a\nb", "\0", "x" * 5000, "../..", "/", "1", "-1", "1e3"]),
    st.sampled_from(["os.system", "builtins.print", "keras.layers.Dense", "src.train", "relu"]),
    st.sampled_from(["nan", "null", "true", "auto"]),
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 2, 2**31, 2**63, 2**70, -(2**70), 10**400]),
    st.floats(),
    st.text(max_size=8),
)
VALUES = st.one_of(
    SCALARS,
    st.lists(SCALARS, max_size=3),
    st.dictionaries(st.text(max_size=4), SCALARS, max_size=2),
    st.just([[1]]),
    st.just({"a": {"b": [1]}}),
)
NEW = st.sampled_from(
    ["unheard", "ä", "", "self", "kwargs", "name", "_args_", "_partial_", "dtype"]
)


@pytest.fixture(scope="module")
def bases(composed, tiny):
    return [
        OmegaConf.to_container(composed(*tiny("epochs=1", *base)), resolve=True) for base in BASES
    ]


def mutated(data, bases, outputs: Path):
    """(key, configuration) with a key of it changed, replaced as a whole, or added."""
    values = copy.deepcopy(data.draw(st.sampled_from(bases), label="base"))
    values["outputs"] = str(outputs)
    leaves = [key for key, _ in flatten(values) if key not in ("outputs", "epochs", "resume")]
    groups = [key for key, value in values.items() if isinstance(value, dict)]
    added = st.builds(lambda group, name: f"{group}.{name}", st.sampled_from(groups), NEW)
    key = data.draw(st.one_of(st.sampled_from(leaves), st.sampled_from(groups), added), label="key")
    value = data.draw(VALUES, label="value")
    group, _, name = key.rpartition(".")
    # Sizes that are allowed but need more memory or time than a test has.
    if isinstance(value, int) and value > 2**30 and group in ("data", "step", "optimizer"):
        value = -value
    (values[group] if group else values)[name] = value
    return key, values


def check_message(error: UserError, *names: str) -> None:
    text = str(error)
    assert text
    assert "\n" not in text
    assert len(text) <= LONGEST
    assert any(name in text for name in names), (text, names)


def named_by(key: str) -> list[str]:
    """What a message may call a key: itself, its group, or the metric or label it decides."""
    return [key, key.partition(".")[0], key.rpartition(".")[2] or "''"]


@hunted(200)
@given(data=st.data())
def test_a_mutated_configuration_is_taken_or_refused_before_tensorflow(
    bases, tmp_path_factory, data
):
    key, values = mutated(data, bases, tmp_path_factory.getbasetemp() / "hostile")
    try:
        prepared = job.prepare(OmegaConf.create(values), [])
        job.load_data(prepared.config)
    except UserError as error:
        check_message(error, *named_by(key))


def train(values, outputs: Path):
    """Train as the command does; the ended run."""
    from src import training

    prepared = job.prepare(OmegaConf.create(values), [])
    dataset, factors = job.load_data(prepared.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy and Keras about hopeless numbers
        [run] = training.train([prepared], dataset, factors[:, None], None)
    return run


def taken_or_refused(key: str, values, outputs: Path) -> None:
    held = set(outputs.glob("runs/*"))
    try:
        run = train(values, outputs)
    except UserError as error:
        check_message(error, *named_by(key))
        assert set(outputs.glob("runs/*")) == held
        return
    if run.status != "FINISHED":
        assert re.match(r"the loss became -?(nan|inf) at update \d+", run.reason), run.reason


@hunted(25)
@given(data=st.data())
def test_what_is_taken_trains_or_is_refused_before_a_folder_is_claimed(
    tensorflow, bases, tmp_path_factory, data
):
    outputs = tmp_path_factory.getbasetemp() / "hostile"
    key, values = mutated(data, bases, outputs)
    taken_or_refused(key, values, outputs)


@pytest.mark.parametrize(
    ("base", "key", "value"),
    [
        (5, "optimizer.weight_decay", 2**70),
        (5, "optimizer.weight_decay", 10**400),
        (0, "loss.reduction", None),
        (3, "optimizer.ns_steps", 1e308),
        (3, "optimizer.exclude_layers", 1),
        (0, "optimizer.", math.nan),
        (0, "tracking.wait_seconds", "a\nb"),
        (0, "data.classes", "x" * 5000),
    ],
)
def test_what_a_hunt_has_found(tensorflow, bases, tmp_path, base, key, value):
    values = copy.deepcopy(bases[base])
    values["outputs"] = str(tmp_path)
    group, _, name = key.rpartition(".")
    values[group][name] = value
    taken_or_refused(key, values, tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ["data=[", "}"],
        ["data=[[1]]"],
        ["model=[1,mlp]"],
        ["model={a: 1}"],
        ["optimizer=${"],
        ["seed=${oc.env:NO_SUCH}"],
        ["seed=${nothing}"],
        ["hydra.job.chdir=maybe"],
    ],
    ids=" ".join,
)
def test_mutated_words_of_the_command_have_no_traceback(command, words):
    ended = command("tracking=none", "data=arrays", "data.path=no_such.npz", *words)
    assert ended.code in (0, 1, 2), ended
    assert "Traceback" not in ended.err + ended.out
    assert ended.err or ended.out  # it says something
    if ended.code == 2 and ended.err.startswith("error: "):
        assert len(ended.err.splitlines()) == 1


# -- data files


def archive(arrays: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def whole() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for split, rows in {"train": 12, "val": 4, "test": 4}.items():
        arrays[f"x_{split}"] = generator.random((rows, 3), np.float32)
        arrays[f"y_{split}"] = np.arange(rows) % 3
    return arrays


def with_value(value):
    def change(array):
        changed = array.astype(float)
        changed.flat[0] = value
        return changed

    return change


CHANGES = {
    "nan": with_value(math.nan),
    "infinity": with_value(-math.inf),
    "beyond float32": with_value(1e300),
    "negative": with_value(-1),
    "half": with_value(0.5),
    "large label": with_value(10**9),
    "empty": lambda array: array[:0],
    "one row": lambda array: array[:1],
    "a row less": lambda array: array[:-1],
    "scalar": lambda array: np.array(3.0),
    "one axis": lambda array: array.reshape(-1),
    "five axes": lambda array: array.reshape(len(array), 1, 1, 1, -1),
    "no features": lambda array: np.zeros((len(array), 0)),
    "text": lambda array: array.astype(str),
    "bytes": lambda array: array.astype("S"),
    "objects": lambda array: array.astype(object),
    "objects that run code": lambda array: np.array([Hostile()] * len(array), object),
    "complex": lambda array: array.astype(complex),
    "dates": lambda array: np.arange(len(array)).astype("datetime64[s]"),
    "records": lambda array: np.zeros(len(array), [("a", "f4"), ("b", "i8")]),
    "booleans": lambda array: array > 0.5,
    "half precision": lambda array: array.astype(np.float16),
    "long double": lambda array: array.astype(np.longdouble),
    "unsigned": lambda array: array.astype(np.uint64) + np.uint64(2**63),
    "big endian": lambda array: array.astype(">f8"),
    "fortran": lambda array: np.asfortranarray(array),
    "constant": lambda array: np.zeros_like(array),
}


class Hostile:
    """Unpickled, it leaves a file behind."""

    def __reduce__(self):
        return Path.touch, (Path("/tmp/unpickled-by-the-harness"),)


def header(shape: tuple[int, ...]) -> bytes:
    """A .npy file that promises more than it holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "<f4", "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + b"\0" * 64


def damaged(data, raw: bytes) -> bytes:
    """A file cut short, with a byte flipped, or replaced as a whole."""
    kind = data.draw(st.sampled_from(["cut", "flipped", "grown", "other"]), label="damage")
    at = data.draw(st.integers(0, len(raw) - 1), label="at")
    if kind == "cut":
        return raw[:at]
    if kind == "flipped":
        return raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    if kind == "grown":
        return raw + data.draw(st.binary(max_size=64))
    return data.draw(
        st.sampled_from([b"", b"x,y\n1,2", b"PK\3\4", b"\x93NUMPY", b"\x80\4.", raw * 2])
    )


def write_arrays(data, folder: Path) -> Path:
    """A mutated .npz file or folder of .npy files."""
    arrays = whole()
    what = data.draw(st.sampled_from(["array", "arrays", "names", "bytes", "header"]), label="what")
    if what in ("array", "arrays"):
        for _ in range(1 if what == "array" else 2):
            name = data.draw(st.sampled_from(sorted(arrays)), label="array")
            change = data.draw(st.sampled_from(sorted(CHANGES)), label="change")
            try:
                arrays[name] = CHANGES[change](arrays[name])
            except (ValueError, TypeError, IndexError):  # no such change of what is changed already
                continue
    elif what == "names":
        name = data.draw(st.sampled_from(sorted(arrays)), label="array")
        other = data.draw(st.sampled_from(["x", "y", "x_valid", "z", "x_train", "ä"]), label="name")
        arrays[other] = arrays.pop(name)
    folder.mkdir(parents=True)
    if data.draw(st.booleans(), label="folder"):
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=True)
        victim = folder / f"{data.draw(st.sampled_from(sorted(arrays)), label='file')}.npy"
        if what == "bytes":
            victim.write_bytes(damaged(data, victim.read_bytes()))
        elif what == "header":
            victim.write_bytes(header(data.draw(st.sampled_from([(12, 3), (2**40, 3), (-1, 3)]))))
        return folder
    path = folder / "arrays.npz"
    path.write_bytes(archive(arrays))
    if what == "bytes":
        path.write_bytes(damaged(data, path.read_bytes()))
    elif what == "header":
        shape = data.draw(st.sampled_from([(12, 3), (2**40, 3), (2**62, 2**62)]))
        with zipfile.ZipFile(path, "a") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file.writestr("x_train.npy", header(shape))
    return path


@pytest.fixture(scope="module")
def arrays_base(composed, tiny):
    given = tiny("epochs=1", "data=arrays", "data.batch_size=8")
    return OmegaConf.to_container(composed(*given), resolve=True)


def given_file(base, path: Path, outputs: Path, **changes):
    values = copy.deepcopy(base)
    values["outputs"] = str(outputs)
    values["data"] |= {"path": str(path), **changes}
    return values


@hunted(250)
@given(data=st.data())
def test_a_mutated_file_of_arrays_is_taken_or_named(arrays_base, tmp_path_factory, data):
    path = write_arrays(data, tmp_path_factory.mktemp("arrays") / "data")
    task = data.draw(st.sampled_from(["auto", "classification", "regression"]), label="task")
    values = given_file(arrays_base, path, path.parent, task=task)
    try:
        prepared = job.prepare(OmegaConf.create(values), [])
        dataset, _ = job.load_data(prepared.config)
        for split in (dataset.train, dataset.val):
            assert np.isfinite(split.x).all()
    except UserError as error:
        check_message(error, str(path)[:200], "data.", "data:", "loss", "metrics")
    assert not Path("/tmp/unpickled-by-the-harness").exists()


@hunted(12)
@given(data=st.data())
def test_a_mutated_file_that_is_taken_trains(tensorflow, arrays_base, tmp_path_factory, data):
    path = write_arrays(data, tmp_path_factory.mktemp("arrays") / "data")
    outputs = path.parent / "outputs"
    values = given_file(arrays_base, path, outputs)
    try:
        run = train(values, outputs)
    except UserError as error:
        check_message(error, str(path)[:200], "data.", "data:", "loss", "metrics", "model")
        assert not list(outputs.glob("runs/*"))
    else:
        assert run.status == "FINISHED" or run.reason.startswith("the loss became")


@pytest.fixture(scope="module")
def table_base(composed, tiny):
    given = tiny("epochs=1", "data=csv", "data.label=letter")
    return OmegaConf.to_container(composed(*given), resolve=True)


@hunted(60)
@given(data=st.data())
def test_a_mutated_table_is_taken_or_named(table_base, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    rows = [f"{i},{i % 3},{'abc'[i % 3]},{i / 7:.3f}" for i in range(40)]
    raw = "\n".join(["id,group,letter,target", *rows, ""]).encode()
    path.write_bytes(damaged(data, raw))
    try:
        values = given_file(table_base, path, path.parent)
        prepared = job.prepare(OmegaConf.create(values), [])
        job.load_data(prepared.config)
    except UserError as error:
        check_message(error, str(path)[:200], "data.", "data:", "loss", "metrics")
