"""How fast the harness is: python benchmarks/harness.py metrics|stages|workers [--side 160] [--images 64] [--repeats 5].

metrics   eight metrics on folders of PNGs, whole processes: ``srbench measure`` against the plain script below, which a
          user would write with scikit-image, lpips and pyiqa; and how far their values are apart
stages    images per second of every stage of a run, one thread
workers   ``srbench run`` of results made elsewhere, with 1, 2 ... workers

``python benchmarks/harness.py plain HR LR SR`` is the plain script by itself. Images are crops of the packaged
photographs at 8x, upscaled bicubically. Measure on a quiet machine; compare ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SCALE = 8
PLAIN = {"psnr": 1e-9, "ssim": 1e-9, "lpips": 1e-5, "lr_psnr": 1e-9, "niqe": None, "brisque": None, "pique": None}
"""Metrics of the plain script, and how near its values have to be; those of pyiqa follow other protocols."""


def plain(hr_folder: Path, lr_folder: Path, sr_folder: Path) -> dict[str, dict[str, float]]:
    """The metrics by image and name, as a user would compute them; LPIPS with the packaged weights of AlexNet."""
    import lpips
    import pyiqa
    import torch
    from PIL import Image
    from pyiqa.matlab_utils import imresize
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    _load_convolutions(network)
    blind = {name: pyiqa.create_metric(theirs) for name, theirs in _available_blind().items()}
    found = {}
    with torch.no_grad():
        for path in sorted(sr_folder.iterdir()):
            sr, hr, lr = (np.array(Image.open(folder / path.name)) for folder in (sr_folder, hr_folder, lr_folder))
            x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (sr, hr))
            shrunk = imresize(x.double(), scale=1 / SCALE).round().clamp(0, 255)[0].permute(1, 2, 0).numpy()
            found[path.stem] = {
                "psnr": float(peak_signal_noise_ratio(hr, sr)),
                "ssim": float(structural_similarity(hr, sr, channel_axis=2)),
                "lpips": network(x / 127.5 - 1, y / 127.5 - 1).item(),
                "lr_psnr": float(peak_signal_noise_ratio(lr, shrunk.astype(np.uint8))),
                **{name: metric(x / 255).item() for name, metric in blind.items()},
                "sigma": 0.0,  # of one output
            }
    return found


def _load_convolutions(network: object) -> None:
    """The package would download them."""
    from srbench.metrics.parameters import packaged

    net = network.net  # type: ignore[attr-defined]
    net.load_state_dict({name: packaged("alex_features_fp32")[f"features.{name.split('.', 1)[1]}"] for name in net.state_dict()})


def _available_blind() -> dict[str, str]:
    """NIQE and BRISQUE of pyiqa need files that it downloads: they are left out of the plain script without them."""
    import pyiqa

    found = {}
    for name, theirs in {"niqe": "niqe", "brisque": "brisque", "pique": "piqe"}.items():
        try:
            pyiqa.create_metric(theirs)
        except Exception:  # whatever a download raises
            print(f"plain script without {name}: pyiqa cannot load it here", file=sys.stderr)
        else:
            found[name] = theirs
    return found
