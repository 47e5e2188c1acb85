"""This harness: the compiled program, driven call by call as `src.fit` drives it."""

import numpy as np

from src import startup
from src.benchmarks.configuration import composed
from src.benchmarks.peers.work import Work
from src.job import load_data


class Harness:
    """The program of one job, or of several that train side by side."""

    def __init__(self, work: Work, seeds: range) -> None:
        from src import programs  # needs TensorFlow

        config = composed(work.overrides)
        dataset, _ = load_data(config)
        configs = [config.model_copy(update={"seed": config.seed + seed}) for seed in seeds]
        self.program = programs.compiled(configs, dataset, keep=False)
        self.label = f"this harness (jit={str(self.program.compilation.jit).lower()})"
        self._rate = config.optimizer.learning_rate
        self._seeds = [each.seed for each in configs]
        self._epoch = 0
        weights = self.program.model().get_weights()
        np.savez(work.folder / "weights.npz", *weights)

    def train(self, epochs: int, *, shuffled: bool) -> float:
        """Train; the mean loss of the last epoch, of the first member."""
        from src.fit import Pace, row_order

        program = self.program
        active = np.ones(program.members, bool)
        if self._epoch == 0:
            self._pace = Pace(program.capacity)
        loss = float("nan")
        for _ in range(epochs):
            orders = [row_order(seed, self._epoch, program.rows) for seed in self._seeds]
            if not shuffled:
                orders = [np.arange(program.rows, dtype=np.int32)] * program.members
            program.shuffle(np.stack(orders))
            done = 0
            while done < program.updates_per_epoch:
                count = self._pace.next(program.updates_per_epoch - done)
                rates = np.full((count, program.members), self._rate, np.float32)
                with self._pace:
                    program.run(done, rates, active)
                done += count
            loss = program.take_results()[0]["loss"]
            self._epoch += 1
        return loss


def load(work: Work) -> Harness:
    """One job."""
    startup.import_tensorflow()
    return Harness(work, range(1))
