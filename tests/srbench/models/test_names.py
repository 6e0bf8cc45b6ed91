"""Digests of models by code and files alone: torch is not needed, and loading a model gives the same."""

from __future__ import annotations

import pytest
import torch

from srbench.images.io import write_png
from srbench.metrics.loading import metric_digest, open_metric
from srbench.models.loading import load_model, wrap_model
from srbench.models.names import ModelSpec
from srbench.models.third_party import load_file
from srbench.plugins.registry import registered
from srbench.weights.files import packaged_weights, save_weights


def by_files(text, scale):
    """Label and digest of the model that the text names, without loading it."""
    spec = ModelSpec.parse(text)
    return spec.label, spec.digest(scale)


OURS = (
    "bicubic",
    "rrdb",
    "esrgan",
    "esrgan@0.5",
    "srflow",
    "x=srflow",
    "srflow+consistent",
    "srflow-perceptual",
    "rectified-flow",
    "rectified-flow+8steps",
)


def weights(path, gain):
    """Random weights of a small network of BasicSR, times a gain."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    state = Compact(num_feat=4, num_conv=1, upscale=2).state_dict()
    state = {name: gain * value for name, value in state.items()}
    save_weights(path, state, {}) if path.suffix == ".safetensors" else torch.save({"params": state}, path)


@pytest.mark.parametrize("name", OURS)
def test_our_models_have_the_same_digest_when_they_are_loaded(name):
    loaded = load_model(name, 4, "cpu")
    assert by_files(name, 4) == (loaded.label, loaded.digest)


def test_what_tells_our_models_apart():
    digests = {name: by_files(name, 4)[1] for name in OURS}
    assert digests["x=srflow"] == digests["srflow"]
    assert len(set(digests.values())) == len(digests) - 1
    assert by_files("srflow", 8)[1] != digests["srflow"]


def test_a_weights_file_counts_by_its_content(tmp_path):
    packaged = packaged_weights("baselines")["esrgan", 4]
    found = []
    for name, more in (("mine", b""), ("other", b""), ("mine", b" ")):
        (tmp_path / f"{name}.safetensors").write_bytes(packaged.read_bytes() + more)
        found.append(by_files(f"esrgan:{tmp_path / name}.safetensors", 4))
    assert [label for label, _ in found] == ["esrgan-mine", "esrgan-other", "esrgan-mine"]
    assert found[0][1] == found[1][1] != found[2][1]
    loaded = load_model(f"esrgan:{tmp_path}/other.safetensors", 4, "cpu")
    assert found[1] == (loaded.label, loaded.digest)


def test_interpolated_weights_of_a_file_show_when_they_are_loaded(tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(packaged_weights("baselines")["esrgan", 4].read_bytes())
    assert by_files(f"esrgan@0.5:{file}", 4)[1] == ""
    assert load_model(f"esrgan@0.5:{file}", 4, "cpu").digest != load_model(f"esrgan@0.6:{file}", 4, "cpu").digest


def test_code_of_others_shows_when_it_is_loaded(models):
    assert by_files(f"{models}:Nearest", 4) == ("Nearest", "")


def test_a_folder_of_results_counts_by_each_file(tmp_path):
    write_png(tmp_path / "results" / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    text = f"theirs={tmp_path / 'results'}"
    loaded = load_model(text, 4, "cpu")
    assert by_files(text, 4) == (loaded.label, loaded.digest)


@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_network_that_was_written_over(tmp_path, name):
    pytest.importorskip("spandrel", reason="needs sr-bench[zoo]")
    path, found = tmp_path / name, []
    for gain in (1.0, 1.0, 0.9):
        weights(path, gain)
        loaded = load_model(str(path), 2, "cpu")
        assert by_files(str(path), 2) == (loaded.label, loaded.digest)
        found.append((loaded.digest, wrap_model(load_file(path), 2, "cpu").digest))
    assert found[0] == found[1]
    assert not set(found[1]) & set(found[2])


def test_our_metrics_have_the_same_digest_when_they_are_opened():
    assert metric_digest("pyiqa:psnr", "round") is None
    ours = [name for name in registered("metrics") if name not in ("fid", "kid")]  # their network is pyiqa's
    for name in (*ours, "psnr+channels=Y+border=4", "ssim+window=gaussian11"):
        assert metric_digest(name, "round") == open_metric(name, "round").info.digest != metric_digest(name, "floor")


def test_the_label_of_weights_that_are_called_like_the_model_repeats_no_name(tmp_path):
    assert ModelSpec.parse(f"srflow:{tmp_path / 'srflow'}").label == "srflow"
    assert ModelSpec.parse(f"srflow:{tmp_path / 'mine'}").label == "srflow-mine"
