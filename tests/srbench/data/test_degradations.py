"""Degradations: named, seeded, versioned; what is drawn depends on the image alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from srbench.benchmark import BenchmarkError
from srbench.benchmark.dataset import open_dataset
from srbench.data import MATLAB_BICUBIC, DataError
from srbench.data.datasets import Folder
from srbench.data.degradations.read import degradation_names, degraded, read_degradation
from srbench.files.config import ConfigError
from srbench.images.resize import downscale_uint8
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.request import RunSpec

MINE = 'name = "mine"\nversion = 1\n[[steps]]\nkind = "downscale"\nby = "area"\n'


@pytest.fixture
def image(draw_image):
    return draw_image(0, 32, 40)


def test_the_default_is_matlabs(image):
    assert torch.equal(read_degradation("bicubic")(image, 4), downscale_uint8(image, 4))


@pytest.mark.parametrize("name", degradation_names())
def test_all_give_8_bit_lr_always_the_same(name, image):
    degradation = read_degradation(name)
    lr = degradation(image, 4)
    assert (lr.dtype, tuple(lr.shape)) == (torch.uint8, (3, 8, 10))
    torch.manual_seed(5)
    assert torch.equal(degradation(image, 4), lr), "no global generator is used"
    assert (lr.double() - downscale_uint8(image, 4)).abs().mean() < 60


def test_the_seed_and_the_image_determine_the_random_numbers(image, tmp_path):
    text = 'name = "mine"\nversion = 1\nseed = 1\n[[steps]]\nkind = "downscale"\nby = "matlab"\n'
    text += '[[steps]]\nkind = "noise"\nsigma = 20\n'
    (tmp_path / "mine.toml").write_text(text)
    first, second = (read_degradation(f"{tmp_path}/mine.toml{seed}") for seed in ("", "+seed=2"))
    assert not torch.equal(first(image, 4), second(image, 4))
    assert torch.equal(second(image, 4), second(image, 4))
    assert first.words == "mine@1: downscale by matlab, noise sigma 20; random seed 1"
    assert second.key == "mine+seed=2@1: downscale by matlab | noise sigma 20 grey False (seed 2)"
    flat = torch.full_like(image, 100)
    brighter = flat + 1
    assert not torch.equal(first(flat, 4) + 1, first(brighter, 4)), "each image has its own noise"


def test_pillow_and_opencv_are_called_as_they_are(image):
    array = image.permute(1, 2, 0).numpy()
    by_pillow = np.array(Image.fromarray(array).resize((10, 8), Image.Resampling.BICUBIC))
    assert np.array_equal(read_degradation("bicubic-pillow")(image, 4).permute(1, 2, 0).numpy(), by_pillow)
    by_opencv = cv2.resize(array, (10, 8), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(read_degradation("bicubic-opencv")(image, 4).permute(1, 2, 0).numpy(), by_opencv)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (MINE.replace('"mine"', '"bicubic"'), "bicubic is a packaged degradation"),
        (MINE.replace('"mine"', '"mine+seed=1"'), "needs a name without"),
        (MINE.replace("area", "aera"), "steps.0.: downscale: by 'aera'; choose from matlab, pillow"),
        (MINE.replace('"downscale"', '"downskale"'), "unknown kind of step 'downskale'; did you mean downscale"),
        (MINE + '[[steps]]\nkind = "noise"\nsigma = [5, 1]\n', "not a range of numbers from 0 up"),
        (MINE + '[[steps]]\nkind = "noise"\nsigma = 5\nquality = 5\n', "steps.1.: noise: unknown key 'quality'"),
        (MINE + '[[steps]]\nkind = "noise"\n', "steps.1.: noise: sigma: missing"),
        (MINE + "[[steps]]\nsigma = 5\n", "steps.1.: kind is missing; a step has one of blur, noise, jpeg"),
        (MINE + MINE[MINE.index("[[") :], "needs exactly one step of kind downscale"),
        ('name = "mine"\nversion = 1\nsteps = []\n', "needs exactly one step"),
        ("version = 1\n", "missing"),
    ],
)
def test_faults_are_named(tmp_path, text, fault):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises((DataError, ConfigError), match=fault.replace("[", r"\[")):
        read_degradation(str(tmp_path / "mine.toml"))
    with pytest.raises(ConfigError, match="unknown degradation 'bicubik'; did you mean bicubic"):
        read_degradation("bicubik")
    for seed in ("", "-1", "one"):
        with pytest.raises(DataError, match=r"the seed is no whole number from 0; write bicubic\+seed=1"):
            read_degradation(f"bicubic+seed={seed}")


def test_a_data_set_degraded(photos):
    whole = Folder(photos, 4)
    noisy = degraded(whole, 4, read_degradation("blur-noise-jpeg"))
    assert (noisy.name, list(noisy), len(noisy)) == ("photos", list(whole), 4)
    assert torch.equal(noisy.read("b").hr, whole.read("b").hr)
    assert torch.equal(noisy.read("b").lr, noisy.read("b").lr)
    assert not torch.equal(noisy.read("b").lr, whole.read("b").lr)
    assert noisy.lr_origin.startswith("made from HR by blur-noise-jpeg@2: blur sigma 0.2 to 2, downscale by matlab")
    digests = {
        whole.digest("b"),
        noisy.digest("b"),
        degraded(whole, 4, read_degradation("blur-noise-jpeg+seed=1")).digest("b"),
    }
    assert len(digests) == 3


def test_by_name_cropped_and_by_default(photos):
    spec = {"models": (), "scale": 4, "data": str(photos)}
    cropped = open_dataset(RunSpec(**spec, degrade="bicubic-torch", crop=16))
    hr = open_dataset(RunSpec(**spec, crop=16)).read("b").hr
    expected = read_degradation("bicubic-torch")(hr.mul(255).round().to(torch.uint8), 4)
    assert torch.equal(cropped.read("b").lr, expected.float() / 255), "LR is made from the crop"
    plain, named = open_dataset(RunSpec(**spec)), open_dataset(RunSpec(**spec, degrade="bicubic"))
    assert (named.lr_origin, named.digest("a")) == (MATLAB_BICUBIC, plain.digest("a"))
    with pytest.raises(BenchmarkError, match="has LR images; give only its HR folder"):
        open_dataset(RunSpec((), 1, None, str(photos), str(photos), degrade="stablesr"))


def test_two_never_mix_in_one_folder(command, photos, models, tmp_path):
    run = (
        f"run --models {models}:Nearest --scale 4 --data {photos} --metrics psnr --limit 1 --workers 1 --out run"
    ).split()
    done = command(*run, "--degrade", "blur-noise-jpeg")
    assert done.code == 0, done.err
    manifest = read_manifest(tmp_path / "run")
    assert manifest.protocol.lr.endswith(", noise sigma 1 to 10, jpeg quality 50 to 95; random seed 0")
    assert "--degrade blur-noise-jpeg" in manifest.invocations[0].command
    for other in (("--degrade", "stablesr"), ("--degrade", "blur-noise-jpeg+seed=1"), ()):
        refused = command(*run, *other)
        assert refused.code == 1
        assert "holds results of lr made from HR by blur-noise-jpeg@2" in refused.err
    assert "nothing to do" in command(*run, "--degrade", "blur-noise-jpeg").err
