"""Official SRFlow checkpoints converted to ours: names, channel orders, and tensors without effect.

The released networks keep every layer of the flow in one flat list and interleave shift and scale channels; ours keep
levels and steps, and shift before scale. Ours split the first convolution of a network by what it sees: channels of the
flow, own features, stacked features.
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
    describe,
    found_config,
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
    """SRFlow's released networks: presets ``celeba-x8``, ``df2k-x4``, ``df2k-x8``, or a TOML preset of another size.

    Raises WeightsError, ConfigError.
    """
    if not any(name.startswith("flowUpsamplerNet.") for name in tensors):
        return None
    if preset is None:
        preset = _preset_of(size_of(tensors, ()))
    config = SRFlowConfig.from_preset(preset)
    require_scale([name.removeprefix("RRDB.") for name in tensors], preset, config.encoder.scale)
    return converted(tensors, config), describe("srflow", config, config.encoder.scale, preset)


def converted(source: Mapping[str, Tensor], config: SRFlowConfig) -> dict[str, Tensor]:
    """Official tensors -> ours, leaving out those without effect. Raises WeightsError for any other difference."""
    useful = {name: tensor for name, tensor in source.items() if not name.startswith(_dead(config))}
    require_shapes(useful, official_shapes(config))
    encoder = {name.removeprefix("RRDB."): tensor for name, tensor in useful.items() if name.startswith("RRDB.")}
    ours = {f"encoder.{name}": tensor for name, tensor in rrdb_from_official(encoder, config.encoder).items()}
    shapes = _flow_shapes(config)
    for theirs, names in _names(config):
        tensor = useful[theirs]
        if re.search(r"\.(affine\.\w+\.4|conv)\.\w+$", theirs):
            # Shift and scale, or mean and log-deviation: the even channels, then the odd ones.
            tensor = torch.cat([tensor[0::2], tensor[1::2]])
        parts = [tensor] if len(names) == 1 else torch.split(tensor, [shapes[name][1] for name in names], 1)
        ours |= {f"flow.{name}": part.reshape(shapes[name]) for name, part in zip(names, parts, strict=True)}
    return ours


def official_shapes(config: SRFlowConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all tensors with an effect."""
    encoder = {f"RRDB.{name}": shape for name, shape in rrdb_shapes(config.encoder).items()}
    shapes = {name: shape for name, shape in encoder.items() if not name.startswith(_dead(config))}
    ours = _flow_shapes(config)
    for theirs, names in _names(config):
        first = ours[names[0]]
        if ".actnorm." in theirs:
            first = torch.Size([1, *first])
        elif theirs.endswith(".logs"):
            first = torch.Size([*first, 1, 1])
        elif len(names) > 1:
            first = torch.Size([first[0], sum(ours[name][1] for name in names), *first[2:]])
        shapes[theirs] = first
    return shapes


def _flow_shapes(config: SRFlowConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        flow = ConditionalFlow.from_config(config)
    return {name: tensor.shape for name, tensor in flow.state_dict().items()}


def _dead(config: SRFlowConfig) -> tuple[str, ...]:
    """First parts of the names of tensors without effect: an unused prior, and the last layers of the encoder."""
    return ("flowUpsamplerNet.f.", "RRDB.HRconv.", "RRDB.conv_last.", f"RRDB.upconv{config.levels - 1}.")


def _names(config: SRFlowConfig) -> Iterator[tuple[str, list[str]]]:
    """The official name of every tensor of the flow, and our names of it or of its parts."""
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


def size_of(source: Mapping[str, Tensor], blocks: tuple[int, ...]) -> SRFlowConfig:
    """The size of a network, read from names and shapes. Raises WeightsError for those of another model."""
    found = [re.match(rf"{re.escape(FLOW)}(\d+)\.", name) for name in source]
    indices = sorted({int(match[1]) for match in found if match})
    if not indices or "RRDB.conv_first.weight" not in source:
        raise WeightsError("not an SRFlow checkpoint: no tensors named flowUpsamplerNet.layers.* and RRDB.*")
    starts = [index for index in indices if index - 1 not in indices]
    scales: dict[int, Literal[4, 8]] = {3: 4, 4: 8}
    if len(starts) not in scales:
        raise WeightsError(f"the checkpoint has {len(starts)} levels; 3 (4x) and 4 (8x) are known")
    first = range(starts[0], starts[1] - 1)
    widths = [source.get(f"{FLOW}{index}.affine.fAffine.2.weight") for index in first]
    steps = [width for width in widths if width is not None and width.dim() == 4]
    if not steps:
        raise WeightsError("not an SRFlow checkpoint: no flow steps in its first level")
    encoder = found_config({name.removeprefix("RRDB."): t for name, t in source.items() if name.startswith("RRDB.")})
    encoder = replace(encoder, scale=scales[len(starts)], long_skip="trunk")
    transitions = sum(f"{FLOW}{index}.invconv.weight" in source for index in first) - len(steps)
    return SRFlowConfig(encoder, blocks, len(steps), steps[0].shape[0], transitions=transitions)


def _preset_of(found: SRFlowConfig) -> str:
    for name in preset_names(files("srflow") / "presets"):
        if replace(SRFlowConfig.from_preset(name), stacked=()) == found:
            return name
    raise WeightsError(
        f"an SRFlow network of scale {found.encoder.scale}, {found.encoder.blocks} encoder blocks and {found.steps} "
        "steps, for which there is no preset; write one and use srbench convert --preset FILE.toml"
    )
