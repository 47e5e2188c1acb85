"""How much memory a program may still take on this machine."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
LIMIT_AND_USAGE = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),  # version 1
)


def free_memory() -> int:
    """Bytes that are free, or that the process' control group (a container) leaves of them."""
    free = [_free_on_the_machine()]
    for limit, usage in LIMIT_AND_USAGE:
        try:
            left = int((CGROUP / limit).read_text()) - int((CGROUP / usage).read_text())
        except (OSError, ValueError):  # no such group, or its limit is "max"
            continue
        free.append(max(left, 0))
    return min(free)


def _free_on_the_machine() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:  # not Linux
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
