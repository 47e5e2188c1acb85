"""From the configuration to objects: equal seeds, what fits the data, and what is refused."""

import keras
import numpy as np
import pytest

from src.build import build, model_summary, parameter_count
from src.data.dataset import Dataset, Split
from src.engine import state
from src.errors import UserError

# A module of the user's own.
MINE = """
import keras
from src.steps.standard import Standard

class Model(keras.Model):
    def __init__(self, num_classes: int, units: int = 4):
        super().__init__()
        self.inner = keras.layers.Dense(units, "relu")
        self.outer = keras.layers.Dense(num_classes)

    def call(self, inputs, training=None):
        return self.outer(self.inner(keras.ops.reshape(inputs, (keras.ops.shape(inputs)[0], -1))))

class Wide(Model):
    def __init__(self, num_classes: int):
        super().__init__(num_classes + 1)

class Pictures(keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Conv2D(3, 3)

    def call(self, inputs):
        return self.layer(inputs)

def functional(input_shape, num_classes: int):
    inputs = keras.layers.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(keras.layers.Flatten()(inputs)))

def no_model(num_classes: int):
    return [num_classes]

def no_step(model, optimizer, loss, metrics):
    return model

def no_optimizer(learning_rate, **others):
    return learning_rate

class Step(Standard):
    def __init__(self, model, optimizer, loss, metrics, *, strength: float):
        super().__init__(model, optimizer, loss, metrics)
        self.strength = strength
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module `mine_for_build` on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_for_build.py").write_text(MINE)


@pytest.fixture
def made(configured, tiny, tensorflow):
    """Build the step of overrides, over the data set of the tiny run or another."""
    from src.data.load import load

    def make(*overrides, dataset=None, seed=None, tried=False):
        config = configured(*tiny(*overrides))
        dataset = dataset or load(config.data.model_dump(by_alias=True), config.data.seed)
        return build(config, dataset, config.seed if seed is None else seed, tried=tried)

    return make


def integers(rows=4, classes=3, shape=(2,)) -> Dataset:
    x = np.random.default_rng(0).random((rows, *shape), np.float32)
    split = Split(x, np.arange(rows, dtype=np.int32) % classes)
    return Dataset("mine", split, split, None, classes, "integer", (), "made", "0")


def refusal(made, *overrides, **named) -> str:
    with pytest.raises(UserError) as raised:
        made(*overrides, **named)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_equal_seeds_give_equal_weights_and_other_seeds_others(made):
    digests = [state.sha256(state.snapshot(made(seed=seed), "model/")) for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=mlp", "model.dropout=0.5", "optimizer=adam"),
        ("model=cnn", "data=digits"),
        ("model=linear",),
        ("model={_target_:mine_for_build.functional}",),
        ("model={_target_:mine_for_build.Model}",),
    ],
)
def test_a_further_seed_is_drawn_as_if_it_were_the_first(made, mine, overrides):
    first = state.snapshot(made(*overrides, seed=3))
    further = state.snapshot(made(*overrides, seed=3, tried=True))
    assert list(further) == list(first)
    assert state.sha256(further) == state.sha256(first)


def test_names_count_from_one_again_for_each_run(made):
    overrides = ("model.dropout=0.5", "optimizer=adam")
    first = list(state.variables(made(*overrides)))
    assert list(state.variables(made(*overrides))) == first


def test_the_optimizer_has_the_configured_arguments(made):
    step = made("optimizer=adamw", "optimizer.learning_rate=0.25", "optimizer.beta_1=0.5")
    optimizer = step.optimizer
    assert type(optimizer) is keras.optimizers.AdamW
    assert (float(optimizer.learning_rate.numpy()), optimizer.beta_1) == (0.25, 0.5)
    assert optimizer.built


def test_trying_it_out_leaves_no_trace(made):
    step = made("metrics=[accuracy,top_k_categorical_accuracy]")
    assert all(not value.any() for value in state.snapshot(step, "metrics/").values())
    assert int(step.optimizer.iterations.numpy()) == 0


# -- metrics


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("accuracy", "integer", "SparseCategoricalAccuracy"),
        ("accuracy", "soft", "CategoricalAccuracy"),
        ("categorical_accuracy", "soft", "CategoricalAccuracy"),
        ("mean_absolute_error", "soft", "MeanAbsoluteError"),
        ("MeanAbsoluteError", "soft", "MeanAbsoluteError"),
    ],
)
def test_metrics_by_keras_name(made, name, labels, expected):
    dataset = integers() if labels == "integer" else None
    loss = ["loss=sparse_categorical_crossentropy"] if dataset else []
    step = made(f"metrics=[{name}]", *loss, dataset=dataset)
    metric = step.metrics[name]
    kind = type(metric).__name__
    wrapped = getattr(getattr(metric, "_fn", None), "__name__", "")
    assert expected.lower() in (kind.lower(), wrapped.replace("_", "").lower())
    assert list(step.metrics) == ["loss", name]


FUNCTIONAL = ("model=mlp", "model._target_=tests.models.functional.network")


def test_a_functional_model_of_the_users_own(made):
    step = made(*FUNCTIONAL, "+model.width=4")
    assert [layer.name for layer in step.model.layers][-1] == "logits"
    assert step.model.output_shape == (None, 4)


def test_probabilities_given_as_logits_are_refused(made):
    with pytest.raises(UserError, match=r"^loss\.from_logits=true: .*softmax; .*from_logits=false"):
        made(*FUNCTIONAL, "+model.classifier_activation=softmax")
    made(*FUNCTIONAL, "+model.classifier_activation=softmax", "loss.from_logits=false")


@pytest.mark.parametrize("metrics", ["[r2_score]", "[f1_score]"])
def test_a_further_seed_has_all_the_variables_of_the_first(made, metrics):
    keys = ("data=random", "data.rows=9", f"metrics={metrics}", "loss=mean_squared_error")
    first, further = made(*keys), made(*keys, seed=1, tried=True)
    names = list(state.variables(first))
    assert names == list(state.variables(further))
    assert sum(name.startswith("metrics/") for name in names) > 2


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("metrics=[acuracy]",),
            ["metrics: Keras has no metric 'acuracy'", "did you mean accuracy"],
        ),
        (("metrics=[f2_score]",), ["metrics: Keras has no metric 'f2_score'", "f1_score"]),
        (("optimizer._target_=keras.optimizers.Adamm",), ["optimizer._target_=", "Adam"]),
        (("+optimizer.momentun=0.9",), ["optimizer", "momentun"]),
        (("optimizer=adam", "optimizer.beta_1=high"), ["optimizer.beta_1=high", "number"]),
        (("optimizer=adam", "optimizer.amsgrad=perhaps"), ["optimizer.amsgrad", "boolean"]),
        (("optimizer=momentum", "optimizer.momentum=2"), ["optimizer", "momentum"]),
        (("optimizer.clipnorm=1", "optimizer.clipvalue=1"), ["optimizer", "clip"]),
        (("model.hidden=[0]",), ["model.hidden.0=0", "greater than 0"]),
        (("model.hidden=[3.5]",), ["model.hidden.0=3.5", "integer"]),
        (("model.hidden=5",), ["model.hidden=5", "list"]),
        (("model.activation=rellu",), ["model.activation=rellu", "relu"]),
        (("model.dropout=1.5",), ["model.dropout=1.5", "less than 1"]),
        (("+model.width=5",), ["model.width", "MLP takes no such argument"]),
        (("loss.label_smoothing=1.5",), ["loss", "label_smoothing"]),
        (
            ("loss=sparse_categorical_crossentropy", "loss.label_smoothing=1.5"),
            ["loss.label_smoothing=1.5", "less than 1"],
        ),
        (("loss.reduction=median",), ["loss", "reduction"]),
        (("model=cnn",), ["model=cnn", "pictures", "model=mlp"]),
        (
            ("loss=sparse_categorical_crossentropy",),
            ["loss: it can't be computed from", "soft labels"],
        ),
        (("metrics=[sparse_categorical_accuracy]",), ["metrics=sparse_categorical_accuracy"]),
        (("+step.strength=1",), ["step.strength: Standard takes no such argument"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_built_is_refused_in_one_line(made, overrides, said):
    text = refusal(made, *overrides)
    for part in said:
        assert part in text


# -- what the user brings


@pytest.mark.parametrize("name", ["Model", "functional"])
def test_a_model_of_the_users_own_is_offered_what_the_data_knows(made, mine, name):
    overrides = ["model=linear", f"model._target_=mine_for_build.{name}"]
    step = made(*overrides, "loss=sparse_categorical_crossentropy", dataset=integers(shape=(2, 3)))
    assert step.model(np.zeros((5, 2, 3), np.float32)).shape == (5, 3)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model._target_=mine_for_build.Wide", "model: it gives outputs of shape (1, 5)"),
        ("model._target_=mine_for_build.Pictures", "model: it can't take inputs of shape (3,)"),
        ("model._target_=mine_for_build.no_model", "it makes no keras.Model"),
        ("model._target_=mine_for_build.Modell", "did you mean Model?"),
        ("model._target_=mine_for_build.Model +model.units=many", "model.units=many"),
        ("model._target_=mine_for_build.Model +model.depth=3", "model.depth: Model takes no such"),
        ("step._target_=mine_for_build.no_step", "derive it from src.steps.step.Step"),
        ("step._target_=mine_for_build.Step", "step.strength: Step needs a value for it"),
        ("step._target_=mine_for_build.Step +step.strength=big", "step.strength=big"),
        ("optimizer._target_=mine_for_build.no_optimizer", "it is no Keras optimizer"),
    ],
)
def test_what_the_user_brings_is_checked(made, mine, override, said):
    text = refusal(made, "model=linear", *override.split())
    assert text.startswith(override.split(".")[0])
    assert said in text


def test_a_step_of_the_users_own_has_its_arguments(made, mine):
    assert made("step._target_=mine_for_build.Step", "+step.strength=0.5").strength == 0.5


# -- what is said of a model


@pytest.mark.parametrize(
    ("step", "monitor", "allowed"),
    [
        ("adversarial", "val/robust_accuracy", True),
        ("adversarial", "val/robust_recall", False),
        ("gradient_noise_scale", "train/gradient_noise_scale", True),
        ("gradient_noise_scale", "val/gradient_noise_scale", False),
    ],
)
def test_a_metric_of_the_steps_own_may_be_monitored(made, step, monitor, allowed):
    overrides = (f"step={step}", f"monitor={monitor}")
    if allowed:
        assert monitor.partition("/")[2] in made(*overrides).reported
        return
    with pytest.raises(UserError, match=f"monitor={monitor}: allowed are .*train/loss"):
        made(*overrides)


def test_parameters_are_counted(made):
    # 3 features, 5 hidden units, 4 classes.
    assert parameter_count(made().model.trainable_variables) == (3 + 1) * 5 + (5 + 1) * 4


def test_the_summary_is_plain_text_of_fixed_width(made):
    text = model_summary(made().model)
    assert "44" in text
    assert "logits" in text
    assert max(map(len, text.splitlines())) <= 100


def test_accumulation_over_a_sum_is_refused(program):
    with pytest.raises(UserError, match=r"^loss\.reduction=sum: accumulate=2 takes the mean"):
        program("loss.reduction=sum", "accumulate=2")


def test_f_scores_are_the_mean_over_the_classes(program):
    keys = ("data.labels=one_hot", "loss=categorical_crossentropy", "model=linear")
    made, dataset = program("data=breast_cancer", *keys, "metrics=[f1_score]")
    outputs = made.model()(dataset.val.x, training=False).numpy()
    found, labels = outputs.argmax(axis=1), dataset.val.y.argmax(axis=1)
    expected = [
        2 * ((found == c) & (labels == c)).sum() / ((found == c).sum() + (labels == c).sum())
        for c in range(2)
    ]
    assert made.evaluate(dataset.val)[0]["f1_score"] == pytest.approx(np.mean(expected))


def test_metrics_of_regression_are_measured_on_attacked_rows_too(program):
    made, dataset = program("data=diabetes", "task=regression", "step=adversarial", "model=linear")
    found = made.evaluate(dataset.val)[0]
    assert {"r2_score", "robust_r2_score", "robust_loss"} <= found.keys()
