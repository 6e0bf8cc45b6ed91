"""What comes with the packages: photographs, training list, weights, and the notices that they need."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import chain
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from debian_photographs import photographs
from drawn_images import MEASURED, drawn_pair, scattered
from flows import stripes
from packaged_training_images import files as training_images
from PIL import Image
from safetensors.torch import load_file
from scipy.fft import dctn

from baselines.presets import ESRGANPreset, RectifiedFlowPreset, RRDBPreset
from baselines.pretrained import load_rrdb
from baselines.rectified_flow import RectifiedFlow
from baselines.rrdb import RRDBNet
from srbench.data.datasets import cropped
from srbench.files.config import load_toml
from srbench.files.hashes import sha256_file
from srbench.images.io import luma, pixels_sha256, quantize_round
from srbench.interfaces import StochasticSRModel, WeightsInfo
from srbench.metrics.loading import load_metric
from srbench.models.loading import load_model
from srbench.plugins.registry import load_dataset
from srbench.weights.files import load_weights
from srbench.weights.reading import read_weights
from srflow import SRFlow
from srflow.presets import SecondStagePreset, SRFlowPreset
from srflow.training.grid_loss import edges_on_grid

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT / "srbench" / "data" / "photos"
PRESETS = {
    "rrdb": (ROOT / "baselines" / "presets" / "rrdb", RRDBPreset),
    "esrgan": (ROOT / "baselines" / "presets" / "esrgan", ESRGANPreset),
    "rectified-flow": (ROOT / "baselines" / "presets" / "rectified_flow", RectifiedFlowPreset),
    "srflow": (ROOT / "srflow" / "presets", SRFlowPreset),
    "srflow-perceptual": (ROOT / "srflow" / "presets" / "perceptual", SecondStagePreset),
}
STARTS = {"esrgan": "rrdb", "srflow-perceptual": "srflow"}
FLOWS = ("srflow", "srflow-perceptual")
SAMPLERS = ("rectified-flow", *FLOWS)
NETWORKS = {"rectified-flow": RectifiedFlow, "srflow": SRFlow, "srflow-perceptual": SRFlow}
WEIGHTS = sorted([*ROOT.glob("baselines/weights/*.safetensors"), *ROOT.glob("srflow/weights/*.safetensors")])
NOTICE = (ROOT / "NOTICE").read_text()
PARAMETERS = sorted((ROOT / "srbench" / "metrics" / "parameters").iterdir())


def attribution():
    """The table of ATTRIBUTION.md: one dictionary a photograph."""
    lines = [line for line in (PHOTOS / "ATTRIBUTION.md").read_text().splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [dict(zip(header, cells, strict=True)) for cells in body]


def test_every_photograph_is_attributed():
    assert {path.suffix for path in PHOTOS.iterdir() if path.is_file()} == {".png", ".md"}
    assert len(attribution()) == 22
    assert sorted(row["file"] for row in attribution()) == sorted(path.name for path in PHOTOS.glob("*.png"))
    assert list(load_dataset("photos", 8)) == sorted(row["file"].removesuffix(".png") for row in attribution())
    for row in attribution():
        assert all(row.values()), row["file"]
        assert re.match(r"CC0-1\.0|CC-BY(-SA)?-[24]\.0", row["licence"]), "free to pass on, also changed"


def test_photographs_decode():
    """RGB without an alpha channel, as large as the table says, whole at 2x, 4x and 8x."""
    for row in attribution():
        with Image.open(PHOTOS / row["file"]) as image:
            assert (image.format, image.mode, image.has_transparency_data) == ("PNG", "RGB", False)
            assert list(image.size) == [int(number) for number in row["box"].split(", ")[2:]]
            assert all(side % 8 == 0 and side >= 256 for side in image.size)


@pytest.mark.parametrize(("scale", "expected"), [(4, 27.24), (8, 24.40)])
def test_bicubic_on_the_photographs(scale, expected):
    """The number that a paper would print: PSNR of MATLAB's luma, mean over 22 photographs, no crop, in dB."""
    photos, bicubic = load_dataset("photos", scale), load_model("bicubic", scale, "cpu").model
    values = []
    for name in photos:
        pair = photos.read(name)
        result, truth = (luma(quantize_round(image)).double() for image in (bicubic(pair.lr[None])[0], pair.hr))
        values.append(10 * math.log10(255**2 / (result - truth).square().mean().item()))
    assert len(values) == 22
    assert fmean(values) == pytest.approx(expected, abs=0.01)


def test_the_training_list_is_complete():
    rows = photographs()
    assert len({row["file"] for row in rows}) == len({row["sha256"] for row in rows}) == len(rows) == 1745
    kinds = Counter((row["file"].partition("/")[0], bool(row["commit"])) for row in rows)
    assert kinds == {("train", False): 246, ("val", False): 12, ("train", True): 1463, ("val", True): 24}
    columns = ["file", "source", "commit", "path", "downscale", "licence", "author", "sha256", "perceptual_hash"]
    for row in rows:
        assert list(row) == columns
        assert all(row[name].strip() for name in ("file", "path", "licence", "author")), row["file"]
        if row["commit"]:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+ [0-9a-f]{40}", f"{row['source']} {row['commit']}"), row["file"]
        else:
            assert row["downscale"].isdecimal()
            assert row["path"].startswith("/usr/")
        assert re.fullmatch(r"[0-9a-f]{64} [0-9a-f]{16}", f"{row['sha256']} {row['perceptual_hash']}")


def test_packaged_weights_know_their_training_photographs():
    assert all(path.read_bytes() == content for path, content in training_images().items())
    for model in PRESETS:
        loaded = load_model(model, 8, "cpu")
        known = {kind: {loaded.was_trained_on(row["sha256"]) for row in rows} for kind, rows in by_use().items()}
        assert known == {"train": {True}, "val": {False}}


def by_use():
    """The list of photographs, by what they are for."""
    return {kind: [row for row in photographs() if row["file"].startswith(f"{kind}/")] for kind in ("train", "val")}


def perceptual_hash(image):
    """64 bits: which of the 8 x 8 lowest DCT coefficients of the 32 x 32 grey image lie above their median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BOX), np.float64)
    lowest = dctn(grey)[:8, :8].ravel()
    return sum(1 << (63 - i) for i in range(64) if lowest[i] > np.median(lowest))


def different_bits(one, other):
    return (one ^ other).bit_count()


SAME = 11
"""Images that differ in so few of 64 bits are taken to be versions of one. Of 380,000 pairs of a training photograph
and an image of Set5, Set14, BSD100 or Urban100, three differ in 12 bits, and show nothing in common."""


def test_no_benchmark_photograph_was_trained_on():
    """Neither by its path, nor by its pixels, nor by its looks, as it is packaged or as the whole it was cut from."""
    benchmark = {tuple(row["Debian package: path"].split(": ")) for row in attribution()}
    trained = {(row["source"], row["path"]) for row in photographs()}
    assert len(benchmark) == 22
    assert all(path.startswith("/usr/") for _, path in benchmark)
    assert not benchmark & trained
    names = {Path(path).name for _, path in benchmark}
    assert not names & {Path(path).name for _, path in trained}, "nor the same file of another package"
    images = [Image.open(path) for path in sorted(PHOTOS.glob("*.png"))]
    pixels = {pixels_sha256(torch.from_numpy(np.array(image)).permute(2, 0, 1)) for image in images}
    assert not pixels & {row["sha256"] for row in photographs()}
    wholes = json.loads((ROOT / "tests" / "golden" / "uncut-photographs.json").read_text())
    assert set(wholes) == {row["file"] for row in attribution() if row["box"] != "0, 0, 512, 512"}
    sets = json.loads((ROOT / "tests" / "golden" / "benchmark-sets.json").read_text())
    assert [len(sets[name]) for name in ("set5", "set14", "bsd100", "urban100")] == [5, 14, 100, 100]
    looks = [*map(perceptual_hash, images), *(int(look, 16) for look in (*wholes.values(), *chain(*sets.values())))]
    for row in photographs():
        assert min(different_bits(int(row["perceptual_hash"], 16), look) for look in looks) > SAME, row["file"]


def outputs(model, lr, n=2, temperature=0.8):
    """Samples of a flow, always from one seed; or the one output of another network."""
    with torch.no_grad():
        if isinstance(model, StochasticSRModel):
            return model.sample(lr, n, temperature=temperature, generator=torch.Generator().manual_seed(0))
        return model(lr[None])


def test_weights_are_packaged_for_both_scales():
    assert {f"{model}-mini-x{scale}" for model in PRESETS for scale in (4, 8)} == {path.stem for path in WEIGHTS}


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
class TestWeights:
    def test_loads_by_name(self, path):
        """With the network of its preset, finite and trained numbers, and facts."""
        metadata, tensors = load_weights(path)[1], load_file(path)
        assert f"{metadata['model']}-{metadata['preset']}" == path.stem
        assert metadata["preset"].endswith(f"-x{metadata['scale']}")
        assert metadata["licence"] == "Apache-2.0", "ours"
        assert re.search(r"(246|1,709) photographs of training-photographs\.csv\b.*\b\d+ steps", metadata["trained_on"])
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert path.stat().st_size < 12e6, "small enough to ship"
        assert all(tensor.abs().sum() > 0 for name, tensor in tensors.items() if name.endswith("weight")), "trained"
        loaded = load_model(metadata["model"], int(metadata["scale"]), "cpu")
        folder, kind = PRESETS[metadata["model"]]
        preset = load_toml(folder / f"{metadata['preset']}.toml", kind)
        if metadata["model"] in STARTS:  # it has the network of the preset that it starts from
            folder, kind = PRESETS[STARTS[metadata["model"]]]
            preset = load_toml(folder / f"{preset.start}.toml", kind)
        assert loaded.model.config == preset.network
        assert loaded.label == metadata["model"]
        assert isinstance(loaded.model, NETWORKS.get(metadata["model"], RRDBNet))
        assert not loaded.model.training
        assert isinstance(loaded.model, StochasticSRModel) == (metadata["model"] in SAMPLERS)
        parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
        curves = json.loads(metadata.get("losses", "{}"))
        losses = {name: values for name, values in curves.items() if not name.startswith("gradient")}
        origin = read_weights(path)[1].origin  # with the step, if it is not the last
        facts = (metadata["licence"], origin, parameters, losses)
        temperature = float(metadata["temperature"]) if metadata["model"] in SAMPLERS else None
        assert loaded.weights == WeightsInfo(sha256_file(path), *facts, temperature)
        for name, tensor in tensors.items():
            assert torch.equal(loaded.model.state_dict()[name], tensor.float()), "float32, whatever is stored"

    def test_takes_images_of_any_size(self, path):
        """Flat ones too, in which nothing varies that the flow could divide by."""
        metadata = load_weights(path)[1]
        scale = int(metadata["scale"])
        model = load_model(metadata["model"], scale, "cpu").model
        photograph = load_dataset("photos", scale).read("chameleon").lr[:, 20:29, 20:27]
        for lr in (torch.zeros(3, 5, 8), torch.ones(3, 8, 5), photograph):
            result = outputs(model, lr, 1)
            assert result.shape == (1, 3, scale * lr.shape[1], scale * lr.shape[2])
            assert result.isfinite().all()
            assert (result.mean() - lr.mean()).abs() < 0.1, "as bright as LR"


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("scale", [4, 8])
def test_srflow_stays_finite_where_it_has_never_been(name, scale):
    """No photograph is like these: what is bounded in the network keeps them from overflowing."""
    model = load_model(name, scale, "cpu").model
    noise = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    checkerboard = torch.arange(16).add(torch.arange(16)[:, None]).remainder(2).float().expand(3, 16, 16)
    line = torch.zeros(3, 16, 16)
    line[:, :, 8] = 1
    for lr in (noise, checkerboard, line):
        assert outputs(model, lr, 4).isfinite().all()


@pytest.mark.parametrize("scale", [4, 8])
def test_esrgan_and_encoders_are_near_rrdb(scale):
    """They started from earlier weights of it, and weights between those of ESRGAN and RRDB are a network as well.

    Unrelated networks lie 1.4 times their norm apart.
    """
    start = load_rrdb(scale).state_dict()
    esrgan = load_model("esrgan", scale, "cpu").model.state_dict()
    encoders = [load_model(name, scale, "cpu").model.encoder.state_dict() for name in FLOWS]
    assert esrgan.keys() == start.keys()
    assert all(encoder.keys() < start.keys() for encoder in encoders)
    for network, limit in ((esrgan, 0.5), *((encoder, 1) for encoder in encoders)):
        moved = torch.cat([(tensor - start[name]).flatten() for name, tensor in network.items()])
        whole = torch.cat([start[name].flatten() for name in network])
        assert 0 < moved.norm() < limit * whole.norm()


def measured(scale, side, models):
    """A function from a metric and a model to the mean of four numbers, of the central squares of four photographs."""
    photos = cropped(load_dataset("photos", scale), scale, side)
    pairs = [photos.read(name) for name in ("dog", "lake-sherburne", "o4", "roman-colosseum")]
    results = {}
    for name in models:
        model = load_model(name, scale, "cpu").model
        results[name] = [outputs(model, pair.lr) for pair in pairs]

    def mean(metric, model):
        measure = load_metric(metric)
        return fmean(measure(result, pair).mean().item() for result, pair in zip(results[model], pairs, strict=True))

    return mean


@pytest.mark.slow
@pytest.mark.parametrize("scale", [4, 8])
def test_the_second_stage_looks_better_at_the_same_diversity(scale):
    mean = measured(scale, 256, FLOWS)
    assert mean("lpips", "srflow-perceptual") < (0.97 if scale == 8 else 0.95) * mean("lpips", "srflow")
    assert mean("sigma", "srflow-perceptual") > 0.8 * mean("sigma", "srflow")


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("scale", [4, 8])
def test_samples_neither_run_away_nor_have_stripes(name, scale):
    """Every sample is an image that downscales to LR; the power at the Nyquist frequency is about that of HR."""
    photos, model = load_dataset("photos", scale), load_model(name, scale, "cpu")
    lr_psnr, excess = load_metric("lr_psnr"), []
    for photo in ("air-balloon", "o4", "oakland-zoo-otters", "roman-colosseum"):
        pair = photos.read(photo)
        samples = outputs(model.model, pair.lr, temperature=model.weights.temperature)
        assert lr_psnr(samples, pair).min() > 45
        excess.append(stripes(samples.clamp(0, 1)).mean(0) - stripes(pair.hr[None])[0])
    assert (torch.stack(excess).median(0).values < 0.5).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("scale", [4, 8])
def test_few_pixels_scatter_at_hard_edges(name, scale):
    """Of 10,000 pixels, flows trained on photographs alone scattered 56 (srflow) at 8x, 133 and 95 at 4x."""
    model, counts = load_model(name, scale, "cpu"), []
    for pair in (drawn_pair(number, scale) for number in range(MEASURED)):
        samples = outputs(model.model, pair.lr, temperature=model.weights.temperature)
        counts.append(scattered(samples, pair.hr, scale))
    assert torch.stack(counts).mean() < (5 if scale == 8 else 3)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [4, 8])
def test_the_second_stage_has_no_grid(scale):
    """Edges of its samples are as strong at every column and row of the LR grid, as HR's and unlike ESRGAN's."""
    pair = load_dataset("photos", scale).read("oakland-zoo-otters")
    flow, esrgan = (load_model(name, scale, "cpu").model for name in ("srflow-perceptual", "esrgan"))
    samples, other = outputs(flow, pair.lr), outputs(esrgan, pair.lr)
    assert (edges_on_grid(pair.hr[None], scale) - 1).abs().max() < 0.05
    assert (edges_on_grid(samples.clamp(0, 1), scale) - 1).abs().max() < 0.07
    assert (edges_on_grid(other.clamp(0, 1), scale) - 1).abs().max() > 0.1


@pytest.fixture(scope="module", params=[4, 8])
def crops(request):
    return measured(request.param, 128, ("bicubic", "rrdb", "esrgan", *FLOWS))


@pytest.mark.slow
def test_every_model_is_better_than_bicubic_in_its_way(crops):
    """RRDB is closest, then the flows; these and ESRGAN look better; samples are diverse and downscale to LR.

    45 dB is the field's floor, the paper's networks reach 50.
    """
    assert crops("psnr", "rrdb") > crops("psnr", "bicubic") + 0.2
    assert crops("lr_psnr", "rrdb") > crops("lr_psnr", "bicubic")
    for model in ("esrgan", *FLOWS):
        assert crops("lpips", model) < crops("lpips", "bicubic") - 0.02
        assert crops("brisque", model) < crops("brisque", "bicubic") - 1
    for model in FLOWS:
        assert crops("psnr", "rrdb") > crops("psnr", model) > crops("psnr", "esrgan")
        assert crops("lpips", model) < crops("lpips", "rrdb")
        assert crops("niqe", model) < crops("niqe", "bicubic") - 1
        assert crops("sigma", model) > 3
        assert crops("lr_psnr", model) > max(45, crops("lr_psnr", "esrgan") + 8)


def test_the_notice_names_every_photograph_with_its_author_and_licence():
    for row in attribution():
        line = rf"^ +{re.escape(row['file'])} +{re.escape(row['author'])}$"
        assert re.search(line, NOTICE, re.MULTILINE), row["file"]
    sections = re.split(r"^\* (CC.*?),", NOTICE, flags=re.MULTILINE)[1:]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        spelled = title.partition(" (")[0].replace(" ", "-")
        for name in re.findall(r"^ +(\S+\.png)", body, re.MULTILINE):
            licence = next(row["licence"] for row in attribution() if row["file"] == name)
            assert licence.partition(" (")[0] == spelled, name


def test_the_notice_names_every_file_of_parameters():
    """Each by name with the licence or copyright of its makers beneath."""
    for path in PARAMETERS:
        _, found, after = NOTICE.partition(f"\n{path.name}\n----")
        assert found, path
        assert "Copyright (c)" in after.partition("\n\n\n")[0], path
    assert "baselines/weights/" in NOTICE
    assert "srflow/weights/" in NOTICE


def test_paths_in_the_notice_exist():
    named = re.findall(r"\b(?:srbench|srflow|baselines|tools)/[\w./-]*\w", NOTICE)
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []
