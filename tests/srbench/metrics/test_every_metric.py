"""What holds for all eight: golden values, facts, directions, quantisation, batches, refusals."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from srbench.interfaces import ImagePair, MappedMetric
from srbench.metrics import MetricError, lpips_network, naturalness
from srbench.metrics.consistency import LRPSNR
from srbench.metrics.diversity import Sigma
from srbench.metrics.loading import is_of_many, open_metric
from srbench.metrics.naturalness import BRISQUE, NIQE, PIQUE
from srbench.metrics.parameters import packaged, parameter_file
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, SSIM
from srbench.plugins.registry import registered

ROOT = Path(__file__).parents[3]
PER_SAMPLE = (PSNR, SSIM, LPIPS, LRPSNR, NIQE, BRISQUE, PIQUE)
ALL = (*PER_SAMPLE, Sigma)
COLUMNS = ["psnr", "ssim", "lpips", "lr_psnr", "niqe", "brisque", "pique", "sigma"]
NO_REFERENCE = {"niqe": "niqe_snap", "brisque": "brisque_snap", "pique": "piqe"}


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


@pytest.mark.parametrize("metric", ALL)
def test_facts(metric):
    facts = metric().info
    assert "\n" not in facts.protocol
    assert facts.unit == {"psnr": "dB", "lr_psnr": "dB", "sigma": "grey levels"}.get(facts.name, "")
    assert metric().sees == ("returned" if facts.name == "sigma" else "uint8")
    assert ("LR" in metric().needs) == (facts.name == "lr_psnr")
    assert (facts.map is not None) == isinstance(metric(), MappedMetric)


@pytest.mark.parametrize("metric", ALL)
def test_signatures(metric):
    """Channels, what is seen of the output, what distinguishes, version; and the table of the documentation."""
    facts = open_metric(metric().info.name).info
    name, signature = facts.signature.split("|", 1)
    assert name == facts.name.upper().replace("_", "-")
    assert re.fullmatch(r"(RGB|grey)\|(floor|float)(\|[A-Za-z0-9.-]+)+\|v[1-9]", signature)
    assert (metric().sees == "returned") == ("|float|" in signature)
    documented = (ROOT / "docs" / "protocols.md").read_text()
    assert f"| {facts.title} | `{signature.replace('|', chr(92) + '|')}` |" in documented


def test_signatures_state_the_number_of_samples_where_it_matters():
    counted = {
        name
        for name in registered("metrics")
        if not is_of_many(name) and open_metric(name, "round", 7).info.signature.endswith("|v1|n7")
    }
    assert counted == {"sigma", "diversity", "lr_psnr_worst", "psnr_mean", "outside"}
    assert open_metric("sigma", "round").info.signature == "SIGMA|RGB|float|ddof1|v1"


@pytest.mark.parametrize("metric", ALL)
def test_parameter_files_belong_to_the_digest(metric, coffee, samples, monkeypatch):
    opened = []
    monkeypatch.setattr(naturalness, "packaged", lambda name: opened.append(parameter_file(name)) or packaged(name))
    read = lpips_network.read_tensors
    monkeypatch.setattr(lpips_network, "read_tensors", lambda path: opened.append(path) or read(path))
    lpips_network.load_network.cache_clear()
    metric()(samples[:1], coffee)
    counted = {parameter_file("niqe_live_fp64").parent, *map(Path, find_spec("lpips").submodule_search_locations)}
    assert all(counted & set(path.parents) for path in opened), "in our folder of parameters or a versioned package"


def test_names_are_the_columns_and_the_entry_points():
    assert [metric().info.name for metric in ALL] == COLUMNS
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries = project["entry-points"]["srbench.metrics"]
    assert [name for name in entries if name in COLUMNS] == COLUMNS
    for name, target in entries.items():
        module, attribute = target.split(":")
        assert getattr(import_module(module), attribute)().info.name == name


@pytest.mark.parametrize("metric", PER_SAMPLE)
def test_direction(coffee, metric):
    """The true image is better than a bicubic one, by the direction the metric states."""
    from_lr = torch.nn.functional.interpolate(coffee.lr[None], scale_factor=4, mode="bilinear")
    true, blurred = metric()(torch.cat([coffee.hr[None], from_lr]), coffee).tolist()
    assert (true > blurred) == (metric().info.direction > 0)
    assert true != blurred


@pytest.mark.parametrize("metric", PER_SAMPLE)
def test_each_sample_is_measured_by_itself(coffee, samples, metric):
    together = metric()(samples, coffee)
    alone = torch.cat([metric()(sample[None], coffee) for sample in samples])
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert together.device.type == "cpu"
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    assert len(set(together.tolist())) == 3
    reordered = metric()(samples.flip(0), coffee)
    torch.testing.assert_close(reordered, together.flip(0), atol=1e-6, rtol=0)


@pytest.mark.parametrize("metric", PER_SAMPLE)
def test_what_is_measured_is_the_floored_image(coffee, samples, metric):
    written = (samples.clamp(0, 1) * 255).floor() / 255
    within_the_level = written + 0.9 / 255
    measured = metric()(torch.cat([samples[1:2], within_the_level[1:2]]), coffee)
    assert measured[0] == measured[1]
    assert metric()(within_the_level[1:2] + 0.2 / 255, coffee) != measured[0]


@pytest.mark.parametrize("metric", ALL)
def test_what_is_no_output_is_refused(coffee, samples, metric):
    for value in (float("nan"), float("-inf")):
        broken = samples.clone()
        broken[1, 2, 5, 7] = value
        with pytest.raises(MetricError, match=r"coffee: .* NaN or infinite"):
            metric()(broken, coffee)
    for shape in ((3, 192, 288), (1, 3, 192, 284), (1, 1, 192, 288), (0, 3, 192, 288)):
        with pytest.raises(MetricError, match=r"coffee: the model returned .* \(n, 3, 192, 288\)"):
            metric()(torch.zeros(shape), coffee)


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


@pytest.mark.parametrize("name", [name for name in registered("metrics") if not is_of_many(name) and name != "nll"])
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
