import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from srbench.machine.threads import one_blas_thread

MEASURED = """
import json
import numpy as np
from srbench.metrics import brisque, niqe, pique
image = (np.random.default_rng(0).normal(128, 30, (3, 301, 403)).cumsum(-1) % 256).astype(np.uint8)
print(json.dumps([measure(image).hex() for measure in (brisque, niqe, pique)]))
"""


def threads():
    np.ones(2) @ np.ones(2)
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


def test_values_do_not_depend_on_the_number_of_threads(monkeypatch):
    """Every number of threads has a process of its own, which counts no more than there are cores."""
    values = []
    for number in "12":
        monkeypatch.setenv("OMP_NUM_THREADS", number)
        monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
        made = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
        values.append(json.loads(made.stdout))
    assert values[0] == values[1]


def test_the_setting_is_restored_when_the_last_thread_has_left():
    before = threads()
    if not before:
        pytest.skip("numpy's products are made by a library without threads")
    entered, leave = threading.Event(), threading.Event()

    def stay():
        with one_blas_thread():
            entered.set()
            leave.wait(60)

    other = threading.Thread(target=stay)
    other.start()
    entered.wait(60)
    with one_blas_thread():
        assert set(threads()) == {1}
    assert set(threads()) == {1}, "the other thread is inside"
    leave.set()
    other.join()
    assert threads() == before
