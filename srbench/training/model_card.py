"""The page of a trained model: what it is, what it was trained on, how good it was, how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote

from srbench.images.io import write_whole
from srbench.system import markdown
from srbench.system.config import to_toml
from srbench.training.config import TrainingConfig
from srbench.training.export import trained_as
from srbench.weights.files import load_weights, sha256_file
from srbench.weights.metadata import WeightsMetadata


def write_model_card(weights: Path, metadata: WeightsMetadata) -> Path:
    """Write the card of a weights file beside it, as ``.md``; returns its path.

    The metadata are those of the file, as ``srbench.training.export`` has them.
    """
    tensors, _ = load_weights(weights)
    stored = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    numbers = sum(tensor.numel() for tensor in tensors.values())
    size = f"{numbers:,} parameters, {weights.stat().st_size / 1e6:.2f} MB as {stored}"
    parts = [
        f"# {markdown.escape(weights.stem)}",
        "\n".join(f"- {name}: {markdown.escape(text)}" for name, text in _lines(weights, metadata, size).items()),
        "## Use",
        markdown.block(_commands(weights, metadata), "sh"),
        "## Validation",
        _validation(metadata, stored),
        "## Settings",
        f"The preset {markdown.code(str(metadata.preset))} as it was trained, changes included:",
        markdown.block(to_toml(metadata.settings).strip(), "toml"),
    ]
    path = weights.with_suffix(".md")
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _lines(weights: Path, metadata: WeightsMetadata, size: str) -> dict[str, str]:
    lines = {
        "Model": metadata.model,
        "Scale": f"{metadata.scale}x",
        "Licence": f"{metadata.licence}",
        "Size": size,
        "Network": json.dumps(metadata.config).replace('"', "").strip("{}"),
        "Trained on": f"{metadata.trained_on}",
        "Data": f"sha256 {metadata.data} of names, sizes and pixels",
        "Schedule": _schedule(trained_as(metadata)),
        "Weights": f"after step {metadata.step}",
        "sha256": sha256_file(weights),
    }
    if metadata.start:
        lines["Started from"] = f"weights with sha256 {metadata.start}"
    return lines


def _schedule(training: TrainingConfig) -> str:
    alone, at = ("constant", "halved at") if training.schedule == "step" else ("cosine", "cosine, begun anew at")
    points = ", ".join(str(milestone) for milestone in training.milestones)
    return f"learning rate {training.learning_rate:g}, " + (f"{at} {points} of the steps" if points else alone)


def _commands(weights: Path, metadata: WeightsMetadata) -> str:
    model = quote(f"{metadata.model}:{weights.name}")
    return f"srbench run --models {model} --scale {metadata.scale}"


def _validation(metadata: WeightsMetadata, stored: str) -> str:
    if not metadata.validation:
        return "There was none."
    names = [name for name in next(iter(metadata.validation.values())) if name != "step"]
    lines = [
        [which, f"{values['step']}", *(f"{values[name]:.4g}" for name in names)]
        for which, values in metadata.validation.items()
    ]
    by = markdown.code(trained_as(metadata).best)
    how = f"{markdown.escape(str(metadata.validated_on))}, before the weights were stored as {stored}"
    return (
        f"On {how}. Best is by {by}; `srbench show NAME` says what a metric is.\n\n"
        f"{markdown.table(['', 'step', *names], lines)}"
    )
