"""Loading of networks from weights files: the packaged weights of a model and scale, or any file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srbench.files.config import structure
from srbench.files.hashes import sha256_file
from srbench.interfaces import WeightsInfo
from srbench.weights.files import WeightsError, errors_naming, is_safetensors, is_training_checkpoint, packaged_weights
from srbench.weights.metadata import WeightsMetadata, read_metadata
from srbench.weights.reading import read_tensors, read_weights
from srbench.weights.table import with_licence
from srbench.weights.training_images import PACKAGED, from_text
from srbench.words import listed

Network = TypeVar("Network", bound=nn.Module)
_REPEATED = ("blocks", "steps", "transitions")
"""Configuration fields that count layers."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes of names added by DataParallel, by torch.compile, and by Lightning modules that hold the network."""


class Converter(Protocol):
    """Converter of a model's official checkpoints, for ``srbench convert``."""

    def __call__(
        self, tensors: Mapping[str, Tensor], preset: str | None
    ) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Convert tensors by official names to tensors and metadata of a weights file, without licence and provenance.

        Returns None if the checkpoint belongs to another model or cannot belong to the preset. If ``preset`` is None,
        it is chosen by the checkpoint's size. Raises SRBenchError if the checkpoint is this model's but does not fit
        the preset.
        """


@dataclass(frozen=True)
class PretrainedModel(Generic[Network]):
    """A model whose weights files can be loaded: its network, configuration, converter and packaged weights."""

    name: str
    """Name of the model in weights files."""
    network: type[Network]
    """Network class, constructed from a ``config``."""
    config: type[Any]
    convert: Converter
    package: str
    """Package that holds the packaged weights."""


def load_pretrained(model: PretrainedModel[Network], scale: int | None, path: Path | None) -> Network:
    """Build a network and load its weights from a weights file, a training checkpoint or an official checkpoint.

    Without a path, loads the packaged ``weights/<model>-mini-x<scale>.safetensors``. Without a scale, the file may have
    any. The network gets an attribute ``weights``, a WeightsInfo, and ``training_images``, the images that the weights
    state (``weights.training_images``). Raises WeightsError if the file is damaged or belongs to another model or
    scale, or no weights are packaged for this scale.
    """
    if path is None:
        return load_pretrained(model, scale, _packaged(model, scale))
    if is_safetensors(path) or is_training_checkpoint(path):
        tensors, metadata = read_weights(path)
    elif official := converted(model.convert, model.name, read_tensors(path), path):
        tensors, metadata = official
    else:
        raise WeightsError(f"{path}: not a checkpoint of {model.name}; choose another file or another model")
    if metadata.model != model.name:
        raise WeightsError(f"{path}: weights of {metadata.model}, not of {model.name}; choose weights of {model.name}")
    if scale not in (None, metadata.scale):
        raise WeightsError(
            f"{path}: weights for scale {metadata.scale}, but scale {scale} is requested; use scale {metadata.scale}, "
            f"or weights for scale {scale}"
        )
    if metadata.config is None:
        raise WeightsError(f"{path}: its metadata lack config, the size of the network; convert it again")
    config = structure(metadata.config, model.config, f"{path}: config")
    _require_layers(metadata.config, len(tensors), path)
    with torch.device("meta"), _SkipInitialisation():
        network = model.network(config)
    _require_fit(network, tensors, path)  # before memory is allocated
    own = {
        name: torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensors[name])
        for name, tensor in network.state_dict().items()
    }  # ``to_empty`` would import sympy, which is slow
    network.load_state_dict(own, assign=True)
    network.weights = WeightsInfo(  # type: ignore[assignment]
        sha256=sha256_file(path),
        licence=metadata.licence or "unknown",
        trained_on=metadata.origin or "unknown",
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        losses={
            name: values
            for name, values in (metadata.losses or {}).items()
            if not name.startswith("gradient")  # the packaged weights also hold the norms of gradients
        },
        temperature=metadata.temperature,
    )
    beside = path.with_name(PACKAGED)
    images = beside.read_bytes() if metadata.images is None and beside.is_file() else from_text(metadata.images)
    network.training_images = images  # type: ignore[assignment]
    return network.eval()


class _SkipInitialisation(TorchFunctionMode):
    """Skips random initialisation, for which the meta device would import torch's compiler, which is slow."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _require_layers(config: Mapping[str, Any], tensors: int, path: Path) -> None:
    """Raise WeightsError for more layers than tensors, because every layer has at least one tensor."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            _require_layers(value, tensors, path)
        elif name in _REPEATED and value > tensors:
            raise WeightsError(
                f"{path}: its metadata state {name} = {value}, but it holds only {tensors} tensors; replace it"
            )


def fill(network: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    """Copy tensors into a network, strictly. Raises WeightsError as ``require_shapes`` does."""
    _require_fit(network, tensors, path)
    network.load_state_dict(tensors)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Load a state dict of any project into the network that it was saved from, strictly.

    The file is any that ``read_tensors`` reads. A prefix shared by all names is removed,
    unless fewer names would then match the network's. Raises WeightsError if the file cannot be read or does not fit.
    """
    tensors = read_tensors(path)
    own = network.state_dict().keys()
    for prefix in 2 * _PREFIXES:  # twice, because prefixes may be nested: module.model.
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if all(name.startswith(prefix) for name in tensors) and len(bare.keys() & own) >= len(tensors.keys() & own):
            tensors = bare
    try:
        fill(network, tensors, path)
    except WeightsError as error:
        created = f"{type(network).__name__}(...)"
        raise WeightsError(
            f"{error}; if it was trained at another scale, choose that scale; with other arguments, add a function "
            f"that returns it, def make(): return {created}, and name the function"
        ) from None


def _require_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    with errors_naming(path):
        require_shapes(tensors, {name: tensor.shape for name, tensor in network.state_dict().items()})


def require_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Raise WeightsError that counts missing, unexpected and misshapen tensors and names the first three of each."""
    missing = [name for name in shapes if name not in tensors]
    unexpected = [name for name in tensors if name not in shapes]
    misshapen = [
        f"{name} has shape {tuple(tensors[name].shape)} instead of {tuple(shapes[name])}"
        for name in shapes
        if name in tensors and tensors[name].shape != shapes[name]
    ]
    faults = [f"missing {listed(missing)}"] if missing else []
    faults += [f"unexpected {listed(unexpected)}"] if unexpected else []
    faults += [listed(misshapen)] if misshapen else []
    if faults:
        count = len(missing) + len(unexpected) + len(misshapen)
        fit = "tensor does not fit" if count == 1 else "tensors do not fit"
        raise WeightsError(f"{count} {fit} the network: {'; '.join(faults)}")


def converted(
    convert: Converter,
    model: str,
    tensors: Mapping[str, Tensor],
    path: Path,
    preset: str | None = None,
    address: str | None = None,
) -> tuple[dict[str, Tensor], WeightsMetadata] | None:
    """Convert the tensors of an official checkpoint of ``model``; returns tensors and metadata with their provenance.

    ``address`` is the URL that the file ``path`` was downloaded from. Returns None as ``Converter`` does, and raises
    its errors, which name the path.
    """
    bare = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    with errors_naming(path):
        result = convert(bare, preset)
    if result is None:
        return None
    digest = sha256_file(path)
    metadata = with_licence(read_metadata(result[1], path), model, digest, address)
    return result[0], replace(metadata, converted_from_sha256=digest)


def _packaged(model: PretrainedModel[Network], scale: int | None) -> Path:
    packaged = packaged_weights(model.package)
    if scale is None or (model.name, scale) not in packaged:
        scales = " or ".join(str(size) for name, size in sorted(packaged) if name == model.name)
        use = f"use --scale {scales}, or " if scales else ""
        raise WeightsError(
            f"no {model.name} weights are packaged for scale {scale}; {use}name weights of that scale: "
            f"{model.name}:FILE"
        )
    return packaged[model.name, scale]
