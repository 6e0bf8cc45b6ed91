"""Conversion of official RRDB and ESRGAN checkpoints, which use three generations of layer names.

The first convolution of a block is ``model.1.sub.0.RDB1.conv1.0`` in the oldest files, ``RRDB_trunk.0.RDB1.conv1`` in
the ESRGAN and SRFlow repositories (called the official name in this module), and ``body.0.rdb1.conv1`` in BasicSR.
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
    """Convert an RRDB network trained with an L1 loss: SRFlow's encoder, or ESRGAN's start (preset ``psnr-x4``).

    Both releases use the same names and shapes but compute different images (``RRDBConfig.long_skip``). If several
    presets have the network's size, ``preset`` has to be given. Returns None if the tensors are not RRDB's or do not
    fit the preset. Raises WeightsError, ConfigError.
    """
    official = official_names(tensors)
    if not _is_rrdb(official):
        return None
    # SRFlow's encoders were released with official names only, so other names mean ESRGAN's long skip.
    first_skip_only = official.keys() != set(tensors)
    if preset is None:
        preset = _preset_of(config_of(official), first_skip_only=first_skip_only)
    config = RRDBConfig.from_preset(preset)
    require_scale(official, preset, config.scale)
    if first_skip_only and config.long_skip == "trunk":
        return None
    return _weights("rrdb", official, config, preset)


def convert_esrgan(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """Convert an ESRGAN generator; None if the tensors are not RRDB's or the preset is not ESRGAN's.

    ``preset`` is ``df2k-x4`` (the released generator), a TOML file, or None. Raises WeightsError, ConfigError.
    """
    official = official_names(tensors)
    if not _is_rrdb(official) or (preset not in (None, "df2k-x4") and not str(preset).endswith(".toml")):
        return None
    if preset is None:
        return _weights("esrgan", official, config_of(official), "df2k-x4")
    config = replace(RRDBConfig.from_preset(preset), long_skip="first")
    require_scale(official, preset, config.scale)
    return _weights("esrgan", official, config, preset)


def official_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors of any generation to the names of the ESRGAN repository; unknown names are kept."""
    flat_names = (re.fullmatch(r"model\.(\d+)\.weight", name) for name in tensors)
    indices = sorted({int(match[1]) for match in flat_names if match})
    # The oldest networks are a flat list: first convolution, trunk (nested, not counted here), upscalings, two
    # convolutions.
    layers = ["conv_first", *(f"upconv{step}" for step in range(1, len(indices) - 2)), "HRconv", "conv_last"]
    flat = {f"model.{index}": layer for index, layer in zip(indices, layers, strict=False)} if len(indices) > 2 else {}
    renamed = {}
    for name, tensor in tensors.items():
        layer, dot, kind = name.rpartition(".")
        layer = flat.get(layer, layer)
        for pattern, official in _OTHER_GENERATIONS:
            layer = re.sub(f"^{pattern}$", official, layer)
        renamed[f"{layer}{dot}{kind}"] = tensor
    return renamed


def rrdb_from_official(tensors: Mapping[str, Tensor], config: RRDBConfig) -> dict[str, Tensor]:
    """Rename tensors of any generation to our names for a network of this size; drop all other tensors."""
    official = official_names(tensors)
    return {ours: official[theirs] for theirs, (ours, _) in _layout(config).items() if theirs in official}


def rrdb_shapes(config: RRDBConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all tensors of a network of this size."""
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


def config_of(official: Mapping[str, Tensor]) -> RRDBConfig:
    """Infer the size of a network from official names and shapes, assuming ESRGAN's long skip.

    Raises WeightsError if a tensor that determines the size is missing, or if the scale is not 2, 4 or 8.
    """
    needed = ("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight")
    for name in needed:
        if name not in official or official[name].dim() != 4:
            raise WeightsError(
                f"missing or misshaped {name}, which determines the size of the network; get another copy of the file"
            )
    scale = scale_of(official)
    if scale not in (2, 4, 8):
        raise WeightsError(f"an RRDB network of scale {scale}; only 2, 4 and 8 are supported")
    features, growth = (official[name].shape[0] for name in needed)
    blocks = len({name.split(".")[1] for name in official if name.startswith("RRDB_trunk.")})
    return RRDBConfig(scale, features, growth, blocks, long_skip="first")  # type: ignore[arg-type]


def scale_of(official: Iterable[str]) -> int:
    """Infer the scale from official names: two to the power of the number of upscalings."""
    return int(2 ** sum(re.fullmatch(r"upconv\d\.weight", name) is not None for name in official))


def require_scale(official: Iterable[str], preset: str, scale: int) -> None:
    """Raise WeightsError if a checkpoint with these official names does not have the preset's scale."""
    checkpoint_scale = scale_of(official)
    if checkpoint_scale != scale:
        raise WeightsError(
            f"the checkpoint has scale {checkpoint_scale}, but the preset {preset} has scale {scale}; "
            "name another preset"
        )


def describe(model: str, config: object, scale: int, preset: str) -> dict[str, str]:
    """Metadata for a converted checkpoint, without licence and provenance."""
    return WeightsMetadata(model, preset, scale, to_builtins(config)).text()


def _weights(model: str, official: Mapping[str, Tensor], config: RRDBConfig, preset: str) -> Weights:
    require_shapes(official, rrdb_shapes(config))
    return rrdb_from_official(official, config), describe(model, config, config.scale, preset)


def _is_rrdb(official: Iterable[str]) -> bool:
    return any(name.startswith("RRDB_trunk.") for name in official)


def _preset_of(size: RRDBConfig, *, first_skip_only: bool) -> str:
    matching = [
        name
        for name in preset_names(files("baselines") / "presets" / "rrdb")
        if replace(config := RRDBConfig.from_preset(name), long_skip="first") == size
        and not (first_skip_only and config.long_skip == "trunk")
    ]
    if len(matching) == 1:
        return matching[0]
    if not matching:
        raise WeightsError(
            f"no preset matches this RRDB network ({size.blocks} blocks, scale {size.scale}); "
            "write one and use srbench convert --preset FILE.toml"
        )
    raise WeightsError(
        f"a network of scale {size.scale}, which matches the presets {' and '.join(matching)}; these compute different "
        "images from the same weights, so choose one with srbench convert --preset"
    )
