import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import metric, model_facts, protocol
from msgspec import structs

import srbench.benchmark.run
import srbench.models.inference
from srbench.benchmark.opened import open_request
from srbench.benchmark.sampler import Sampler
from srbench.images import ImageError
from srbench.interfaces import ImagePair
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.protocol import FORMAT, Manifest, Setting
from srbench.run_folder.records import ImageDigest, SampleRecord, digest
from srbench.run_folder.request import RunSpec

PROTOCOL = protocol(samples=5)
OF_PROTOCOL = {"scale": 8, "samples": 6, "seed": 1, "tile": 64, "quantize": "round"}
"""What of a protocol determines a sample, changed."""
OTHERS = {"suite": "other@1", "dataset": "e", "lr": "read from files", "crop": 96, "columns": ("psnr",)}
"""What tells of the pair, whose key stands for it, or only of the table."""


def key(model="1", source="", pair="2", temperature=0.8, **protocol):
    models = (model_facts("m", digest=model),)
    manifest = Manifest(FORMAT, replace(PROTOCOL, **protocol), (), (), models, (), ())
    return RunFolder(Path("run"), manifest).sample_key(Setting("m", temperature), pair, source)


@pytest.mark.parametrize(
    "change",
    [{"model": "3"}, {"source": "4"}, {"pair": "5"}, {"temperature": None}, *({k: v} for k, v in OF_PROTOCOL.items())],
)
def test_the_key_depends_on_all_that_determines_a_sample(change):
    assert key(**change) != key() == key()


@pytest.mark.parametrize("change", OTHERS)
def test_the_key_depends_on_nothing_else(change):
    assert key(**{change: OTHERS[change]}) == key()


def test_the_key_of_a_value_depends_on_images_and_metric():
    sample = SampleRecord("1", 0, "", "a", "m", 0.8, "", (ImageDigest("2", "3"),), 0.5, None)
    psnr = metric("psnr", digest="4")
    known = score_key(sample, psnr)
    assert known == digest("score", sample.key, [one.pixels for one in sample.outputs], psnr.digest)
    assert known != score_key(structs.replace(sample, key="5"), psnr)
    assert known != score_key(structs.replace(sample, outputs=(ImageDigest("5", "3"),)), psnr)
    assert known != score_key(sample, replace(psnr, digest="5"))
    assert known == score_key(structs.replace(sample, seconds=1.0, invocation=7), psnr), (
        "how it came about does not matter"
    )


class Draws:
    """Draws, if it were called."""

    def __init__(self, scale):
        self.scale = scale

    def sample(self, lr, n, *, temperature, generator):
        raise AssertionError("is not called")


@pytest.fixture
def seed_of(monkeypatch):
    """The seed of the generator for the samples of an image."""
    monkeypatch.setattr(srbench.models.inference, "upscale", lambda model, name, lr, sampling, device: sampling)

    def call(lr_level=10, image="a", hr_level=20, temperature=0.8, **protocol):
        changed = replace(PROTOCOL, **protocol)
        pair = ImagePair(image, torch.full((3, 6, 6), lr_level / 255), torch.full((3, 24, 24), hr_level / 255))
        sampler = Sampler(Manifest(FORMAT, changed, (image,), (), (), (), ()), "cpu")
        return sampler.sample(Draws(changed.scale), pair, temperature).seed

    return call


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({"seed": 1}, True),
        ({"scale": 8}, True),
        ({"lr_level": 11}, True),
        *(({name: value}, False) for name, value in OTHERS.items()),
        ({"image": "b"}, False),
        ({"hr_level": 21}, False),
        ({"temperature": 0.0}, False),
        ({"samples": 6}, False),
        ({"tile": 64}, False),
    ],
)
def test_seeds_depend_on_run_scale_and_lr_alone(seed_of, change, matters):
    assert (seed_of(**change) != seed_of()) == matters


def test_seeds_fit_a_generator(seed_of):
    assert all(0 <= seed_of(level) < 2**63 for level in range(20))


def test_the_command_makes_the_same_spec(command, monkeypatch):
    specs = []

    def record(spec, **_):
        specs.append(spec)
        raise KeyboardInterrupt

    monkeypatch.setattr(srbench.benchmark.run, "open_request", record)
    full = RunSpec(
        models=("bicubic", "mine=a folder"),
        scale=8,
        data="b",
        limit=3,
        crop=64,
        metrics=("psnr",),
        temperature=(0.0, 0.123456789),
        samples=2,
        seed=7,
        device="cpu",
        out="runs/x",
    )
    paired = RunSpec(models=("srflow",), scale=4, data=None, hr="h", lr="l")
    for spec in (full, paired, RunSpec(models=("bicubic",), scale=2)):
        command(*shlex.split(spec.command())[1:])
        assert specs.pop() == spec
    assert RunSpec(models=("bicubic",), scale=2).command() == "srbench run --models bicubic --scale 2"


def test_results_that_belong_to_no_image_are_refused(photos, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    for name in ("a", "B", "b_sample0", "c_x4", "d", "e"):
        (results / f"{name}.png").write_bytes((photos / "a.png").read_bytes())
    spec = RunSpec(models=(f"theirs={results}",), scale=4, data=str(photos), metrics=("psnr",))
    with pytest.raises(ImageError, match=r"results lacks c; photos lacks B, c_x4, e"):
        open_request(spec)
