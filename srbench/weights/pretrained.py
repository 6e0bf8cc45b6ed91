"""Networks from weights files: the packaged weights of a model and scale, or any file by its path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from srbench.files.config import structure
from srbench.files.hashes import sha256_file
from srbench.interfaces import WeightsInfo
from srbench.weights.checkpoints import ENDINGS, read_checkpoint, read_state_dict
from srbench.weights.files import WeightsError, faults_of, is_training_checkpoint, load_weights, packaged_weights
from srbench.weights.metadata import WeightsMetadata, load_described, read_metadata
from srbench.weights.table import credited
from srbench.words import listed

Network = TypeVar("Network", bound=nn.Module)
_REPEATED = ("blocks", "steps", "transitions")
"""Fields of a configuration that count layers."""
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Put before every name by DataParallel, by torch.compile, and by a network's place in a module of Lightning."""


class Converter(Protocol):
    """A reader of a model's official checkpoints, for ``srbench convert``."""

    def __call__(
        self, tensors: Mapping[str, Tensor], preset: str | None
    ) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """Tensors by official names -> tensors and metadata of a weights file, without licence and provenance.

        Returns None for a checkpoint of another model, or one that cannot belong to the preset. None as preset selects
        it by the checkpoint's size. Raises SRBenchError for a checkpoint of this model that does not fit the preset.
        """


@dataclass(frozen=True)
class Family(Generic[Network]):
    """A model, its network, and how its weights files are read."""

    model: str
    network: type[Network]
    """Network class, made from a ``config``."""
    config: type[Any]
    convert: Converter
    package: str


def load_pretrained(family: Family[Network], scale: int, path: Path | None) -> Network:
    """Build and fill the network that a weights file, the checkpoint of a training or an official one describes.

    Without a path, the file ``weights/<model>-mini-x<scale>.safetensors`` of the package is taken. The network gets
    an attribute ``weights``, a WeightsInfo.
    Raises WeightsError for a damaged file, one of another model or scale, or a scale without packaged weights.
    """
    if path is None:
        return _load_packaged(family, scale)
    tensors, metadata = _read(family, path)
    if metadata.model != family.model:
        raise WeightsError(
            f"{path}: weights of the model {metadata.model}, not of {family.model}; choose a {family.model} file"
        )
    if metadata.scale != scale:
        raise WeightsError(f"{path}: weights for scale {metadata.scale}, not {scale}; use --scale {metadata.scale}")
    if metadata.config is None:
        raise WeightsError(f"{path}: its metadata has no config that says how large the network is; convert it again")
    config = structure(metadata.config, family.config, f"{path}: config")
    _require_layers(metadata.config, len(tensors), path)
    with torch.device("meta"), _Undrawn():
        built = family.network(config)
    _require_fit(built, tensors, path)  # before memory is allocated
    own = {
        name: torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensors[name])
        for name, tensor in built.state_dict().items()
    }  # ``to_empty`` would import sympy (0.7 seconds)
    built.load_state_dict(own, assign=True)
    built.weights = WeightsInfo(  # type: ignore[assignment]
        sha256=sha256_file(path),
        licence=metadata.licence or "unknown",
        trained_on=metadata.origin or "unknown",
        parameters=sum(parameter.numel() for parameter in built.parameters()),
        losses=metadata.losses or {},
        temperature=metadata.temperature,
    )
    return built.eval()


class _Undrawn(TorchFunctionMode):
    """Skips random initialisation, for which the meta device would import torch's compiler (one second)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_normal_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def _require_layers(config: Mapping[str, Any], tensors: int, path: Path) -> None:
    """Refuse more layers than tensors, since every layer has at least one tensor."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            _require_layers(value, tensors, path)
        elif name in _REPEATED and value > tensors:
            raise WeightsError(
                f"{path}: its metadata asks for {name} {value}, but it holds {tensors} tensors; replace it"
            )


def fill(network: nn.Module, tensors: dict[str, Any], path: Path) -> None:
    """Copy tensors into a network, strictly. Raises WeightsError as ``require_shapes`` does."""
    _require_fit(network, tensors, path)
    network.load_state_dict(tensors)


def load_checkpoint(network: nn.Module, path: Path) -> None:
    """Load a state dict of any project into the network that it was saved from, strictly.

    The file is safetensors, or a checkpoint as ``read_state_dict`` reads it. A prefix that all its names have is left
    out, unless fewer of them are the network's without it. Raises WeightsError if the file cannot be read or does not
    fit.
    """
    tensors = load_weights(path)[0] if path.suffix.lower() == ".safetensors" else read_state_dict(path)
    own = network.state_dict().keys()
    for prefix in 2 * _PREFIXES:  # one may hide another: module.model.
        bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if all(name.startswith(prefix) for name in tensors) and len(bare.keys() & own) >= len(tensors.keys() & own):
            tensors = bare
    try:
        fill(network, tensors, path)
    except WeightsError as error:
        made = f"{type(network).__name__}(...)"
        raise WeightsError(
            f"{error}; if it was trained with other arguments, add a function that returns it, "
            f"def make(): return {made}, and name that"
        ) from None


def _require_fit(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    with faults_of(path):
        require_shapes(tensors, {name: tensor.shape for name, tensor in network.state_dict().items()})


def require_shapes(tensors: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    """Raise WeightsError that lists missing, unexpected and misshapen tensors: the first three of each, and how many."""
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


def _read(family: Family[Network], path: Path) -> tuple[dict[str, Tensor], WeightsMetadata]:
    if path.suffix.lower() not in ENDINGS or is_training_checkpoint(path):
        return load_described(path)
    checkpoint = read_checkpoint(path)
    with faults_of(path):
        converted = family.convert(checkpoint, None)
    if converted is None:
        raise WeightsError(f"{path}: not a checkpoint of {family.model}; choose another file, or another model for it")
    tensors, text = converted
    return tensors, credited(read_metadata(text, path), family.model, sha256_file(path))


def _load_packaged(family: Family[Network], scale: int) -> Network:
    packaged = packaged_weights(family.package)
    if (family.model, scale) not in packaged:
        there = ", ".join(str(size) for model, size in sorted(packaged) if model == family.model) or "none"
        raise WeightsError(
            f"no {family.model} weights are packaged for scale {scale} (packaged: {there}); "
            f"train some with srbench train {family.model}, and name them: {family.model}:FILE"
        )
    return load_pretrained(family, scale, packaged[family.model, scale])
