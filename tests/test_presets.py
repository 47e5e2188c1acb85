"""Every preset of conf/experiment does what its header promises, run by the command it names."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PRESETS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))


@pytest.fixture
def run(tmp_path, command, journal_of, only_run):
    """Run a preset's command, without MLflow: its journal and what it printed."""

    def run(name):
        outputs = tmp_path / "outputs"
        quiet = ("tracking=none", "tracking.artifacts=none")
        ended = command(f"experiment={name}", f"outputs={outputs}", *quiet)
        assert ended.code == 0, ended.err
        return journal_of(only_run(outputs)), ended.out

    return run


@pytest.fixture
def fashion_mnist(composed):
    """Skip where the data is not installed."""
    if not Path(composed("experiment=fashion_mnist_mlp").data.path).is_dir():
        pytest.skip("Fashion-MNIST is not installed")


def by_epoch(journal, name):
    """The values of a metric by epoch."""
    return [value for (metric, _), value in sorted(journal.metrics.items()) if metric == name]


def final(journal, name):
    return by_epoch(journal, name)[-1]


def test_custom_training_falls_like_the_notes(run):
    journal, printed = run("custom_training")

    losses = journal.updates["update/loss"]
    assert len(losses) == 3 * 16  # 15 batches of 64 rows and one of 40
    first, second, third = losses[[0, 16, 32]]
    assert 24 < first < 28  # the notes: 24.5
    assert 17 < second < 22  # 19.4
    assert 15 < third < 20  # 17.1
    assert first > second > third
    assert np.all(journal.updates["update/learning_rate"] == np.float32(1e-3))
    lines = [line for line in printed.splitlines() if "seen so far" in line]
    assert len(lines) == 3
    assert all("seen so far 64 samples" in line for line in lines)


def test_the_loss_of_custom_training_is_three_clipped_classes(configured, tensorflow):
    """What the preset's header says of the loss, computed with NumPy."""
    from src.build import build
    from src.job import load_data

    config = configured("experiment=custom_training")
    dataset, _ = load_data(config)
    step = build(config, dataset, config.seed)
    x, y = dataset.train.x, dataset.train.y
    logits = step.model(x).numpy().astype(np.float64)

    quotients = logits / logits.sum(axis=1, keepdims=True)
    clipped = np.clip(quotients, 1e-7, 1 - 1e-7)
    loss = -(y * np.log(clipped)).sum(axis=1).mean()

    assert float(step.loss(y, logits.astype(np.float32))) == pytest.approx(loss, rel=1e-4)
    other_sign = np.sign(logits) != np.sign(logits.sum(axis=1, keepdims=True))
    assert (quotients[other_sign] < 1e-7).all()
    assert loss == pytest.approx(other_sign.sum(axis=1).mean() * 0.5 * 16.1, rel=0.5)


def test_custom_training_from_logits_falls_slowly_to_no_less_than_random_labels_allow(run):
    journal, _ = run("custom_training_from_logits")

    first, second, third = by_epoch(journal, "train/loss")
    assert 12.3 > first > second > third > 11.5  # 5 * log(10) = 11.5
    assert final(journal, "val/accuracy") == pytest.approx(0.1, abs=0.06)


def test_the_two_variants_of_custom_training_differ_in_one_key(composed):
    unsound = composed("experiment=custom_training")
    sound = composed("experiment=custom_training_from_logits")

    assert (unsound.loss.from_logits, sound.loss.from_logits) == (False, True)
    sound.loss.from_logits = False
    assert sound == unsound


def test_custom_training_metrics_learns_nothing(run):
    journal, _ = run("custom_training_metrics")

    for split in ("train", "val"):
        accuracies = by_epoch(journal, f"{split}/accuracy")
        assert len(accuracies) == 3
        assert accuracies == pytest.approx([0.1] * 3, abs=0.06)


def test_breast_cancer(run):
    journal, _ = run("breast_cancer")

    assert final(journal, "test/accuracy") >= 0.96


def test_diabetes_is_as_good_as_least_squares(run, configured):
    from src.job import load_data

    journal, _ = run("diabetes")

    dataset, _ = load_data(configured("experiment=diabetes"))
    train, val = (np.insert(split.x, 0, 1.0, axis=1) for split in (dataset.train, dataset.val))
    fitted = val @ np.linalg.lstsq(train, dataset.train.y, rcond=None)[0]
    true = dataset.val.y
    reference = 1 - ((true - fitted) ** 2).sum() / ((true - true.mean()) ** 2).sum()
    assert final(journal, "val/r2_score") == pytest.approx(reference, abs=0.05)
    assert final(journal, "val/r2_score") >= 0.3


def test_digits_mlp(run):
    journal, _ = run("digits_mlp")

    assert final(journal, "val/accuracy") >= 0.97
    assert final(journal, "test/accuracy") >= 0.94


@pytest.mark.slow
def test_digits_cnn(run):
    journal, _ = run("digits_cnn")

    assert final(journal, "val/accuracy") >= 0.98
    assert final(journal, "test/accuracy") >= 0.97


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist")
def test_fashion_mnist_mlp(run):
    journal, _ = run("fashion_mnist_mlp")

    assert final(journal, "test/accuracy") >= 0.88


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist")
def test_fashion_mnist_cnn(run):
    journal, _ = run("fashion_mnist_cnn")

    assert final(journal, "test/accuracy") >= 0.915


@pytest.mark.slow
@pytest.mark.usefixtures("fashion_mnist")
def test_fashion_mnist_resnet(run):
    journal, _ = run("fashion_mnist_resnet")

    assert final(journal, "test/accuracy") >= 0.905


@pytest.mark.slow
def test_characters(run):
    journal, _ = run("characters")

    assert final(journal, "val/accuracy") >= 0.57


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_what_it_is_its_command_and_its_figure(name):
    lines = (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text().splitlines()

    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# ")
    assert lines[2] == f"#   python -m src.train experiment={name}"
    assert lines[3].startswith("# Expected: ")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_a_test_of_its_promise(name):
    assert any(test.startswith(f"test_{name}") for test in globals())


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_own_keys_reach_the_configuration_and_the_command_has_the_last_word(
    name, composed, configured
):
    text = (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text()
    own = {key: value for key, value in yaml.safe_load(text).items() if key != "defaults"}

    preset = composed(f"experiment={name}")
    changed = configured(f"experiment={name}", "epochs=77", "optimizer.learning_rate=0.5")

    for key, value in own.items():
        if isinstance(value, dict):
            assert {inner: preset[key][inner] for inner in value} == value
        else:
            assert preset[key] == value
    assert changed.epochs == 77
    assert changed.optimizer.learning_rate == 0.5
    json.dumps(changed.model_dump())  # plain values alone, which the record keeps
