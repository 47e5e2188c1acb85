"""data=csv: what becomes of a table, by hand; and every way in which one may be wrong."""

import gzip
import json
from typing import Any

import numpy as np
import pytest

from src.data import csv, features
from src.data.dataset import Dataset
from src.data.prepare import prepare
from src.errors import UserError
from src.targets import call

KEYS: dict[str, Any] = {
    "label": "kind",
    "task": "classification",
    "separator": ",",
    "ignore": [],
    "categorical": [],
    "missing": "refuse",
    "missing_values": ["NA"],
}
PREPARATION: dict[str, Any] = {
    "seed": 0,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "normalisation": "standard",
    "labels": "as_is",
}
FLOWERS = """\
 size, colour ,kind,id
1.5,red,b,u1
2,blue,a,u2
2.5e0,red,b,u3
4,,a,u4
"""


@pytest.fixture
def file(tmp_path):
    """Write a CSV file; its path."""

    def write(text, name="flowers.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def load(file):
    """Load a table by its text, with other keys."""
    return lambda text, **keys: csv.load(**{"path": file(text), **KEYS, **keys})


def test_numbers_categories_and_classes_by_hand(load):
    source = load(FLOWERS, ignore=["id"], missing="fill")
    x, y = source.train
    assert [column.name for column in source.layout.columns] == ["size", "colour"]
    assert source.layout.columns[1].categories == ("blue", "red")
    np.testing.assert_array_equal(x, [[1.5, 1], [2, 0], [2.5, 1], [4, np.nan]])
    assert y.tolist() == [1, 0, 1, 0]
    assert source.class_names == ("a", "b")
    assert source.name == "flowers"


def test_features_are_fitted_on_the_training_rows(load):
    source = load(FLOWERS, ignore=["id"], missing="fill")
    training = source.train[0][:3].copy()
    training[1, 0] = np.nan  # filled with the median of 1.5 and 2.5
    fitted = features.fit(source.layout, training, "standard")
    rows = np.array([[1.5, 0], [np.nan, 1], [4.0, np.nan], [2.5, -1]])
    made = fitted.apply(rows, source.layout)
    mean, deviation = 2.0, float(np.std([1.5, 2.0, 2.5]))
    expected = [
        [(1.5 - mean) / deviation, 1.0, 0.0],
        [0.0, 0.0, 1.0],
        [(4 - mean) / deviation, 0.0, 0.0],
        [(2.5 - mean) / deviation, 0.0, 0.0],
    ]
    np.testing.assert_allclose(made, expected, rtol=1e-6)
    assert made.dtype == np.float32


def test_a_category_of_no_training_row_is_none_of_them(load):
    source = load(FLOWERS, ignore=["id"], missing="fill")
    fitted = features.fit(source.layout, source.train[0][[0, 2]], "none")
    assert fitted.layout.columns[1].categories == ("red",)
    assert fitted.apply(source.train[0], source.layout)[:, 1:].tolist() == [[1], [0], [1], [0]]


def prepared(source) -> tuple[Dataset, features.Features]:
    dataset = prepare(source, **PREPARATION)
    assert dataset.features is not None
    return dataset, dataset.features


def table(rows=40):
    generator = np.random.default_rng(0)
    lines = ["size,colour,code,price,kind"]
    for row in range(rows):
        colour = ["red", "blue", "green"][row % 3]
        size = generator.normal()
        lines.append(f"{size:.6f},{colour},{row % 2},{3 * size:.6f},{'xy'[row % 2]}")
    return "\n".join(lines) + "\n"


def test_the_record_makes_the_same_inputs_of_new_rows(load, file):
    source = load(table(), categorical=["code"], ignore=["price"])
    dataset, fitted = prepared(source)
    assert dataset.input_shape == (1 + 3 + 2,)
    record = json.loads(json.dumps(fitted.record()))
    made, notes = features.of_new_rows(file(table(), "new.csv"), record, "input")
    assert notes == []
    np.testing.assert_array_equal(made, fitted.apply(source.train[0], source.layout))
    assert {row.tobytes() for row in dataset.val.x} <= {row.tobytes() for row in made}

    without_label = "colour,code,size\npink,1,0.5\nred,0,1\n"
    made, notes = features.of_new_rows(file(without_label, "new.csv"), record, "input")
    assert made[:, 1:].tolist() == [[0, 0, 0, 0, 1], [0, 0, 1, 1, 0]]  # blue, green, red, 0, 1
    [note] = notes
    assert "'colour'" in note
    assert "pink" in note


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour,code\nred,1\n", r"no column 'size'; it has colour, code"),
        ("size,colour,code\nbig,red,1\n", r"'size' holds 'big' in row 1; allowed are finite"),
        ("size,colour,code\n1,red,1\nNA,red,1\n", r"'size' has no value in row 2"),
    ],
)
def test_new_rows_that_do_not_fit_are_named(load, file, text, message):
    source = load(table(), categorical=["code"], ignore=["price"])
    record = prepared(source)[1].record()
    with pytest.raises(UserError, match=message):
        features.of_new_rows(file(text, "new.csv"), record, "input")


def test_classes_that_are_numbers_stand_in_their_order(load):
    assert load("x,kind\n1,10\n2,9\n3,10\n").class_names == ("9", "10")


def test_regression_takes_the_label_as_a_number(load):
    source = load(FLOWERS, label="size", task="regression", ignore=["id"], missing="fill")
    assert source.labels == "real"
    assert source.train[1].tolist() == [1.5, 2.0, 2.5, 4.0]
    assert source.class_names == ()


def test_a_compressed_file_and_another_separator(tmp_path):
    path = tmp_path / "flowers.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfx;kind\n1;a\n2;b\n"))
    source = csv.load(**{"path": str(path), **KEYS, "separator": ";"})
    assert source.train[0].tolist() == [[1], [2]]
    assert source.name == "flowers"


def test_the_digest_knows_the_categories(load):
    digests = {
        prepare(load(table().replace("red", colour), ignore=["price"]), **PREPARATION).digest
        for colour in ("red", "rose")
    }
    assert len(digests) == 2


BAD: dict[str, Any] = {
    "nothing": ("", {}, r"can't be read as a CSV file in UTF-8 \(No columns"),
    "one column, tabs": ("x\tkind\n1\ta\n", {}, r"data\.separator='\\t'"),
    "decimal commas": (
        'x,kind\n"1,5",a\n"2,5",b\n"1,5",b\n',
        {},
        r"'x' holds numbers with commas, such as '1,5'; write a point .*data\.categorical=\[x\]",
    ),
    "header alone": ("x,kind\n", {}, r"no row below its header"),
    "one column": ("x;kind\n1;a\n", {}, r"one column only, 'x;kind'; .*data\.separator=';'"),
    "name twice": ("x,x,kind\n1,2,a\n", {}, r"two columns are called 'x'"),
    "no name": ("x,,kind\n1,2,a\n", {}, r"column 2 has no name"),
    "long row": ("x,kind\n1,a\n2,b,c\n", {}, r"can't be read .*Expected 2 fields in line 3, saw 3"),
    "no label": ("x,kind\n1,a\n", {"label": None}, r"data\.label: give one of the columns x, kind"),
    "wrong label": ("x,sort\n1,a\n", {}, r"no column 'kind'; it has x, sort"),
    "label missing": ("x,kind\n1,a\n2,NA\n", {}, r"the label 'kind' has no value in row 2"),
    "one class": ("x,kind\n1,a\n2,a\n", {}, r"'kind' is 'a' in every row"),
    "label only": ("kind,x\na,1\n", {"ignore": ["x"]}, r"data\.ignore=\['x'\]: it leaves no col"),
    "ignore": ("x,kind\n1,a\n", {"ignore": ["z"]}, r"data\.ignore=\['z'\]: 'z' is not in"),
    "categorical": ("x,kind\n1,a\n", {"categorical": ["kind"]}, r"'kind' is the label; .* x$"),
    "empty column": ("x,z,kind\n1,,a\n2,NA,b\n", {}, r"column 'z' is empty; data\.ignore=\[z\]"),
    "missing": (
        "x,z,kind\n1,2,a\n2,,b\n",
        {},
        r"'z' has no value in row 2 \(1 of 2 rows\); .*fill",
    ),
    "short row": ("x,z,kind\n1,2,a\n2\n", {}, r"the label 'kind' has no value in row 2"),
    "nearly numeric": ("x,kind\n1,a\n2,b\n3 m,b\n", {}, r"'x' holds numbers, but '3 m' in row 3"),
    "infinite": ("x,kind\n1,a\ninf,b\n", {}, r"'x' holds 'inf' in row 2; allowed are finite"),
    "text label": (
        "x,kind\n1,2\n2,few\n",
        {"task": "regression"},
        r"'kind' holds 'few' in row 2; task=regression takes finite numbers",
    ),
    "ids": (
        "x,kind\n" + "".join(f"u{row},{row % 2}\n" for row in range(21)),
        {},
        r"column 'x' has 21 different values in 21 rows; .*data\.ignore=\[x\]",
    ),
    "values as classes": (
        "x,kind\n" + "".join(f"1,{row / 7}\n" for row in range(21)),
        {},
        r"'kind' has 21 different values in 21 rows, .*task=regression",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named(load, name):
    text, keys, message = BAD[name]
    with pytest.raises(UserError, match=message) as raised:
        load(text, **keys)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there():
    with pytest.raises(UserError, match=r"data\.path: give data\.path=FILE\.csv"):
        csv.load(**{"path": None, **KEYS})
    with pytest.raises(UserError, match=r"data\.path=/no/such\.csv: no such file"):
        csv.load(**{"path": "/no/such.csv", **KEYS})


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"x,kind\n\xff\xfe,a\n")
    with pytest.raises(UserError, match=r"can't be read as a CSV file in UTF-8"):
        csv.load(**{"path": str(path), **KEYS})


def test_commas_are_no_fault_of_names(load):
    source = load('x,kind\n"1,5",a\n"2,5",b\n"1,5",b\n', categorical=["x"])
    assert source.train[0].tolist() == [[0], [1], [0]]


def test_one_class_will_do_for_a_model_that_is_trained(load):
    source = load("x,kind\n1,a\n2,a\n", scored=True)
    assert (source.class_names, source.train[1].tolist()) == (("a",), [0, 0])


@pytest.mark.parametrize("given", ["\t", "\\t"])
def test_a_tab_between_the_cells(composed, tmp_path, given):
    path = tmp_path / "flowers.tsv"
    path.write_text("x\tkind\n1\ta\n2\tb\n" * 1)
    config = composed(
        "data=csv", f"data.path={path}", "data.label=kind", f"data.separator='{given}'"
    )
    keys = {key: config.data[key] for key in KEYS}
    source = call(csv.load, {"path": str(path), **keys}, key="data")
    assert source.train[0].tolist() == [[1], [2]]
    with pytest.raises(UserError, match=r"data\.separator: allowed is a single sign"):
        call(csv.load, {"path": str(path), **keys, "separator": "ab"}, key="data")
