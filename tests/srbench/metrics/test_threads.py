"""Values do not depend on the number of threads, up to rounding."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURED = """
import json
import numpy as np
import torch
from srbench import metrics
hr = (np.random.default_rng(0).normal(128, 30, (3, 301, 403)).cumsum(-1) % 256).astype(np.uint8)
sr = hr // 2 + 50
values = [getattr(metrics, name)(sr, hr) for name in ("psnr", "ssim", "lpips")]
values += [getattr(metrics, name)(sr) for name in ("niqe", "brisque", "pique")]
print(json.dumps([torch.get_num_threads(), *values]))
"""


@pytest.mark.slow
def test_values_of_one_thread_and_of_two(monkeypatch):
    """Every number of threads has a process of its own, as numpy's library reads it when it is loaded."""
    found = []
    for number in "12":
        monkeypatch.setenv("OMP_NUM_THREADS", number)
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", number)
        made = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, timeout=600)
        found.append(json.loads(made.stdout))
    (one, *alone), (two, *shared) = found
    assert (one, two) == (1, 2)
    assert shared == pytest.approx(alone, rel=1e-6)
