"""Where TF_CONFIG says that the workers are."""

import json

import pytest

from src.errors import UserError
from src.workers import cluster

TWO = ["127.0.0.1:1001", "127.0.0.1:1002"]


def read(jobs, task, devices=2):
    content = {"cluster": jobs, "task": task}
    return cluster.read(devices, {"TF_CONFIG": json.dumps(content)})


def test_the_first_worker_is_the_chief():
    first = read({"worker": TWO}, {"type": "worker", "index": 0})
    second = read({"worker": TWO}, {"type": "worker", "index": 1})
    assert (first.number, first.is_chief) == (0, True)
    assert (second.number, second.is_chief) == (1, False)
    assert second.addresses == tuple(TWO)
    assert second.chief == ("127.0.0.1", 1001)


def test_a_chief_comes_before_the_workers():
    jobs = {"worker": TWO[:1], "chief": TWO[1:]}
    found = read(jobs, {"type": "worker", "index": 0})
    assert (found.number, found.chief) == (1, ("127.0.0.1", 1002))
    assert read(jobs, {"type": "chief", "index": 0}).is_chief


def test_an_address_of_version_6():
    jobs = {"worker": ["[::1]:7", "[::1]:8"]}
    assert read(jobs, {"type": "worker", "index": 0}).chief == ("::1", 7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "needs this environment variable"),
        ("", "needs this environment variable"),
        ("{", "not JSON"),
        ("[]", "'cluster' is missing"),
        ('{"cluster": {}}', "'task' is missing"),
        ('{"cluster": {"worker": "127.0.0.1:1"}, "task": {}}', "not a list of HOST:PORT"),
        ('{"cluster": {"worker": ["127.0.0.1"]}, "task": {}}', "not a list of HOST:PORT"),
        ('{"cluster": {"worker": ["127.0.0.1:0", "h:1"]}, "task": {}}', "not a list of HOST:PORT"),
        ('{"cluster": {"worker": ["h:1", 2]}, "task": {}}', "not a list of HOST:PORT"),
        ('{"cluster": {"worker": ["h:1", "h:1"]}, "task": {}}', "names an address twice"),
        ('{"cluster": {"chief": ["h:1", "h:2"]}, "task": {}}', "more than one chief"),
        ('{"cluster": {"worker": ["h:1"], "ps": ["h:2"]}, "task": {}}', "has 'ps'"),
        ('{"cluster": {"worker": ["h:1", "h:2", "h:3"]}, "task": {}}', "names 3 workers"),
        ('{"cluster": {"worker": ["h:1"]}, "task": {}}', "strategy.devices=2"),
        (
            '{"cluster": {"worker": ["h:1", "h:2"]}, "task": {"type": "worker", "index": 2}}',
            "its task is worker 2, its cluster has worker 0, worker 1",
        ),
        (
            '{"cluster": {"worker": ["h:1", "h:2"]}, "task": {"type": "worker", "index": true}}',
            "its task is worker True",
        ),
        ('{"cluster": {"worker": ["h:1", "h:2"]}, "task": {"index": "0"}}', "its task is None '0'"),
    ],
)
def test_what_is_wrong_is_said_with_an_example(text, words):
    environment = {} if text is None else {"TF_CONFIG": text}
    with pytest.raises(UserError) as raised:
        cluster.read(2, environment)
    message = str(raised.value)
    assert words in message
    assert "\n" not in message
    assert ("strategy.devices" in message) or cluster.EXAMPLE in message


def test_the_example_is_right():
    assert cluster.read(2, {"TF_CONFIG": cluster.EXAMPLE}).is_chief
