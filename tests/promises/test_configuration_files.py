"""Every yaml of conf/ opens with what it is, its command and the expected result; and it works:
it composes, validates and builds, and makes one update.
"""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from src.config import Config

CONF = Path(__file__).resolve().parents[2] / "conf"
FILES = sorted(str(path.relative_to(CONF)) for path in CONF.rglob("*.yaml"))
GROUPS = (
    "data",
    "model",
    "optimizer",
    "schedule",
    "loss",
    "task",
    "step",
    "strategy",
    "tracking",
    "experiment",
    "debug",
)
CHOICES = [
    tuple(name.removesuffix(".yaml").split("/")) for name in FILES if name.split("/")[0] in GROUPS
]
# What a choice needs beside it on the data of the tiny run.
BESIDE = {
    ("data", "image_folder"): ["data.height=4", "data.width=4"],
    ("loss", "sparse_categorical_crossentropy"): ["data=pictures"],
    ("loss", "mean_squared_error"): ["metrics=[mean_absolute_error]"],
    ("loss", "huber"): ["metrics=[mean_absolute_error]"],
    ("model", "cnn"): ["data=pictures"],
    ("model", "resnet"): ["data=pictures"],
    ("model", "transformer"): ["data=pictures"],
    ("data", "text"): ["model=transformer", "data.characters=2000"],
}


def comment(name: str) -> list[str]:
    """The lines of the comment that opens a file, without the signs."""
    lines = []
    for line in (CONF / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            break
        if line and not line.startswith("# @package"):
            lines.append(line.removeprefix("#").removeprefix(" "))
    return lines


def commands(name: str) -> list[list[str]]:
    """The arguments of each `python -m src.train` in the comment that opens a file."""
    found = [re.search(r"python -m src\.train(.*)", line) for line in comment(name)]
    # In columns, what follows two spaces is what to expect.
    return [shlex.split(re.split(r"\s{2,}", match[1])[0]) for match in found if match]


def test_every_group_has_a_choice():
    found = {group for group, *_ in CHOICES}
    assert set(GROUPS) - {"experiment"} <= found


@pytest.mark.parametrize("name", FILES)
def test_it_opens_with_what_it_is_a_command_and_what_to_expect(name):
    lines = comment(name)
    assert len(lines) >= 2
    text = "\n".join(lines)
    assert "python -m src." in text
    # config.yaml says what to expect beside each of its commands.
    assert "Expected" in text or (name == "config.yaml" and "val/accuracy >=" in text)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [(name, arguments) for name in FILES for arguments in commands(name)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_command_in_its_comment_is_sound(configured, name, arguments):
    group, _, choice = name.removesuffix(".yaml").rpartition("/")
    if group:
        assert any(
            argument.startswith((f"{group}={choice}", f"{group}.")) for argument in arguments
        ), "the command shows another choice"
    if arguments[:1] == ["-m"]:  # the first job of the sweep
        arguments = [
            argument if re.search(r"=\[", argument) else argument.split(",")[0]
            for argument in arguments[1:]
        ]
    configured(*(argument for argument in arguments if not argument.startswith("hydra/")))


@pytest.mark.parametrize("name", FILES)
def test_every_key_has_its_lowercase_name(name):
    loaded = OmegaConf.load(CONF / name)
    for key in loaded:
        assert re.fullmatch(r"[a-z_0-9/@.]+|_target_|override \S+", str(key)), key


def small(overrides: list[str], paths: dict[str, Path]) -> list[str]:
    """The overrides, their data exchanged for a few rows of the same kind."""
    if "data=pictures" in overrides:
        overrides = [o for o in overrides if o != "data=pictures"] + ["data=arrays"]
    for kind, path in paths.items():
        if f"data={kind}" in overrides:
            overrides = [*overrides, f"data.path={path}"]
    if "data=csv" in overrides:
        overrides = [*overrides, "data.label=kind"]
    return overrides


@pytest.fixture(scope="session")
def fashion(tmp_path_factory) -> Path:
    """Four IDX files of 60 and 20 made-up pictures, in all ten classes."""
    folder = tmp_path_factory.mktemp("fashion")
    generator = np.random.default_rng(0)
    for name, count in (("train", 60), ("t10k", 20)):
        pixels = generator.integers(0, 256, (count, 28, 28), np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, axes, array in (("images-idx3", 3, pixels), ("labels-idx1", 1, labels)):
            header = bytes((0, 0, 8, axes)) + np.array(array.shape, ">u4").tobytes()
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A folder of three classes with seven pictures each."""
    root = tmp_path_factory.mktemp("folder")
    generator = np.random.default_rng(0)
    for name in "abc":
        (root / name).mkdir()
        for number in range(7):
            pixels = generator.integers(0, 256, (5, 6, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def table(tmp_path_factory) -> Path:
    """A CSV file of 30 rows: numbers, categories and three kinds."""
    path = tmp_path_factory.mktemp("table") / "table.csv"
    colours = ["red", "blue"]
    rows = [f"{row / 7:.3f},{colours[row % 2]},{'abc'[row % 3]}" for row in range(30)]
    path.write_text("\n".join(["size,colour,kind", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def paths(pictures, fashion, table, folder) -> dict[str, Path]:
    """The made-up files, by the choice of data that reads them."""
    return {"arrays": pictures, "fashion_mnist": fashion, "csv": table, "image_folder": folder}


# Of the choices, those that need what is not here: their own tests stand in for it.
ABSENT = {("data", "tfds")}


@pytest.mark.parametrize("choice", [c for c in CHOICES if c not in ABSENT], ids="=".join)
def test_it_composes_builds_and_makes_one_update(
    configured, tiny, tensorflow, choice, paths, teacher
):
    from src import job
    from src.build import build
    from src.engine import state
    from src.engine.program import Program

    overrides = small(["=".join(choice), *BESIDE.get(choice, [])], paths)
    if choice == ("step", "distillation"):
        overrides.append(teacher())
    config: Config = configured(*tiny(*overrides), "data.batch_size=6")
    if config.data.target.endswith("fashion_mnist.load"):  # a preset's
        config = configured(
            *tiny(*overrides), "data.batch_size=6", f"data.path={paths['fashion_mnist']}"
        )
    dataset, factors = job.load_data(config)
    assert len(factors) == config.epochs * -(-dataset.train_rows // 6)
    step = build(config, dataset, config.seed)
    # Line by line: what is composed is at stake here, not how it is compiled.
    made = Program(step, dataset.train, 6, 1000, eager=True)
    made.shuffle(np.arange(dataset.train_rows, dtype=np.int32)[None])
    before = made.snapshot()
    rate = np.full((1, 1), config.optimizer.learning_rate * factors.ravel()[0], np.float32)
    [[loss]] = made.run(0, rate, np.ones(1, bool))
    assert np.isfinite(loss)
    after = made.snapshot()
    for name, values in after.items():
        assert np.isfinite(values).all(), name
    weights = [name for name in after if "kernel" in name and name.startswith("model/")]
    assert weights
    assert all(not np.array_equal(before[name], after[name]) for name in weights)
    assert state.sha256(after) != state.sha256(before)
    [scores] = made.evaluate(dataset.val)
    assert set(scores) == step.reported.keys() - set(step.TRAINING_ONLY)
    assert {"loss", *config.metrics} <= set(scores)
    assert all(np.isfinite(value) for value in scores.values())


def test_soft_labels_bring_their_own_loss_but_a_choice_of_loss_wins(configured):
    assert configured("data=random").loss.target == "keras.losses.CategoricalCrossentropy"
    chosen = configured("data=random", "loss=mean_squared_error")
    assert chosen.loss.target == "keras.losses.MeanSquaredError"
    assert configured("data=digits").loss.target.endswith(".SparseCategoricalCrossentropy")
