"""`python -m src.gradients`: the lessons, the check of what is composed, its errors."""

import os
import subprocess
import sys

import pytest

from src import gradients

# A user's module with a layer whose author forgot a factor of 2 in its gradient.
USERS_MODULE = """
import keras
import tensorflow as tf


@tf.custom_gradient
def square(x):
    return x * x, lambda upstream: upstream * x


class Square(keras.layers.Layer):
    def call(self, inputs):
        return square(inputs)


class Model(keras.Sequential):
    def __init__(self, num_classes):
        super().__init__([
            keras.layers.Flatten(),
            keras.layers.Dense(4, name="before"),
            Square(),
            keras.layers.Dense(num_classes, name="behind"),
        ], name="users")


class SinglePrecision(keras.Sequential):
    def __init__(self, num_classes):
        super().__init__([keras.layers.Flatten(), keras.layers.Dense(num_classes, dtype="float32")])


class Casting(keras.Sequential):
    def __init__(self, num_classes):
        super().__init__([
            keras.layers.Flatten(),
            keras.layers.Dense(8, "tanh"),
            keras.layers.Lambda(lambda x: tf.cast(x, tf.float32)),
            keras.layers.Dense(num_classes),
        ])
"""
OF_THE_MLP = ("~model.hidden", "~model.activation", "~model.dropout")


@pytest.fixture
def check(capsys, tensorflow):
    """Run the command in this process: its exit code, what it printed, its error."""

    def run(*overrides):
        code = gradients.main(list(overrides))
        out, err = capsys.readouterr()
        errors = [line for line in err.splitlines() if not line.startswith(("W0000", "I0000"))]
        return code, out, "\n".join(errors)

    return run


@pytest.fixture
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text(USERS_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("users_module", None)


def test_without_arguments_the_lessons_are_shown_in_80_columns(check):
    code, out, err = check()

    assert code == 0
    assert not err
    assert "derivative = 6.0" in out
    assert "tape.watch(x)" in out
    assert "non-persistent" in out
    assert "dz_dx = 108.0" in out
    assert "b_then_a = [4.0, 20.0]" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=cnn", "data=digits", "step=standard"),
        pytest.param(
            ("model=cnn", "model.downsampling=stride", "model.dropout=0.3", "check.gradient=loss"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("model=linear", "data.labels=one_hot", "loss=huber"), marks=pytest.mark.slow),
        pytest.param(
            ("model=mlp", "model.dropout=0.5", "loss.label_smoothing=0.1"),
            marks=pytest.mark.slow,
        ),
        pytest.param(("experiment=custom_training",), marks=pytest.mark.slow),
        pytest.param(("step=sam", "model=mlp", "model.dropout=0.3"), marks=pytest.mark.slow),
        pytest.param(("step=mixup", "model=linear"), marks=pytest.mark.slow),
        pytest.param(
            ("step=adversarial", "model=mlp", "step.norm=l2", "step.clean_weight=0.5"),
            marks=pytest.mark.slow,
        ),
        ("step=gradient_penalty", "model=mlp", "model.activation=tanh"),
        pytest.param(("step=gradient_noise_scale", "model=linear"), marks=pytest.mark.slow),
        pytest.param(
            ("model=cnn", "check.dtype=float32", "tolerance=0.1", "check.rows=4"),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_what_the_harness_brings_has_right_gradients(check, overrides):
    code, out, err = check(*overrides, "check.entries=4")

    assert code == 0, out
    assert not err
    assert "the gradients agree" in out
    assert "logits/kernel" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
def test_a_distilled_models_gradients_are_right(check, teacher):
    code, out, err = check("step=distillation", teacher("data=digits"), "check.entries=4")

    assert code == 0, out
    assert not err


@pytest.mark.usefixtures("users_module")
def test_a_users_layer_with_a_wrong_custom_gradient_is_caught(check):
    code, out, err = check("model._target_=users_module.Model", *OF_THE_MLP)

    assert code == 1
    assert not err
    verdicts = {line.split()[0]: line.rstrip().endswith("differs") for line in table(out)}
    assert verdicts == {
        "users/before/kernel": True,
        "users/before/bias": True,
        "users/behind/kernel": False,
        "users/behind/bias": False,
    }
    assert "greatest relative error 5.0e-01" in out
    assert "the gradients differ: at users/before/" in out


@pytest.mark.usefixtures("users_module")
def test_the_tolerance_decides(check):
    given = ("model._target_=users_module.Model", *OF_THE_MLP, "check.entries=2")

    assert check(*given, "tolerance=0.49")[0] == 1
    assert check(*given, "tolerance=0.51")[0] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("users_module")
def test_a_model_of_another_precision_is_checked_when_told(check):
    given = ("model._target_=users_module.SinglePrecision", *OF_THE_MLP)

    code, _, err = check(*given)

    assert code == 2
    assert len(err.splitlines()) == 1
    assert "is float32, not float64" in err
    assert "check.dtype=float32 tolerance=0.1" in err
    assert check(*given, "check.dtype=float32", "tolerance=0.1")[0] == 0


@pytest.mark.slow
@pytest.mark.usefixtures("users_module")
def test_a_cast_within_the_model_is_named_where_it_spoils_the_differences(check):
    given = ("model._target_=users_module.Casting", *OF_THE_MLP)

    code, out, _ = check(*given)

    assert code == 1
    assert "not computed in float64 (operation" in out
    assert check(*given, "check.dtype=float32", "tolerance=0.1")[0] == 0


@pytest.mark.slow
def test_the_same_command_prints_the_same(check):
    given = ("model.hidden=[3]", "model.dropout=0.5", "check.entries=2")

    first = check(*given)

    assert check(*given) == first
    assert check(*given, "seed=1") != first


def test_float32_is_back_afterwards(check):
    import keras

    check("model=linear", "check.entries=1")

    assert keras.config.floatx() == "float32"
    assert keras.layers.Dense(1).variable_dtype == "float32"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=nosuch"], "Could not find 'model/nosuch' Available options in 'model': cnn"),
        (["nosuch=1"], "Could not override 'nosuch'"),
        (["model.nosuch=1"], "Could not override 'model.nosuch'"),
        (["+model.nosuch=1"], "model.nosuch: MLP takes no such argument"),
        (["check.nosuch=1"], "Could not override 'check.nosuch'"),
        (["+check.nosuch=1"], "check"),
        (["model"], "Error parsing override 'model' missing EQUAL"),
        (["model=cnn,mlp"], "Ambiguous value for argument 'model=cnn,mlp'"),
        (["tolerance=-1"], "tolerance=-1: input should be greater than 0"),
        (["tolerance=much"], "tolerance=much: input should be a valid number"),
        (["check.rows=0"], "check.rows=0: input should be greater than 0"),
        (["check.entries=1.5"], "check.entries=1.5: input should be a valid integer"),
        (["check.gradient=both"], "check.gradient=both: input should be 'step' or 'loss'"),
        (["check.dtype=float16"], "check.dtype=float16: input should be 'float64' or 'float32'"),
        (["check=1"], "check=1: input should be"),
        (["epochs=0"], "epochs=0: input should be greater than 0"),
        (["data=random", "model=cnn"], "model=cnn: it takes pictures"),
        (["data=random", "loss=sparse_categorical_crossentropy"], "needs integer labels"),
        (["step._target_=src.nosuch.Step"], "step._target_=src.nosuch.Step"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line(check, overrides, message):
    code, out, err = check(*overrides)

    assert code == 2
    assert not out
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert message in err


@pytest.mark.parametrize("option", ["-m", "--multirun", "--nosuch"])
def test_an_unknown_option_is_a_mistake(capsys, option):
    with pytest.raises(SystemExit) as ended:
        gradients.main([option, "model=cnn"])

    assert ended.value.code == 2
    assert option in capsys.readouterr().err


def test_help_and_mistakes_do_not_import_tensorflow(root):
    program = (
        "import contextlib, sys\n"
        "from src.gradients import main\n"
        "assert main(['check.rows=0']) == main(['epochs=0']) == main(['model=nosuch']) == 2\n"
        "with contextlib.suppress(SystemExit):\n"
        "    main(['--help'])\n"
        "sys.exit(3 if {'tensorflow', 'keras', 'mlflow'} & set(sys.modules) else 0)\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120
    )

    assert ended.returncode == 0, ended.stderr
    assert "gradient: step" in ended.stdout  # its keys, from conf/gradients.yaml
    assert max(map(len, ended.stdout.splitlines())) <= 100


@pytest.mark.slow
def test_as_a_process_from_another_folder(root, tmp_path):
    (tmp_path / "users_module.py").write_text(USERS_MODULE)

    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "src.gradients",
            "model._target_=users_module.Model",
            *OF_THE_MLP,
            "check.entries=2",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(tmp_path)])},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ended.returncode == 1, ended.stderr
    assert not ended.stderr
    assert "the gradients differ" in ended.stdout
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == [
        "users_module.py"
    ]


def table(out):
    """The lines of the table's body."""
    lines = out.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("──"))
    return lines[begin + 1 : lines.index("", begin)]
