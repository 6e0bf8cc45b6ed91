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
    configs = _configs(name)
    wanted = configs[name]
    same = [
        other
        for other, config in configs.items()
        if config["metric_opts"]["type"] == wanted["metric_opts"]["type"]
        and config.get("metric_mode") == wanted.get("metric_mode")
    ]
    return tuple(dict.fromkeys((name, *same)))


def weights_origin(name: str) -> str:
    """Describe the weights of a metric: its options, and the addresses that pyiqa states, separated by spaces.

    Backbones that pyiqa takes from torchvision or timm have no address in pyiqa. Raises MetricError for an unknown
    name.
    """
    options = dict(_configs(name)[name]["metric_opts"])
    kind = options.pop("type")
    with quiet():
        from pyiqa import archs
        from pyiqa.utils.registry import ARCH_REGISTRY

        try:
            archs._lazy_import_arch(kind)  # without creating the network
            network: Any = ARCH_REGISTRY.get(kind)
        except ImportError as error:
            return f"unknown: {error}"
    stated = getattr(sys.modules[network.__module__], "default_model_urls", {})
    inception = {"inceptionv3": getattr(sys.modules.get("pyiqa.archs.inception"), "FID_WEIGHTS_URL", "")}
    clip = getattr(sys.modules.get("pyiqa.archs.clip_model"), "_MODELS", {})
    defaults = {parameter.name: parameter.default for parameter in inspect.signature(network).parameters.values()}
    chosen = {name, *(value for value in (defaults | options).values() if isinstance(value, str))}
    addresses = [address for key, address in {**stated, **clip, **inception}.items() if key in chosen]
    if not addresses and "url" in stated:
        addresses = [stated["url"]]
    words = [f"{key}={value}" for key, value in options.items() if isinstance(value, str)]
    return " ".join([*words, *dict.fromkeys(addresses)]) or "no address in pyiqa"


def lacks_weights(name: str) -> bool:
    """Return whether a file is missing whose address pyiqa states for a metric, or a module that the metric needs.

    Backbones without an address in pyiqa are not looked for. Raises MetricError for an unknown name.
    """
    origin = weights_origin(name)
    hub = Path(torch.hub.get_dir())
    stated = (word.rpartition("/")[2] for word in origin.split() if word.startswith("https://"))
    return origin.startswith("unknown: ") or not all(
        any((hub / folder / file).is_file() for folder in ("pyiqa", "clip")) for file in stated
    )


def _configs(name: str) -> dict[str, Any]:
    """Return pyiqa's table of metrics. Raises MetricError if it lacks ``name``."""
    with quiet():
        from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if name not in DEFAULT_CONFIGS:
        raise MetricError(unknown("metric of pyiqa", name, DEFAULT_CONFIGS))
    return dict(DEFAULT_CONFIGS)
