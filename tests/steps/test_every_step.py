"""What holds for each choice of conf/step: compiled, line by line, and with any labels."""

from pathlib import Path

import numpy as np
import pytest

from tests.engine.members import quick_and_slow

STEPS = sorted(path.stem for path in Path("conf/step").glob("*.yaml"))
TINY = ("optimizer=momentum", "model.dropout=0.4")
DRAWS = ("mixup", "adversarial")  # XLA draws other random numbers


@pytest.fixture
def step(teacher):
    """The overrides that choose a step."""

    def make(name, *data):
        chosen = [f"step={name}"]
        return [*chosen, teacher(*data)] if name == "distillation" else chosen

    return make


def trained(program, *overrides):
    """Losses of two epochs, the metrics of training and validation, and the final state."""
    made, dataset = program(*overrides)
    order = np.arange(dataset.train_rows, dtype=np.int32)
    losses = []
    for epoch in range(2):
        made.shuffle(np.roll(order, epoch)[None])
        rates = np.full((made.updates_per_epoch, 1), 0.1, np.float32)
        losses.append(made.run(0, rates, np.ones(1, bool)))
    return np.concatenate(losses), made.take_results()[0], made.evaluate(dataset.val)[0], made


@pytest.mark.parametrize("name", quick_and_slow(STEPS, {"sam", "gradient_penalty"}))
def test_line_by_line_it_does_what_its_graph_does(program, step, name):
    losses, results, scores, graph = trained(program, *step(name), *TINY)
    other, other_results, other_scores, eager = trained(
        program, *step(name), "eager=true", "jit=auto", *TINY
    )
    np.testing.assert_allclose(other, losses, rtol=1e-5)
    assert other_results == pytest.approx(results, rel=1e-4)
    assert other_scores == pytest.approx(scores, rel=1e-4)
    for key, value in graph.snapshot().items():
        np.testing.assert_allclose(eager.snapshot()[key], value, rtol=1e-4, atol=1e-6, err_msg=key)
    assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_compiled_by_xla_it_does_what_its_graph_does(program, step, name):
    losses, results, scores, _ = trained(program, *step(name), "jit=false")
    other, other_results, other_scores, made = trained(program, *step(name), "jit=true")
    assert made.compilation.jit
    if name not in DRAWS:
        np.testing.assert_allclose(other, losses, rtol=1e-4)
        assert other_results == pytest.approx(results, rel=1e-3)
    assert np.isfinite(other).all()
    assert other_results.keys() == results.keys()
    assert other_scores.keys() == scores.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize(
    "labels",
    [
        ["data.labels=one_hot", "loss=mean_squared_error"],
        ["data.labels=one_hot", "loss=categorical_crossentropy"],
        ["data.labels=integer"],
    ],
)
def test_with_any_labels_and_convolutions(program, pictures, step, name, labels):
    data = ("data=arrays", f"data.path={pictures}", "data.batch_size=8")
    if (name, labels[-1]) == ("distillation", "loss=mean_squared_error"):
        pytest.skip("it is refused")
    chosen = [*step(name, *data, "model=linear"), *data, *labels]
    losses, *_ = trained(program, *chosen, "model=cnn", "model.filters=[2]")
    assert np.isfinite(losses).all()


def test_what_is_measured_in_training_alone_is_not_reported_of_validation(program):
    _, results, scores, _ = trained(program, "step=gradient_noise_scale")
    assert results.keys() - scores.keys() == {"gradient_noise_scale"}
    assert results["gradient_noise_scale"] > 0


def test_attacked_rows_are_scored_beside_those_that_are_not(program):
    _, results, scores, _ = trained(program, "step=adversarial", "step.epsilon=0.5")
    names = {"loss", "accuracy", "robust_loss", "robust_accuracy"}
    assert results.keys() == scores.keys() == names
    assert scores["robust_loss"] > scores["loss"]
    assert scores["robust_accuracy"] <= scores["accuracy"]
