"""The model card of exported weights: what they are, what they were trained on, how good they are, how to use them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote

from torch import Tensor

from srbench.images.io import write_whole
from srbench.system import markdown
from srbench.system.config import structure, to_toml
from srbench.training.config import TrainingConfig
from srbench.weights.files import sha256_file
from srbench.weights.metadata import WeightsMetadata


def trained_as(metadata: WeightsMetadata) -> TrainingConfig:
    """The settings that weights of ours were trained with. Raises ConfigError if the metadata lack them."""
    settings = metadata.settings or {}
    return structure(settings.get("training", {}), TrainingConfig, f"settings of the {metadata.model} weights")


def write_model_card(weights: Path, tensors: Mapping[str, Tensor], metadata: WeightsMetadata) -> Path:
    """Write the card of an exported weights file beside it, as ``.md``; returns its path."""
    stored = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    numbers = sum(tensor.numel() for tensor in tensors.values())
    training = trained_as(metadata)
    facts = {
        "Model": metadata.model,
        "Scale": f"{metadata.scale}x",
        "Licence": str(metadata.licence),
        "Size": f"{numbers:,} parameters, {weights.stat().st_size / 1e6:.2f} MB as {stored}",
        "Network": json.dumps(metadata.config).replace('"', "").strip("{}"),
        "Trained on": str(metadata.trained_on),
        "Data": f"sha256 {metadata.data} of names, sizes and pixels",
        "Schedule": _schedule(training),
        "Weights": f"after step {metadata.step}",
        "sha256": sha256_file(weights),
    }
    if metadata.start:
        facts["Started from"] = f"weights with sha256 {metadata.start}"
    model = quote(f"{metadata.model}:{weights.name}")
    parts = [
        f"# {markdown.escape(weights.stem)}",
        "\n".join(f"- {name}: {markdown.escape(text)}" for name, text in facts.items()),
        "## Use",
        markdown.block(f"srbench run --models {model} --scale {metadata.scale}", "sh"),
        "## Validation",
        _validation(metadata, training.best, stored),
        "## Settings",
        f"The preset {markdown.code(str(metadata.preset))} as it was trained, changes included:",
        markdown.block(to_toml(metadata.settings).strip(), "toml"),
    ]
    path = weights.with_suffix(".md")
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _schedule(training: TrainingConfig) -> str:
    alone, at = ("constant", "halved at") if training.schedule == "step" else ("cosine", "cosine, restarted at")
    points = ", ".join(str(milestone) for milestone in training.milestones)
    return f"learning rate {training.learning_rate:g}, " + (f"{at} {points} of the steps" if points else alone)


def _validation(metadata: WeightsMetadata, best: str, stored: str) -> str:
    if not metadata.validation:
        return "There was none."
    names = [name for name in next(iter(metadata.validation.values())) if name != "step"]
    lines = [
        [which, f"{values['step']}", *(f"{values[name]:.4g}" for name in names)]
        for which, values in metadata.validation.items()
    ]
    how = f"{markdown.escape(str(metadata.validated_on))}, before the weights were stored as {stored}"
    return (
        f"On {how}. Best is by {markdown.code(best)}; `srbench show NAME` says what a metric is.\n\n"
        f"{markdown.table(['', 'step', *names], lines)}"
    )
