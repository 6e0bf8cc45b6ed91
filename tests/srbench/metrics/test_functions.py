"""The functions give the numbers of the classes for every kind of input, and refuse the rest in one line."""

from __future__ import annotations

import doctest
from inspect import signature

import numpy as np
import pytest
import torch

from srbench import metrics
from srbench.images.io import quantize_floor
from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics import MetricError, consistency, diversity, functions, naturalness, perceptual, pixel
from srbench.metrics.loading import load_metric

CLASSES = {
    "psnr": pixel.PSNR,
    "ssim": pixel.SSIM,
    "lpips": perceptual.LPIPS,
    "lr_psnr": consistency.LRPSNR,
    "niqe": naturalness.NIQE,
    "brisque": naturalness.BRISQUE,
    "pique": naturalness.PIQUE,
    "sigma": diversity.Sigma,
}
PER_SAMPLE = [name for name in CLASSES if name != "sigma"]
REFERENCE = {"psnr": "hr", "ssim": "hr", "lpips": "hr", "lr_psnr": "lr"}


def references(name, pair, convert=lambda image: image):
    """The arguments after the first: HR, LR or none."""
    return [convert(getattr(pair, REFERENCE[name]))] if name in REFERENCE else []


@pytest.fixture(scope="module")
def in_table(coffee, samples):
    """What the classes give: the values of the rows of a run."""
    return {name: made()(samples, coffee) for name, made in CLASSES.items()}


@pytest.fixture(scope="module")
def levels(samples):
    """(3, 3, 192, 288) uint8: the samples as they are written to disk."""
    return quantize_floor(samples)


def call(name, sr, pair, convert=lambda image: image):
    return getattr(metrics, name)(convert(sr), *references(name, pair, convert))


def test_all_is_sorted_and_complete():
    of_samples = {"crps", "lpips_energy"}  # tests/srbench/metrics/test_distribution.py
    assert metrics.__all__ == sorted({*CLASSES} | of_samples)


@pytest.mark.parametrize("name", PER_SAMPLE)
@pytest.mark.parametrize("convert", [lambda image: image, lambda image: image.numpy()], ids=["tensor", "array"])
def test_a_batch_and_one_image_have_the_values_of_the_table(coffee, samples, in_table, name, convert):
    values = call(name, samples, coffee, convert)
    assert type(values) is type(convert(samples))
    assert str(values.dtype).removeprefix("torch.") == "float64"
    assert values.tolist() == in_table[name].tolist()
    values += 1  # an ordinary tensor, also of a metric that runs in inference mode
    reference = references(name, coffee, lambda image: image.numpy())
    assert type(getattr(metrics, name)(convert(samples), *reference)) is type(convert(samples)), "as the first argument"
    value = call(name, samples[1], coffee, convert)
    assert type(value) is float
    assert value == in_table[name][1].item()


KINDS = {
    "uint8": lambda levels: levels,
    "uint8 array": lambda levels: levels.numpy(),
    "read-only array": lambda levels: np.frombuffer(levels.numpy().tobytes(), np.uint8).reshape(levels.shape),
    "channels last in memory": lambda levels: np.moveaxis(np.moveaxis(levels.numpy(), -3, -1).copy(), -1, -3),
    "reversed twice": lambda levels: np.ascontiguousarray(levels.numpy()[..., ::-1])[..., ::-1],
    "float32": lambda levels: levels / 255,
    "float32 with a gradient": lambda levels: (levels / 255).requires_grad_(),
    "float64": lambda levels: levels.double() / 255,
    "float64 array": lambda levels: levels.numpy() / 255,
    "float64 by a factor": lambda levels: levels.numpy() * (1 / 255),
}
HALVES = {
    "float16": lambda levels: (levels.double() / 255).half(),
    "float16 array": lambda levels: (levels.numpy() / 255).astype(np.float16),
    "bfloat16": lambda levels: (levels.double() / 255).bfloat16(),
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("ssim", kind) for kind in KINDS),
        *((name, "channels last in memory") for name in PER_SAMPLE if name != "ssim"),
    ],
)
def test_every_kind_of_number_gives_the_same_value(coffee, levels, in_table, name, kind):
    pair = ImagePair("levels", quantize_floor(coffee.lr), quantize_floor(coffee.hr))
    assert call(name, levels[2], pair, KINDS[kind]) == in_table[name][2].item()
    assert metrics.sigma(KINDS[kind](levels)) == diversity.Sigma()(levels / 255, coffee).item()


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("name", ["psnr", "ssim", "lr_psnr"])
def test_half_precision_gives_the_value_of_a_run(coffee, levels, name, kind):
    """A run converts outputs to float32 before they are quantised."""
    pair = ImagePair("levels", quantize_floor(coffee.lr), quantize_floor(coffee.hr))
    image = HALVES[kind](levels[2])
    in_a_run = torch.as_tensor(image).to(torch.float32)
    measured = getattr(metrics, name)(image, *references(name, pair))
    assert measured == CLASSES[name]()(quantize_floor(in_a_run)[None], pair).item()


OPTIONS = [
    ("psnr", {"channels": "Y", "border": 4}),
    ("psnr", {"channels": "Y", "round": "no", "colour": "yiq"}),
    ("ssim", {"channels": "Y", "border": 4, "window": "gaussian11", "negative": "zero"}),
]


@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_options_are_those_of_the_command_line(coffee, samples, name, options):
    typed = "+".join([name, *(f"{option}={value}" for option, value in options.items())])
    values = getattr(metrics, name)(samples, coffee.hr, **options)
    assert values.tolist() == load_metric(typed)(samples, coffee).tolist()
    assert values.tolist() != call(name, samples, coffee).tolist()


@pytest.mark.parametrize("name", CLASSES)
def test_every_option_of_a_class_is_one_of_its_function(name):
    def options(function):
        return {
            key: option.default
            for key, option in signature(function).parameters.items()
            if option.default != option.empty
        }

    assert options(getattr(metrics, name)) == options(CLASSES[name])


def test_options_that_two_images_cannot_have():
    with pytest.raises(MetricError, match="border as a number of pixels"):
        metrics.psnr(FLOAT, FLOAT, border="scale")
    with pytest.raises(MetricError, match="channels is 'L'; give RGB or Y"):
        metrics.psnr(FLOAT, FLOAT, channels="L")
    with pytest.raises(MetricError, match=r"border is 4\.5; give a whole number of at least 0"):
        metrics.psnr(FLOAT, FLOAT, border=4.5)


def test_sigma_sees_the_samples_as_they_were_returned(samples, in_table):
    assert metrics.sigma(samples) == metrics.sigma(samples.numpy()) == in_table["sigma"].item()
    assert metrics.sigma(quantize_floor(samples)) != in_table["sigma"].item()


def test_sigma_of_one_sample_is_zero(samples):
    assert metrics.sigma(samples[0]) == metrics.sigma(samples[:1].numpy()) == 0


@pytest.mark.parametrize("name", REFERENCE)
def test_a_batch_with_a_reference_each(coffee, samples, name):
    hr = [coffee.hr, coffee.hr.flip(-1), coffee.hr.flip(-2)]
    pairs = [ImagePair("p", torch.nn.functional.avg_pool2d(image, 4), image) for image in hr]
    batch = torch.stack([references(name, pair)[0] for pair in pairs])
    alone = [CLASSES[name]()(sample[None], pair).item() for sample, pair in zip(samples, pairs, strict=True)]
    assert getattr(metrics, name)(samples, batch).tolist() == alone
    assert len(set(alone)) == 3


@pytest.mark.parametrize("name", CLASSES)
def test_arguments_stay_as_they_were(coffee, samples, name):
    before = samples.clone(), coffee.hr.clone(), coffee.lr.clone()
    call(name, samples, coffee)
    call(name, samples, coffee, lambda image: image.numpy())
    assert all(torch.equal(*both) for both in zip(before, (samples, coffee.hr, coffee.lr), strict=True))


FLOAT, ARRAY = torch.full((3, 96, 96), 0.5), np.full((3, 96, 96), 0.5)
REFUSED = {
    "a list": ([[0.5]], r"is of type list; only torch\.Tensor and numpy\.ndarray"),
    "int64": (torch.ones(3, 96, 96, dtype=torch.int64), r"has dtype int64; allowed are uint8 in 0\.\.255 and float16"),
    "bool": (ARRAY > 0, r"has dtype bool; allowed are uint8"),
    "uint16": (ARRAY.astype(np.uint16), r"has dtype uint16; allowed are uint8"),
    "other endian": (ARRAY.astype(">f8"), r"has dtype >f8; allowed are uint8"),
    "array (H, W, 3)": (np.zeros((96, 80, 3)), r"shape \(96, 80, 3\); .*, use {name}\.transpose\(2, 0, 1\)"),
    "tensor (H, W, 3)": (torch.zeros(96, 80, 3), r"shape \(96, 80, 3\); .*, use {name}\.permute\(2, 0, 1\)"),
    "batch (n, H, W, 3)": (np.zeros((2, 96, 80, 3)), r"\(2, 96, 80, 3\); .*, use {name}\.transpose\(0, 3, 1, 2\)"),
    "grey (H, W)": (np.zeros((96, 80)), r"shape \(96, 80\); images are \(3, H, W\) or \(n, 3, H, W\), give"),
    "grey (1, H, W)": (torch.zeros(1, 96, 80), r"shape \(1, 96, 80\); images are"),
    "five dimensions": (torch.zeros(1, 2, 3, 96, 80), r"shape \(1, 2, 3, 96, 80\); images are"),
    "no image": (torch.zeros(0, 3, 96, 80), r"shape \(0, 3, 96, 80\); images are"),
    "NaN": (torch.where(torch.arange(96) < 48, torch.nan, FLOAT), r"{name}: 50\.00% of the values are NaN or infinite"),
    "inf": (ARRAY + np.inf, r"{name}: 100\.00% of the values are NaN or infinite"),
    "0..255 as float": (FLOAT * 255, r"has a mean of 127\.5; floating-point images lie in \[0, 1\], divide"),
}


@pytest.mark.parametrize(
    ("name", "case"), [*(("psnr", case) for case in REFUSED), *((name, "a list") for name in CLASSES if name != "psnr")]
)
def test_what_is_no_image_is_refused(coffee, name, case):
    images, message = REFUSED[case]
    function, argument = getattr(metrics, name), "samples" if name == "sigma" else "sr"
    with pytest.raises(SRBenchError, match=message.format(name=argument)) as refused:
        function(images, *references(name, coffee))
    assert str(refused.value).startswith(argument)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "case"), [*zip(REFERENCE, ("NaN", "0..255 as float", "grey (H, W)", "bool"), strict=True)]
)
def test_a_reference_that_is_no_image_is_refused(samples, name, case):
    images, message = REFUSED[case]
    with pytest.raises(SRBenchError, match=message.format(name=REFERENCE[name])) as refused:
        getattr(metrics, name)(samples, images)
    assert str(refused.value).startswith(REFERENCE[name])


@pytest.mark.parametrize("name", ["psnr", "ssim", "lpips"])
def test_sizes_must_be_equal(coffee, samples, name):
    with pytest.raises(SRBenchError, match="sr is 280x192 and hr is 288x192; both must have the same size"):
        getattr(metrics, name)(samples[..., :280], coffee.hr)


@pytest.mark.parametrize("name", REFERENCE)
def test_numbers_of_images_must_fit(coffee, samples, name):
    two = references(name, coffee)[0].expand(2, -1, -1, -1)
    which = REFERENCE[name]
    for sr, count in ((samples, 3), (samples[0], 1)):
        with pytest.raises(
            SRBenchError, match=rf"sr has {count} images and {which} has 2; give one {which} \(3, H, W\)"
        ):
            getattr(metrics, name)(sr, two)


@pytest.mark.parametrize(
    ("name", "message"), [("niqe", "needs two 96x96 blocks"), ("brisque", "is undefined for a flat output")]
)
def test_flat_images_are_refused(name, message):
    with pytest.raises(SRBenchError, match=rf"sr: {name.upper()} \(LIVE\) {message}"):
        getattr(metrics, name)(np.full((3, 192, 192), 128, dtype=np.uint8))


def test_examples_of_the_docstrings():
    found = doctest.testmod(functions)
    assert found.attempted > 30
    assert not found.failed
