import pytest

from src.benchmarks.result import Figure, Line, Result, Target, compare_losses


def figure(*samples, unit="s"):
    return Figure.of(samples, unit)


def test_a_figure_has_a_median_and_a_spread():
    measured = figure(3, 1, 2, 10)
    assert (measured.low, measured.median, measured.high) == (1, 2.5, 10)


def test_a_figure_needs_a_sample():
    with pytest.raises(ValueError, match="needs a sample"):
        figure()


def test_ratios_are_taken_round_by_round():
    # Medians alone would give 2 / 2; each round was twice as long as the peer's.
    ratio = figure(2, 4, 8).over(figure(1, 2, 4))
    assert ratio.samples == (2, 2, 2)
    assert ratio.unit == "x"


def test_rounds_of_different_number_are_no_pair():
    with pytest.raises(ValueError, match="zip"):
        figure(1, 2).over(figure(1))


@pytest.mark.parametrize(
    ("relation", "value", "met"),
    [(">=", 2, True), (">=", 3, False), ("<=", 2, True), ("<=", 1, False)],
)
def test_a_target_is_met_by_the_median(relation, value, met):
    assert Target(relation, value).met(figure(1, 2, 9)) is met


def test_a_line_is_judged_by_its_ratio_or_alone():
    against = Line("work", figure(1), peer="peer", theirs=figure(4), target=Target("<=", 0.25))
    assert against.reached is True
    alone = Line("work", figure(1), target=Target("<=", 0.25))
    assert alone.reached is False
    assert Line("work", figure(1)).reached is None


def test_what_did_other_work_reaches_nothing():
    line = Line("work", figure(1), peer="p", theirs=figure(4), target=Target("<=", 1), same=False)
    assert line.reached is None


def test_of_alternatives_one_suffices():
    rate = Line("members", figure(100), target=Target(">=", 120), alternatives="rate")
    ratio = Line(
        "members",
        figure(100),
        peer="solo",
        theirs=figure(40),
        target=Target(">=", 2),
        alternatives="rate",
    )
    other = Line("other", figure(1), target=Target(">=", 2))
    result = Result("row", "Row", [rate, ratio, other])
    assert rate.reached is False
    assert [result.reached(line) for line in result.lines] == [True, True, False]


def test_losses_are_compared_relative_to_ours():
    assert compare_losses(2.0, 2.09, 0.05) == ("loss 2.0000, peer 2.0900", True)
    text, same = compare_losses(2.0, 2.11, 0.05)
    assert not same
    assert "NOT the same within 5.0%" in text


def test_a_loss_that_is_not_a_number_is_not_the_same():
    assert not compare_losses(float("nan"), 2.0, 0.05)[1]
    assert not compare_losses(2.0, float("nan"), 0.05)[1]
