"""The worker processes that TF_CONFIG names, as TensorFlow itself reads it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from src.errors import UserError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["127.0.0.1:12345", "127.0.0.1:23456"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Cluster:
    """Where the workers are, and which of them this process is.

    Attributes:
        addresses: `host:port` of each, the chief's first.
        number: this process' place among them.
    """

    addresses: tuple[str, ...]
    number: int

    @property
    def is_chief(self) -> bool:
        """Whether this process leads the others and writes the run."""
        return self.number == 0

    @property
    def chief(self) -> tuple[str, int]:
        """Host and port of the chief."""
        host, _, port = self.addresses[0].rpartition(":")
        return host.strip("[]"), int(port)


def read(devices: int, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster of `strategy=multiworker strategy.devices=DEVICES`.

    Raises:
        UserError: TF_CONFIG is missing or malformed, or names another number of workers.
    """
    text = environment.get(VARIABLE)
    if not text:
        raise UserError(
            f"{VARIABLE}: strategy=multiworker needs this environment variable, another index in "
            f"each process, for example {EXAMPLE}"
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _malformed(f"it is not JSON ({error})") from error
    jobs = _mapping(content, "cluster")
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise _malformed(f"its cluster has {unknown[0]!r}; strategy=multiworker knows workers only")
    places = [
        (kind, index, address)
        for kind in ("chief", "worker")
        for index, address in enumerate(_addresses(jobs, kind))
    ]
    if len(_addresses(jobs, "chief")) > 1:
        raise _malformed("its cluster has more than one chief")
    task = _mapping(content, "task")
    kind, index = task.get("type"), task.get("index")
    addresses = tuple(address for *_, address in places)
    if len(set(addresses)) < len(addresses):
        raise _malformed("its cluster names an address twice")
    if len(addresses) != devices:
        raise UserError(
            f"strategy.devices={devices}: {VARIABLE} names {len(addresses)} workers; give as many"
        )
    own = [number for number, place in enumerate(places) if place[:2] == (kind, index)]
    if not own or isinstance(index, bool):
        known = ", ".join(f"{kind} {index}" for kind, index, _ in places)
        raise _malformed(f"its task is {kind} {index!r}, its cluster has {known}")
    return Cluster(addresses, own[0])


def _mapping(content: Any, key: str) -> dict[str, Any]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise _malformed(f"its {key!r} is missing")
    return found


def _addresses(jobs: dict[str, Any], kind: str) -> list[str]:
    found = jobs.get(kind, [])
    if not isinstance(found, list) or not all(map(_is_address, found)):
        raise _malformed(f"the addresses of its {kind!r} are not a list of HOST:PORT")
    return found


def _is_address(text: object) -> bool:
    host, _, port = str(text).rpartition(":")
    return isinstance(text, str) and bool(host) and port.isdecimal() and 0 < int(port) < 2**16


def _malformed(reason: str) -> UserError:
    return UserError(f"{VARIABLE}: {reason}; it should look like {EXAMPLE}")
