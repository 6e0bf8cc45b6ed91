"""Samples without stripes from weights that leave some."""

import json

import level_samples
import pytest
import torch

from baselines.rrdb import RRDBConfig
from srbench.images.io import write_png
from srbench.weights.files import load_weights, save_weights
from srbench.weights.metadata import WeightsMetadata
from srflow import SRFlow
from srflow.config import SRFlowConfig

CONFIG = {"encoder": {"scale": 4, "features": 8, "growth": 4, "blocks": 1}, "stacked": [0], "steps": 1, "width": 8}
SHIFT = torch.tensor([0.02, 0, 0, -0.02, 0, 0.01, -0.01, 0, 0, 0, 0, 0])


@pytest.fixture
def images():
    return [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(4)]


@pytest.fixture
def network():
    """A flow whose samples are uneven by SHIFT, and by its random layers."""
    torch.manual_seed(0)
    network = SRFlow(SRFlowConfig(RRDBConfig(4, 8, 4, 1), (0,), steps=1, width=8)).eval()
    with torch.no_grad():
        for parameter in network.flow.parameters():
            parameter += 0.02 * torch.randn(parameter.shape)
    return network


def test_a_shift_of_the_outermost_bias_is_seen_whole(network, images):
    before = level_samples.unevenness(network, images, 0.8)
    with torch.no_grad():
        network.flow.levels[0].transitions[0].norm.bias -= SHIFT.view(12, 1, 1)
    torch.testing.assert_close(level_samples.unevenness(network, images, 0.8), before + SHIFT)


def test_levelled_samples_are_even_and_keep_the_colour_of_every_cell(network, images):
    before = network.sample(images[0], temperature=0.8, generator=torch.Generator().manual_seed(0))
    assert level_samples.unevenness(network, images, 0.8).abs().max() > 1e-3
    level_samples.level(network, images, 0.8)
    assert level_samples.unevenness(network, images, 0.8).abs().max() < 1e-6
    after = network.sample(images[0], temperature=0.8, generator=torch.Generator().manual_seed(0))
    mean = torch.nn.AvgPool2d(2)
    torch.testing.assert_close(mean(after), mean(before))


def test_a_file_keeps_what_it_says_and_gets_a_bound_and_its_temperature(network, images, tmp_path):
    (tmp_path / "photographs").mkdir()
    for i in range(2):
        write_png(tmp_path / "photographs" / f"{i}.png", torch.full((3, 32, 40), 60 * i + 60, dtype=torch.uint8))
    metadata = WeightsMetadata("srflow", preset="mini-x4", scale=4, config=CONFIG, licence="mine", step=7)
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_weights(tmp_path / "in.safetensors", tensors, metadata.text())
    paths = (tmp_path / "in.safetensors", tmp_path / "photographs")
    level_samples.main(*paths, 0.85, tmp_path / "out.safetensors")
    levelled, text = load_weights(tmp_path / "out.safetensors")
    different = [name for name, tensor in levelled.items() if not torch.equal(tensor, tensors[name])]
    assert different == ["flow.levels.0.transitions.0.norm.bias"]
    assert all(tensor.dtype == torch.float16 for tensor in levelled.values())
    assert json.loads(text["config"])["range_margin"] == level_samples.MARGIN
    assert (text["licence"], text["step"], text["temperature"]) == ("mine", "7", "0.85")
