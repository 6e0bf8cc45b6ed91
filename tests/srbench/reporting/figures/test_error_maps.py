"""Maps of errors and of the spread of samples, which a report draws from the images."""

from __future__ import annotations

import re
from importlib.resources import files

import matplotlib
import numpy as np
import pytest
from PIL import Image

from srbench.benchmark.run import run
from srbench.images.io import encode_png, read_uint8
from srbench.interfaces import ImagePair, MappedMetric, MetricInfo
from srbench.metrics.default_map import mapped
from srbench.metrics.loading import load_metric
from srbench.metrics.lpips_network import Network
from srbench.plugins import PluginError
from srbench.reporting.figures.error_maps import MapKind, coloured, map_file, maps_of
from srbench.reporting.writers.report import write_report

SETTINGS = ("near", "noisy-t0.3", "noisy-t0.8")


def test_a_report_has_a_map_of_lpips_of_every_output(changed, photos, draw_image):
    for seed, name in enumerate("abc"):
        (photos / f"{name}.png").write_bytes(encode_png(draw_image(seed, 64 + 16 * seed, 64 + 16 * seed)))
    folder = run(changed(metrics=("psnr",))).folder
    write_report([folder], ["md"])
    [facts] = mapped([])
    kind = MapKind.of(facts)
    drawn = {str(path.relative_to(folder / "report")) for path in folder.rglob("*_lpips.png")}
    assert drawn == {map_file(kind, setting, name) for setting in SETTINGS for name in "abc"}
    hr, near = (read_uint8(folder / "images" / model / "b.png") for model in ("hr", "near"))
    values = load_metric("lpips").map(near[None], ImagePair("b", hr / 255, hr / 255)).numpy()
    with Image.open(folder / "report" / map_file(kind, "near", "b")) as shown:
        levels = np.asarray(shown).astype(int)
    assert np.abs(levels - np.asarray(coloured(values, kind)).astype(int)).max() <= 1


def test_maps_of_metrics_are_of_the_images_that_report_md_shows(changed, photos, draw_image):
    for seed, name in enumerate("abcd"):
        (photos / f"{name}.png").write_bytes(encode_png(draw_image(seed, 64, 64)))
    folder = run(changed(metrics=("psnr",), limit=None)).folder
    write_report([folder], ["md"])
    shown = re.findall(r"\]\(strips/(\w+)\.png\)", (folder / "report" / "report.md").read_text())
    assert len(shown) == 3
    assert shown == sorted(path.name.removesuffix("_lpips.png") for path in folder.rglob("maps/near/*_lpips.png"))


def test_features_of_hr_are_computed_once_for_all_outputs(monkeypatch):
    computed, features = [], Network.features
    monkeypatch.setattr(Network, "features", lambda self, image: computed.append(image) or features(self, image))
    outputs = {name: [np.full((64, 64, 3), level, np.uint8)] for level, name in enumerate("abc")}
    kind = MapKind.of(mapped([])[0])
    hr = np.full((64, 64, 3), 9, np.uint8)
    maps = maps_of(outputs, hr[::4, ::4], hr, [(kind, name) for name in outputs])
    assert (len(maps), len(computed)) == (3, 1 + 3)


def test_the_colours_are_matplotlibs():
    colours = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    assert (files("srbench.reporting.figures") / "inferno.palette").read_bytes() == colours.tobytes()


def test_a_map_of_another_shape_is_left_out(monkeypatch):
    class Batch(MappedMetric):
        info = MetricInfo(name="batch", title="Batch", direction=1, protocol="a test", spec="batch_of_maps")

        def __call__(self, samples, pair):
            return samples.mean((1, 2, 3))

        def map(self, samples, pair):
            return samples.mean(1)

    monkeypatch.setattr("srbench.reporting.figures.error_maps.load_metric", lambda spec: Batch())
    pixels = np.zeros((64, 48, 3), np.uint8)
    kind = MapKind("distance", 1.0, name="batch", title="Batch", metric=Batch.info)
    says = r"no maps of Batch: a map of batch has shape \(1, 64, 48\); it must be \(64, 48\)"
    with pytest.warns(UserWarning, match=says):
        assert not maps_of({"a": [pixels]}, pixels, pixels, [(kind, "a")])


def test_a_metric_that_is_gone_is_looked_for_once(monkeypatch):
    looked = []

    def load(spec):
        looked.append(spec)
        raise PluginError(f"{spec}: no such file")

    monkeypatch.setattr("srbench.reporting.figures.error_maps.load_metric", load)
    pixels = np.zeros((64, 64, 3), np.uint8)
    info = MetricInfo(name="gone", title="Gone", direction=1, protocol="a test", spec="gone_once.py:Gone")
    kind = MapKind("distance", 1.0, name="gone", title="Gone", metric=info)
    for _ in range(2):
        with pytest.warns(UserWarning, match="no maps of Gone: gone_once.py:Gone: no such file"):
            assert not maps_of({"a": [pixels]}, pixels, pixels, [(kind, "a")])
    assert looked == ["gone_once.py:Gone"]
