"""Weights between two files of one network."""

import mean_of_weights
import pytest
import torch

from srbench.weights.files import load_weights, save_weights
from srbench.weights.metadata import WeightsMetadata


def test_a_mean_lies_between_and_keeps_the_metadata_of_the_first(tmp_path):
    for name, value, step in (("first", 1.0, 7), ("second", 3.0, 9)):
        tensors = {"weight": torch.full((2, 3), value).half(), "bias": torch.full((2,), value)}
        metadata = WeightsMetadata("srflow", preset="mini-x4", scale=4, licence="mine", step=step)
        save_weights(tmp_path / f"{name}.safetensors", tensors, metadata.text())
    paths = [tmp_path / f"{name}.safetensors" for name in ("first", "second", "mean")]
    mean_of_weights.main(paths[0], paths[1], 0.75, paths[2])
    tensors, metadata = load_weights(paths[2])
    assert (metadata["step"], metadata["licence"]) == ("7", "mine")
    assert (tensors["weight"].dtype, tensors["bias"].dtype) == (torch.float16, torch.float32)
    assert all(tensor.unique().tolist() == [1.5] for tensor in tensors.values())


def test_files_of_other_networks_are_refused():
    with pytest.raises(ValueError, match="different networks"):
        mean_of_weights.mean({"weight": torch.ones(2)}, {"weight": torch.ones(3)}, 0.5)
