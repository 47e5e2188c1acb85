"""Predictions of a recorded run: what validation saw, in files of three kinds."""

import csv
import shutil

import numpy as np
import pytest

from src import commands, evaluate, predict


@pytest.fixture(scope="module")
def run(train_in, pictures, tmp_path_factory):
    """A run on pictures whose values are scaled by mean and deviation."""
    return train_in(
        tmp_path_factory.mktemp("run"),
        "data=arrays",
        f"data.path={pictures}",
        "data.batch_size=8",
        "epochs=2",
    ).folder


@pytest.fixture
def ask(run, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*words, code=0, name=run):
        found = commands.enter(predict.predict, [f"run={name}", *words], predict.HELP)
        captured = capsys.readouterr()
        assert found == code, captured.err
        if code:
            assert captured.err.count("\n") == 1, captured.err
            return captured.err.removeprefix("error: ").strip()
        return captured.out

    return call


@pytest.fixture
def expected(run, pictures, newest_of):
    """Probabilities of the test rows, by NumPy from the checkpoint's weights."""
    arrays = np.load(pictures)
    scaled = (arrays["x_test"] - arrays["x_train"].mean()) / arrays["x_train"].std()
    best = newest_of(run).best
    w1, b1, w2, b2 = (value for _, value in sorted(best.items()))
    logits = np.maximum(scaled.reshape(5, -1) @ w1 + b1, 0) @ w2 + b2
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_every_kind_of_file_gives_the_same_right_probabilities(ask, expected, pictures, tmp_path):
    x = np.load(pictures)["x_test"]
    np.save("x.npy", x)
    np.savez("x.npz", rows=x, other=x[:1])
    with open("x.csv", "w") as file:  # noqa: PTH123
        file.write(",".join(f"pixel {n}" for n in range(30)) + "\n")
        np.savetxt(file, x.reshape(5, -1), delimiter=",", fmt="%.9g")
    out = ask("input=x.npy", "output=a.npy")
    assert "predicted   5 rows" in out
    found = np.load("a.npy")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    ask("input=x.npz", "array=rows", "output=b.npz")
    with np.load("b.npz") as archive:
        np.testing.assert_array_equal(archive["values"], found)
        np.testing.assert_array_equal(archive["class"], expected.argmax(axis=1))
        assert archive["class_names"].tolist() == ["0", "1", "2"]
    ask("input=x.csv", "output=c.csv")
    with open("c.csv", newline="") as file:  # noqa: PTH123
        headings, *lines = csv.reader(file)
    assert headings == ["class", "probability 0", "probability 1", "probability 2"]
    np.testing.assert_array_equal(np.array(lines)[:, 1:].astype(np.float32), found)
    assert [line[0] for line in lines] == [str(n) for n in expected.argmax(axis=1)]


def test_nothing_is_replaced_unless_asked_and_nothing_is_left_aside(ask, pictures, tmp_path):
    np.save("x.npy", np.load(pictures)["x_test"])
    (tmp_path / "a.csv").write_text("mine")
    assert "a.csv: it exists; overwrite=true replaces it" in ask(
        "input=x.npy", "output=a.csv", code=2
    )
    assert (tmp_path / "a.csv").read_text() == "mine"
    ask("input=x.npy", "output=a.csv", "overwrite=true")
    assert (tmp_path / "a.csv").read_text().startswith("class,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "x.npy"]


@pytest.fixture
def files(pictures, tmp_path):
    x = np.load(pictures)["x_test"]
    bad = x.copy()
    bad[2, 1, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "bad.npy", bad)
    np.save(tmp_path / "one.npy", x[0])
    np.save(tmp_path / "flat.npy", x.reshape(5, -1))
    np.save(tmp_path / "none.npy", x[:0])
    np.save(tmp_path / "text.npy", np.full((2, 5, 6, 1), "a"))
    np.save(tmp_path / "objects.npy", np.full(3, {}), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=x, b=x)
    (tmp_path / "narrow.csv").write_text("1,2\n3,4\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "words.csv").write_text("a,b\n3,four\n")
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "folder.csv").mkdir()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("input=x.npy", "output: it is missing; give it as output=VALUE"),
        ("inputs=x.npy output=o.csv", "inputs: there is no such key; did you mean input"),
        ("input=none output=o.csv", "none: allowed are files that end with .npy, .npz, .csv"),
        ("input=gone.npy output=o.csv", "gone.npy: no such file"),
        ("input=x.npy output=o.txt", "o.txt: allowed are files that end with .csv, .npy, .npz"),
        ("input=x.npy output=gone/o.csv", "gone/o.csv: there is no folder"),
        ("input=x.npy output=folder.csv", "folder.csv: that is a folder"),
        ("input=x.npy output=o.csv overwrite=yes", "overwrite=yes: allowed are true, false"),
        ("input=x.npy output=o.csv array=x", "array=x: only a .npz file"),
        ("input=two.npz output=o.csv", "there is no array x; choose one by array=NAME: a, b"),
        ("input=two.npz output=o.csv array=c", "there is no array c; choose one"),
        ("input=bad.npy output=o.csv", "bad.npy holds nan at index [2, 1, 0, 0]"),
        ("input=one.npy output=o.csv", "it has shape (5, 6, 1), the run's model takes (rows, 5, 6"),
        ("input=flat.npy output=o.csv", "it has shape (5, 30), the run's model takes (rows, 5, 6"),
        ("input=none.npy output=o.csv", "give at least one row"),
        ("input=text.npy output=o.csv", "allowed are booleans, integers and floats"),
        ("input=objects.npy output=o.csv", "it holds Python objects, which are never loaded"),
        ("input=narrow.csv output=o.csv", "it has 2 columns, the run's model takes rows of 30"),
        ("input=ragged.csv output=o.csv", "ragged.csv: can't be read ("),
        ("input=words.csv output=o.csv", "words.csv: can't be read (could not convert string"),
        ("input=broken.npz output=o.csv", "broken.npz: can't be read ("),
    ],
)
def test_wrong_input_is_one_short_message_and_writes_nothing(ask, files, tmp_path, words, text):
    error = ask(*words.split(), code=2)
    assert text in error
    assert len(error) < 400
    assert not (tmp_path / "o.csv").exists()


def test_real_values_have_no_class(ask, trained, tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "prices.npz", x=generator.random((30, 2)), y=generator.random(30))
    folder = trained(
        "data=arrays",
        f"data.path={tmp_path / 'prices.npz'}",
        "loss=mean_squared_error",
        "metrics=[mean_absolute_error]",
        "model=linear",
        "epochs=1",
    ).folder
    np.save("x.npy", generator.random((3, 2)))
    ask("input=x.npy", "output=o.csv", name=folder)
    headings, *lines = (tmp_path / "o.csv").read_text().splitlines()
    assert headings == "output_0"
    assert len(lines) == 3
    ask("input=x.npy", "output=o.npz", name=folder)
    assert np.load("o.npz").files == ["values"]


def test_what_is_compared_as_numbers_is_a_score(ask, trained, tmp_path):
    folder = trained("loss=mean_squared_error", "metrics=[]", "epochs=1").folder
    np.save("x.npy", np.ones((2, 3)))
    ask("input=x.npy", "output=o.csv", name=folder)
    assert (tmp_path / "o.csv").read_text().startswith("class,score 0,")


def test_damaged_inputs_are_named(ask, run, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "inputs.json").write_text("{}")
    np.save("x.npy", np.ones((2, 5, 6, 1)))
    assert "copy/inputs.json: can't be read" in ask(
        "input=x.npy", "output=o.csv", name=tmp_path / "copy", code=2
    )


def test_a_table_is_made_into_features_as_in_training(ask, trained, tmp_path):
    generator = np.random.default_rng(0)
    size, colour = generator.random(40), generator.choice(["red", "blue"], 40)
    lines = [
        f"{a:.6f},{b},{'big' if a > 0.5 else 'small'}" for a, b in zip(size, colour, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,kind", *lines]) + "\n")
    folder = trained(
        "data=csv", f"data.path={tmp_path / 't.csv'}", "data.label=kind", "epochs=3"
    ).folder
    new = "colour,size\nred,0.9\ngreen,0.1\n"
    (tmp_path / "new.csv").write_text(new)
    ask("input=new.csv", "output=o.csv", name=folder)
    headings, *rows = (tmp_path / "o.csv").read_text().splitlines()
    assert headings == "class,probability big,probability small"
    assert len(rows) == 2
    np.save("x.npy", np.ones((2, 2)))
    assert "give a CSV file with the columns size, colour" in ask(
        "input=x.npy", "output=p.csv", name=folder, code=2
    )
    # Other data, in which a category is missing.
    rows = "0.1,red,small\n0.9,red,big\n" * 5
    (tmp_path / "later.csv").write_text(f"size,colour,kind\n{rows}")
    words = (f"run={folder}", f"data.path={tmp_path / 'later.csv'}", "split=all")
    assert commands.enter(evaluate.evaluate, words, "") == 0


def test_tokens_are_predicted_for_each_position(train_in, ask, tmp_path, tensorflow):
    keys = ("model.width=4", "model.depth=1", "model.heads=2", "epochs=1")
    text = ("data=text", "data.length=5", "data.characters=126", "model=transformer")
    folder = train_in(tmp_path, *text, *keys, "tracking.artifacts=full").folder
    tokens = np.load(folder / "input_example.npy")
    assert tokens.dtype == np.int32
    np.save("x.npy", tokens)
    ask("input=x.npy", "output=a.npz", name=folder)
    with np.load("a.npz") as archive:
        values, classes = archive["values"], archive["class_names"]
        assert archive["class"].shape == tokens.shape
    assert values.shape == (*tokens.shape, len(classes))
    np.testing.assert_allclose(values.sum(axis=-1), 1, rtol=1e-5)
    served = tensorflow.saved_model.load(str(folder / "model")).signatures["serving_default"]
    exported = served(inputs=tensorflow.constant(tokens))["predictions"]
    np.testing.assert_allclose(exported, values, rtol=1e-5, atol=1e-6)

    said = ask("input=x.npy", "output=a.csv", code=2, name=folder)
    assert "for each position of a row" in said
    np.save("x.npy", tokens + 1000)
    said = ask("input=x.npy", "output=b.npz", code=2, name=folder)
    assert f"a vocabulary of {len(classes)} allows 0 to" in said


def test_a_first_row_with_a_bad_cell_is_refused_and_not_taken_for_names(ask, pictures, tmp_path):
    rows = np.load(pictures)["x_test"].reshape(5, -1)
    lines = [",".join(map(str, row)) for row in rows]
    names = ",".join(f"p{number}" for number in range(rows.shape[1]))
    (tmp_path / "good.csv").write_text("\n".join([names, *lines]) + "\n")
    assert "5 rows" in ask("input=good.csv", "output=good_out.csv")
    lines[0] = lines[0].partition(",")[2].join([",", ""])
    (tmp_path / "bad.csv").write_text("\n".join(lines) + "\n")
    assert "input=" in ask("input=bad.csv", "output=out.csv", code=2)
    assert not (tmp_path / "out.csv").exists()
