"""Each augmentation against what is written out by hand for given random numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from src.augmentations.augmentation import place, row_numbers
from src.augmentations.chain import Chain
from src.augmentations.crop import Crop
from src.augmentations.cutout import Cutout
from src.augmentations.flip import Flip
from src.augmentations.none import Unchanged
from src.errors import UserError

SHAPE = (3, 4, 2)
JUST_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))


def images(rows: int) -> np.ndarray:
    """Images without a zero in them."""
    return 1 + np.arange(rows * np.prod(SHAPE), dtype=np.float32).reshape(rows, *SHAPE)


def changed(augmentation, x, numbers) -> np.ndarray:
    result = augmentation(tf.constant(x), tf.constant(numbers, tf.float32))
    assert result.shape == x.shape
    assert result.dtype == tf.float32
    return result.numpy()


def test_none_leaves_rows_of_any_shape_alone():
    for x in (np.arange(6, dtype=np.float32).reshape(2, 3), np.array([[1, 2]], np.int32)):
        given = tf.constant(x)
        assert Unchanged()(given, tf.zeros([len(x), 0])) is given


def test_flip_mirrors_those_below_the_probability():
    x = images(3)
    found = changed(Flip(SHAPE, 0.5), x, [[0.0], [0.5], [0.49]])
    np.testing.assert_array_equal(found, [x[0][:, ::-1], x[1], x[2][:, ::-1]])


@pytest.mark.parametrize(("probability", "mirrored"), [(0.0, False), (1.0, True)])
def test_flip_never_and_always(probability, mirrored):
    x = images(2)
    found = changed(Flip(SHAPE, probability), x, [[0.0], [JUST_BELOW_ONE]])
    np.testing.assert_array_equal(found, x[:, :, ::-1] if mirrored else x)


def test_crop_is_a_border_of_zeros_and_a_window():
    places = list(itertools.product(range(5), repeat=2))  # every window there is
    x = images(len(places))
    found = changed(Crop(SHAPE, 2), x, (np.array(places) + 0.5) / 5)
    for image, result, (top, left) in zip(x, found, places, strict=True):
        padded = np.pad(image, [(2, 2), (2, 2), (0, 0)])
        np.testing.assert_array_equal(result, padded[top : top + 3, left : left + 4])
    np.testing.assert_array_equal(found[places.index((2, 2))], x[places.index((2, 2))])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_cutout_sets_a_square_around_its_centre_to_zero(size):
    centres = list(itertools.product(range(3), range(4)))
    x = images(len(centres))
    found = changed(Cutout(SHAPE, size), x, (np.array(centres) + 0.5) / [3, 4])
    for image, result, (row, column) in zip(x, found, centres, strict=True):
        top, left = row - size // 2, column - size // 2
        expected = image.copy()
        for y, z in itertools.product(range(3), range(4)):
            if top <= y < top + size and left <= z < left + size:
                expected[y, z] = 0
        np.testing.assert_array_equal(result, expected)
        assert (result == 0).any()


@pytest.mark.parametrize("count", [1, 5, 9, 28])
def test_places_are_all_alike_and_never_beyond_the_last(count):
    numbers = (np.arange(count * 100) + 0.5) / (count * 100)
    found = place(tf.constant(numbers, tf.float32), count).numpy()
    np.testing.assert_array_equal(np.bincount(found), np.full(count, 100))
    assert int(place(tf.constant(JUST_BELOW_ONE), count)) == count - 1
    assert int(place(tf.constant(0.0), count)) == 0


def test_a_chain_gives_each_part_numbers_of_its_own():
    parts = {
        "flip": {"_target_": "src.augmentations.flip.Flip", "probability": 0.5},
        "cutout": {"_target_": "src.augmentations.cutout.Cutout", "size": 1},
    }
    chain = Chain(SHAPE, parts)
    assert chain.numbers == 3
    x = images(1)
    expected = x[0][:, ::-1].copy()
    expected[0, 3] = 0
    np.testing.assert_array_equal(changed(chain, x, [[0.1, 0.2, 0.9]]), [expected])


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(Flip, {"probability": 0.5}), (Crop, {"padding": 1}), (Cutout, {"size": 1})],
)
@pytest.mark.parametrize("shape", [(64,), (8, 8)])
def test_rows_that_are_no_images_are_refused(kind, arguments, shape):
    with pytest.raises(UserError, match=r"shape \(.*\); use augmentation=none"):
        kind(shape, **arguments)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"probability": 0.5}, "parts.it: it lacks a _target_"),
        ({"_target_": "src.augmentations.flip.Flip", "probability": 2}, "parts.it.probability=2"),
        ({"_target_": "fractions.Fraction"}, "parts.it._target_=fractions.Fraction: derive it"),
    ],
)
def test_a_part_of_a_chain_that_is_wrong_is_named(part, message):
    with pytest.raises(UserError) as raised:
        Chain(SHAPE, {"it": part})
    assert message in str(raised.value)


# -- the random numbers


def test_numbers_are_a_pure_function_of_seed_and_epoch():
    drawn = {(s, e): row_numbers(s, e, 50, 3) for s in (0, 1, 2**31 - 1) for e in (0, 1, 2)}
    assert len({numbers.tobytes() for numbers in drawn.values()}) == 9
    np.random.default_rng(5).random(10)
    numbers = row_numbers(1, 2, 50, 3)
    np.testing.assert_array_equal(numbers, drawn[1, 2])
    assert numbers.shape == (50, 3)
    assert numbers.dtype == np.float32
    assert row_numbers(1, 2, 50, 0).shape == (50, 0)


def test_numbers_are_uniform_and_not_those_of_the_order():
    from src.fit import row_order

    numbers = row_numbers(3, 0, 20_000, 2)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Of 10 equal bins each holds 2,000, with a standard deviation of 42.
    counts = np.histogram(numbers[:, 0], bins=10, range=(0, 1))[0]
    assert np.abs(counts - 2000).max() < 5 * 42
    together = np.corrcoef([numbers[:, 0], numbers[:, 1], row_order(3, 0, 20_000)])
    assert np.abs(together - np.eye(3)).max() < 5 / np.sqrt(20_000)


def test_a_square_that_covers_every_image_whole_is_refused():
    rows, columns = SHAPE[:2]
    largest = 2 * max(rows, columns) - 2
    with pytest.raises(UserError, match=rf"size={largest + 1} covers .*{largest} or less"):
        Cutout(SHAPE, largest + 1)
    assert (changed(Cutout(SHAPE, largest), images(1), [[0.0, 0.0]]) != 0).any()
