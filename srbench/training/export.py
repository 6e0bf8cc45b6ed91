"""Export of a training: a self-describing weights file and its model card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

from huggingface_hub import EvalResult
from torch import Tensor

from srbench.files.atomic import write_new, write_whole
from srbench.files.config import structure, to_toml
from srbench.files.hashes import sha256_bytes, sha256_file
from srbench.interfaces import TEMPERATURE
from srbench.pages import markdown
from srbench.training import TrainingError
from srbench.training.config import TrainingConfig
from srbench.training.folder import BEST, NUMBERED
from srbench.training.validation import MAX_IMAGES, SIDE
from srbench.weights.card_header import card_header
from srbench.weights.files import TRAINED, weights_content, weights_in
from srbench.weights.metadata import WeightsMetadata, read_training
from srbench.weights.reading import read_weights


def export(
    run: Path,
    out: Path | None,
    *,
    best: bool,
    licence: str | None,
    temperature: float | None = None,
    results_of: Callable[[Collection[str], float | None], Sequence[EvalResult]] | None = None,
) -> tuple[Path, Path]:
    """Write the last or the ``best`` weights of the training in the folder ``run``, and a model card beside them.

    The last weights of an unfinished training are those of its checkpoint, with a warning.

    Returns both paths; without ``out``, the file is ``MODEL-PRESET.safetensors``. Its metadata are the training's, plus
    the validation results, the ``licence``, and the ``temperature`` at which reports compare a stochastic model.
    ``results_of`` returns results for the card, given the SHA-256 of the files that hold the weights, and the
    ``temperature``.
    Raises TrainingError if ``best`` is set without validated weights, or ``out`` is a file of the training itself;
    SRBenchError if ``out`` exists with other content; WeightsError if ``run`` holds no training, one without a
    checkpoint, or damaged files.
    """
    _, request = read_training(run)
    source = weights_in(run, unfinished=True)
    tensors, metadata = read_weights(source)
    out = out or Path(f"{metadata.model}-{metadata.preset}.safetensors")
    if out.suffix != ".safetensors":
        raise TrainingError(f"{out}: the name of a weights file has to end in .safetensors; rename --out")
    settings = _settings(metadata)
    own = (TRAINED, BEST, *map(NUMBERED.format, settings.numbered_steps))
    if out.resolve().parent == run.resolve() and out.name in own:
        raise TrainingError(f"{out}: is a file of the training itself; choose another --out")
    if metadata.step is None:
        metadata = replace(metadata, step=settings.steps)
    validation = {} if metadata.metrics is None else {"last": _validated(metadata)}
    if (run / BEST).is_file():
        best_tensors, best_metadata = read_weights(run / BEST)
        validation["best"] = _validated(best_metadata)
        if best:
            source, tensors, metadata = run / BEST, best_tensors, best_metadata
    elif best:
        raise TrainingError(f"{run}: has no {BEST}, because no validation gave a number; omit --best")
    if metadata.step != settings.steps and not best:
        step = f"step {metadata.step} of {settings.steps}"
        warnings.warn(f"{run}: not finished; these are the weights of {step}", stacklevel=2)
    # Names of folders instead of paths, which describe the machine rather than the weights.
    images = "images of the data (held out from training if there are ten or more)"
    if request["validation"]:
        images = f"images of the folder {Path(request['validation']).name}"
    metadata = replace(
        metadata,
        validation=validation,
        validated_on=f"at most {MAX_IMAGES} {images}, central crops of at most {SIDE} pixels; stochastic models at "
        f"temperature {TEMPERATURE}",
        licence=metadata.licence if licence is None else licence,
        temperature=temperature,
    )
    content = weights_content(tensors, metadata.text())
    results = [] if results_of is None else results_of((sha256_file(source), sha256_bytes(content)), temperature)
    write_new(out, content)
    return out, write_model_card(out, tensors, metadata, results)


def _validated(metadata: WeightsMetadata) -> dict[str, int | float]:
    return {} if metadata.step is None else {"step": metadata.step, **(metadata.metrics or {})}


def _settings(metadata: WeightsMetadata) -> TrainingConfig:
    """Settings of the training. Raises ConfigError if the metadata lack them."""
    settings = metadata.settings or {}
    return structure(settings.get("training", {}), TrainingConfig, f"settings of the {metadata.model} weights")


def write_model_card(
    weights: Path, tensors: Mapping[str, Tensor], metadata: WeightsMetadata, results: Sequence[EvalResult] = ()
) -> Path:
    """Write the model card of an exported weights file beside it, as ``.md``; returns its path.

    It replaces a card of the same weights without results.
    """
    stored = ", ".join(sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}))
    numbers = sum(tensor.numel() for tensor in tensors.values())
    training = _settings(metadata)
    lines = {
        "Model": metadata.model,
        "Scale": f"{metadata.scale}x",
        "Licence": str(metadata.licence),
        "Size": f"{numbers:,} parameters, {weights.stat().st_size / 1e6:.2f} MB as {stored}",
        "Network": json.dumps(metadata.config).replace('"', "").strip("{}"),
        "Trained on": str(metadata.trained_on),
        "Data": f"sha256 {metadata.data} of names, sizes and pixels",
        "Schedule": _schedule(training),
        "Weights": f"after step {metadata.step} of {training.steps}",
        **({} if metadata.temperature is None else {"Temperature": f"{metadata.temperature:g}"}),
        "sha256": sha256_file(weights),
    }
    if metadata.start:
        lines["Started from"] = f"weights with sha256 {metadata.start}"
    model = quote(f"{metadata.model}:{weights.name}")
    parts = [
        f"# {markdown.escape(weights.stem)}",
        "\n".join(f"- {name}: {markdown.escape(text)}" for name, text in lines.items()),
        "## Use",
        markdown.block(f"srbench run --models {model} --scale {metadata.scale}", "sh"),
        "## Validation",
        _validation(metadata, training.select_by, stored),
        "## Settings",
        f"The preset {markdown.code(str(metadata.preset))} as trained, including changes:",
        markdown.block(to_toml(metadata.settings).strip(), "toml"),
    ]
    path = weights.with_suffix(".md")
    card, without = (
        "\n\n".join([card_header(weights.stem, metadata, shown), *parts, ""]).encode() for shown in (results, [])
    )
    if path.is_file() and path.read_bytes() == without:
        write_whole(path, card)
    write_new(path, card)
    return path


def _schedule(training: TrainingConfig) -> str:
    shape = "cosine" if training.schedule == "cosine" else "constant"
    if points := ", ".join(str(milestone) for milestone in training.milestones):
        shape = f"{'cosine, restarted' if training.schedule == 'cosine' else 'halved'} at {points} of the steps"
    return f"learning rate {training.learning_rate:g}, {shape}"


def _validation(metadata: WeightsMetadata, best: str, stored: str) -> str:
    if not metadata.validation:
        return "No validation was done."
    names = [name for name in next(iter(metadata.validation.values())) if name != "step"]
    lines = [
        [which, f"{values['step']}", *(f"{values[name]:.4g}" for name in names)]
        for which, values in metadata.validation.items()
    ]
    how = f"{markdown.escape(str(metadata.validated_on))}, before the weights were stored as {stored}"
    return (
        f"On {how}. The best weights are selected by {markdown.code(best)}; `srbench show NAME` describes a metric.\n\n"
        f"{markdown.table(['', 'step', *names], lines)}"
    )
