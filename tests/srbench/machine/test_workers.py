"""Workers: the results of a loop, whatever dies, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from srbench.interfaces import SRBenchError
from srbench.machine.workers import WorkerDied, map_items

OPENERS = """
import os
import signal
import struct
import sys
import time
import warnings

from srbench.interfaces import SRBenchError


class Unsendable(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def squares(least=0):
    def square(item):
        if item < least:
            raise SRBenchError(f"{item} is too small")
        return item * item
    return square


def environment(folder):
    names = "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"
    def show(item):
        open(os.path.join(folder, str(os.getpid())), "w").close()
        end = time.monotonic() + 300
        while len(os.listdir(folder)) < 2 and time.monotonic() < end:  # both workers are at work
            time.sleep(0.01)
        return tuple(map(os.environ.get, names))
    return show


def dying(folder, deaths, bad):
    def do(item):
        if item in bad:
            file = os.path.join(folder, str(item))
            with open(file, "a") as stream:
                stream.write("x")
            if os.path.getsize(file) <= deaths:
                os.kill(os.getpid(), signal.SIGKILL)
        return item
    return do


def first_of(folder, deaths):
    die = dying(folder, deaths, ("bad",))
    return lambda parts: (die(parts[0]), os.getpid())


def raising(kind):
    def do(item):
        if kind == "unsendable":
            raise Unsendable("one", "two")
        return {}["key"]
    return do


def warning():
    warnings.warn("opened")
    def do(item):
        warnings.warn(f"seen {item % 2}")
        return item
    return do


def refusing():
    raise SRBenchError("nothing to open")


def exiting():
    os._exit(3)


def torn():
    # dies after half of a result is in the pipe, as by a kill
    def do(item):
        frame = sys._getframe()
        while "result_queue" not in frame.f_locals:
            frame = frame.f_back
        os.write(frame.f_locals["result_queue"]._writer.fileno(), struct.pack("!i", 1000) + b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return do


def sleeping(folder):
    def do(item):
        open(os.path.join(folder, str(os.getpid())), "w").close()
        time.sleep(60)
    return do
"""


@pytest.fixture
def openers(tmp_path, monkeypatch):
    """Openers in a module that other processes can import."""
    (tmp_path / "openers_of_tests.py").write_text(OPENERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("openers_of_tests")
    del sys.modules["openers_of_tests"]


def test_the_results_are_those_of_a_loop(openers):
    alone = dict(map_items(openers.squares, range(9), workers=1, arguments=[2]))
    shared = dict(map_items(openers.squares, range(9), workers=2, arguments=[2]))
    for results in (alone, shared):
        assert [str(results.pop(item)) for item in (0, 1)] == ["0 is too small", "1 is too small"]
    assert alone == shared == {item: item * item for item in range(2, 9)}


def test_items_are_read_as_workers_become_free(openers):
    read = []

    def items():
        for item in range(20):
            read.append(item)
            yield item

    results = map_items(openers.squares, items(), workers=2)
    next(results)
    assert 3 <= len(read) <= 4, "a worker that is free has its next item while its result is used"
    results.close()


def test_workers_have_one_thread_and_their_own_environment(openers, tmp_path, monkeypatch):
    (tmp_path / "at work").mkdir()
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    given = [str(tmp_path / "at work")]
    results = dict(map_items(openers.environment, range(4), workers=2, arguments=given, environments=gpus))
    assert set(results.values()) == {("1", "0"), ("1", "1")}
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize("deaths", [1, 2])
def test_an_item_whose_process_died_is_tried_again(openers, tmp_path, deaths):
    results = dict(map_items(openers.dying, range(5), workers=2, arguments=[str(tmp_path), deaths, (1,)]))
    assert results == {item: item for item in range(5)}
    assert (tmp_path / "1").read_text() == "x" * (deaths + 1)


@pytest.mark.parametrize("deaths", [0, 1, 99])
def test_a_process_goes_on_with_what_is_left_of_an_item_and_another_does_if_it_dies(openers, tmp_path, deaths):
    items = [("a", "b"), ("c", "bad", "d", "e")]
    made = {item: [] for item in items}

    def left(parts, result):
        return parts[1:] or None

    arguments = [str(tmp_path), deaths]
    for parts, result in map_items(openers.first_of, items, workers=2, arguments=arguments, left=left):
        [whole] = [item for item in items if item[-1] == parts[-1]]
        assert whole[len(made[whole]) :] == parts, "one after another, each once"
        made[whole].append(result)
    assert [part for part, _ in made["a", "b"]] == ["a", "b"]
    before, bad, *after = made["c", "bad", "d", "e"]
    assert (before[0], [part for part, _ in after]) == ("c", ["d", "e"])
    assert isinstance(bad, WorkerDied) == (deaths > 3)
    assert (tmp_path / "bad").read_text() == "x" * min(deaths + 1, 3)
    processes = {process for _, process in made["a", "b"]}, {before[1], *(process for _, process in after)}
    assert [len(each) for each in processes] == [1, 1 + bool(deaths)]


TORN = """
from openers_of_tests import torn
from srbench.machine.workers import map_items

if __name__ == "__main__":
    for item, result in map_items(torn, [7], workers=2):
        print(item, result)
"""


@pytest.mark.slow
def test_a_process_that_dies_while_it_sends_its_result_is_not_waited_for(openers, tmp_path):
    (tmp_path / "script.py").write_text(TORN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr) == ("7 crashed its process 3 times (signal SIGKILL)\n", "")


@pytest.mark.slow
def test_an_item_whose_processes_always_die_is_given_up_alone(openers, tmp_path):
    results = dict(map_items(openers.dying, range(6), workers=2, arguments=[str(tmp_path), 99, (0, 3)]))
    for item in (0, 3):
        error = results.pop(item)
        assert isinstance(error, WorkerDied)
        assert str(error) == "crashed its process 3 times (signal SIGKILL)"
        assert (tmp_path / str(item)).read_text() == "xxx"
    assert results == {item: item for item in (1, 2, 4, 5)}


def test_an_unexpected_error_comes_with_its_traceback(openers):
    [(_, error)] = map_items(openers.raising, [1], workers=2, arguments=["key"])
    assert isinstance(error, KeyError)
    assert "openers_of_tests.py" in error.__notes__[0]


def test_an_error_that_cannot_be_sent_comes_as_text(openers):
    [(_, error)] = map_items(openers.raising, [1], workers=2, arguments=["unsendable"])
    assert str(error) == "Unsendable: one and two"


def test_warnings_are_repeated_once(openers):
    with pytest.warns(UserWarning) as heard:  # noqa: PT030
        assert dict(map_items(openers.warning, range(8), workers=2)) == {item: item for item in range(8)}
    assert sorted(str(one.message) for one in heard) == ["opened", "seen 0", "seen 1"]


def test_what_the_opener_raises_is_raised(openers):
    for workers in (1, 2):
        with pytest.raises(SRBenchError, match=r"^nothing to open$"):
            list(map_items(openers.refusing, range(3), workers=workers))


@pytest.mark.slow
def test_processes_that_die_at_startup_are_not_started_forever(openers):
    with pytest.raises(WorkerDied, match=r"die at startup \(exit code 3\).*__main__"):
        list(map_items(openers.exiting, range(3), workers=2))


SCRIPT = """
import sys
from openers_of_tests import sleeping
from srbench.machine.workers import map_items

if __name__ == "__main__":
    try:
        list(map_items(sleeping, range(4), workers=2, arguments=[sys.argv[1]]))
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(openers, tmp_path, heeded_interrupts, number):
    """Ctrl-C reaches the whole group of processes, as in a terminal; a kill reaches the parent alone."""
    (tmp_path / "script.py").write_text(SCRIPT)
    working = tmp_path / "working"
    working.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, str(tmp_path / "script.py"), str(working)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    wait_until(lambda: len(list(working.iterdir())) == 2)
    workers = [int(file.name) for file in working.iterdir()]
    if number == signal.SIGINT:
        os.killpg(parent.pid, number)
    else:
        parent.send_signal(number)
    out, err = parent.communicate(timeout=300)
    if number == signal.SIGINT:
        assert (out, err) == ("interrupted\n", "")
    wait_until(lambda: not any(is_running(worker) for worker in workers))


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
