import json
from dataclasses import asdict

import pytest
import torch

from baselines.pretrained import load_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.files.hashes import sha256_file
from srbench.interfaces import SRBenchError, Weighted
from srbench.weights.files import WeightsError, save_weights
from srbench.weights.pretrained import fill

CONFIG = RRDBConfig(4, 8, 4, 1)


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "rrdb.safetensors"
    metadata = {"model": "rrdb", "scale": "4", "licence": "CC0-1.0", "trained_on": "nothing"}
    save_weights(path, RRDBNet(CONFIG).state_dict(), metadata | {"config": json.dumps(asdict(CONFIG))})
    return path


def test_file_to_network(weights):
    model = load_rrdb(4, weights)
    assert isinstance(model, Weighted)
    assert model.weights.sha256 == sha256_file(weights)
    assert (model.weights.licence, model.weights.trained_on) == ("CC0-1.0", "nothing")
    assert model.weights.parameters == sum(p.numel() for p in RRDBNet(CONFIG).parameters())
    torch.manual_seed(0)
    network = RRDBNet(CONFIG)
    lr = torch.rand(1, 3, 4, 4)
    assert torch.equal(model(lr), network(lr))


@pytest.mark.parametrize("scale", [4, 8])
def test_losses_of_packaged_weights_are_losses(scale):
    """Their files also hold the norms of gradients."""
    assert load_rrdb(scale).weights.losses.keys() == {"l1"}


def test_faults_are_listed_and_counted(tmp_path):
    network = RRDBNet(CONFIG)
    tensors = network.state_dict()
    tensors["conv_first.bias"] = torch.zeros(9)
    tensors["extra"] = torch.zeros(1)
    del tensors["conv_last.weight"]
    with pytest.raises(WeightsError) as caught:
        fill(network, tensors, tmp_path / "file")
    text = str(caught.value)
    assert "3 tensors" in text
    for part in (
        "missing conv_last.weight",
        "unexpected extra",
        "conv_first.bias has shape (9,) instead of (8,)",
    ):
        assert part in text


def test_a_long_list_is_cut_and_counted(tmp_path):
    with pytest.raises(WeightsError) as caught:
        fill(RRDBNet(CONFIG), {}, tmp_path / "file")
    shown = ": 42 tensors do not fit the network: missing conv_first.weight, conv_first.bias, body.0.0.convs.0.weight"
    assert str(caught.value).endswith(f"{shown} and 39 more")


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (None, "its metadata lack config, the size of the network"),
        ("not JSON", "config in its metadata is not JSON"),
        ("[1, 2]", "invalid metadata: config: expected a table"),
        ("{}", "config: scale: missing"),
    ],
)
def test_metadata_without_a_usable_config_are_refused(tmp_path, config, fault):
    path = tmp_path / "odd.safetensors"
    metadata = {"model": "rrdb", "scale": "4"} | ({} if config is None else {"config": config})
    save_weights(path, RRDBNet(CONFIG).state_dict(), metadata)
    with pytest.raises(SRBenchError, match=rf"odd\.safetensors: {fault}") as caught:
        load_rrdb(4, path)
    assert "\n" not in str(caught.value)
