"""What the library leaves as it is: environment variables and the number of threads of the process."""

import json
import subprocess
import sys

LIBRARY = """
import json, os, sys
before, methods = dict(os.environ), type(os.environ)
import torch
threads = torch.get_num_threads(), torch.get_num_interop_threads()
import numpy as np
import srflow, srbench, baselines
loaded = dict(os.environ) == before
import cv2  # sets variables of its own
before = dict(os.environ)
image = np.random.default_rng(0).integers(0, 256, (3, 96, 96), dtype=np.uint8)
srflow.SRFlow.from_pretrained(8).sample(torch.rand(3, 8, 8), 2)
for metric in (srbench.metrics.niqe, srbench.metrics.brisque, srbench.metrics.pique):
    metric(image)
for metric in (srbench.metrics.psnr, srbench.metrics.ssim, srbench.metrics.lpips):
    metric(image, image)
same = dict(os.environ) == before and type(os.environ) is methods
print(json.dumps([loaded, same, threads == (torch.get_num_threads(), torch.get_num_interop_threads())]))
"""


def test_importing_sampling_and_measuring_set_nothing():
    made = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True, timeout=600)
    assert json.loads(made.stdout) == [True, True, True]
