"""Conversion of official SRFlow checkpoints: names, channel orders, and removal of unused tensors.

The released networks hold all layers of the flow in one flat list and interleave shift and scale channels. Ours hold
levels and steps, put shift before scale, and split the first convolution of a network by its inputs: flow channels, the
level's own features, stacked features.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from itertools import count
from typing import Literal

import torch
from torch import Tensor

from baselines.convert import (
    Weights,
    config_of,
    describe,
    require_scale,
    rrdb_from_official,
    rrdb_shapes,
)
from srbench.files.config import preset_names
from srbench.weights.files import WeightsError
from srbench.weights.pretrained import require_shapes
from srflow.config import SRFlowConfig
from srflow.flow import ConditionalFlow

FLOW = "flowUpsamplerNet.layers."


def convert_srflow(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """Convert a released SRFlow network; None if the tensors are not from SRFlow.

    ``preset`` is ``celeba-x8``, ``df2k-x4``, ``df2k-x8`` or a TOML file for another size; None selects the preset by
    size. Raises WeightsError, ConfigError.
    """
    if not any(name.startswith("flowUpsamplerNet.") for name in tensors):
        return None
    if preset is None:
        preset = _preset_of(size_of(tensors))
    config = SRFlowConfig.from_preset(preset)
    require_scale([name.removeprefix("RRDB.") for name in tensors], preset, config.encoder.scale)
    return converted(tensors, config), describe("srflow", config, config.encoder.scale, preset)


def converted(source: Mapping[str, Tensor], config: SRFlowConfig) -> dict[str, Tensor]:
    """Convert official tensors, dropping unused ones. Raises WeightsError for any other unexpected name or shape."""
    used = {name: tensor for name, tensor in source.items() if not name.startswith(_unused(config))}
    require_shapes(used, official_shapes(config))
    encoder = {name.removeprefix("RRDB."): tensor for name, tensor in used.items() if name.startswith("RRDB.")}
    ours = {f"encoder.{name}": tensor for name, tensor in rrdb_from_official(encoder, config.encoder).items()}
    shapes = _flow_shapes(config)
    for theirs, names in _names(config):
        tensor = used[theirs]
        if re.search(r"\.(affine\.\w+\.4|conv)\.\w+$", theirs):
            # Even channels are shift or mean, odd channels scale or log-deviation.
            tensor = torch.cat([tensor[0::2], tensor[1::2]])
        parts = [tensor] if len(names) == 1 else torch.split(tensor, [shapes[name][1] for name in names], 1)
        ours |= {f"flow.{name}": part.reshape(shapes[name]) for name, part in zip(names, parts, strict=True)}
    return ours


def official_shapes(config: SRFlowConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all used tensors."""
    encoder = {f"RRDB.{name}": shape for name, shape in rrdb_shapes(config.encoder).items()}
    shapes = {name: shape for name, shape in encoder.items() if not name.startswith(_unused(config))}
    ours = _flow_shapes(config)
    for theirs, names in _names(config):
        shape = ours[names[0]]
        if ".actnorm." in theirs:
            shape = torch.Size([1, *shape])
        elif theirs.endswith(".logs"):
            shape = torch.Size([*shape, 1, 1])
        elif len(names) > 1:
            shape = torch.Size([shape[0], sum(ours[name][1] for name in names), *shape[2:]])
        shapes[theirs] = shape
    return shapes


def _flow_shapes(config: SRFlowConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        flow = ConditionalFlow.from_config(config)
    return {name: tensor.shape for name, tensor in flow.state_dict().items()}


def _unused(config: SRFlowConfig) -> tuple[str, ...]:
    """Name prefixes of unused tensors: a prior, and the last layers of the encoder."""
    return ("flowUpsamplerNet.f.", "RRDB.HRconv.", "RRDB.conv_last.", f"RRDB.upconv{config.levels - 1}.")


def _names(config: SRFlowConfig) -> Iterator[tuple[str, list[str]]]:
    """Yield the official name of every tensor of the flow, and our names for it or for its parts."""
    indices = (f"{FLOW}{index}." for index in count())
    for level in range(config.levels):
        ours = f"levels.{level}."
        next(indices)  # a squeeze has no tensors
        for i in range(config.transitions):
            yield from _mixing_names(next(indices), f"{ours}transitions.{i}.")
        for i in range(config.steps):
            theirs = next(indices)
            yield from _mixing_names(theirs, f"{ours}steps.{i}.mixing.")
            for network, layer in (("fFeatures", "injector"), ("fAffine", "coupling")):
                yield from _network_names(f"{theirs}affine.{network}.", f"{ours}steps.{i}.{layer}.network.")
        if level < config.levels - 2:
            yield from _zero_conv_names(f"{next(indices)}conv.", f"{ours}split.prior.")


def _mixing_names(theirs: str, ours: str) -> Iterator[tuple[str, list[str]]]:
    yield from _act_norm_names(f"{theirs}actnorm.", f"{ours}norm.")
    yield f"{theirs}invconv.weight", [f"{ours}weight"]


def _network_names(theirs: str, ours: str) -> Iterator[tuple[str, list[str]]]:
    kept = [f"{ours}first"] if "coupling" in ours else []
    yield f"{theirs}0.weight", [*kept, f"{ours}features.own", f"{ours}features.stacked"]
    yield from _act_norm_names(f"{theirs}0.actnorm.", f"{ours}norm_first.")
    yield f"{theirs}2.weight", [f"{ours}mix.weight"]
    yield from _act_norm_names(f"{theirs}2.actnorm.", f"{ours}norm_mix.")
    yield from _zero_conv_names(f"{theirs}4.", f"{ours}last.")


def _act_norm_names(theirs: str, ours: str) -> Iterator[tuple[str, list[str]]]:
    yield f"{theirs}bias", [f"{ours}bias"]
    yield f"{theirs}logs", [f"{ours}log_scale"]


def _zero_conv_names(theirs: str, ours: str) -> Iterator[tuple[str, list[str]]]:
    yield f"{theirs}weight", [f"{ours}weight"]
    yield from _act_norm_names(theirs, ours)


def size_of(source: Mapping[str, Tensor]) -> SRFlowConfig:
    """Infer the size of a network from names and shapes, but for the stacked blocks, which a checkpoint does not state.

    Raises WeightsError if the tensors are not SRFlow's.
    """
    matches = [re.match(rf"{re.escape(FLOW)}(\d+)\.", name) for name in source]
    indices = sorted({int(match[1]) for match in matches if match})
    if not indices or "RRDB.conv_first.weight" not in source:
        raise WeightsError(
            "not an SRFlow checkpoint: it lacks tensors named flowUpsamplerNet.layers.* or RRDB.conv_first.weight; "
            "check the path"
        )
    starts = [index for index in indices if index - 1 not in indices]
    scales: dict[int, Literal[4, 8]] = {3: 4, 4: 8}
    if len(starts) not in scales:
        raise WeightsError(f"the checkpoint has {len(starts)} levels; only 3 (4x) and 4 (8x) are supported")
    first = range(starts[0], starts[1] - 1)
    widths = [source.get(f"{FLOW}{index}.affine.fAffine.2.weight") for index in first]
    steps = [width for width in widths if width is not None and width.dim() == 4]
    if not steps:
        raise WeightsError("not an SRFlow checkpoint: its first level has no flow steps; check the path")
    encoder = config_of({name.removeprefix("RRDB."): t for name, t in source.items() if name.startswith("RRDB.")})
    encoder = replace(encoder, scale=scales[len(starts)], long_skip="trunk")
    transitions = sum(f"{FLOW}{index}.invconv.weight" in source for index in first) - len(steps)
    return SRFlowConfig(encoder, (), len(steps), steps[0].shape[0], transitions=transitions)


def _preset_of(size: SRFlowConfig) -> str:
    for name in preset_names(files("srflow") / "presets"):
        if replace(SRFlowConfig.from_preset(name), stacked=()) == size:
            return name
    raise WeightsError(
        f"no preset matches this SRFlow network (scale {size.encoder.scale}, {size.encoder.blocks} encoder blocks, "
        f"{size.steps} steps); write one and use srbench convert --preset FILE.toml"
    )
