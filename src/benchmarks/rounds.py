"""Interleaved rounds: A B C A B C, so that what disturbs the machine disturbs all alike."""

from collections.abc import Callable, Mapping


def interleave(
    measure: Mapping[str, Callable[[], float]], rounds: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Call each once a round; the samples by name, in the order of the rounds.

    Args:
        measure: each returns what it measured, such as seconds.
        rounds: how many; what comes before the first (warm-up) is the caller's.
        say: told before each round.
    """
    samples: dict[str, list[float]] = {name: [] for name in measure}
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        for name, function in measure.items():
            samples[name].append(function())
    return samples
