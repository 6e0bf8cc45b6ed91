"""What several tests make up: images, plug-ins, servers, and facts of metrics, of models and of a run's protocol."""

from __future__ import annotations

import math
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from socketserver import BaseServer
from typing import Any

import torch

from srbench.benchmark.measure import measure_folders
from srbench.interfaces import ImagePair, ImageSet, MetricInfo, SampledImage
from srbench.models import ModelInfo
from srbench.run_folder import measurements
from srbench.run_folder.protocol import Protocol
from srbench.run_folder.values import is_missing, mean, mean_of_images

PACKAGED = {
    model: Path(str(files(package))) / "weights" / f"{model}-mini-x8.safetensors"
    for model, package in {"rrdb": "baselines", "esrgan": "baselines", "srflow": "srflow"}.items()
}
"""Files of weights for 8x, by model."""
OWN_LR = """
from pathlib import Path

from srbench.data.datasets import Folder
from srbench.interfaces import ImagePair


class OwnLR:
    name = "own"

    def __init__(self, scale):
        self.folder = Folder(Path("photos"), scale)

    def __len__(self):
        return len(self.folder)

    def __iter__(self):
        return iter(self.folder)

    def read(self, name):
        pair = self.folder.read(name)
        return ImagePair(name, pair.lr.flip(0), pair.hr)

    def digest(self, name):
        return self.folder.digest(name)
"""
"""A dataset whose LR is flipped, over the folder ``photos``."""
GAP = '''
from srbench.interfaces import MapInfo, MappedMetric, MetricInfo


class Gap(MappedMetric):
    """Mean absolute difference."""

    info = MetricInfo(
        name="gap", title="Gap", group="Perception", is_primary=True, direction=-1, unit="levels", signature="RGB|v1",
        protocol="uint8 RGB by {quantize}, mean absolute difference", map=MapInfo("difference in levels", upper=64),
    )

    def __call__(self, samples, pair):
        return 255 * (samples - pair.hr).abs().mean(dim=(1, 2, 3))

    def map(self, samples, pair):
        return 255 * (samples[0] - pair.hr).abs().mean(dim=0)
'''
"""A metric with a map."""
NETWORK = '''
import torch
from torch import nn


class Network(nn.Module):
    """One convolution of 3 to 48 channels, and their pixels sorted."""

    scale = 4

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, 48, 3, padding=1)

    def forward(self, lr):
        return nn.functional.pixel_shuffle(self.convolution(lr), 4)
'''
"""A file with a network of one layer: 1344 parameters, 27 x 48 multiply-adds for every pixel of LR."""

_DISTORTION, _PERCEPTION = {"group": "Distortion", "direction": 1}, {"group": "Perception", "direction": -1}
_KNOWN: dict[str, dict[str, Any]] = {
    "psnr": _DISTORTION
    | {"title": "PSNR", "unit": "dB", "is_primary": True, "protocol": "uint8 RGB", "signature": "PSNR|RGB"},
    "ssim": _DISTORTION | {"title": "SSIM", "digits": 3},
    "lpips": _PERCEPTION
    | {"title": "LPIPS", "digits": 3, "is_primary": True, "protocol": "AlexNet", "signature": "LPIPS|alex"},
    "niqe": _PERCEPTION | {"title": "NIQE"},
    "lr_psnr": {
        "title": "LR-PSNR",
        "direction": 1,
        "unit": "dB",
        "group": "Consistency",
        "is_primary": True,
        "worst": True,
    },
    "pique": {"title": "PIQUE", "direction": -1, "saturates_at": 100.0},
    "sigma": {"title": "sigma", "direction": 0, "unit": "grey levels", "group": "Diversity", "protocol": "ddof 1"}
    | {"signature": "SIGMA|ddof1"},
}


def drawn(seed: int, height: int = 32, width: int = 32) -> torch.Tensor:
    """(3, height, width) uint8 without flat regions, different for every seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, height // 4 + 2, width // 4 + 2), generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return smooth[0].mul(255).to(torch.uint8)


def flat(level: int, side: int = 8) -> torch.Tensor:
    """(3, side, side) uint8 of one level."""
    return torch.full((3, side, side), level, dtype=torch.uint8)


def metric(name: str, **changes: Any) -> MetricInfo:
    """Facts of a metric, some of them changed; one that is not known here is of direction 1."""
    known = _KNOWN.get(name, {"title": name.upper(), "direction": 1})
    facts = {"protocol": "", "signature": known["title"], "spec": name, "digest": f"digest of {name}"}
    return MetricInfo(**{"name": name} | facts | known | changes)


def protocol(**changes: Any) -> Protocol:
    """Protocol of a run at scale 4, two samples per image."""
    facts = {"suite": "srflow@1", "dataset": "d", "lr": "made from HR", "scale": 4, "crop": None, "samples": 2}
    return Protocol(**facts | {"seed": 0, "tile": None} | changes)


def model_facts(label: str, **changes: Any) -> ModelInfo:
    """Facts of a model without weights, some of them changed."""
    facts = {"spec": label, "digest": f"digest of {label}", "projected": False, "weights": None}
    return ModelInfo(label, **facts | changes)


def everything(folder: Path) -> dict[str, bytes]:
    """Contents of all files in a folder and below, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def wait_for_lines(path: Path, least: int, process: subprocess.Popen[str]) -> None:
    """Wait until a process has written so many lines of a file."""
    deadline = time.monotonic() + 600
    while not path.exists() or path.read_text().count("\n") < least:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def serving(server: BaseServer) -> Iterator[Any]:
    """The server, which answers in a thread of its own and is closed at the end."""
    with server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


def image_set(outputs, hr, **options):
    """The images of a set: outputs, (3, H, W) or (n, 3, H, W), and HR, (3, H, W), all uint8."""

    def image(name):
        samples, reference = outputs[int(name)], hr[int(name)]
        samples = samples if samples.ndim == 4 else samples[None]
        return SampledImage(name, lambda count: samples[:count], lambda: ImagePair(name, hr=reference / 255))

    return ImageSet([str(place) for place in range(len(outputs))], image, **options)


@dataclass(frozen=True)
class MeasuredFolder:
    """What ``measure_folders`` returns of a single folder."""

    values: dict
    """Values by image and metric."""
    metrics: tuple
    failures: tuple

    def mean(self, metric):
        """The mean over images."""
        return mean_of_images({image: mean(values.get(metric)) for image, values in self.values.items()})


def values_of(rows, metrics, of_many=None, unit_of=None):
    """Values of measurements; ``of_many`` are values of all images by setting and metric, missing if not given."""

    def recorded(metric, own):
        return {"": (of_many or {}).get(own[0].setting, {}).get(metric.name, math.nan)}

    return measurements.values_of(rows, metrics, recorded, unit_of or {})


def measure_folder(images, hr=None, lr=None, **options):
    """``measure_folders`` of a single folder."""
    measured = measure_folders({images.resolve().name: images}, hr, lr, **options)
    [setting] = measured.values.settings
    values = {
        image: {
            metric.name: measured.values.of[setting, metric.name][image]
            for metric in measured.metrics[setting]
            if metric.is_of_images and not is_missing(measured.values.of[setting, metric.name][image])
        }
        for image in measured.values.images[setting]
    }
    return MeasuredFolder(values, measured.metrics[setting], measured.failures[setting])
