"""JAX: an epoch is one `jit(scan)` over resident data. For stacks of dense layers."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from src.benchmarks.peers.work import Work

Weights = list[tuple[jax.Array, jax.Array]]


class JaxScan:
    """Gradient descent on kernels and biases; ReLU between the layers."""

    label = "JAX jit(scan)"

    def __init__(self, work: Work) -> None:
        x, y = work.arrays()
        flat = iter(work.initial_weights())
        self.weights: Weights = [
            (jnp.asarray(kernel), jnp.asarray(bias))
            for kernel, bias in zip(flat, flat, strict=True)
        ]
        self.x, self.y = jnp.asarray(x.reshape(len(x), -1)), jnp.asarray(y)
        self.generator = np.random.default_rng(0)
        self.epoch = partial(
            jax.jit(_epoch, static_argnames=("batch_size", "rate"), donate_argnums=0),
            batch_size=work.batch_size,
            rate=work.learning_rate,
        )

    def train(self, epochs: int, *, shuffled: bool) -> float:
        """Train; the mean loss of the last epoch."""
        rows = len(self.x)
        loss = float("nan")
        for _ in range(epochs):
            order = self.generator.permutation(rows) if shuffled else np.arange(rows)
            self.weights, total, correct = self.epoch(
                self.weights, self.x, self.y, jnp.asarray(order, jnp.int32)
            )
            loss, _ = float(total) / rows, float(correct) / rows
        return loss


def _loss(weights: Weights, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean loss of a batch, and how many of its rows are classified rightly."""
    for kernel, bias in weights[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    kernel, bias = weights[-1]
    scores = jax.nn.log_softmax(x @ kernel + bias)  # (batch, classes)
    guessed = scores.argmax(axis=1)
    if y.ndim == 1:
        losses = -jnp.take_along_axis(scores, y[:, None], axis=1)
        return losses.mean(), (guessed == y).sum()
    return -(y * scores).sum(axis=1).mean(), (guessed == y.argmax(axis=1)).sum()


def _epoch(
    weights: Weights, x: jax.Array, y: jax.Array, order: jax.Array, *, batch_size: int, rate: float
) -> tuple[Weights, jax.Array, jax.Array]:
    """One epoch; the weights, the sum of the rows' losses and the number of right guesses."""

    def update(weights: Weights, rows: jax.Array) -> tuple[Weights, Any]:
        (loss, correct), gradients = jax.value_and_grad(_loss, has_aux=True)(
            weights, x[rows], y[rows]
        )
        after = jax.tree.map(lambda weight, gradient: weight - rate * gradient, weights, gradients)
        return after, (loss * len(rows), correct)

    whole = len(order) // batch_size * batch_size
    batches = order[:whole].reshape(-1, batch_size)
    weights, (losses, correct) = jax.lax.scan(update, weights, batches)
    total, right = losses.sum(), correct.sum()
    if whole < len(order):
        weights, (loss, more) = update(weights, order[whole:])
        total, right = total + loss, right + more
    return weights, total, right


def load(work: Work) -> JaxScan:
    """The compiled epoch."""
    return JaxScan(work)
