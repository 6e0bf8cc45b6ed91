"""Official RRDB and ESRGAN checkpoints -> ours: three generations of names for the same layers.

The first convolution of a block is ``model.1.sub.0.RDB1.conv1.0`` in the oldest files, ``RRDB_trunk.0.RDB1.conv1`` in
those of the ESRGAN and SRFlow repositories, which is the official name here, and ``body.0.rdb1.conv1`` in BasicSR's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files

import cattrs
import torch
from torch import Tensor

from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.vgg import convert_vgg19
from srbench.system.config import preset_names
from srbench.weights.files import WeightsError
from srbench.weights.metadata import WeightsMetadata
from srbench.weights.pretrained import require_shapes

Weights = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors and metadata of a weights file."""

_BLOCK = re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)")
_OUR_BLOCK = re.compile(r"body\.(\d+)\.(\d)\.convs\.(\d)")
_OURS = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}
_OTHER_GENERATIONS = (
    (r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0", r"RRDB_trunk.\1.RDB\2.conv\3"),
    (r"model\.1\.sub\.\d+", "trunk_conv"),
    (r"body\.(\d+)\.rdb(\d)\.conv(\d)", r"RRDB_trunk.\1.RDB\2.conv\3"),
    (r"conv_body", "trunk_conv"),
    (r"conv_up(\d)", r"upconv\1"),
    (r"conv_hr", "HRconv"),
)


def convert_rrdb(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """RRDB networks trained with an L1 loss: the encoders of SRFlow, or the start of ESRGAN (preset ``psnr-x4``).

    Both releases use the same names and shapes and make different images of them (``RRDBConfig.long_skip``), so a
    preset has to tell them apart wherever its size does not. Raises WeightsError, PresetError.
    """
    official = official_names(tensors)
    if not _is_rrdb(official):
        return None
    # SRFlow's encoders were released under one generation of names only.
    only_first = official.keys() != set(tensors)
    if preset is None:
        preset = _preset_of(found_config(official), only_first=only_first)
    config = RRDBConfig.from_preset(preset)
    require_scale(official, preset, config.scale)
    if only_first and config.long_skip == "trunk":
        return None
    return _weights("rrdb", official, config, preset)


def convert_esrgan(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """ESRGAN's generator: released for 4x (preset ``df2k-x4``); others by a TOML preset of their own, or without one.

    With the preset ``vgg19`` torchvision's network of that name, by whose features the generator is trained.
    Raises WeightsError, PresetError.
    """
    if preset == "vgg19":
        features = convert_vgg19(tensors)
        return None if features is None else (features, WeightsMetadata("vgg19", "vgg19").text())
    official = official_names(tensors)
    if not _is_rrdb(official) or (preset not in (None, "df2k-x4") and not str(preset).endswith(".toml")):
        return None
    if preset is None:
        return _weights("esrgan", official, found_config(official), "df2k-x4")
    config = replace(RRDBConfig.from_preset(preset), long_skip="first")
    require_scale(official, preset, config.scale)
    return _weights("esrgan", official, config, preset)


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Any generation's names -> those of the ESRGAN repository; names that belong to none are kept as they are."""
    old = sorted({int(found[1]) for name in tensors if (found := re.fullmatch(r"model\.(\d+)\.weight", name))})
    # The oldest networks are one flat list: first, (trunk,) upscalings, and two convolutions at the end.
    layers = ["conv_first", *(f"upconv{step}" for step in range(1, len(old) - 2)), "HRconv", "conv_last"]
    flat = {f"model.{index}": layer for index, layer in zip(old, layers, strict=False)} if len(old) > 2 else {}
    renamed = {}
    for name, tensor in tensors.items():
        layer, dot, kind = name.rpartition(".")
        layer = flat.get(layer, layer)
        for pattern, official in _OTHER_GENERATIONS:
            layer = re.sub(f"^{pattern}$", official, layer)
        renamed[f"{layer}{dot}{kind}"] = tensor
    return renamed


def rrdb_from_official(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of an RRDBNet; names that belong to none are kept as they are."""
    return {_rename(name): tensor for name, tensor in official_names(state_dict).items()}


def rrdb_shapes(config: RRDBConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all tensors of a network."""
    with torch.device("meta"):
        own = RRDBNet(config).state_dict()
    return {_official(name): tensor.shape for name, tensor in own.items()}


def found_config(official: Mapping[str, Tensor]) -> RRDBConfig:
    """The size of a network, read from official names and shapes, as if it were ESRGAN's.

    Raises WeightsError where a tensor that tells it is missing, or its scale is none of 2, 4 and 8.
    """
    needed = ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight")
    for name in needed:
        if name not in official or official[name].dim() != 4:
            raise WeightsError(
                f"missing or misshaped {name}, which tells the size of the network; get another copy of the file"
            )
    scale = found_scale(official)
    if scale not in (2, 4, 8):
        raise WeightsError(f"an RRDB network of scale {scale}; 2, 4 and 8 are known")
    features, growth = (official[name].shape[0] for name in needed)
    blocks = len({name.split(".")[1] for name in official if name.startswith("RRDB_trunk.")})
    return RRDBConfig(scale, features, growth, blocks, long_skip="first")  # type: ignore[arg-type]


def found_scale(official: Iterable[str]) -> int:
    """2 to the number of upscalings that a network has, by official names."""
    return int(2 ** sum(re.fullmatch(r"upconv\d\.weight", name) is not None for name in official))


def require_scale(official: Iterable[str], preset: str, scale: int) -> None:
    """Raises WeightsError where official names tell another scale than that of the preset."""
    found = found_scale(official)
    if found != scale:
        raise WeightsError(f"a checkpoint of scale {found}, but the preset {preset} has scale {scale}; name another")


def describe(model: str, config: object, scale: int, preset: str) -> dict[str, str]:
    """The metadata of a converted checkpoint, without its origin."""
    return WeightsMetadata(model, preset, scale, cattrs.unstructure(config)).text()


def _weights(model: str, official: Mapping[str, Tensor], config: RRDBConfig, preset: str) -> Weights:
    require_shapes(official, rrdb_shapes(config))
    return rrdb_from_official(official), describe(model, config, config.scale, preset)


def _is_rrdb(official: Iterable[str]) -> bool:
    return any(name.startswith("RRDB_trunk.") for name in official)


def _preset_of(found: RRDBConfig, *, only_first: bool) -> str:
    fitting = [
        name
        for name in preset_names(files("baselines") / "presets" / "rrdb")
        if replace(config := RRDBConfig.from_preset(name), long_skip="first") == found
        and not (only_first and config.long_skip == "trunk")
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise WeightsError(
            f"an RRDB network of {found.blocks} blocks and scale {found.scale}, for which there is no preset; "
            "write one and use srbench convert --preset FILE.toml"
        )
    raise WeightsError(
        f"fits the presets {' and '.join(fitting)}, which make different images of the same numbers; "
        "say which with srbench convert --preset"
    )


def _rename(name: str) -> str:
    layer, _, kind = name.rpartition(".")
    block = _BLOCK.fullmatch(layer)
    if block:
        index, dense, conv = block.groups()
        return f"body.{index}.{int(dense) - 1}.convs.{int(conv) - 1}.{kind}"
    if layer.startswith("upconv"):
        return f"conv_up.{int(layer.removeprefix('upconv')) - 1}.{kind}"
    return f"{_OURS[layer]}.{kind}" if layer in _OURS else name


def _official(name: str) -> str:
    """Undo ``_rename``."""
    layer, _, kind = name.rpartition(".")
    block = _OUR_BLOCK.fullmatch(layer)
    if block:
        index, dense, conv = block.groups()
        return f"RRDB_trunk.{index}.RDB{int(dense) + 1}.conv{int(conv) + 1}.{kind}"
    if layer.startswith("conv_up."):
        return f"upconv{int(layer.removeprefix('conv_up.')) + 1}.{kind}"
    theirs = {ours: official for official, ours in _OURS.items()}
    return f"{theirs[layer]}.{kind}" if layer in theirs else name
