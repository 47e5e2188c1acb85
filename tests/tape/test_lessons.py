"""The lessons say what is true: their values are those worked out by hand."""

import pytest
import tensorflow as tf

from src.tape import lessons


def test_derivative_of_a_square_at_3_is_6_and_unwatched_constants_have_none():
    values = lessons.watch()

    assert values["derivative"].numpy() == 6.0  # 2x
    assert values["unwatched"] is None


def test_a_tape_answers_once():
    values = lessons.asked_twice()

    assert values["first"].numpy() == 6.0
    assert isinstance(values["second"], RuntimeError)
    assert "non-persistent" in str(values["second"])


def test_a_persistent_tape_answers_twice():
    values = lessons.persistent()

    assert values["dy_dx"].numpy() == 6.0
    assert values["dz_dx"].numpy() == 108.0  # z = x^4, so 4 * 27


def test_what_is_followed_with_and_without_watch_accessed_variables():
    values = lessons.watch_accessed_variables()

    assert values["followed"] == ["a:0", "b:0"]  # frozen is not trainable
    assert [g and g.numpy() for g in values["gradients"]] == [5 * 7, 2 * 7, None]
    assert values["only_a_followed"] == ["a:0"]
    assert [g and g.numpy() for g in values["only_a_gradients"]] == [5 * 7, None, None]


def test_gradients_come_in_the_order_and_structure_of_their_sources():
    values = lessons.order_of_sources()

    assert [g.numpy() for g in values["a_then_b"]] == [2 * 2 * 5, 2 * 2]  # 2ab, a^2
    assert [g.numpy() for g in values["b_then_a"]] == [4, 20]
    assert {name: g.numpy() for name, g in values["by_name"].items()} == {"a": 20, "b": 4}


@pytest.mark.parametrize("lesson", lessons.LESSONS, ids=lambda lesson: lesson.__name__)
def test_a_lesson_fits_80_columns(lesson):
    assert max(map(len, lessons.show(1, lesson).splitlines())) <= 80


def test_a_lesson_shows_its_code_and_what_it_computed():
    def cube():
        """A heading."""
        x = tf.Variable(2.0)
        with tf.GradientTape() as tape:
            y = x**3
        slope = tape.gradient(y, x)
        return {"slope": slope}

    assert lessons.show(7, cube).splitlines() == [
        "7. A heading.",
        "",
        "    x = tf.Variable(2.0)",
        "    with tf.GradientTape() as tape:",
        "        y = x**3",
        "    slope = tape.gradient(y, x)",
        "",
        "slope = 12.0",
    ]


def test_what_was_computed_is_shown_not_what_was_expected():
    def surprising():
        """A heading."""
        value = tf.constant([1.5, 2.0])
        nothing = None
        return {"value": value, "nothing": nothing}

    assert lessons.show(1, surprising).splitlines()[-2:] == [
        "value   = [1.5 2. ]",
        "nothing = None",
    ]
