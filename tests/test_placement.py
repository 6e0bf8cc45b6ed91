"""Models, metrics and trainings keep their tensors on one device: the tests in ``placement/`` use a simulated GPU.

They run in a process of their own, because they change torch for good: for example, a process cannot be forked after a
backward pass on such a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

PROGRAMS = [Path(__file__).with_name("placement") / f"{name}.py" for name in ("networks", "metrics", "training")]

pytestmark = pytest.mark.slow

RECENT = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@pytest.mark.skipif(not RECENT, reason="this PyTorch cannot register a device for Python")
@pytest.mark.parametrize("device", ["imaginary", "cuda"])
def test_placement(device):
    if device == "cuda" and torch.version.cuda is None:
        pytest.skip("needs PyTorch's build for CUDA, and no GPU")
    command = [sys.executable, "-m", "pytest", *PROGRAMS, "--device", device, "-p", "no:cacheprovider"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # no real GPU is used
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
