"""What besides the configuration decides the bits of a run: versions, processor, threads, mode.

Every checkpoint carries it, so that a run that goes on elsewhere can say that its bits may differ.
"""

import functools
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

# Instructions that TensorFlow's kernels are chosen by, as Linux names them on x86 and on ARM.
_INSTRUCTIONS = [
    "sse4_2",
    "avx",
    "fma",
    "avx2",
    "avx_vnni",
    "avx512f",
    "avx512vl",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
]
# Switches of the libraries below TensorFlow that change how sums are formed.
_SWITCHES = ("TF_ENABLE_ONEDNN_OPTS", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "XLA_FLAGS")


def present(jit: bool, members: int = 1) -> dict[str, str]:
    """What is true of this process.

    Args:
        jit: whether XLA compiles the updates.
        members: how many runs train side by side.
    """
    return {
        **_of_process(),
        # Numbers of threads are settled when TensorFlow starts, but may be asked for until then.
        "intra_op_threads": _threads("intra_op", "TF_NUM_INTRAOP_THREADS"),
        "inter_op_threads": _threads("inter_op", "TF_NUM_INTEROP_THREADS"),
        "jit": str(jit).lower(),
        "fused_members": str(members),
    }


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What differs, in words; "" for nothing. What one side doesn't know is passed over."""
    return ", ".join(
        f"{key} was {before[key] or 'none'} and is {now[key] or 'none'}"
        for key in now
        if key in before and before[key] != now[key]
    )


@functools.cache
def _of_process() -> dict[str, str]:
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    found = {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "instructions": " ".join(instructions(Path("/proc/cpuinfo"))),
        "gpus": " ".join(gpus),
    }
    return found | {name: os.environ.get(name, "") for name in _SWITCHES}


def instructions(cpuinfo: Path) -> list[str]:
    """The instruction sets of the processor that matter; none where the system doesn't tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            known = set(value.split())
            return [each for each in _INSTRUCTIONS if each in known]
    return []


def _threads(kind: str, variable: str) -> str:
    asked = getattr(tf.config.threading, f"get_{kind}_parallelism_threads")()
    named = os.environ.get(variable, "")
    if not asked and named.isdigit():
        asked = int(named)
    if asked:
        return str(asked)
    allowed = getattr(os, "sched_getaffinity", None)  # what TensorFlow takes when nothing is said
    return str(len(allowed(0)) if allowed else os.cpu_count())
