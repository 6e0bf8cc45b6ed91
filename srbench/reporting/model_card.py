"""The page of a trained model: what it is, what it was trained on, how good it was, how to use it."""

from __future__ import annotations

import json
from pathlib import Path
from shlex import quote
from typing import Any

from srbench.config import to_toml
from srbench.images import write_whole
from srbench.reporting import markdown
from srbench.weights.files import load_weights, sha256_file


def write_model_card(weights: Path, facts: dict[str, str]) -> Path:
    """Write the card of a weights file beside it, as ``.md``; returns its path.

    ``facts`` are the metadata of the file, as ``srbench.training.export`` has them.
    """
    parts = [
        f"# {markdown.escape(weights.stem)}",
        "\n".join(f"- {name}: {markdown.escape(text)}" for name, text in _lines(weights, facts).items()),
        "## Use",
        markdown.block(_commands(weights, facts), "sh"),
        "## Validation",
        _validation(facts),
        "## Settings",
        f"The preset {markdown.code(facts['preset'])} as it was trained, changes included:",
        markdown.block(to_toml(json.loads(facts["settings"])).strip(), "toml"),
    ]
    path = weights.with_suffix(".md")
    write_whole(path, ("\n\n".join(parts) + "\n").encode())
    return path


def _lines(weights: Path, facts: dict[str, str]) -> dict[str, str]:
    settings = json.loads(facts["settings"])
    tensors, _ = load_weights(weights)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    lines = {
        "Model": facts["model"],
        "Scale": f"{facts['scale']}x",
        "Licence": facts["licence"],
        "Size": f"{numbers:,} parameters, {weights.stat().st_size / 1e6:.2f} MB as {settings['storage']}",
        "Network": facts["config"].replace('"', "").strip("{}"),
        "Trained on": facts["trained_on"],
        "Data": f"sha256 {facts['data']} of names, sizes and pixels",
        "Schedule": _schedule(settings["training"]),
        "Weights": f"after step {facts['step']}",
        "sha256": sha256_file(weights),
    }
    if facts.get("start"):
        lines["Started from"] = f"weights with sha256 {facts['start']}"
    return lines


def _schedule(training: dict[str, Any]) -> str:
    rate, milestones = training["learning_rate"], training["milestones"]
    alone, at = ("constant", "halved at") if training["schedule"] == "step" else ("cosine", "cosine, begun anew at")
    points = ", ".join(str(milestone) for milestone in milestones)
    return f"learning rate {rate:g}, " + (f"{at} {points} of the steps" if points else alone)


def _commands(weights: Path, facts: dict[str, str]) -> str:
    model = quote(f"{facts['model']}:{weights.name}")
    return f"srbench run --models {model} --scale {facts['scale']}"


def _validation(facts: dict[str, str]) -> str:
    validation = json.loads(facts["validation"])
    if not validation:
        return "There was none."
    names = [name for name in next(iter(validation.values())) if name != "step"]
    lines = [
        [which, f"{values['step']}", *(f"{values[name]:.4g}" for name in names)] for which, values in validation.items()
    ]
    settings = json.loads(facts["settings"])
    by = markdown.code(settings["training"]["best"])
    how = f"{markdown.escape(facts['validated_on'])}, before the weights were stored as {settings['storage']}"
    return (
        f"On {how}. Best is by {by}; `srbench show NAME` says what a metric is.\n\n"
        f"{markdown.table(['', 'step', *names], lines)}"
    )
