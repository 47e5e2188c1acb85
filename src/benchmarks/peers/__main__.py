"""Serves one peer: reads requests from standard input, a JSON object a line, and answers each.

{"request": "load", ...}                    take up a workload; answers {"label"}
{"request": "weights"}                      write weights.npz (the harness only)
{"request": "train", "epochs", "shuffled"}  answers {"seconds", "loss"}
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from src.benchmarks.peers.work import Peer, Work

MODULES = {
    "harness": "src.benchmarks.peers.harness",
    "fused": "src.benchmarks.peers.fused",
    "eager": "src.benchmarks.peers.eager",
    "function": "src.benchmarks.peers.function",
    "fit": "src.benchmarks.peers.fit",
    "fit_best": "src.benchmarks.peers.fit_best",
    "jax": "src.benchmarks.peers.jax_scan",
}


def main() -> None:
    """Answer requests until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not get between the answers
    load: Callable[[Work], Peer] | None = None
    peer: Peer | None = None
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            if request["request"] == "load":
                if load is None:
                    load = importlib.import_module(MODULES[sys.argv[1]]).load
                peer = None  # the memory of the last workload is free before the next one takes it
                peer = load(Work.of(request))
                answer: dict[str, Any] = {"label": peer.label}
            else:
                assert peer is not None
                began = time.perf_counter()
                loss = peer.train(request["epochs"], shuffled=request["shuffled"])
                answer = {"seconds": time.perf_counter() - began, "loss": loss}
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {text[0]}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
