from __future__ import annotations

import sys
from importlib import import_module

import pytest

from srbench.benchmark.engines import pool
from srbench.benchmark.engines.choice import prepare_workers
from srbench.benchmark.engines.pool import Pool, discard_workers, prepare

OPENER = """
import os

def open_echo(send, role):
    return lambda job: send((os.getpid(), job, role))
"""


@pytest.fixture(autouse=True)
def _discarded():
    yield
    discard_workers()


@pytest.fixture
def open_echo(tmp_path, monkeypatch):
    """An opener in a module that other processes can import, which sends the process, the job and the role back."""
    (tmp_path / "opener_of_echoes.py").write_text(OPENER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("opener_of_echoes").open_echo
    del sys.modules["opener_of_echoes"]


def echoes(count, open_echo):
    with Pool(open_echo) as workers:
        workers.add(*range(4), role="echo")
        for _ in range(count):
            workers.start("echo")
        return [message for _, message in workers.messages() if isinstance(message, tuple)]


def test_a_pool_takes_the_prepared_processes_first(open_echo):
    prepare(1, "wave")
    [(process, _)] = pool._prepared
    assert echoes(1, open_echo) == [(process.pid, job, "echo") for job in range(4)]
    assert not process.is_alive()


def test_a_prepared_process_that_died_is_replaced(open_echo):
    prepare(1, "wave")
    [(process, _)] = pool._prepared
    process.kill()
    process.join()
    assert sorted(job for _, job, _ in echoes(1, open_echo)) == [0, 1, 2, 3]


def test_processes_that_no_pool_took_are_ended():
    prepare(2, "wave")
    processes = [process for process, _ in pool._prepared]
    discard_workers()
    assert not any(process.is_alive() for process in processes)
    assert not pool._prepared


@pytest.mark.parametrize(
    ("workers", "device", "images", "wanted"),
    [(2, "cpu", 5, 2), (3, "cpu", 2, 2), (1, "cpu", 9, 0), (None, "cpu", 1, 0), (2, "cuda", 9, 0), (2, "cpu", 1, 0)],
)
def test_as_many_are_prepared_as_a_run_will_start(monkeypatch, workers, device, images, wanted):
    seen = []
    monkeypatch.setattr("srbench.benchmark.engines.choice.prepare", lambda count, module: seen.append(count))
    prepare_workers(workers, device, images)
    assert sum(seen) == wanted
