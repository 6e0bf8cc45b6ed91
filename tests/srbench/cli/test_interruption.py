"""Ctrl-C once, and once more while the first is dealt with."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srbench.cli.interruption import twice_at_once

SLOW_TO_END = """
import multiprocessing
import signal
import time

from srbench.cli.interruption import twice_at_once

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    worker.start()
    with twice_at_once():
        try:
            print(worker.pid, flush=True)
            time.sleep(60)
        finally:
            print("ending", flush=True)
            time.sleep(60)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_second_ends_at_once_and_takes_the_workers_along(tmp_path, number):
    script = tmp_path / "slow_to_end.py"
    script.write_text(SLOW_TO_END)
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    worker = Path("/proc") / process.stdout.readline().strip()
    assert worker.exists()
    process.send_signal(number)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (128 + number, "")
    end = time.monotonic() + 300
    while runs(worker) and time.monotonic() < end:  # a killed process takes a moment to end
        time.sleep(0.01)
    assert not runs(worker)


def runs(process: Path) -> bool:
    """True if a process below /proc exists and is no zombie."""
    try:
        return (process / "status").read_text().split("State:")[1].split()[0] != "Z"
    except OSError:
        return False


def test_nohup_is_heeded():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with twice_at_once():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_where_it_is_ignored_it_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with twice_at_once():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with twice_at_once(), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with twice_at_once():
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
