"""From source to data set: splits, scaling on training rows alone, labels, the digest."""

import hashlib
from typing import Any

import numpy as np
import pytest

from src.data.prepare import digest, prepare
from src.errors import UserError

PLAIN: dict[str, Any] = {
    "seed": 0,
    "validation_fraction": 0.2,
    "test_fraction": 0.1,
    "normalisation": "none",
    "labels": "as_is",
}


def test_missing_splits_are_cut_from_training(make_source):
    dataset = prepare(make_source(), **PLAIN)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (14, 4, 2)
    assert dataset.input_shape == (3,)
    assert dataset.num_classes == 2
    assert dataset.class_names == ("0", "1")
    parts = list(dataset.splits().values())
    # Row r of the source is (3r, 3r + 1, 3r + 2) with the label r % 2: nothing lost, nothing moved.
    first = np.concatenate([part.x[:, 0] for part in parts])
    assert sorted(first) == list(range(0, 60, 3))
    for part in parts:
        np.testing.assert_array_equal(part.y, part.x[:, 0] / 3 % 2)
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int32


def test_splits_of_the_source_are_kept_as_they_are(make_source):
    source = make_source()
    x, y = source.train
    dataset = prepare(make_source(val=(x[:2], y[:2]), test=(x[:5], y[:5])), **PLAIN)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (20, 2, 5)
    np.testing.assert_array_equal(dataset.train.x, x)


def test_a_source_with_test_rows_loses_only_validation_rows(make_source):
    source = make_source()
    dataset = prepare(make_source(test=source.train), **PLAIN)
    assert (dataset.train_rows, dataset.val_rows, dataset.test_rows) == (16, 4, 20)


def test_no_test_fraction_no_test_split(make_source):
    dataset = prepare(make_source(), **{**PLAIN, "test_fraction": 0.0})
    assert dataset.test is None
    assert dataset.test_rows == 0


def test_validation_rows_are_required(make_source):
    with pytest.raises(UserError, match=r"data\.validation_fraction=0: small\.npz"):
        prepare(make_source(), **{**PLAIN, "validation_fraction": 0.0})


def test_a_name_for_each_class(make_source):
    assert prepare(make_source(class_names=("no", "yes")), **PLAIN).class_names == ("no", "yes")
    with pytest.raises(UserError, match=r"small\.npz: 3 class names for 2 classes"):
        prepare(make_source(class_names=("a", "b", "c")), **PLAIN)


def test_one_training_row(make_source):
    x, y = np.array([[1.0, 2.0]]), np.array([1])
    dataset = prepare(
        make_source(train=(x, y), val=(x + 1, y - 1)),
        **{**PLAIN, "test_fraction": 0.0, "normalisation": "standard"},
    )
    assert dataset.train.x.tolist() == [[0, 0]]
    assert dataset.val.x.tolist() == [[1, 1]]


def test_scaling_knows_training_rows_alone(make_source):
    dataset = prepare(make_source(), **{**PLAIN, "normalisation": "standard"})
    np.testing.assert_allclose(dataset.train.x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.train.x.std(axis=0), 1, rtol=1e-6)
    assert abs(dataset.val.x.mean()) > 1e-3


def test_real_labels_are_no_classes(make_source):
    x, _ = make_source().train
    dataset = prepare(make_source(train=(x, x[:, 0] / 7), labels="real"), **PLAIN)
    assert dataset.labels == "real"
    assert dataset.train.y.shape == (14, 1)
    assert dataset.class_names == ()
    assert dataset.num_classes == 1


def test_one_hot_labels_are_stratified_and_converted(make_source):
    x, y = make_source().train
    dataset = prepare(
        make_source(train=(x, np.eye(2)[y]), labels="one_hot"), **{**PLAIN, "labels": "integer"}
    )
    assert np.bincount(dataset.val.y).tolist() == [2, 2]
    assert np.bincount(dataset.splits()["test"].y).tolist() == [1, 1]


def test_the_digest_is_sha256_over_names_types_shapes_and_bytes(make_source):
    x, y = make_source().train
    expected = hashlib.sha256(
        b"train/x <f8 (20, 3)\n" + x.tobytes() + b"train/y <i8 (20,)\n" + y.tobytes()
    )
    assert digest(make_source()) == expected.hexdigest()
    assert prepare(make_source(), **PLAIN).digest == expected.hexdigest()


def test_the_digest_tells_arrays_apart_and_ignores_their_layout(make_source):
    x, y = make_source().train
    changed = x.copy()
    changed[7, 1] += 1
    variants = [
        make_source(),
        make_source(train=(changed, y)),
        make_source(train=(x.astype(np.float32), y)),
        make_source(train=(x.reshape(20, 3, 1), y)),
        make_source(val=(x, y)),
        make_source(test=(x, y)),
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)
    assert digest(make_source(train=(np.asfortranarray(x), y))) == digest(make_source())


def test_the_seed_decides_the_split_and_not_the_digest(make_source):
    first, second = (prepare(make_source(), **{**PLAIN, "seed": seed}) for seed in (0, 1))
    assert not np.array_equal(first.val.x, second.val.x)
    assert first.digest == second.digest
