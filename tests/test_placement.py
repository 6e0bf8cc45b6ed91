"""Everything stays on the device it is given: the programs in ``placement/`` run on a GPU that does not exist.

In a process of their own, since they change torch for good: once torch has gone backwards on such a GPU, for one thing,
the process can no longer be forked by a training.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils import backend_registration

PROGRAMS = [
    Path(__file__).with_name("placement") / f"{name}.py" for name in ("flow", "networks", "metrics", "training")
]

pytestmark = pytest.mark.slow

RECENT = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")


@pytest.mark.skipif(not RECENT, reason="this PyTorch is too old to imagine a device")
@pytest.mark.parametrize("device", ["imaginary", "cuda"])
def test_placement(device):
    if device == "cuda" and torch.version.cuda is None:
        pytest.skip("needs PyTorch's build for CUDA, and no GPU")
    command = [sys.executable, "-m", "pytest", *PROGRAMS, "--device", device, "-p", "no:cacheprovider"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}  # a GPU that is there is not asked
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr
