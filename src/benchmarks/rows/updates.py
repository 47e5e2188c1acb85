"""Updates a second: this harness against hand-written loops, Keras `fit` and JAX."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from src.benchmarks import images
from src.benchmarks.bench import Bench, Row
from src.benchmarks.peer_process import PeerProcess
from src.benchmarks.result import Figure, Line, Target, compare_losses
from src.benchmarks.rounds import interleave
from src.benchmarks.workloads import Workload, prepare

SAME_ARITHMETIC = 0.01  # relative; after one epoch over the rows in one order, from equal weights
SAME_TRAINING = 0.05  # after all rounds, each peer having drawn orders of its own
SAME_SHORT_TRAINING = 0.5  # after a handful of updates, where the order decides a lot
ROUNDS = 5
KERAS_PEERS = ("eager", "function", "fit", "fit_best")


@dataclass(frozen=True)
class Measured:
    """What a peer reached: updates a second, a sample a round, and how it did the same work."""

    label: str
    rate: Figure
    check: str = ""
    same: bool = True
    losses: list[float] = field(default_factory=list)


def measure(
    bench: Bench, workload: Workload, names: Sequence[str], rounds: int, members: int = 1
) -> dict[str, Measured]:
    """Let the peers train a workload in turns.

    Args:
        bench: the surroundings.
        workload: what to train.
        names: of the peers; the first is this harness, which the others' losses are held against.
        rounds: measured, after one that is not.
        members: that the peer `fused` trains at once; its rate counts the updates of each.
    """
    bench.say(f"{workload.title}: preparing {', '.join(names)}")
    request = prepare(workload, bench.work / workload.name)
    peers = bench.peers.get(names)
    labels, checks = {}, {}
    for name, peer in peers.items():  # the first writes the weights that the others start from
        labels[name] = peer.ask("load", **request)["label"]
        checks[name] = peer.ask("train", epochs=1, shuffled=False)["loss"]
    losses: dict[str, list[float]] = {name: [] for name in names}

    def train(name: str, peer: PeerProcess) -> float:
        answer = peer.ask("train", epochs=workload.epochs, shuffled=True)
        losses[name].append(answer["loss"])
        return float(answer["seconds"])

    turns = {name: partial(train, name, peer) for name, peer in peers.items()}
    for turn in turns.values():
        turn()  # warm-up: the harness finds its pace, `fit` and tf.data allocate their buffers
    samples = interleave(turns, rounds, lambda text: bench.say(f"{workload.title}: {text}"))
    tolerance = SAME_SHORT_TRAINING if bench.settings.quick else SAME_TRAINING
    measured = {}
    for name in names:
        updates = (
            request["updates_per_epoch"] * workload.epochs * (members if name == "fused" else 1)
        )
        first, first_same = compare_losses(checks[names[0]], checks[name], SAME_ARITHMETIC)
        last, last_same = compare_losses(losses[names[0]][-1], losses[name][-1], tolerance)
        measured[name] = Measured(
            labels[name],
            Figure.of([updates / seconds for seconds in samples[name]], "updates/s"),
            f"1st epoch {first}; last {last}",
            first_same and last_same,
            losses[name],
        )
    return measured


def lines(
    bench: Bench, workload: Workload, targets: dict[str, Target], peers: Sequence[str]
) -> list[Line]:
    """A line for each peer."""
    names = [name for name in peers if name != "jax" or find_spec("jax")]
    measured = measure(bench, workload, ["harness", *names], bench.settings.rounds(ROUNDS))
    ours = measured.pop("harness")
    return [
        Line(
            f"updates/s, {workload.title}",
            ours.rate,
            peer=each.label,
            theirs=each.rate,
            target=targets.get(name),
            check=each.check,
            same=each.same,
        )
        for name, each in measured.items()
    ]


SMALL = ("data=random", "model=mlp", "optimizer=sgd", "optimizer.learning_rate=0.001")


def _small(bench: Bench) -> list[Line]:
    quick = bench.settings.quick
    notes = Workload("small", "small MLP, 1,000 rows", SMALL, 2 if quick else 10)
    found = lines(bench, notes, {"fit": Target(">=", 10)}, (*KERAS_PEERS, "jax"))
    if quick:
        return found
    rows = 32_000  # long epochs, in which what an epoch costs by itself hardly counts
    long = Workload("small_long", f"small MLP, {rows:,} rows", (*SMALL, f"data.rows={rows}"), 1)
    return found + lines(bench, long, {"fit": Target(">=", 10)}, (*KERAS_PEERS[1:], "jax"))


def _mlp(bench: Bench) -> list[Line]:
    quick = bench.settings.quick
    data = images.overrides(bench.work, 6_000 if quick else images.ALL)
    overrides = (*data, "model=mlp", "model.hidden=[128]", "optimizer=sgd")
    workload = Workload("mlp", "Fashion-MNIST MLP", overrides, 1 if quick else 2)
    targets = {"fit": Target(">=", 4.5), "fit_best": Target(">=", 3), "jax": Target(">=", 1)}
    return lines(bench, workload, targets, (*KERAS_PEERS, "jax"))


def _cnn(bench: Bench) -> list[Line]:
    quick = bench.settings.quick
    overrides = (
        *images.overrides(bench.work, 1_200 if quick else 24_000),
        "data.batch_size=64",
        "model=linear",  # a group without arguments of its own
        "model._target_=src.benchmarks.small_cnn.small_cnn",
        "optimizer=sgd",
    )
    workload = Workload("cnn", "small CNN", overrides, 1)
    return lines(bench, workload, {"fit": Target(">=", 2)}, KERAS_PEERS)


ROWS = (
    Row("updates_small", "Small MLP (32-32-10, batch 64, random rows)", _small),
    Row("updates_mlp", "Fashion-MNIST-sized MLP (784-128-10, SGD, batch 128)", _mlp),
    Row("updates_cnn", "Small CNN (two convolutions with stride 2, batch 64)", _cnn),
)
