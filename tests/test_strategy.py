"""What several devices can't do is said before TensorFlow is imported."""

import pytest

from src.errors import UserError

MIRRORED = "strategy=mirrored"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["strategy.devices=2"], "strategy.devices=2: several devices need strategy=mirrored"),
        ([MIRRORED, "strategy.devices=1"], "strategy.devices=1: for one device use strategy=none"),
        ([MIRRORED, "strategy.devices=0"], "strategy.devices=0"),
        ([MIRRORED, "strategy.kind=tpu"], "strategy.kind=tpu"),
        ([MIRRORED, "jit=true"], "jit=true: XLA can't compile a program over several devices"),
        ([MIRRORED, "eager=true"], "eager=true: it runs on one device"),
        ([MIRRORED, "data.batch_size=1"], "data.batch_size=1: each of strategy.devices=2"),
        ([MIRRORED, "loss.reduction=sum"], "loss.reduction=sum"),
        (["strategy=multiworker", "jit=true"], "leave it out with strategy=multiworker"),
        (["strategy=multiworker", "strategy.timeout_seconds=1"], "strategy.timeout_seconds=1"),
        (["strategy=multiworker", "strategy.wait_seconds=inf"], "strategy.wait_seconds=inf"),
    ],
)
def test_it_is_refused(configured, overrides, words):
    with pytest.raises(UserError) as raised:
        configured(*overrides)
    assert str(raised.value).startswith(words) or words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_devices_decide_the_result_and_the_waiting_does_not(configured):
    from src.identity import fingerprint

    two = fingerprint(configured(MIRRORED))
    assert two != fingerprint(configured())
    assert two != fingerprint(configured(MIRRORED, "strategy.devices=3"))
    assert two != fingerprint(configured("strategy=multiworker"))
    assert two == fingerprint(configured(MIRRORED, "strategy.timeout_seconds=9"))


@pytest.mark.usefixtures("tensorflow")
def test_more_devices_than_there_are_is_refused():
    from src.engine import strategies
    from src.strategy import StrategyConfig

    many = StrategyConfig(kind="mirrored", devices=1000, wait_seconds=0, timeout_seconds=60)
    with pytest.raises(UserError, match=r"strategy\.devices=1000: this machine has \d+ CPU cores"):
        strategies.start(many)


def test_jobs_on_several_devices_are_not_fused(configured):
    from pathlib import Path

    from src import fusion
    from src.job import Job

    jobs = [Job(configured(MIRRORED, f"seed={seed}"), [], Path()) for seed in range(2)]
    groups = fusion.group(jobs, 8)
    assert [len(each.jobs) for each in groups] == [1, 1]
    assert {each.reason for each in groups} == {
        "its strategy divides a run, where fusing joins some"
    }


def test_a_sweep_over_workers_is_refused(command):
    ended = command("-m", "strategy=multiworker", "seed=0,1", "tracking=none")
    assert ended.code == 2
    assert ended.error.startswith("strategy=multiworker: a multirun (-m) has no workers")
