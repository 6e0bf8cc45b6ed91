"""Official SRFlow checkpoints <-> ours: names, channel orders, and the tensors that do nothing.

The released networks keep every layer of the flow in one flat list and interleave shift and scale channels; ours keep
levels and steps, and shift before scale. The first convolutions that see the LR picture are kept apart from those that
see the flow's own channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from baselines.convert import rrdb_from_official
from baselines.rrdb import RRDBConfig
from srbench.weights import WeightsError
from srflow.config import SRFlowConfig
from srflow.model import SRFlow

FLOW = "flowUpsamplerNet.layers."


def load_official(state_dict: Mapping[str, Tensor], *, blocks: tuple[int, ...]) -> SRFlow:
    """Build the network of an official SRFlow checkpoint and fill it, in float32.

    Scale, levels, steps and the encoder's size are read from the names and shapes. ``blocks`` are the encoder blocks
    whose outputs are stacked (counted from 0), which no checkpoint tells: 1, 3, 5, 7 for CelebA 8x and DF2K 8x,
    1, 8, 15, 22 for DF2K 4x.
    Raises WeightsError where the tensors are not those of an SRFlow network.
    """
    source = {name.removeprefix("module."): tensor.float() for name, tensor in state_dict.items()}
    plan = _plan(source)
    config = _config(source, plan, blocks)
    model = SRFlow(config)
    converted = _encoder(source, model)
    for level, indices in enumerate(plan):
        converted |= _level(source, level, indices, config)
    own = model.state_dict()
    wrong = [name for name in own if name not in converted or converted[name].shape != own[name].shape]
    if wrong:
        raise WeightsError(f"{len(wrong)} tensors are missing or misshaped: {', '.join(wrong[:10])}")
    model.load_state_dict(converted)
    return model.eval()


def _plan(source: Mapping[str, Tensor]) -> list[dict[Literal["transitions", "steps", "split"], list[int]]]:
    """Flat layer indices of every level. A squeeze has no tensors: it is the gap where a level begins."""
    indices = sorted({int(name.removeprefix(FLOW).split(".")[0]) for name in source if name.startswith(FLOW)})
    if not indices or "RRDB.conv_first.weight" not in source:
        raise WeightsError("not an SRFlow checkpoint: no tensors named flowUpsamplerNet.layers.* and RRDB.*")
    levels: list[dict[Literal["transitions", "steps", "split"], list[int]]] = []
    for index in indices:
        if index - 1 not in indices:
            levels.append({"transitions": [], "steps": [], "split": []})
        if f"{FLOW}{index}.affine.fAffine.0.weight" in source:
            levels[-1]["steps"].append(index)
        elif f"{FLOW}{index}.conv.weight" in source:
            levels[-1]["split"].append(index)
        else:
            levels[-1]["transitions"].append(index)
    return levels


def _config(
    source: Mapping[str, Tensor],
    plan: list[dict[Literal["transitions", "steps", "split"], list[int]]],
    blocks: tuple[int, ...],
) -> SRFlowConfig:
    depth = len({name.split(".")[2] for name in source if name.startswith("RRDB.RRDB_trunk.")})
    features = source["RRDB.conv_first.weight"].shape[0]
    growth = source["RRDB.RRDB_trunk.0.RDB1.conv1.weight"].shape[0]
    scales: dict[int, Literal[4, 8]] = {3: 4, 4: 8}
    if len(plan) not in scales:
        raise WeightsError(f"the checkpoint has {len(plan)} levels; 3 (4x) and 4 (8x) are known")
    encoder = RRDBConfig(scales[len(plan)], features, growth, depth, long_skip="trunk")
    width = source[f"{FLOW}{plan[0]['steps'][0]}.affine.fAffine.2.weight"].shape[0]
    return SRFlowConfig(encoder, blocks, len(plan[0]["steps"]), width, len(plan[0]["transitions"]))


def _encoder(source: Mapping[str, Tensor], model: SRFlow) -> dict[str, Tensor]:
    official = {name.removeprefix("RRDB."): t for name, t in source.items() if name.startswith("RRDB.")}
    known = model.encoder.state_dict()
    return {f"encoder.{name}": t for name, t in rrdb_from_official(official).items() if name in known}


def _level(
    source: Mapping[str, Tensor],
    level: int,
    indices: dict[Literal["transitions", "steps", "split"], list[int]],
    config: SRFlowConfig,
) -> dict[str, Tensor]:
    prefix, features = f"flow.levels.{level}.", config.encoder.features
    out: dict[str, Tensor] = {}
    for i, index in enumerate(indices["transitions"]):
        out |= _normalise_and_mix(source, f"{FLOW}{index}.", f"{prefix}transitions.{i}.")
    for i, index in enumerate(indices["steps"]):
        step, layer = f"{prefix}steps.{i}.", f"{FLOW}{index}."
        out |= _normalise_and_mix(source, layer, step)
        out |= _network(source, f"{layer}affine.fFeatures.", f"{step}injector.network.")
        out |= _network(source, f"{layer}affine.fAffine.", f"{step}coupling.network.")
        injector, coupling = (source[f"{layer}affine.{name}.0.weight"] for name in ("fFeatures", "fAffine"))
        kept = coupling.shape[1] - injector.shape[1]
        out[f"{step}coupling.first.weight"] = coupling[:, :kept]
        together = torch.cat([injector, coupling[:, kept:]])
        out[f"{step}first.own"], out[f"{step}first.stacked"] = together[:, :features], together[:, features:]
    for index in indices["split"]:
        out |= _zero_conv(source, f"{FLOW}{index}.conv.", f"{prefix}split.prior.")
    return out


def _normalise_and_mix(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return _act_norm(source, f"{theirs}actnorm.", f"{ours}norm.") | {
        f"{ours}mix.weight": source[f"{theirs}invconv.weight"]
    }


def _act_norm(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {
        f"{ours}bias": source[f"{theirs}bias"].view(-1, 1, 1),
        f"{ours}log_scale": source[f"{theirs}logs"].view(-1, 1, 1),
    }


def _network(source: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    return {
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
