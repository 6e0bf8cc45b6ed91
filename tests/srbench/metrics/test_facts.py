"""What a metric is, it says itself: one of another distribution finds every place."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch
from builders import GAP

from srbench.images.io import encode_png
from srbench.interfaces import SRBenchError
from srbench.metrics import lpips_network
from srbench.metrics.suite import validation_metrics
from srbench.plugins import registry
from srbench.plugins.registry import registered
from srbench.run_folder.manifest import read_manifest


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A metric of another distribution, registered as ``gap``."""
    (tmp_path / "gap_of_test.py").write_text(GAP)
    monkeypatch.syspath_prepend(tmp_path)
    known, point = registry.entry_points, EntryPoint("gap", "gap_of_test:Gap", "srbench.metrics")
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [*known(group=group), *([point] if group == point.group else [])]
    )
    registered.cache_clear()
    yield
    registered.cache_clear()


def test_a_metric_from_outside_finds_every_place(outside, spec, photos, command, tmp_path, with_plots):
    for name in "abc":
        (photos / f"{name}.png").write_bytes(encode_png(torch.full((3, 64, 64), 9, dtype=torch.uint8)))
    models = Path(spec.models[0].partition("=")[2].rpartition(":")[0])
    named = f"near={models}:Nearest,noisy={models}:Noisy"
    options = "--scale 4 --metrics psnr,gap --samples 2 --temperature 0.3,0.8 --workers 1 --out run"
    done = command("run", "--models", named, "--data", photos, *options.split())
    assert done.code == 0, done.err
    run = tmp_path / "run"
    facts = read_manifest(run).metric("gap")
    assert (facts.signature, facts.protocol[:19]) == ("GAP|RGB|floor|v1", "uint8 RGB by floor,")
    assert "Gap ↓" in (run / "report" / "report.md").read_text()
    page = (run / "report" / "report.html").read_text()
    assert re.search(r"<span>Distortion</span></th><th[^>]*><span>Perception</span>", page)
    assert "Gap in levels (lower is better)" in (run / "report" / "plots" / "plane.svg").read_text()
    assert len(list(run.glob("report/maps/*/*_gap.png"))) == 9, "of the three images of report.md, one for each setting"
    assert "gap" in [metric.info.name for metric in validation_metrics()]


def test_a_packaged_metric_without_its_weights_is_no_gap_in_validation(monkeypatch, tmp_path):
    monkeypatch.setattr(lpips_network, "parameter_file", tmp_path.joinpath)
    with pytest.raises(SRBenchError, match="LPIPS on AlexNet needs"):
        validation_metrics()
