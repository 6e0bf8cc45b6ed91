"""Official SRFlow files: recognised, converted strictly, and loaded directly where the size tells the preset."""

import json

import pytest
import torch
from official import GOLDEN, checkpoint, load_official
from small_presets import resized

from srbench.files.hashes import sha256_file
from srbench.weights.files import WeightsError, load_weights
from srbench.weights.official import convert
from srflow import SRFlow
from srflow.checkpoints.convert import convert_srflow, official_shapes
from srflow.config import SRFlowConfig
from srflow.pretrained import load_srflow

OFFICIAL_TENSORS = {"celeba-x8": 1630, "df2k-x4": 1733, "df2k-x8": 2080}


class Case:
    def __init__(self, name, folder):
        meta = json.loads((GOLDEN / name / "meta.json").read_text())
        self.scale, self.blocks = meta["scale"], tuple(meta["blocks"])
        self.tensors = checkpoint(name)
        self.path, self.out, self.preset = folder / "SRFlow.pth", folder / "out.safetensors", folder / "tiny.toml"
        size = {"stacked": self.blocks, "steps": 2, "blocks": 2, "scale": self.scale}
        self.preset.write_text(resized("srflow", "celeba-x8", **size))

    def save(self, tensors=None):
        torch.save(self.tensors if tensors is None else tensors, self.path)

    def fault(self, preset=None):
        with pytest.raises(WeightsError) as caught:
            convert(self.path, preset or str(self.preset), self.out)
        assert not self.out.exists()
        text = str(caught.value)
        assert "\n" not in text
        return text


@pytest.fixture(params=["x4_tiny", "x8_tiny"])
def case(request, tmp_path):
    return Case(request.param, tmp_path)


@pytest.fixture
def x4(tmp_path):
    return Case("x4_tiny", tmp_path)


def test_official_file_to_weights_file(case):
    dead = {"flowUpsamplerNet.f.0.weight": torch.zeros(96, 320, 3, 3), "flowUpsamplerNet.f.0.bias": torch.zeros(96)}
    case.save({f"module.{name}": tensor for name, tensor in (case.tensors | dead).items()})
    assert convert(case.path, str(case.preset), case.out) == "srflow"
    model = load_srflow(case.scale, case.out)
    expected = load_official(case.tensors, blocks=case.blocks)
    assert model.config == expected.config
    for name, tensor in expected.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    metadata = load_weights(case.out)[1]
    assert metadata["model"] == "srflow"
    assert metadata["converted_from_sha256"] == sha256_file(case.path)


def test_faults_are_listed_by_official_name_and_counted(x4):
    broken = dict(x4.tensors)
    del broken["flowUpsamplerNet.layers.3.affine.fAffine.4.logs"]
    del broken["RRDB.trunk_conv.bias"]
    broken["RRDB.conv_first.bias"] = torch.zeros(9)
    broken["flowUpsamplerNet.layers.99.invconv.weight"] = torch.zeros(2, 2)
    x4.save(broken)
    text = x4.fault()
    assert "4 tensors do not fit" in text
    for part in (
        "missing RRDB.trunk_conv.bias, flowUpsamplerNet.layers.3.affine.fAffine.4.logs; ",
        "RRDB.conv_first.bias has shape (9,) instead of (64,)",
        "unexpected flowUpsamplerNet.layers.99.invconv.weight",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("preset", "fault"),
    [
        ("celeba-x8", "the checkpoint has scale 4, but the preset celeba-x8 has scale 8"),
        ("df2k-x4", "missing RRDB.RRDB_trunk.2.RDB1.conv1.weight"),
    ],
)
def test_a_preset_of_another_size(x4, preset, fault):
    x4.save()
    assert fault in x4.fault(preset)


@pytest.mark.parametrize("preset", OFFICIAL_TENSORS)
def test_the_size_tells_the_preset(preset):
    config = SRFlowConfig.from_preset(preset)
    shapes = official_shapes(config)
    # Two tensors of the unused prior, two each of the topmost upscaling, HRconv and conv_last.
    assert len(shapes) + 8 == OFFICIAL_TENSORS[preset]
    official = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    official[f"RRDB.upconv{config.levels - 1}.weight"] = torch.empty(1, device="meta")
    tensors, metadata = convert_srflow(official, None)
    assert (metadata["preset"], metadata["scale"]) == (preset, str(config.encoder.scale))
    with torch.device("meta"):
        own = SRFlow(config).state_dict()
    assert {name: tensor.shape for name, tensor in tensors.items()} == {name: t.shape for name, t in own.items()}


def test_directly_where_the_size_is_that_of_no_preset(x4):
    x4.save()
    with pytest.raises(
        WeightsError,
        match=r"SRFlow\.pth: no preset matches this SRFlow network \(scale 4, 2 encoder blocks, 2 steps\)",
    ):
        load_srflow(4, x4.path)


def test_directly(x4, monkeypatch):
    monkeypatch.setattr("srflow.checkpoints.convert._preset_of", lambda found: str(x4.preset))
    x4.save()
    model = load_srflow(4, x4.path)
    assert model.config.stacked == x4.blocks
    assert model.weights.sha256 == sha256_file(x4.path)
    with pytest.raises(
        WeightsError, match="weights for scale 4, but scale 8 is requested; use scale 4, or weights for scale 8"
    ):
        load_srflow(8, x4.path)


def test_a_checkpoint_of_another_model(x4):
    x4.save({name.removeprefix("RRDB."): t for name, t in x4.tensors.items() if name.startswith("RRDB.")})
    with pytest.raises(WeightsError, match="not a checkpoint of srflow"):
        load_srflow(4, x4.path)


@pytest.mark.parametrize(
    ("drop", "fault"),
    [
        ("flowUpsamplerNet.layers", "not an SRFlow checkpoint: it lacks tensors named"),
        ("RRDB.conv_first", "not an SRFlow checkpoint: it lacks tensors named"),
        ("RRDB.RRDB_trunk.0", r"missing or misshaped RRDB_trunk\.0\.RDB1\.conv1\.weight"),
        ("flowUpsamplerNet.layers.9", "do not fit the network"),
    ],
)
def test_sizes_that_cannot_be_read(x4, drop, fault):
    kept = {name: tensor for name, tensor in x4.tensors.items() if not name.startswith(f"{drop}.")}
    with pytest.raises(WeightsError, match=fault):
        load_official(kept, blocks=x4.blocks)
