"""Official SRFlow checkpoints <-> ours: names, channel orders, and the tensors that do nothing.

The released networks keep every layer of the flow in one flat list and interleave shift and scale channels; ours keep
levels and steps, and shift before scale. The first convolutions that see the LR image are kept apart from those that
see the flow's own channels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
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
from srbench.config import preset_names
from srbench.weights.files import WeightsError
from srbench.weights.pretrained import require_shapes
from srflow.config import SRFlowConfig

FLOW = "flowUpsamplerNet.layers."

LevelPlan = dict[Literal["transitions", "steps", "split"], list[int]]
"""Flat layer indices of a level. A squeeze has no tensors: it is the gap where a level begins."""


def convert_srflow(tensors: Mapping[str, Tensor], preset: str | None) -> Weights | None:
    """SRFlow's released networks: presets ``celeba-x8``, ``df2k-x4``, ``df2k-x8``, or a TOML preset of another size.

    Raises WeightsError, PresetError.
    """
    if not any(name.startswith("flowUpsamplerNet.") for name in tensors):
        return None
    if preset is None:
        preset = _preset_of(size_of(tensors, ()))
    config = SRFlowConfig.from_preset(preset)
    require_scale([name.removeprefix("RRDB.") for name in tensors], preset, config.encoder.scale)
    return converted(tensors, config), describe("srflow", config, config.encoder.scale, preset)


def converted(source: Mapping[str, Tensor], config: SRFlowConfig) -> dict[str, Tensor]:
    """Official tensors -> ours, strictly but for the tensors that serve no image. Raises WeightsError."""
    useful = {name: tensor for name, tensor in source.items() if not name.startswith(_dead(config))}
    require_shapes(useful, _shapes(config))
    encoder = {name.removeprefix("RRDB."): tensor for name, tensor in useful.items() if name.startswith("RRDB.")}
    ours = {f"encoder.{name}": tensor for name, tensor in rrdb_from_official(encoder).items()}
    for level, indices in enumerate(_plan(config)):
        ours |= _level(useful, level, indices, config)
    return ours


def _dead(config: SRFlowConfig) -> tuple[str, ...]:
    """How the names begin that released files carry for nothing: an unused prior, and the encoder's last layers."""
    return ("flowUpsamplerNet.f.", "RRDB.HRconv.", "RRDB.conv_last.", f"RRDB.upconv{config.levels - 1}.")


def _plan(config: SRFlowConfig) -> list[LevelPlan]:
    plan: list[LevelPlan] = []
    index = 0
    for level in range(1, config.levels + 1):
        steps = index + 1 + config.transitions
        end = steps + config.steps
        split = [end] if level < config.levels - 1 else []
        plan.append({"transitions": list(range(index + 1, steps)), "steps": list(range(steps, end)), "split": split})
        index = end + len(split)
    return plan


def _shapes(config: SRFlowConfig) -> dict[str, torch.Size]:
    """Official names and shapes of all tensors that are of use."""
    encoder = {f"RRDB.{name}": tuple(shape) for name, shape in rrdb_shapes(config.encoder).items()}
    shapes: dict[str, tuple[int, ...]] = {k: v for k, v in encoder.items() if not k.startswith(_dead(config))}
    condition = config.encoder.features * (1 + len(config.stacked))
    channels = 3
    for indices in _plan(config):
        channels *= 4
        for index in [*indices["transitions"], *indices["steps"]]:
            shapes |= _act_norm_shapes(f"{FLOW}{index}.actnorm.", channels)
            shapes[f"{FLOW}{index}.invconv.weight"] = (channels, channels)
        for index in indices["steps"]:
            kept, affine = channels // 2, f"{FLOW}{index}.affine."
            shapes |= _network_shapes(f"{affine}fFeatures.", condition, config.width, 2 * channels)
            shapes |= _network_shapes(f"{affine}fAffine.", kept + condition, config.width, 2 * (channels - kept))
        for index in indices["split"]:
            shapes |= _zero_conv_shapes(f"{FLOW}{index}.conv.", channels // 2, channels)
            channels //= 2
    return {name: torch.Size(shape) for name, shape in shapes.items()}


def _network_shapes(prefix: str, inputs: int, width: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{prefix}0.weight": (width, inputs, 3, 3),
        **_act_norm_shapes(f"{prefix}0.actnorm.", width),
        f"{prefix}2.weight": (width, width, 1, 1),
        **_act_norm_shapes(f"{prefix}2.actnorm.", width),
        **_zero_conv_shapes(f"{prefix}4.", width, outputs),
    }


def _act_norm_shapes(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}{name}": (1, channels, 1, 1) for name in ("bias", "logs")}


def _zero_conv_shapes(prefix: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}weight": (outputs, inputs, 3, 3), f"{prefix}bias": (outputs,), f"{prefix}logs": (outputs, 1, 1)}


def size_of(source: Mapping[str, Tensor], blocks: tuple[int, ...]) -> SRFlowConfig:
    """The size of a network, read from names and shapes. Raises WeightsError where they do not tell."""
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


def _level(
    source: Mapping[str, Tensor],
    level: int,
    indices: LevelPlan,
    config: SRFlowConfig,
) -> dict[str, Tensor]:
    prefix, features = f"flow.levels.{level}.", config.encoder.features
    stacked = features * len(config.stacked)
    out: dict[str, Tensor] = {}
    for i, index in enumerate(indices["transitions"]):
        out |= _normalise_and_mix(source, f"{FLOW}{index}.", f"{prefix}transitions.{i}.")
    for i, index in enumerate(indices["steps"]):
        step, layer = f"{prefix}steps.{i}.", f"{FLOW}{index}."
        out |= _normalise_and_mix(source, layer, f"{step}mixing.")
        out |= _network(source, f"{layer}affine.fFeatures.", f"{step}injector.network.", features, stacked)
        out |= _network(source, f"{layer}affine.fAffine.", f"{step}coupling.network.", features, stacked)
    for index in indices["split"]:
        out |= _zero_conv(source, f"{FLOW}{index}.conv.", f"{prefix}split.prior.")
    return out


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file that had the first convolutions of a step's injector and coupling as one."""
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"(transitions\.\d+\.)mix\.", r"\1", name)
        name = re.sub(r"(steps\.\d+\.)(norm\.|mix\.)", lambda found: f"{found[1]}mixing.{found[2]}", name)
        name = name.replace("mixing.mix.", "mixing.").replace("coupling.first.weight", "coupling.network.first")
        joined = re.fullmatch(r"(.*steps\.\d+\.)first\.(own|stacked)", name)
        if joined:
            for network, half in zip(("injector", "coupling"), tensor.chunk(2), strict=True):
                out[f"{joined[1]}{network}.network.features.{joined[2]}"] = half
        else:
            out[name] = tensor
    return out


def _normalise_and_mix(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return _act_norm(source, f"{theirs}actnorm.", f"{ours}norm.") | {f"{ours}weight": source[f"{theirs}invconv.weight"]}


def _act_norm(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {
        f"{ours}bias": source[f"{theirs}bias"].view(-1, 1, 1),
        f"{ours}log_scale": source[f"{theirs}logs"].view(-1, 1, 1),
    }


def _network(source: Mapping[str, Tensor], theirs: str, ours: str, own: int, stacked: int) -> dict[str, Tensor]:
    first = source[f"{theirs}0.weight"]
    kept = first.shape[1] - own - stacked
    return {
        **({f"{ours}first": first[:, :kept]} if kept else {}),
        f"{ours}features.own": first[:, kept : kept + own],
        f"{ours}features.stacked": first[:, kept + own :],
        **_act_norm(source, f"{theirs}0.actnorm.", f"{ours}norm_first."),
        f"{ours}mix.weight": source[f"{theirs}2.weight"],
        **_act_norm(source, f"{theirs}2.actnorm.", f"{ours}norm_mix."),
        **_zero_conv(source, f"{theirs}4.", f"{ours}last."),
    }


def _zero_conv(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """Even channels first, then the odd ones: shift and scale, or mean and log-deviation."""
    tensors = {"weight": source[f"{theirs}weight"], "bias": source[f"{theirs}bias"]}
    tensors["log_scale"] = source[f"{theirs}logs"].flatten()
    return {f"{ours}{name}": torch.cat([tensor[0::2], tensor[1::2]]) for name, tensor in tensors.items()}
