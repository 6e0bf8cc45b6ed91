"""Maps of LPIPS are kept when the value is measured; a report takes those that show what it has to show."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from srbench.benchmark.error_maps import MapKind, carried_key, evenly, map_file, map_key, map_png, maps_of
from srbench.benchmark.run import run, score_run
from srbench.images.io import encode_png
from srbench.interfaces import MetricFacts
from srbench.plugins import PluginError
from srbench.run_folder.folder import RunFolder

SETTINGS = ("near", "noisy-t0.3", "noisy-t0.8")
KIND = MapKind("distance", 0.6, name="lpips", title="LPIPS")


@pytest.fixture
def spec(spec, photos, draw_image):
    """On images that are large enough for LPIPS."""
    for seed, name in enumerate("abc"):
        (photos / f"{name}.png").write_bytes(encode_png(draw_image(seed, 64 + 16 * seed, 64 + 16 * seed)))
    return spec


def maps(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*_lpips.png"))}


def test_they_are_those_that_the_report_would_make(changed, command):
    folder = run(changed(metrics=("psnr", "lpips"))).folder
    kept = maps(folder)
    records = RunFolder.read(folder)
    kind = MapKind.of(records.manifest.metric("lpips"))
    assert list(kept) == sorted(map_file(kind, setting, name) for setting in SETTINGS for name in "abc")
    for image, known in records.known.items():
        for setting, sample in known.samples.items():
            file = folder / map_file(kind, setting.folder, image)
            assert carried_key(file) == map_key(kind, known.pair.hr.pixels, [sample.outputs[0].pixels])
    assert command("report", folder).code == 0
    assert maps(folder) == kept
    shutil.rmtree(folder / "report" / "maps")
    assert command("report", folder).code == 0
    assert maps(folder) == kept


def test_processes_keep_the_same(changed, tmp_path):
    one = maps(run(changed(metrics=("lpips",))).folder)
    assert one
    assert maps(run(changed(metrics=("lpips",), out=str(tmp_path / "two")), workers=2).folder) == one


def test_without_lpips_there_is_none_and_with_its_values_they_come(finished):
    assert not maps(finished)
    score_run(finished, ["lpips"])
    assert len(maps(finished)) == 9


def test_only_images_that_a_report_shows_have_one(changed, monkeypatch):
    monkeypatch.setattr("srbench.benchmark.tasks.evenly", lambda names: evenly(names, 1))
    assert {Path(name).name for name in maps(run(changed(metrics=("lpips",))).folder)} == {"b_lpips.png"}


def test_one_of_other_pixels_is_replaced_and_a_file_of_yours_is_moved_aside(changed, command):
    folder = run(changed(metrics=("lpips",))).folder
    kept = maps(folder)
    stale, yours = (folder / map_file(KIND, "near", name) for name in "ab")
    stale.write_bytes(map_png(np.zeros((64, 64), np.float32), KIND, "another key"))
    yours.write_bytes(mine := encode_png(torch.zeros(3, 4, 4, dtype=torch.uint8)))
    done = command("report", folder)
    assert maps(folder) == kept
    assert not stale.with_name("a_lpips.png.1").exists()
    assert yours.with_name("b_lpips.png.1").read_bytes() == mine
    assert f"{yours}: not written by srbench" in done.err


def test_a_changed_model_has_another(changed, models, command, monkeypatch):
    folder = run(changed(metrics=("lpips",))).folder
    assert command("report", folder).code == 0
    kept = maps(folder)
    models.write_text(models.read_text().replace("scale_factor=4)", "scale_factor=4).flip(-1)"))
    run(changed(metrics=("lpips",)))
    now = maps(folder)
    assert all(now[map_file(KIND, "near", name)] != kept[map_file(KIND, "near", name)] for name in "abc")
    monkeypatch.setattr("srbench.benchmark.error_maps.metric_maps", lambda *_: pytest.fail("a map was computed again"))
    assert command("report", folder).code == 0
    assert maps(folder) == now


def test_the_colours_are_matplotlibs():
    from importlib.resources import files

    import matplotlib

    colours = matplotlib.colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    assert (files("srbench.benchmark") / "inferno.palette").read_bytes() == colours.tobytes()


@pytest.mark.parametrize("content", [b"", b"no image", encode_png(torch.zeros(3, 2, 2, dtype=torch.uint8))])
def test_other_files_carry_no_key(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    assert carried_key(tmp_path / "x.png") is None
    assert carried_key(tmp_path / "absent.png") is None


def test_a_metric_that_is_gone_is_looked_for_once(monkeypatch):
    looked = []

    def load(spec):
        looked.append(spec)
        raise PluginError(f"{spec}: no such file")

    monkeypatch.setattr("srbench.benchmark.error_maps.load_metric", load)
    pixels = np.zeros((64, 64, 3), np.uint8)
    facts = MetricFacts(name="gone", title="Gone", direction=1, protocol="a test", spec="gone_once.py:Gone")
    kind = MapKind("distance", 1.0, name="gone", title="Gone", metric=facts)
    for _ in range(2):
        with pytest.warns(UserWarning, match="no maps of Gone: gone_once.py:Gone: no such file"):
            assert not maps_of({"a": [pixels]}, pixels, pixels, [(kind, "a")])
    assert looked == ["gone_once.py:Gone"]
