"""How the chief and its workers find each other, and what they say when they don't; without
TensorFlow, each in a thread.
"""

import queue
import signal
import socket
import threading
from typing import Any

import pytest

from src.errors import UserError, WorkerLost
from src.workers import follower
from src.workers.chief import Workers
from src.workers.cluster import Cluster
from src.workers.follower import Chief

QUICK = ("strategy=multiworker", "strategy.wait_seconds=5", "strategy.timeout_seconds=5")


@pytest.fixture
def addresses():
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    found = tuple(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
    for server in servers:
        server.close()
    return found


@pytest.fixture(autouse=True)
def no_signals(monkeypatch):
    """A thread can't have handlers; those set here are noted and called by hand."""
    handlers = {}
    monkeypatch.setattr(
        signal, "signal", lambda number, handler: handlers.update({number: handler})
    )
    return handlers


@pytest.fixture(autouse=True)
def left(monkeypatch):
    """Why a worker's process would have ended, and its exit code."""
    ends: queue.Queue[Any] = queue.Queue()
    monkeypatch.setattr(follower, "_leave", lambda *end: ends.put(end))
    return ends


@pytest.fixture
def join(addresses, configured, left):
    """Call the chief from a thread: a queue that gets the `Chief`, or what was raised."""

    joined = []

    def call(*overrides, digest="d", number=1):
        answers: queue.Queue[Any] = queue.Queue()

        def run():
            try:
                config = configured(*QUICK, *overrides)
                joined.append(Chief(Cluster(addresses, number), config, digest))
                answers.put(joined[-1])
            except UserError as error:
                answers.put(error)

        threading.Thread(target=run, daemon=True).start()
        return answers

    yield call
    for chief in joined:  # before `left` ends, or a loss would end this process
        chief._channel.close()
        chief._listener.join()


@pytest.fixture
def workers(addresses, configured):
    made = Workers(Cluster(addresses, 0), configured(*QUICK))
    yield made
    made.__exit__(None, None, None)  # or 20 s after a loss its last resort would end this process


def test_workers_are_told_and_answer(workers, join, no_signals):
    calling = join("tracking=none", "outputs=elsewhere", "resume=auto")  # may differ
    signals: queue.Queue[Any] = queue.Queue()
    workers.on_signal = signals.put
    with workers:
        workers.gather("d")
        chief = calling.get(timeout=5)
        workers.tell("run", start=3)
        assert chief.next() == ({"kind": "run", "start": 3}, {})
        asked = threading.Thread(target=lambda: (chief.next(), chief.answer("yes")))
        asked.start()
        assert workers.ask("well?") == {1: "yes"}
        asked.join()
        chief.forward_signals()
        no_signals[signal.SIGTERM](signal.SIGTERM, None)
        assert signals.get(timeout=5) == signal.SIGTERM
    assert chief.next()[0] == {"kind": "end", "code": 0, "reason": ""}


def test_a_worker_ends_with_the_chiefs_code(workers, join, left):
    calling = join()
    workers.gather("d")
    calling.get(timeout=5)
    workers.__exit__(SystemExit, SystemExit(130), None)
    assert left.get(timeout=5)[1] == 130


def test_a_worker_ends_when_the_chief_is_gone(workers, join, left):
    calling = join()
    workers.gather("d")
    calling.get(timeout=5)
    workers._channels[1].close()
    reason, code = left.get(timeout=5)
    assert (code, "is lost: it closed the connection" in reason) == (1, True)


def test_one_that_fails_is_lost_with_its_reason(workers, join):
    news: queue.Queue[Any] = queue.Queue()
    calling = join()
    workers.on_loss = news.put
    with workers:
        workers.gather("d")
        calling.get(timeout=5).failed("ValueError: no")
        assert "it failed: ValueError: no" in news.get(timeout=5)
        with pytest.raises(WorkerLost, match=r"worker 1 at 127\.0\.0\.1:\d+ is lost"):
            workers.tell("run")


def test_one_that_is_gone_is_lost(workers, join):
    calling = join()
    with workers:
        workers.gather("d")
        calling.get(timeout=5)._channel.close()
        with pytest.raises(WorkerLost, match="is lost"):
            workers.check(5)


@pytest.mark.parametrize(
    ("overrides", "digest", "words"),
    [
        (
            ["optimizer.learning_rate=0.5"],
            "d",
            "optimizer.learning_rate: worker 1 .* 0.5, the chief",
        ),
        (["seed=3"], "d", "seed: worker 1 was started with 3, the chief with 0"),
        (["model=linear"], "d", "model"),
        ([], "other", "data: worker 1 has other data"),
    ],
)
def test_another_command_is_refused_on_both_sides(workers, join, overrides, digest, words):
    calling = join(*overrides, digest=digest)
    with pytest.raises(UserError, match=words) as raised, workers:
        workers.gather("d")
    assert str(calling.get(timeout=5)) == str(raised.value)


def test_an_index_given_twice_is_refused(addresses, configured, join):
    three = (*addresses, "127.0.0.1:9")
    workers = Workers(Cluster(three, 0), configured(*QUICK, "strategy.devices=3"))
    calling = [join("strategy.devices=3"), join("strategy.devices=3")]
    with pytest.raises(UserError, match="two processes call themselves worker 1"), workers:
        workers.gather("d")
    assert all("two processes" in str(each.get(timeout=5)) for each in calling)


def test_a_stranger_who_calls_is_passed_over(workers, join, addresses):
    def stray():
        host, _, port = addresses[0].partition(":")
        while True:
            try:
                with socket.create_connection((host, int(port))) as connection:
                    connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    return calling.put(join())
            except OSError:
                continue

    calling: queue.Queue[Any] = queue.Queue()
    threading.Thread(target=stray, daemon=True).start()
    with workers:
        workers.gather("d")
        assert isinstance(calling.get(timeout=5).get(timeout=5), Chief)


def test_one_that_never_calls_is_named(addresses, configured):
    config = configured("strategy=multiworker", "strategy.wait_seconds=0.05")
    with pytest.raises(
        UserError, match=rf"strategy.wait_seconds=0\.05: worker 1 at {addresses[1]}"
    ):
        Workers(Cluster(addresses, 0), config).gather("d")


def test_a_chief_that_is_not_there_is_named(addresses, configured):
    config = configured("strategy=multiworker", "strategy.wait_seconds=0.05")
    with pytest.raises(UserError, match=rf"the chief at {addresses[0]} was not there"):
        Chief(Cluster(addresses, 1), config, "d")


def test_a_port_that_is_taken_is_refused(workers, addresses):
    host, _, port = addresses[0].partition(":")
    refused = pytest.raises(UserError, match=f"can't listen on {addresses[0]}")
    with socket.create_server((host, int(port))), refused:
        workers.gather("d")
