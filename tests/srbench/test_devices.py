"""Commands on a GPU: the same images and values as on the CPU, short of memory too; what they cost there."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from builders import drawn
from record_runs import values_that_count

from srbench.benchmark.scorer import measure
from srbench.images.io import read_image, write_png
from srbench.interfaces import ImagePair, ModelCall
from srbench.machine.usage import usage_on
from srbench.metrics.cost import Memory, MultiplyAdds, Parameters, Runtime
from srbench.metrics.perceptual import LPIPS
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.loading import load_model
from srflow.layers import Squeeze

MODELS = "bicubic,rrdb,esrgan+consistent,srflow"
WITHIN = {"psnr": 0.1, "lr_psnr": 1.0, "lpips": 2e-3}
"""Distances of values that rounding on another device makes; TF32 moves an image by a tenth of an 8-bit step."""


@pytest.fixture
def done(command):
    """The outcome of a command that succeeds."""

    def call(*words):
        found = command(*words)
        assert found.code == 0, found.err + found.out
        return found

    return call


@pytest.mark.slow
def test_a_run_on_a_gpu_proves_itself_and_is_that_of_the_cpu(done, device):
    for seed in range(2):
        write_png(Path(f"images/{seed}.png"), drawn(seed, 72, 80))
    words = ("run", "--models", MODELS, "--scale", 4, "--data", "./images", "--samples", 2)
    words += ("--metrics", ",".join(WITHIN))
    processes = {"here": ("cpu", 1), "there": (device, 1), "shared": (device, "gpus" if device == "cuda" else 2)}
    for out, (place, workers) in processes.items():
        done(*words, "--device", place, "--workers", workers, "--out", out)
    here, there, shared = (values_that_count(Path(out)) for out in processes)
    assert here.keys() == there.keys() == shared.keys()
    for place, value in here.items():
        for other in (there, shared):
            assert other[place] == pytest.approx(value, rel=0, abs=WITHIN[place[-1]]), place
    records = map(json.loads, Path("there/samples.jsonl").read_text().splitlines())
    assert all(record["seconds"] > 0 and record["peak_memory_mb"] > 0 for record in records)
    done("verify", "there", "--resample", "all", "--device", device)


def test_values_of_folders_are_those_of_the_cpu(done, device, small_inception):
    for seed in range(4):
        write_png(Path(f"hr/{seed}.png"), image := drawn(seed, 128, 128))
        write_png(Path(f"sr/{seed}.png"), (0.9 * image).byte())
    values = []
    for place, workers in (("cpu", 1), (device, 1), (device, 2)):
        metrics = "psnr,lpips,niqe" + (",fid" if workers == 1 else "")  # other processes have no small Inception
        words = ("--metrics", metrics, "--device", place, "--workers", workers, "--format", "json")
        values.append(json.loads(done("measure", "sr", "--hr", "hr", *words).out))
    expected, *others = values
    for found in others:
        assert found["mean"] == pytest.approx(expected["mean"], rel=1e-4)
        assert found["set"] in ({}, pytest.approx(expected["set"], rel=1e-3))


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("upscale image.png --scale 4 --samples 2", 2),
        ("upscale image.png --scale 4 --samples 2 --tile 16", 2),
        ("edit temperature image.png --scale 8 --temperature 0,0.8", 1),
    ],
)
def test_an_image_is_that_of_the_cpu(done, device, words, number):
    write_png(Path("image.png"), drawn(0, 64, 32))
    for out, place in (("here", "cpu"), ("there", device)):
        done(*words.split(), "--models", "srflow", "--device", place, "--out", out)
    names = [path.name for path in Path("here").glob("*.png")]
    assert len(names) >= number
    for name in names:
        here, there = (read_image(Path(out, name)) for out in ("here", "there"))
        assert 255 * (here - there).abs().max() <= 2, "8-bit levels"


def test_usage_of_a_block(device):
    with usage_on(device) as usage:
        numbers = torch.ones(2**20, device=device)
    assert usage.seconds > 0
    assert usage.peak_memory_mb >= 4
    assert usage.allocated_bytes == (2**22 if device == "cuda" else 0)
    del numbers


def test_costs_on_a_device(device):
    """A GPU allocates more than the tensors that live at once, and rounds up; operations are the same everywhere."""
    size = {"lr": "16x16"}
    metrics = Parameters(), MultiplyAdds(**size), Memory(**size), Runtime(**size)
    here, there = (
        [metric.measure(ModelCall(load_model("srflow", 4, place).model, 0.8, place)) for metric in metrics]
        for place in ("cpu", device)
    )
    assert here[:2] == there[:2]
    assert 0.5 * here[2] <= there[2] <= 20 * here[2]
    assert there[3] > 0


@pytest.fixture
def lacking(device, monkeypatch):
    """lacking(bytes): a context in which torch gets that many bytes of GPU memory beyond what it holds.

    The CPU lacks no memory: there, decoding several samples at once fails.
    """

    def short(layer, z, condition, inverse=Squeeze.inverse):
        if len(z) > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return inverse(layer, z, condition)

    @contextmanager
    def context(room):
        if device == "cpu":
            with monkeypatch.context() as patch:
                patch.setattr(Squeeze, "inverse", short)
                yield
            return
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_reserved() + room
        torch.cuda.set_per_process_memory_fraction(allowed / torch.cuda.get_device_properties(0).total_memory)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)

    return context


def test_samples_stay_what_they_are_where_memory_is_short(device, lacking):
    side = 256 if device == "cuda" else 24
    model, lr = load_model("srflow", 4, device).model, torch.rand(3, side, side)

    def sample(number):
        """Samples, and the bytes of GPU memory that torch reserves for them."""
        if device == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved() if device == "cuda" else 0
        images = upscale(model, "lr", lr, SamplingParameters(0.8, number, 0), device).images
        return images, torch.cuda.max_memory_reserved() - before if device == "cuda" else 0

    sample(1)  # what is kept from the first call is no memory of a sample
    (_, of_one), (whole, of_five) = sample(1), sample(5)
    with lacking((of_one + of_five) // 2), pytest.warns(UserWarning, match="samples are decoded one at a time"):
        found, _ = sample(5)
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-3)


def test_a_metric_that_lacks_memory_is_computed_on_the_cpu(device, lacking):
    hr = drawn(0, 1024, 1024) / 255
    pair, output = ImagePair("a", hr[:, ::4, ::4], hr), (0.9 * 255 * hr[None]).byte()
    expected = measure(LPIPS(), output, pair, "cpu")
    with lacking(2**20):
        assert measure(LPIPS(), output, pair, device) == pytest.approx(expected, rel=1e-5)
