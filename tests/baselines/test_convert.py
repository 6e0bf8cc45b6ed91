"""RRDB and ESRGAN files under three generations of names; what they are, and what cannot be known of them."""

import re

import pytest
import torch
from small_presets import resized

from baselines.convert import (
    convert_esrgan,
    convert_rrdb,
    official_names,
    rrdb_from_official,
    rrdb_shapes,
)
from baselines.pretrained import load_esrgan, load_rrdb
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.interfaces import SRBenchError
from srbench.weights.files import WeightsError, load_weights
from srbench.weights.official import convert

FULL = RRDBConfig(4, 64, 32, 23)


def official(config, device="cpu"):
    torch.manual_seed(0)
    return {name: torch.randn(shape, device=device) for name, shape in rrdb_shapes(config).items()}


def basicsr(name):
    block = re.sub(r"RRDB_trunk\.(\d+)\.RDB(\d)", r"body.\1.rdb\2", name)
    return block.replace("trunk_conv", "conv_body").replace("upconv", "conv_up").replace("HRconv", "conv_hr")


def oldest(name, config):
    doublings = {2: 1, 4: 2, 8: 3}[config.scale]
    layers = {"conv_first": 0, "HRconv": 3 * doublings + 2, "conv_last": 3 * doublings + 4}
    layers |= {f"upconv{step}": 3 * step for step in range(1, doublings + 1)}
    name = re.sub(r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
    name = name.replace("trunk_conv", f"model.1.sub.{config.blocks}")
    layer, _, kind = name.rpartition(".")
    return f"model.{layers[layer]}.{kind}" if layer in layers else name


@pytest.fixture
def preset(tmp_path):
    def write(scale, long_skip, blocks=2):
        size = {"scale": scale, "features": 8, "growth": 4, "blocks": blocks, "long_skip": long_skip}
        path = tmp_path / f"{long_skip}-x{scale}.toml"
        path.write_text(resized("baselines", "rrdb/df2k-x4", **size))
        return str(path)

    return write


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_three_generations_of_names(scale):
    config = RRDBConfig(scale, 8, 4, 2)
    tensors = official(config)
    for names in (basicsr, lambda name: oldest(name, config)):
        renamed = {names(name): tensor for name, tensor in tensors.items()}
        assert renamed.keys() != tensors.keys()
        assert official_names(renamed).keys() == tensors.keys()
        assert all(torch.equal(tensor, tensors[name]) for name, tensor in official_names(renamed).items())
    assert official_names(tensors).keys() == tensors.keys()
    RRDBNet(config).load_state_dict(rrdb_from_official(tensors, config))


@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: {"params": t}, lambda t: {"params_ema": t}])
def test_file_to_network(tmp_path, preset, wrap):
    tensors = official(RRDBConfig(4, 8, 4, 2))
    torch.save(wrap({f"module.{basicsr(name)}": tensor for name, tensor in tensors.items()}), tmp_path / "net.pth")
    assert convert(tmp_path / "net.pth", preset(4, "trunk"), tmp_path / "out.safetensors") == "esrgan"
    network = load_esrgan(4, tmp_path / "out.safetensors")
    assert network.config == RRDBConfig(4, 8, 4, 2, long_skip="first")
    assert torch.equal(network.conv_body.weight, tensors["trunk_conv.weight"])
    assert torch.equal(load_esrgan(4, tmp_path / "net.pth").conv_last.bias, tensors["conv_last.bias"])
    assert load_weights(tmp_path / "out.safetensors")[1]["licence"] == "unknown"


def test_names_of_both_releases_need_a_word(tmp_path, preset):
    path, out, trunk = tmp_path / "net.pth", tmp_path / "out.safetensors", preset(4, "trunk")
    torch.save(official(RRDBConfig(4, 8, 4, 2)), path)
    with pytest.raises(WeightsError, match=r"esrgan or rrdb, .*choose with --models esrgan or"):
        convert(path, trunk, out)
    assert not out.exists()
    assert convert(path, trunk, out, "rrdb") == "rrdb"
    assert load_rrdb(4, out).config.long_skip == "trunk"
    before = out.read_bytes()
    with pytest.raises(SRBenchError, match=r"out\.safetensors: exists with different contents"):
        convert(path, trunk, out, "esrgan")
    assert out.read_bytes() == before
    assert convert(path, trunk, out, "rrdb") == "rrdb"
    assert convert(path, trunk, tmp_path / "other.safetensors", "esrgan") == "esrgan"
    assert load_esrgan(4, tmp_path / "other.safetensors").config.long_skip == "first"


@pytest.mark.parametrize(
    ("name", "config", "skips"),
    [
        ("df2k-x4", FULL, {"rrdb": "trunk", "esrgan": "first"}),
        ("psnr-x4", FULL, {"rrdb": "first"}),
        ("celeba-x8", RRDBConfig(8, 64, 32, 8), {"rrdb": "trunk"}),
        ("df2k-x8", RRDBConfig(8, 64, 32, 23), {"rrdb": "trunk"}),
    ],
)
def test_what_a_preset_can_be(name, config, skips):
    tensors = official(config, "meta")
    found = {"rrdb": convert_rrdb(tensors, name), "esrgan": convert_esrgan(tensors, name)}
    for model, skip in skips.items():
        assert f'"long_skip": "{skip}"' in found[model][1]["config"]
    assert {model for model, converted in found.items() if converted} == set(skips)


def test_newer_and_older_names_are_never_those_of_srflow():
    tensors = {basicsr(name): tensor for name, tensor in official(FULL, "meta").items()}
    assert convert_rrdb(tensors, "df2k-x4") is None
    assert convert_esrgan(tensors, "df2k-x4") is not None
    assert convert_rrdb(tensors, None)[1]["preset"] == "psnr-x4"


def test_without_a_preset(tmp_path):
    assert convert_rrdb(official(RRDBConfig(8, 64, 32, 8), "meta"), None)[1]["preset"] == "celeba-x8"
    with pytest.raises(WeightsError, match="of scale 4, which matches the presets df2k-x4 and psnr-x4; these"):
        convert_rrdb(official(FULL, "meta"), None)
    torch.save(official(RRDBConfig(2, 8, 4, 1)), tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"net\.pth: no preset matches this RRDB network \(1 blocks, scale 2\)"):
        load_rrdb(2, tmp_path / "net.pth")
    with pytest.raises(
        WeightsError, match="weights for scale 2, but scale 4 is requested; use scale 2, or weights for scale 4"
    ):
        load_esrgan(4, tmp_path / "net.pth")


def test_faults(tmp_path, preset):
    path, out = tmp_path / "net.pth", tmp_path / "out.safetensors"
    tensors = official(RRDBConfig(4, 8, 4, 2))
    for broken, fault in [
        (tensors | {"extra": torch.zeros(1)}, "1 tensor does not fit the network: unexpected extra"),
        (
            {k: v for k, v in tensors.items() if "RDB2" not in k},
            r"20 tensors .*missing RRDB_trunk\.0\.RDB2\.conv1\.weight",
        ),
        ({k: v for k, v in tensors.items() if "upconv2" not in k}, "scale 2, but the preset .* has scale 4"),
        ({"fc.weight": torch.zeros(2)}, r"not a checkpoint of esrgan or rrdb or srflow with the preset"),
    ]:
        torch.save(broken, path)
        with pytest.raises(WeightsError, match=fault) as caught:
            convert(path, preset(4, "trunk"), out)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
        assert not out.exists()
    with pytest.raises(WeightsError, match="missing or misshaped conv_first"):
        convert_esrgan({k: v for k, v in tensors.items() if "conv_first" not in k}, None)
    with pytest.raises(WeightsError, match="scale 1; only 2, 4 and 8 are supported"):
        convert_esrgan({k: v for k, v in tensors.items() if "upconv" not in k}, None)
