"""Where a run comes from: checked against git itself, in a checkout made for it."""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
from importlib.metadata import version

import pytest

from src import provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(autouse=True)
def _forgotten():
    """What a process asks git once, each test asks anew."""
    provenance._surroundings.cache_clear()
    yield
    provenance._surroundings.cache_clear()


@pytest.fixture
def checkout(root, tmp_path):
    """The module in a folder `src` of its own checkout, and git in that checkout."""
    (tmp_path / "src").mkdir()
    copy = tmp_path / "src" / "provenance.py"
    shutil.copy(root / "src" / "provenance.py", copy)
    specification = importlib.util.spec_from_file_location("copied_provenance", copy)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=Anne", "-c", "user.email=anne@example.org"]
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def tags() -> dict[str, str]:
        module._surroundings.cache_clear()
        return module.tags([], "src.train")

    return tags, git, copy


@needs_git
def test_the_commit_and_whether_files_differ_from_it(checkout):
    tags, git, copy = checkout
    git("init", "--quiet")
    assert tags()["git_commit"] in ("unknown", "(initial)")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    commit = git("rev-parse", "HEAD")

    (copy.parent / "notes.txt").write_text("files that git doesn't know change no code")
    found = tags()
    assert (found["git_commit"], found["git_dirty"]) == (commit, "false")
    assert found["mlflow.source.git.commit"] == commit

    copy.write_text(copy.read_text() + "# changed\n")
    assert tags()["git_dirty"] == "true"
    git("add", ".")  # a change that is staged is a change
    assert tags()["git_dirty"] == "true"


@needs_git
def test_a_copy_that_is_no_checkout_says_unknown(checkout, monkeypatch):
    tags, _, copy = checkout
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(copy.parents[2]))
    found = tags()
    assert (found["git_commit"], found["git_dirty"]) == ("unknown", "unknown")
    assert "mlflow.source.git.commit" not in found


def test_without_git_it_says_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.tags([], "src.train")["git_commit"] == "unknown"


def test_the_command_can_be_pasted_into_a_shell():
    overrides = ["name='two words'", "model.hidden=[3,4]", "data.path=a b$c.npz"]
    found = provenance.tags(overrides, "src.train")
    assert shlex.split(found["command"]) == ["python", "-m", "src.train", *overrides]
    assert shlex.split(found["overrides"]) == overrides


def test_versions_and_machine(monkeypatch):
    found = provenance.tags([], "src.train")
    assert found["tensorflow"] == version("tensorflow")
    assert found["hydra"] == version("hydra-core")
    assert found["python"] == platform.python_version()
    assert int(found["cpus"]) == len(os.sched_getaffinity(0))
    assert all(isinstance(value, str) for value in found.values())
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    provenance._surroundings.cache_clear()
    assert "no-such-package" not in provenance.tags([], "src.train")


def test_a_user_without_a_name_is_a_number(monkeypatch):
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert provenance.tags([], "src.train")["mlflow.user"] == str(os.getuid())
