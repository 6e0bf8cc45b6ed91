"""Models and metrics of other people that change their inputs in place spoil no number but their own output's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from builders import drawn

from srbench.benchmark.run import run
from srbench.editing.edit import Editor
from srbench.images.tiling import upscale_in_tiles
from srbench.interfaces import ImagePair
from srbench.metrics.from_pyiqa import PyIQA
from srbench.metrics.loading import open_metric
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.loading import load_model
from srbench.reporting.figures.error_maps import metric_maps
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.request import RunSpec
from srbench.training.validation import Validation

MODELS = '''
import torch
import torch.nn.functional as F


class Forward(torch.nn.Module):
    """Repeats the pixels of LR, which it darkens in place."""

    scale = 8

    def forward(self, lr):
        return F.interpolate(lr.sub_(0.5), scale_factor=8)


class Call:
    scale = 8

    def __call__(self, lr):
        return F.interpolate(lr.sub_(0.5), scale_factor=8)


class Sample:
    scale = 8

    def sample(self, lr, n, *, temperature, generator):
        return F.interpolate(lr.sub_(0.5)[None], scale_factor=8).repeat(n, 1, 1, 1)


class Polite:
    """Returns the same, and leaves LR alone."""

    scale = 8

    def __call__(self, lr):
        return F.interpolate(lr - 0.5, scale_factor=8)
'''
METRIC = '''
from srbench.interfaces import MapInfo, MappedMetric, MetricInfo


class Rude(MappedMetric):
    """Mean absolute difference, by arithmetic in place."""

    sees = "SEES"
    needs = ("HR", "LR")
    info = MetricInfo(
        name="rude", title="Rude", direction=-1,
        protocol="mean absolute difference", map=MapInfo("difference", upper=1),
    )

    def __call__(self, samples, pair):
        pair.lr.zero_()
        samples.add_(1)
        return samples.float().sub_(pair.hr.mul_(0.5)).abs_().mean(dim=(1, 2, 3))

    def map(self, samples, pair):
        pair.lr.zero_()
        return samples.sub_(pair.hr.mul_(0.5)).abs_()[0].mean(dim=0)
'''


@pytest.fixture
def models(tmp_path):
    (tmp_path / "changing.py").write_text(MODELS)
    return tmp_path / "changing.py"


def values(photos, *models, metrics=("psnr", "lr_psnr"), workers=1):
    """Value of the first output by model, image and metric."""
    out = photos.parent / f"run-{len([*photos.parent.iterdir()])}"
    spec = RunSpec(models, 8, str(photos), limit=2, metrics=metrics, samples=2, out=str(out))
    assert run(spec, workers=workers).failures == ()
    return {
        (row.setting.model, row.image, metric): value[0] if isinstance(value, list) else value
        for row in measurements_of(RunFolder.read(Path(out)))
        for metric, value in row.values.items()
    }


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("way", ["Forward", "Call", "Sample"])
def test_a_model_changes_neither_the_lr_of_others_nor_of_its_lr_psnr(photos, models, way, workers):
    alone = values(photos, f"{models}:Polite", "bicubic", "rrdb")
    together = values(photos, f"{models}:{way}", "bicubic", "rrdb", workers=workers)
    for (model, image, metric), value in alone.items():
        assert together[way if model == "Polite" else model, image, metric] == value


@pytest.mark.parametrize("sees", ["uint8", "float", "returned"])
def test_a_metric_changes_neither_the_images_of_others_nor_the_pair(photos, models, tmp_path, sees):
    # pairs are in float, so a metric that sees uint8 cannot subtract in place
    (tmp_path / "rude.py").write_text(METRIC.replace("SEES", sees))
    after = ("psnr", "lr_psnr", "sigma")
    alone = values(photos, "bicubic", "rrdb", metrics=after)
    together = values(photos, "bicubic", "rrdb", metrics=(f"{tmp_path / 'rude.py'}:Rude", *after))
    assert {key: value for key, value in together.items() if key[2] != "rude"} == alone


def test_a_metric_of_pyiqa_gets_copies(monkeypatch):
    class Rude(torch.nn.Module):
        metric_mode, lower_better, score_range = "FR", True, "0, 1"

        def forward(self, sample, hr):
            return sample.sub_(hr.mul_(0.5)).mean()

    monkeypatch.setattr("srbench.metrics.from_pyiqa.created", lambda *_: Rude())
    samples, pair = drawn(0)[None] / 255, ImagePair("a", drawn(1, 8, 8) / 255, drawn(2) / 255)
    before = samples.clone(), pair.hr.clone()
    PyIQA("psnr")(samples, pair)
    assert torch.equal(samples, before[0])
    assert torch.equal(pair.hr, before[1])


def test_the_map_of_a_metric_changes_no_later_map(tmp_path):
    (tmp_path / "rude.py").write_text(METRIC.replace("SEES", "float"))
    rude = open_metric(f"{tmp_path / 'rude.py'}:Rude").info
    output, lr, hr = (drawn(seed, side, side).permute(1, 2, 0).numpy() for seed, side in ((0, 32), (1, 8), (2, 32)))
    first, second = metric_maps(rude, [output, output], lr, hr)
    assert (first == second).all()


def test_a_tile_that_is_changed_does_not_spoil_its_neighbours(models):
    rude, polite = (load_model(f"{models}:{name}", 8, "cpu").model for name in ("Call", "Polite"))
    lr = torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(upscale_in_tiles(rude, lr.clone(), 16), upscale_in_tiles(polite, lr, 16))


@pytest.mark.parametrize("rude", ["Call", "Sample"])
def test_a_projection_projects_onto_the_lr_of_the_dataset(models, rude):
    lr = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    outputs = [
        upscale(
            load_model(f"{models}:{name}+consistent", 8, "cpu").model, "a", lr, SamplingParameters(0.8, 1, 0), "cpu"
        ).images
        for name in (rude, "Polite")
    ]
    assert torch.equal(*outputs)


def test_a_network_in_training_does_not_change_its_validation_images(models):
    pair = ImagePair("a", drawn(0, 8, 8) / 255, drawn(1, 64, 64) / 255)
    validation = Validation([pair], [open_metric("lr_psnr").metric], "lr_psnr")
    network = load_model(f"{models}:Forward", 8, "cpu").model
    assert validation.measure(network) == validation.measure(network)


def test_an_edit_does_not_change_the_image(monkeypatch):
    class Edits:
        def restore(self, hr, lr, *, temperature, generator):
            return hr.sub_(lr.zero_().mean()).mul_(0.5)

    editor = Editor.__new__(Editor)
    editor.device, editor.model = "cpu", Edits()
    pair = ImagePair("a", drawn(0, 8, 8) / 255, drawn(1) / 255)
    before = pair.lr.clone(), pair.hr.clone()
    editor.restore(pair, 0.8, 0)
    assert torch.equal(pair.lr, before[0])
    assert torch.equal(pair.hr, before[1])
