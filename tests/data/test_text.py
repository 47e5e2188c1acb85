"""data=text by hand: pieces, the characters after them, and what is wrong with a file."""

from typing import Any

import numpy as np
import pytest

from src.data import text
from src.data.prepare import prepare
from src.errors import UserError

KEYS: dict[str, Any] = {
    "length": 3,
    "characters": None,
    "validation_fraction": 0.25,
    "test_fraction": 0.25,
}
PREPARATION: dict[str, Any] = {"seed": 0, "validation_fraction": 0.25, "test_fraction": 0.25}


@pytest.fixture
def load(tmp_path):
    """Load a text with other keys."""

    def load(content, **keys):
        path = tmp_path / "book.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return text.load(path=str(path), **{**KEYS, **keys})

    return load


def test_each_label_is_the_character_after_it(load):
    source = load("abcabcabca bb")
    decode = np.array(list(" abc"))
    assert source.class_names == ("space", "a", "b", "c")
    rows = {
        name: [("".join(decode[a]), "".join(decode[b])) for a, b in zip(x, y, strict=True)]
        for name, (x, y) in source.splits().items()
    }
    assert rows == {
        "train": [("abc", "bca"), ("abc", "bca")],
        "val": [("abc", "bca")],
        "test": [("a b", " bb")],
    }
    assert source.vocabulary == source.num_classes == 4
    assert source.name == "book"


def test_the_data_set_keeps_tokens_as_integers(load):
    dataset = prepare(load("abcabcabca bb"), normalisation="none", labels="integer", **PREPARATION)
    assert dataset.train.x.dtype == dataset.train.y.dtype == np.int32
    assert dataset.input_shape == (3,)
    assert dataset.output_shape == (3, 4)
    assert dataset.vocabulary == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"normalisation": "standard", "labels": "integer"}, "data.normalisation=standard: .*none"),
        ({"normalisation": "none", "labels": "one_hot"}, "data.labels=one_hot: .*data.labels=int"),
    ],
)
def test_tokens_are_neither_scaled_nor_spread_out(load, keys, message):
    with pytest.raises(UserError, match=message):
        prepare(load("abcabcabca bb"), **keys, **PREPARATION)


@pytest.mark.parametrize(
    ("content", "keys", "message"),
    [
        (b"abc\xff\xfe", {}, r"book\.txt: it is no text in UTF-8 \(byte 3\)"),
        ("", {}, r"book\.txt: it is empty"),
        ("abcdefg", {}, r"7 characters make 2 rows of data\.length=3, too few"),
        ("abcabcabcabcabc", {"characters": 7}, r"7 characters make 2 rows"),
        ("aaaaaaaaaaaaaaaaaaa", {}, r"it holds 'a' alone"),
        ("abcabcabcabcabc", {"validation_fraction": 0}, r"data\.validation_fraction=0"),
    ],
)
def test_what_is_wrong_is_named(load, content, keys, message):
    with pytest.raises(UserError, match=message):
        load(content, **keys)


def test_a_file_that_is_not_there():
    with pytest.raises(UserError, match=r"data\.path=/no/book: no such file"):
        text.load(path="/no/book", **KEYS)


def test_without_a_file_it_is_pythons_manual():
    source = text.load(path=None, **{**KEYS, "characters": 5000})
    assert source.train[0].shape == (1666 - 2 * 416, 3)
    assert source.name == "text"
    assert {"space", "e", "\\n"} <= set(source.class_names)


def test_without_the_manual_it_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pydoc_data.topics", None)
    with pytest.raises(UserError, match=r"data\.path: this Python comes without its manual"):
        text.load(path=None, **KEYS)
