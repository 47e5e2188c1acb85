"""Every peer does the arithmetic that is written down here in NumPy."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

from src.benchmarks.commands import CommandFailed
from src.benchmarks.peer_process import Peers
from src.benchmarks.peers.fastest import fastest
from src.benchmarks.peers.work import Work
from src.benchmarks.workloads import Workload, prepare

SOFT = ("data=random", "data.rows=70", "optimizer=sgd", "optimizer.learning_rate=0.01")
INTEGER = ("data=digits", "optimizer=sgd", "data.batch_size=100")
EPOCHS = 2


def reference(work, epochs):
    """The mean loss of the last epoch; the last batch of an epoch is smaller."""
    x, y = work.arrays()
    x = x.reshape(len(x), -1).astype(np.float64)
    if work.labels == "integer":
        y = np.eye(work.num_classes)[y]
    w1, b1, w2, b2 = (array.astype(np.float64) for array in work.initial_weights())
    for _ in range(epochs):
        total = 0.0
        for start in range(0, len(x), work.batch_size):
            rows, labels = x[start : start + work.batch_size], y[start : start + work.batch_size]
            before = rows @ w1 + b1
            hidden = np.maximum(before, 0)
            logits = hidden @ w2 + b2
            shifted = logits - logits.max(axis=1, keepdims=True)
            scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
            total -= (labels * scores).sum()
            outer = (np.exp(scores) * labels.sum(axis=1, keepdims=True) - labels) / len(rows)
            inner = (outer @ w2.T) * (before > 0)
            w2, b2 = (
                w2 - work.learning_rate * hidden.T @ outer,
                b2 - work.learning_rate * outer.sum(0),
            )
            w1, b1 = (
                w1 - work.learning_rate * rows.T @ inner,
                b1 - work.learning_rate * inner.sum(0),
            )
    return total / len(x)


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    with Peers(tmp_path_factory.mktemp("peers")) as processes:
        yield processes


def compare(peers, folder, overrides, names):
    request = prepare(Workload("work", "work", overrides, 1), folder)
    found = {}
    for name, peer in peers.get(names).items():
        peer.ask("load", **request)
        found[name] = peer.ask("train", epochs=EPOCHS, shuffled=False)["loss"]
        assert np.isfinite(peer.ask("train", epochs=1, shuffled=True)["loss"])
    expected = reference(Work.of(request), EPOCHS)
    assert found == pytest.approx(dict.fromkeys(found, expected), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [SOFT, INTEGER])
def test_every_peer_reaches_the_loss_of_the_reference(peers, tmp_path, overrides):
    names = ["harness", "fused", "eager", "function", "fit", "fit_best"]
    if find_spec("jax"):
        names.append("jax")
    compare(peers, tmp_path, overrides, names)


@pytest.mark.slow
def test_the_harness_and_fit_reach_the_loss_of_the_reference(peers, tmp_path):
    compare(peers, tmp_path, SOFT, ["harness", "fit"])


@pytest.mark.slow
def test_a_request_that_fails_is_told_and_the_next_one_is_served(peers, tmp_path):
    request = prepare(Workload("work", "work", SOFT, 1), tmp_path)
    [harness] = peers.get(["harness"]).values()
    with pytest.raises(CommandFailed, match="the peer harness: UserError: model"):
        harness.ask("load", **request | {"overrides": [*SOFT, "model.activation=rellu"]})
    harness.ask("load", **request)
    assert harness.ask("train", epochs=1, shuffled=False)["seconds"] > 0


def test_a_peer_that_dies_is_a_failure_with_its_last_words(tmp_path):
    with Peers(tmp_path) as processes:
        [peer] = processes.get(["nobody"]).values()
        with pytest.raises(CommandFailed, match="peer nobody: KeyError"):
            peer.ask("load")
        peer._process.kill()
        with pytest.raises(CommandFailed, match="ended with exit code -9"):
            peer.ask("load")


class Sleeper:
    def __init__(self, clock, seconds):
        self.label, self.clock, self.seconds = f"{seconds}", clock, seconds

    def train(self, epochs, *, shuffled):
        self.clock.now += self.seconds * epochs
        return 0.0


def test_the_fastest_variant_is_kept_and_made_anew(monkeypatch):
    class Clock:
        now = 0.0

    made = []

    def variant(seconds):
        made.append(seconds)
        return Sleeper(Clock, seconds)

    monkeypatch.setattr("src.benchmarks.peers.fastest.time.perf_counter", lambda: Clock.now)
    chosen = fastest([partial(variant, seconds) for seconds in (3, 1, 2)], 1)
    assert chosen.label == "1"
    assert made == [3, 1, 2, 1]
