"""What holds for every metric: facts, signatures, directions, quantisation, batches, refusals; golden values."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from srbench.interfaces import ImageMetric, ImagePair, MappedMetric
from srbench.metrics import MetricError, lpips_network, naturalness
from srbench.metrics.consistency import LRPSNR
from srbench.metrics.diversity import Sigma
from srbench.metrics.loading import described, is_of_many, open_metric
from srbench.metrics.naturalness import BRISQUE, NIQE, PIQUE
from srbench.metrics.parameters import packaged, parameter_file
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, SSIM
from srbench.plugins.registry import registered

ROOT = Path(__file__).parents[3]
EIGHT = (PSNR, SSIM, LPIPS, LRPSNR, NIQE, BRISQUE, PIQUE, Sigma)
COLUMNS = ["psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"]
JUDGING_SAMPLES = ["crps", "lpips_energy", "nll", "psnr_mean", "spread_skill", "outside", "lpips_pairs"]
ALL = sorted(registered("metrics"))
OF_IMAGES = [name for name in ALL if isinstance(described(name).metric, ImageMetric)]
PER_SAMPLE = [name for name in OF_IMAGES if described(name).info.per == "sample"]
OF_ALL_SAMPLES = [name for name in OF_IMAGES if name not in PER_SAMPLE]
UNITS = {
    "colour_shift": "CIEDE2000",
    **dict.fromkeys(["psnr", "psnr_mean", "lr_psnr", "lr_psnr_worst"], "dB"),
    **dict.fromkeys(["sigma", "crps"], "grey levels"),
    **dict.fromkeys(["diversity", "outside"], "%"),
    **{"nll": "bits/dimension", "tof": "pixels", "parameters": "millions", "multiply_adds": "10^9"},
    **{"memory": "10^6 bytes", "runtime": "ms"},
}
READ_PARAMETERS = {name for name in OF_IMAGES if "lpips" in name} | {"diversity", "niqe", "brisque"}
NEED_LR = {"lr_psnr", "lr_psnr_worst", "colour_shift", "nll"}
NO_REFERENCE = {"niqe": "niqe_snap", "brisque": "brisque_snap", "pique": "piqe"}


def opened(name: str) -> ImageMetric:
    return described(name).metric


def expected(values: dict[str, float], name: str, which: str) -> float:
    """The golden file calls a NIQE of a mirrored image so; it is ours where there are too few blocks."""
    key = f"{NO_REFERENCE[name]}_{which}"
    return values[f"{key}_mirror"] if f"{key}_mirror" in values else values[key]


@pytest.mark.parametrize(
    ("metric", "key"), [(PSNR, "psnr"), (SSIM, "ssim"), (LPIPS, "lpips_alex"), (LRPSNR, "lr_psnr")]
)
def test_golden_full_reference(golden, metric, key):
    pair, result, values = golden
    assert metric()(result, pair).item() == pytest.approx(values[key], abs=1e-5)


@pytest.mark.parametrize("metric", [NIQE, BRISQUE, PIQUE])
def test_golden_no_reference(golden, metric):
    pair, result, values = golden
    measured = metric()(torch.cat([result, pair.hr[None]]), pair)
    wanted = [expected(values, metric.info.name, which) for which in ("sr", "hr")]
    assert measured.tolist() == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_facts(name):
    loaded = described(name)
    facts = loaded.info
    assert facts.name == name
    assert not set("\n{}") & set(facts.protocol)
    assert facts.unit == UNITS.get(name, "")
    assert (loaded.sees == "returned") == (name == "sigma")
    assert ("LR" in loaded.needs) == (name in NEED_LR)
    assert (facts.map is not None) == isinstance(loaded.metric, MappedMetric)
    assert (facts.group == "Cost") == (facts.per == "model")


@pytest.mark.parametrize("name", ALL)
def test_signatures(name):
    """Channels, what is seen of the output, what distinguishes, version."""
    loaded = described(name)
    first, signature = loaded.info.signature.split("|", 1)
    assert first == name.upper().replace("_", "-")
    shape = r"([A-Za-z0-9]+\|)*" if loaded.sees == "model" else r"(RGB|grey|Lab)\|(floor|float)\|([A-Za-z0-9.-]+\|)+"
    assert re.fullmatch(rf"{shape}v[1-9]", signature)
    assert (loaded.sees == "returned") == ("|float|" in signature)


@pytest.mark.parametrize(
    ("names", "page", "quantize", "samples"),
    [(COLUMNS, "protocols.md", "floor", None), (JUDGING_SAMPLES, "distribution.md", "round", 10)],
)
def test_the_documentation_states_the_signatures_of_its_columns(names, page, quantize, samples):
    documented = (ROOT / "docs" / page).read_text()
    for name in names:
        facts = open_metric(name, quantize, samples).info
        signature = facts.signature.split("|", 1)[1].replace("|", r"\|")
        assert f"| {facts.title} | `{signature}`" in documented


def test_signatures_state_the_number_of_samples_where_it_matters():
    counted = {
        name
        for name in registered("metrics")
        if not is_of_many(name) and open_metric(name, "round", 7).info.signature.endswith("|v1|n7")
    }
    assert counted == {"sigma", "diversity", "lr_psnr_worst", "psnr_mean", "outside"}
    assert open_metric("sigma", "round").info.signature == "SIGMA|RGB|float|ddof1|v1"


@pytest.mark.parametrize("name", OF_IMAGES)
def test_parameter_files_belong_to_the_digest(name, coffee, samples, monkeypatch):
    files = []
    monkeypatch.setattr(naturalness, "packaged", lambda name: files.append(parameter_file(name)) or packaged(name))
    read = lpips_network.read_tensors
    monkeypatch.setattr(lpips_network, "read_tensors", lambda path: files.append(path) or read(path))
    lpips_network.load_network.cache_clear()
    opened(name)(samples[:2], coffee)
    counted = {parameter_file("niqe_live_fp64").parent, *map(Path, find_spec("lpips").submodule_search_locations)}
    assert all(counted & set(path.parents) for path in files), "in our folder of parameters or a versioned package"
    assert bool(files) == (name in READ_PARAMETERS)


def test_names_are_the_columns_and_the_entry_points():
    assert [metric().info.name for metric in EIGHT] == COLUMNS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["srbench.metrics"]
    assert [name for name in entries if name in COLUMNS] == COLUMNS
    for name, target in entries.items():
        module, attribute = target.split(":")
        assert getattr(import_module(module), attribute)().info.name == name


@pytest.mark.parametrize("name", [name for name in OF_IMAGES if opened(name).info.direction and name != "diversity"])
def test_direction(coffee, name):
    """The true image is better than a bilinear one, by the direction the metric states."""
    metric = opened(name)
    from_lr = torch.nn.functional.interpolate(coffee.lr[None], scale_factor=4, mode="bilinear")
    true, blurred = (metric(image.repeat(2, 1, 1, 1), coffee).flatten()[0] for image in (coffee.hr[None], from_lr))
    assert (true > blurred) == (metric.info.direction > 0)
    assert true != blurred


@pytest.mark.parametrize("name", PER_SAMPLE)
def test_each_sample_is_measured_by_itself(coffee, samples, name):
    metric = opened(name)
    together = metric(samples, coffee)
    alone = torch.cat([metric(sample[None], coffee) for sample in samples])
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert together.device.type == "cpu"
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert len(set(together.tolist())) == 3
    reordered = metric(samples.flip(0), coffee)
    torch.testing.assert_close(reordered, together.flip(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", OF_ALL_SAMPLES)
def test_samples_in_another_order_have_the_same_value(coffee, samples, name):
    metric = opened(name)
    value = metric(samples, coffee)
    assert value.shape == ()
    assert value.dtype == torch.float64
    torch.testing.assert_close(metric(samples[[1, 2, 0]], coffee), value, atol=1e-6, rtol=0)
    assert metric(samples[:2], coffee) != value


@pytest.mark.parametrize("name", [name for name in OF_IMAGES if opened(name).sees != "returned"])
def test_what_is_measured_is_the_floored_image(coffee, samples, name):
    metric = opened(name)
    written = (samples[:2].clamp(0, 1) * 255).floor() / 255
    within_the_level = written + 0.9 / 255
    measured = metric(written, coffee)
    assert torch.equal(metric(within_the_level, coffee), measured)
    assert not torch.equal(metric(within_the_level + torch.tensor([0.2, 0.3]).view(2, 1, 1, 1) / 255, coffee), measured)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_what_is_no_output_is_refused(coffee, samples, name):
    metric = opened(name)
    for value in (float("nan"), float("-inf")):
        broken = samples.clone()
        broken[1, 2, 5, 7] = value
        with pytest.raises(MetricError, match=r"coffee: .* NaN or infinite"):
            metric(broken, coffee)
    for shape in ((3, 192, 288), (1, 3, 192, 284), (1, 1, 192, 288), (0, 3, 192, 288)):
        with pytest.raises(MetricError, match=r"coffee: the model returned .* \(n, 3, 192, 288\)"):
            metric(torch.zeros(shape), coffee)


@pytest.mark.parametrize(("metric", "minimum"), [(SSIM, 7), (LPIPS, 64), (NIQE, 96), (BRISQUE, 64), (PIQUE, 16)])
def test_smallest_image(metric, minimum):
    """The stated minimum is measured; one pixel less, in either direction, is refused by name."""
    generator = torch.Generator().manual_seed(1)
    for height, width in ((minimum, minimum), (minimum - 1, minimum + 9), (minimum + 9, minimum - 1)):
        image = torch.randint(0, 256, (3, height, width), generator=generator) / 255
        pair = ImagePair("tiny", image, image)
        if min(height, width) == minimum:
            assert metric()(image[None], pair).isfinite().all()
            continue
        with pytest.raises(MetricError, match=rf"tiny: {width}x{height} .* at least {minimum}") as refused:
            metric()(image[None], pair)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_inputs_are_left_alone(name, dtype, coffee, samples):
    metric = open_metric(name).metric
    images = samples.mul(255).clamp(0, 255).to(dtype) if dtype == torch.uint8 else samples.clone()
    pair = ImagePair("coffee", coffee.lr.clone(), coffee.hr.clone())
    before = images.clone()
    metric(images, pair)
    if isinstance(metric, MappedMetric):
        metric.map(images, pair)
    assert torch.equal(images, before)
    assert torch.equal(pair.lr, coffee.lr)
    assert torch.equal(pair.hr, coffee.hr)
