"""Variants of pyiqa's metrics: which share a network, and where their weights come from, by pyiqa's own tables."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import torch

from srbench.metrics import MetricError
from srbench.metrics.from_pyiqa import quiet
from srbench.words import unknown


def variants(name: str) -> tuple[str, ...]:
    """Return a metric and all metrics of the same network with other options: ``musiq``, ``musiq-ava`` and so on.

    Raises MetricError for an unknown name.
    """
    networks = {
        other: (config["metric_opts"]["type"], config.get("metric_mode")) for other, config in _configs(name).items()
    }
    return name, *(other for other, network in networks.items() if network == networks[name] and other != name)


def weights_origin(name: str) -> str:
    """Describe the weights of a metric: its options, and the addresses that pyiqa states, separated by spaces.

    Backbones that pyiqa takes from torchvision or timm have no address in pyiqa. Raises MetricError for an unknown
    name.
    """
    try:
        options, addresses = _options_and_addresses(name)
    except ImportError as error:
        return f"unknown: {error}"
    return " ".join([*options, *addresses]) or "no address in pyiqa"


def lacks_weights(name: str) -> bool:
    """Return whether a file is missing whose address pyiqa states for a metric, or a module that the metric needs.

    Backbones without an address in pyiqa are not looked for. Raises MetricError for an unknown name.
    """
    try:
        _, addresses = _options_and_addresses(name)
    except ImportError:
        return True
    folders = [Path(torch.hub.get_dir()) / folder for folder in ("pyiqa", "clip")]
    files = [address.rpartition("/")[2] for address in addresses]
    return not all(any((folder / file).is_file() for folder in folders) for file in files)


def _options_and_addresses(name: str) -> tuple[list[str], list[str]]:
    """Return the options that are words, and the addresses. Raises ImportError if a module of the metric is missing."""
    options = dict(_configs(name)[name]["metric_opts"])
    kind = options.pop("type")
    with quiet():
        from pyiqa import archs
        from pyiqa.archs import clip_model, inception
        from pyiqa.utils.registry import ARCH_REGISTRY

        # Private, as _MODELS: all that pyiqa offers to others creates the network, which downloads its weights.
        archs._lazy_import_arch(kind)
        network: Any = ARCH_REGISTRY.get(kind)
    stated = getattr(sys.modules[network.__module__], "default_model_urls", {})
    known = {**stated, **clip_model._MODELS, "inceptionv3": inception.FID_WEIGHTS_URL}
    defaults = {parameter.name: parameter.default for parameter in inspect.signature(network).parameters.values()}
    chosen = {name, *(value for value in (defaults | options).values() if isinstance(value, str))}
    words = [f"{key}={value}" for key, value in options.items() if isinstance(value, str)]
    addresses = dict.fromkeys(address for key, address in known.items() if key in chosen)
    return words, [*addresses] or [address for key, address in stated.items() if key == "url"]


def _configs(name: str) -> dict[str, Any]:
    """Return pyiqa's table of metrics. Raises MetricError if it lacks ``name``."""
    with quiet():
        from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if name not in DEFAULT_CONFIGS:
        raise MetricError(unknown("metric of pyiqa", name, DEFAULT_CONFIGS))
    return dict(DEFAULT_CONFIGS)
