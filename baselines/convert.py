"""Official RRDB and ESRGAN checkpoints -> ours, from three generations of layer names.

The first convolution of a block is ``model.1.sub.0.RDB1.conv1.0`` in the oldest files, ``RRDB_trunk.0.RDB1.conv1`` in
those of the ESRGAN and SRFlow repositories (the official name in this module), and ``body.0.rdb1.conv1`` in BasicSR's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import product

import torch
from msgspec import to_builtins
from torch import Tensor

from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.files.config import preset_names
from srbench.weights.files import WeightsError
from srbench.weights.metadata import WeightsMetadata
from srbench.weights.pretrained import require_shapes

Weights = tuple[dict[str, Tensor], dict[str, str]]
"""Tensors and metadata of a weights file."""

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

    Both releases have the same names and shapes but compute different images (``RRDBConfig.long_skip``). Unless the
    size of the network decides, the preset has to. Raises WeightsError, ConfigError.
    """
    official = official_names(tensors)
    if not _is_rrdb(official):
        return None
    # SRFlow's encoders were released with official names only.
    only_first = official.keys() != set(tensors)
    if preset is None:
        preset = _preset_of(found_config(official), only_first=only_first)
    config = RRDBConfig.from_preset(preset)
    require_scale(official, preset, config.scale)
    if only_first and config.long_skip == "trunk":
        return None
    return _weights("rrdb", official, config, preset)


def convert_esrgan(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """ESRGAN's generator: the released one (preset ``df2k-x4``), or any other with a TOML preset or without a preset.

    Raises WeightsError, ConfigError.
    """
    official = official_names(tensors)
    if not _is_rrdb(official) or (preset not in (None, "df2k-x4") and not str(preset).endswith(".toml")):
        return None
    if preset is None:
        return _weights("esrgan", official, found_config(official), "df2k-x4")
    config = replace(RRDBConfig.from_preset(preset), long_skip="first")
    require_scale(official, preset, config.scale)
    return _weights("esrgan", official, config, preset)


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Any generation's names -> those of the ESRGAN repository; unknown names are kept."""
    old = sorted({int(found[1]) for name in tensors if (found := re.fullmatch(r"model\.(\d+)\.weight", name))})
    # The oldest networks are a flat list: the first convolution, (the trunk,) upscalings, and two convolutions.
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


def rrdb_from_official(tensors: Mapping[str, Tensor], config: RRDBConfig) -> dict[str, Tensor]:
    """Our names for the tensors of a network of this size, from any generation's names; others are dropped."""
    official = official_names(tensors)
    return {ours: official[theirs] for theirs, (ours, _) in _layout(config).items() if theirs in official}


def rrdb_shapes(config: RRDBConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all tensors of a network."""
    return {theirs: shape for theirs, (_, shape) in _layout(config).items()}


@cache
def _layout(config: RRDBConfig) -> dict[str, tuple[str, torch.Size]]:
    """Our name and the shape of every tensor, by its official name."""
    with torch.device("meta"):
        ours = RRDBNet(config).state_dict()
    numbers = product(range(config.blocks), range(1, 4), range(1, 6))
    blocks = [f"RRDB_trunk.{block}.RDB{dense}.conv{conv}" for block, dense, conv in numbers]
    upscalings = [f"upconv{step}" for step in range(1, config.scale.bit_length())]
    layers = ["conv_first", *blocks, "trunk_conv", *upscalings, "HRconv", "conv_last"]
    theirs = [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    return {name: (own, tensor.shape) for name, (own, tensor) in zip(theirs, ours.items(), strict=True)}


def found_config(official: Mapping[str, Tensor]) -> RRDBConfig:
    """The size of a network from official names and shapes, with ESRGAN's long skip.

    Raises WeightsError if a tensor that determines the size is missing, or the scale is not 2, 4 or 8.
    """
    needed = ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight")
    for name in needed:
        if name not in official or official[name].dim() != 4:
            raise WeightsError(
                f"missing or misshaped {name}, which determines the size of the network; get another copy of the file"
            )
    scale = found_scale(official)
    if scale not in (2, 4, 8):
        raise WeightsError(f"an RRDB network of scale {scale}; 2, 4 and 8 are known")
    features, growth = (official[name].shape[0] for name in needed)
    blocks = len({name.split(".")[1] for name in official if name.startswith("RRDB_trunk.")})
    return RRDBConfig(scale, features, growth, blocks, long_skip="first")  # type: ignore[arg-type]


def found_scale(official: Iterable[str]) -> int:
    """Two to the power of the number of upscalings, from official names."""
    return int(2 ** sum(re.fullmatch(r"upconv\d\.weight", name) is not None for name in official))


def require_scale(official: Iterable[str], preset: str, scale: int) -> None:
    """Raise WeightsError if official names have another scale than the preset."""
    found = found_scale(official)
    if found != scale:
        raise WeightsError(f"a checkpoint of scale {found}, but the preset {preset} has scale {scale}; name another")


def describe(model: str, config: object, scale: int, preset: str) -> dict[str, str]:
    """Metadata of a converted checkpoint, without licence and provenance."""
    return WeightsMetadata(model, preset, scale, to_builtins(config)).text()


def _weights(model: str, official: Mapping[str, Tensor], config: RRDBConfig, preset: str) -> Weights:
    require_shapes(official, rrdb_shapes(config))
    return rrdb_from_official(official, config), describe(model, config, config.scale, preset)


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
        f"fits the presets {' and '.join(fitting)}, which compute different images from the same weights; "
        "choose with srbench convert --preset"
    )
