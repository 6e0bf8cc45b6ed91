"""The page beside exported weights."""

import tomllib
from dataclasses import replace

import torch
from small_presets import PRESETS

from srbench.training.export import write_model_card
from srbench.weights.files import save_weights
from srbench.weights.metadata import WeightsMetadata

SETTINGS = tomllib.loads(PRESETS["rrdb"].replace('"step"', '"cosine"').replace("steps = 20", "steps = 60"))
METADATA = WeightsMetadata(
    model="rrdb",
    scale=4,
    preset="small",
    licence="<b>mine</b>",
    config={"scale": 4},
    trained_on="3 images of the folder a_b|c",
    data="d1",
    start="",
    step=60,
    settings=SETTINGS,
    validation={"last": {"step": 60, "psnr": 24.125}},
    validated_on="at most 8 images",
)


def card(tmp_path, **others):
    weights = tmp_path / "my weights.safetensors"
    tensors = {"a": torch.zeros(100, 100), "b": torch.zeros(5)}
    save_weights(weights, tensors, {})
    weights.with_suffix(".md").unlink(missing_ok=True)
    path = write_model_card(weights, tensors, replace(METADATA, **others))
    assert path == tmp_path / "my weights.md"
    return path.read_text()


def test_what_users_named_stays_text(tmp_path):
    text = card(tmp_path)
    assert r"- Licence: \<b\>mine\</b\>" in text
    assert r"- Trained on: 3 images of the folder a_b\|c" in text
    assert "srbench run --models 'rrdb:my weights.safetensors' --scale 4" in text


def test_schedule_start_and_size(tmp_path):
    text = card(tmp_path, start="5e1f")
    assert "- Schedule: learning rate 0.002, cosine, restarted at 0.5 of the steps" in text
    assert "- Started from: weights with sha256 5e1f" in text
    assert "- Size: 10,005 parameters, 0.04 MB as float32" in text
    assert "- Network: scale: 4" in text
    assert "Started from" not in card(tmp_path)


def test_no_validation_is_said(tmp_path):
    assert "## Validation\n\nNo validation was done." in card(tmp_path, validation={})
    assert "| last |   60 | 24.12 |" in card(tmp_path)
