"""The challenge's numbers, from its formulas on maps of the lpips package."""

import lpips
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from srbench.api import Results
from srbench.benchmark.bench_file import requested_runs
from srbench.benchmark.run import run
from srbench.images.io import quantize_round
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.ntire import Diversity, SpatialLPIPS, WorstLRPSNR


@pytest.fixture(scope="module")
def odd(coffee, samples):
    """A pair whose width is a multiple of 4 and not of 8, and three 8-bit outputs."""
    pair = ImagePair("odd", coffee.lr[:, :, :71], coffee.hr[:, :, :284])
    return pair, quantize_round(samples[..., :284]).float() / 255


@pytest.fixture
def package(lpips_package, monkeypatch):
    """Spatial LPIPS by the package."""
    monkeypatch.setattr(lpips_package, "spatial", True)
    return lpips_package


@pytest.fixture
def maps(odd, package):
    """(3, 192, 280): spatial LPIPS by the package, of what is cropped to multiples of 8."""
    pair, outputs = odd
    with torch.no_grad():
        return package(2 * outputs[..., :280] - 1, (2 * pair.hr[..., :280] - 1).expand(3, -1, -1, -1))[:, 0]


def test_diversity(odd, maps):
    pair, outputs = odd
    least = min(one.mean().item() for one in maps)
    wanted = (least - torch.stack(list(maps), dim=2).min(dim=2).values.mean().item()) / least * 100
    assert Diversity()(outputs, pair).item() == pytest.approx(wanted, abs=1e-3)
    assert wanted > 0.1, "these samples are each better somewhere"


def test_kept_images_give_the_challenges_number(package, models, tmp_path):
    """All ten samples are kept, and other programs find the table's number in the files."""
    facts = {"suite": "ntire21", "limit": 1, "crop": 96, "temperature": (0.8,), "out": str(tmp_path / "run")}
    [spec] = requested_runs(None, {"models": (f"{models}:Noisy",), "scale": 4} | facts)
    assert spec.samples == 10, "unless another number is asked for"
    folder = run(spec).folder
    [files] = [sorted(one.glob("*.png")) for one in (folder / "images").glob("Noisy*")]
    [hr] = (folder / "images" / "hr").glob("*.png")
    assert len(files) == 10
    load = [lpips.im2tensor(lpips.load_image(str(file))) for file in (*files, hr)]
    with torch.no_grad():
        found = torch.cat([package(one, load[-1])[0] for one in load[:-1]])
    least, best = found.mean((1, 2)).min(), found.min(dim=0).values.mean()
    scores = Results(folder).rows.set_index("metric")["value"]
    assert scores["diversity"] == pytest.approx(((least - best) / least * 100).item(), abs=1e-4)
    assert scores["lpips_spatial"].mean() == pytest.approx(found.mean().item(), abs=1e-4)


def test_spatial_lpips(odd, maps):
    pair, outputs = odd
    wanted = [one.mean().item() for one in maps]
    assert SpatialLPIPS()(outputs, pair).tolist() == pytest.approx(wanted, abs=1e-5)


def test_one_sample_and_equal_samples_have_no_diversity(odd):
    pair, outputs = odd
    assert Diversity()(outputs[:1], pair).item() == pytest.approx(0, abs=1e-4)
    assert Diversity()(outputs[:1].expand(4, -1, -1, -1), pair).item() == pytest.approx(0, abs=1e-4)
    with pytest.raises(MetricError, match="equals HR"):
        Diversity()(pair.hr[None], pair)


def test_worst_lr_psnr(odd):
    pair, outputs = odd
    levels = [(image * 255).round().to(torch.uint8)[..., :280] for image in (*outputs, pair.hr)]
    low = [downscale_uint8(image, 4, halves="even") for image in levels]
    wanted = [peak_signal_noise_ratio(low[3].numpy(), one.numpy(), data_range=255) for one in low[:3]]
    assert WorstLRPSNR()(outputs, pair).item() == pytest.approx(min(wanted), abs=1e-9)
    third = ImagePair("third", pair.hr[:, ::3, ::3], pair.hr[:, :, :282])
    with pytest.raises(MetricError, match="scale 3 does not divide 8"):
        WorstLRPSNR()(outputs[..., :282], third)


def test_an_image_smaller_than_the_grid_is_named():
    pair = ImagePair("tiny", torch.zeros(3, 3, 3), torch.zeros(3, 6, 6))
    with pytest.raises(MetricError, match="tiny: 6x6 pixels are too few for LR-PSNR worst"):
        WorstLRPSNR()(torch.zeros(1, 3, 6, 6), pair)
