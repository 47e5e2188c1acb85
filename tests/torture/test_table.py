"""The command of `make torture`: its settings, its table, its exit code."""

import signal

import pytest

from tests.torture import __main__ as torture


class NoZygote:
    def __init__(self, folder):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture
def run(monkeypatch, capsys):
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*words, **sections):
        monkeypatch.setattr(torture, "Zygote", NoZygote)
        if sections:
            monkeypatch.setattr(torture, "SECTIONS", sections)
        code = torture.main(list(words))
        return code, capsys.readouterr()

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def good(bench, given):
    yield "nothing is lost", int(given["kills"]), []
    yield "nothing is lost", 1, []


def bad(bench, given):
    yield "nothing is doubled", 3, ["there are 2 runs"]
    yield "nothing is doubled", 2, []


def broken(bench, given):
    yield "a third", 1, []
    raise OSError("no space")


def interrupted(bench, given):
    yield "a fourth", 1, []
    raise KeyboardInterrupt


def test_all_survived(run):
    code, said = run("kills=5", good=good)
    assert code == 0
    assert [line.split()[:6] for line in said.out.splitlines()[2:]] == [
        ["nothing", "is", "lost", "6", "/", "6"],
        ["all", "6", "/", "6"],
    ]


def test_what_was_not_survived_is_told_and_the_exit_code_is_1(run):
    code, said = run(good=good, bad=bad, broken=broken)
    assert code == 1
    assert "NOT SURVIVED  nothing is doubled: there are 2 runs" in said.out
    assert "NOT SURVIVED  section broken: OSError: no space" in said.out
    assert said.out.splitlines()[-1].split() == ["all", "304", "/", "308"]


def test_sections_are_chosen(run):
    assert run("sections=good", good=good, bad=bad)[0] == 0


def test_an_interruption_prints_the_table_so_far(run):
    code, said = run(interrupted=interrupted, bad=bad)
    assert code == 130
    assert said.out.splitlines()[-1].split() == ["all", "1", "/", "1"]


@pytest.mark.parametrize("word", ["kils=3", "kills=many", "kills=-1", "kills", "sections=nope"])
def test_wrong_settings_are_told_in_one_line(run, word):
    code, said = run(word)
    assert code == 2
    assert said.err.startswith(f"error: {word}: ")
    assert said.err.count("\n") == 1
