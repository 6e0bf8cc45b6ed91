"""Speed of the harness: python benchmarks/harness.py metrics|stages|runs [--side 160] [--images 64] [--repeats 5].

metrics   eight metrics on folders of PNGs, as whole processes: ``srbench measure`` with 1, 2 ... workers against the
          plain script below, which uses scikit-image, lpips and pyiqa; and the differences of their values
stages    milliseconds per image of every stage of a run and every metric, on one thread of this process
runs      ``srbench run`` of bicubic and RRDB at 4x with PSNR and SSIM, the same command again, ``srbench report`` and
          ``srbench verify``: seconds and peak memory of each process

``python benchmarks/harness.py plain HR LR SR`` runs only the plain script, which prints its values as JSON. Images are
crops of the packaged photographs, upscaled by bicubic interpolation at scale 8. Measure on a quiet machine, and compare
ratios. CPU seconds, of all threads and workers together, hardly depend on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

SCALE = 8
SRBENCH = [sys.executable, "-P", "-m", "srbench"]
"""The command of the environment, never that of the checkout in the current directory."""
TOLERANCE = {"psnr": 1e-9, "ssim": 1e-9, "lpips": 1e-5, "lr_psnr": 1e-9}
"""Allowed differences from the plain script, for metrics that follow the same protocol."""


def plain(hr_folder: Path, lr_folder: Path, sr_folder: Path) -> dict[str, dict[str, float]]:
    """Compute the metrics by image and name, as a user would with the defaults of the libraries.

    The libraries get our packaged parameters instead of downloading theirs. pyiqa's NIQE, BRISQUE and PIQE follow
    different protocols than ours (docs/protocols.md), so their values differ.
    """
    import lpips
    import pyiqa
    import torch
    from PIL import Image
    from pyiqa.matlab_utils import imresize
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    with tempfile.TemporaryDirectory() as name:
        niqe, brisque = _parameters(Path(name), network)
        blind = {
            "niqe": pyiqa.create_metric("niqe", pretrained_model_path=str(niqe), device="cpu"),
            "brisque": pyiqa.create_metric("brisque", pretrained_model_path=str(brisque), device="cpu"),
            "pique": pyiqa.create_metric("piqe", device="cpu"),
        }
    values = {}
    with torch.no_grad():
        for path in sorted(sr_folder.iterdir()):
            sr, hr, lr = (
                np.array(Image.open(folder / path.name, formats=["PNG"]))
                for folder in (sr_folder, hr_folder, lr_folder)
            )
            x, y = (torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (sr, hr))
            (height, _), (lr_height, lr_width) = hr.shape[:2], lr.shape[:2]
            assert height == SCALE * lr_height
            rows = imresize(x.double(), sizes=(lr_height, hr.shape[1])).round().clamp(0, 255)
            downscaled = imresize(rows, sizes=(lr_height, lr_width)).round().clamp(0, 255)
            values[path.stem] = {
                "psnr": float(peak_signal_noise_ratio(hr, sr)),
                "ssim": float(structural_similarity(hr, sr, channel_axis=2)),
                "lpips": network(x / 127.5 - 1, y / 127.5 - 1).item(),
                "lr_psnr": float(peak_signal_noise_ratio(lr, downscaled[0].permute(1, 2, 0).byte().numpy())),
                **{name: metric(x / 255).item() for name, metric in blind.items()},
                "sigma": float(np.std(sr[None].astype(np.float64), axis=0).mean()),
            }
    return values


def _parameters(folder: Path, network: Any) -> tuple[Path, Path]:  # noqa: ANN401 - lpips has no types
    """Convert the packaged parameters to the formats of the libraries, in place of downloads."""
    import torch
    from scipy.io import savemat

    from srbench.metrics.parameters import packaged

    names = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
    network.net.load_state_dict({name: packaged("alex_features_fp32")[key] for name, key in names.items()})
    niqe, brisque = folder / "niqe.mat", folder / "brisque.pth"
    savemat(niqe, {name: value.numpy() for name, value in packaged("niqe_live_fp64").items()})
    machine = packaged("brisque_live_fp64")
    torch.save((machine["sv_coef"].float(), machine["sv"].float()), brisque)
    return niqe, brisque


def write_images(root: Path, side: int, images: int) -> tuple[Path, Path, Path]:
    """Write folders of HR, LR and upscaled images, all different."""
    import torch

    from srbench.data.datasets import packaged_photos
    from srbench.images.io import write_png
    from srbench.images.resize import downscale_uint8, upscale_uint8

    photos = packaged_photos(SCALE)
    originals = [(photos.read(name).hr * 255).round().to(torch.uint8) for name in list(photos)[:images]]
    cuts = np.random.default_rng(0)
    for number in range(images):
        whole = originals[number % len(originals)]
        if min(whole.shape[1:]) < side:
            whole = whole.repeat(1, 2, 2)
        top, left = (int(cuts.integers(0, length - side + 1)) for length in whole.shape[1:])
        hr = whole[:, top : top + side, left : left + side].contiguous()
        lr = downscale_uint8(hr, SCALE)
        for folder, image in (("hr", hr), ("lr", lr), ("sr", upscale_uint8(lr, SCALE))):
            write_png(root / folder / f"{number:05}.png", image)
    return root / "hr", root / "lr", root / "sr"


class Cost(NamedTuple):
    """What a process took, and what it printed."""

    seconds: float
    cpu: float
    """CPU seconds of the process and its workers."""
    peak: float
    """Peak resident memory of the largest of them, in MB."""
    text: str


def _run(command: list[str]) -> Cost:
    """Run a command. Raises CalledProcessError if it fails."""
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, text)
    seconds = time.perf_counter() - start
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def metrics(root: Path, side: int, images: int, repeats: int) -> None:
    """Time the plain script and ``srbench measure`` in turn, and compare their values."""
    hr, lr, sr = write_images(root, side, images)
    measure = [*SRBENCH, "measure", str(sr), "--hr", str(hr), "--lr", str(lr)]
    commands = {"plain script": [sys.executable, __file__, "plain", str(hr), str(lr), str(sr)]}
    for workers in (2**k for k in range((os.cpu_count() or 1).bit_length())):
        commands[f"srbench, {workers} worker(s)"] = [*measure, "--format", "json", "--workers", str(workers)]
    costs = [{name: _run(command) for name, command in commands.items()} for _ in range(repeats)]
    print(f"{images} images of {side}x{side}, whole processes, medians of {repeats}")
    medians = {name: median([cost[name].seconds for cost in costs]) for name in commands}
    for name, seconds in medians.items():
        cpu, ratio = median([cost[name].cpu for cost in costs]), medians["plain script"] / seconds
        print(f"{name:20} {seconds:7.2f} s  {cpu:7.2f} CPU s  {images / seconds:7.1f} images/s  {ratio:.2f} times")
    reference, *_, measured = (json.loads(cost.text) for cost in costs[-1].values())
    measured = measured["images"]
    for name in ("psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique"):
        ours = {image: np.mean(values[name]) for image, values in measured.items()}
        difference = max(abs(ours[image] - reference[image][name]) for image in reference)
        verdict = "" if name not in TOLERANCE else "equal" if difference <= TOLERANCE[name] else "NOT EQUAL"
        print(f"{name:8} largest difference {difference:.2e} {verdict}")


def stages(root: Path, side: int, images: int, repeats: int) -> None:
    """Time every stage by itself, over all images; a metric with its work on a new HR image, and without it."""
    import cv2
    import torch

    from srbench.benchmark.scorer import measure
    from srbench.data.datasets import Folder
    from srbench.images.io import encode_png, pixels_sha256, quantize, read_uint8
    from srbench.images.resize import upscale
    from srbench.interfaces import ImageMetric
    from srbench.metrics.loading import open_metric

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    hr, _, sr = write_images(root, side, images)
    data = Folder(hr, SCALE)
    names = list(data)
    pairs = [data.read(name) for name in names]
    floats = [upscale(pair.lr, SCALE)[None] for pair in pairs]
    outputs = [quantize(image, "floor") for image in floats]
    work: dict[str, Callable[[int], object]] = {
        "read HR, make LR": lambda k: data.read(names[k]),
        "key of a pair": lambda k: data.digest(names[k]),
        "read a kept image": lambda k: read_uint8(sr / f"{names[k]}.png"),
        "to 8 bits": lambda k: quantize(floats[k], "floor"),
        "encode PNG": lambda k: encode_png(outputs[k][0]),
        "hash pixels": lambda k: pixels_sha256(outputs[k][0]),
    }
    names_of = ("psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma")
    opened = {name: open_metric(name) for name in names_of}
    for name, loaded in opened.items():
        assert isinstance(loaded.metric, ImageMetric), name
        seen = floats if loaded.metric.sees == "returned" else outputs
        work[name] = partial(lambda metric, seen, k: measure(metric, seen[k], pairs[k]), loaded.metric, seen)
        work[f"{name}, again on one HR"] = partial(
            lambda metric, seen, k: measure(metric, seen[0], pairs[0]), loaded.metric, seen
        )
    print(f"{images} images of {side}x{side}, one thread, medians of {repeats}")
    for name, do in work.items():
        seconds, cpu = [], []
        for _ in range(repeats):
            start = time.perf_counter(), time.process_time()
            for k in range(images):
                do(k)
            seconds.append((time.perf_counter() - start[0]) / images)
            cpu.append((time.process_time() - start[1]) / images)
        print(f"{name:28} {1000 * median(seconds):8.2f} ms  {1000 * median(cpu):8.2f} CPU ms")


def runs(root: Path, side: int, images: int, repeats: int) -> None:
    """Measure the commands on a run folder; a run and its report are made once, whatever ``repeats`` says."""
    hr, _, _ = write_images(root, side, images)
    folder = str(root / "run")
    run = [*SRBENCH, "run", "--models", "bicubic,rrdb", "--scale", "4", "--data", str(hr), "--metrics", "psnr,ssim"]
    commands = {
        "run": [*run, "--out", folder],
        "nothing to do": [*run, "--out", folder],
        "report": [*SRBENCH, "report", folder],
        "verify": [*SRBENCH, "verify", folder],
    }
    print(f"{images} images of {side}x{side}")
    for name, command in commands.items():
        if name == "report":
            shutil.rmtree(f"{folder}/report")
        cost = _run(command)
        print(f"{name:14} {cost.seconds:7.1f} s  {cost.cpu:7.1f} CPU s  {cost.peak:6.0f} MB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = {kind.__name__: kind for kind in (metrics, stages, runs)}
    parser.add_argument("kind", choices=[*kinds, "plain"])
    parser.add_argument("folders", nargs="*", type=Path)
    for name, default in (("side", 160), ("images", 64), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if arguments.kind == "plain":
        print(json.dumps(plain(*arguments.folders)))
        return
    with tempfile.TemporaryDirectory() as name:
        kinds[arguments.kind](Path(name), arguments.side, arguments.images, arguments.repeats)


if __name__ == "__main__":
    main()
