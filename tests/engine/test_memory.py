"""Free memory: of the machine, or what a container leaves of it."""

import pytest

from src.engine import memory


@pytest.fixture
def cgroup(tmp_path, monkeypatch):
    """The folder of a control group; the machine has 1,000 bytes free."""
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_free_on_the_machine", lambda: 1000)
    return tmp_path


def test_without_a_group_the_machine_decides(cgroup):
    assert memory.free_memory() == 1000


def test_without_a_limit_the_machine_decides(cgroup):
    (cgroup / "memory.max").write_text("max\n")
    (cgroup / "memory.current").write_text("5\n")
    assert memory.free_memory() == 1000


@pytest.mark.parametrize(
    ("names", "used", "expected"),
    [
        (("memory.max", "memory.current"), 300, 400),
        (("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"), 300, 400),
        (("memory.max", "memory.current"), 800, 0),
    ],
)
def test_a_group_leaves_what_it_has_not_used(cgroup, names, used, expected):
    for name, value in zip(names, (700, used), strict=True):
        path = cgroup / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{value}\n")
    assert memory.free_memory() == expected


def test_this_machine_has_some():
    assert memory.free_memory() > 2**20
