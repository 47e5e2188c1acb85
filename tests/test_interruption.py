"""Signals: the first is remembered, the second ends the process, and handlers are put back."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from src.interruption import Interrupted, Interruption


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_remembered_and_the_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with Interruption() as interruption:
        assert interruption.signal is None
        os.kill(os.getpid(), number)
        assert interruption.signal == number
    assert signal.getsignal(number) is before


def test_what_another_process_was_told_counts_as_a_first_signal_of_its_own():
    with Interruption() as interruption:
        interruption.request(signal.SIGTERM)
        assert interruption.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C reaches all processes of a terminal
        assert interruption.signal == signal.SIGTERM


def test_handlers_are_put_back_after_an_error():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="inside"), Interruption():
        raise RuntimeError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_thread_other_than_the_main_one_takes_no_signals():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with Interruption() as interruption:
            seen.append((signal.getsignal(signal.SIGINT), interruption.signal))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143)],
)
def test_the_second_signal_ends_the_process_at_once(root, first, second, code):
    program = f"""
import os, time
from src.interruption import Interruption
with Interruption() as interruption:
    os.kill(os.getpid(), {int(first)})
    assert interruption.signal == {int(first)}
    try:
        os.kill(os.getpid(), {int(second)})
        time.sleep(60)
    finally:
        print("too late")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (code, "")


def test_the_exit_code_is_that_of_a_process_ended_by_the_signal():
    assert Interrupted(signal.SIGINT, []).exit_code == 130
    assert Interrupted(signal.SIGTERM, []).exit_code == 143
