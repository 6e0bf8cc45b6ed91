"""All checkpoints of a training by one name, whose path of the weights is a pattern: ``mine=net.py:Net:net_g_*.pth``.

Each file that matches is a model of its own, ``mine-50`` at step 50, the last number in the file's name. All models of
a command stay in memory.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from srbench.benchmark import RequestError
from srbench.interfaces import SRBenchError
from srbench.machine.memory import free_bytes
from srbench.models import Checkpoint, ModelInfo
from srbench.models.names import ModelSpec
from srbench.words import amount, number_of

_WILD = re.compile(r"[*?]|\[[^\]]+\]")
"""What matches several texts in a pattern: ``*``, ``?`` and ``[0-9]``."""
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?e\+?[0-9]{1,2}(?![0-9])|[0-9]+", re.IGNORECASE)
"""A number in the name of a file: ``5000``, ``5e3`` and ``5e+03``."""


def models_named(text: str) -> list[ModelSpec]:
    """Return the models that a name stands for: the checkpoints that match its pattern, by rising step, or the name
    itself.

    Raises PluginError for an invalid name, RequestError if no file matches, a file's name has no number, or two files
    have the same step.
    """
    spec = ModelSpec.parse(text)
    pattern = spec.weights or spec.name
    if not _WILD.search(pattern) or Path(pattern).exists():
        return [spec]
    found = glob.glob(pattern)  # noqa: PTH207 - Path.glob refuses absolute patterns
    paths = sorted(path for path in found if Path(path).is_file())
    if not paths:
        brackets = "; brackets are a pattern, and [[] stands for a bracket itself" if "[" in pattern else ""
        raise RequestError(f"{text}: no file is called {pattern}; check the path{brackets}")
    by_step: dict[int, str] = {}
    for path in paths:
        step = _step(path)
        if step is None:
            only_numbered = "[0-9]*".join(pattern.rsplit("*", 1))
            raise RequestError(f"{path}: no number in its name, which would be its step; leave it out: {only_numbered}")
        other = by_step.setdefault(step, path)
        if other != path:
            raise RequestError(
                f"{other} and {path}: both of step {step}, the last number in their names; name the "
                "checkpoints of one training"
            )
    label, options = (spec.typed_label, "") if spec.typed_label else (_derived_label(spec, pattern), spec.suffix)
    code = text.removeprefix(f"{spec.typed_label}=").removesuffix(f"{pattern}{spec.suffix}")
    names = [f"{label}-{step}{options}={code}{path}{spec.suffix}" for step, path in sorted(by_step.items())]
    return [replace(ModelSpec.parse(name), checkpoint=checkpoint_named(name)) for name in names]


def checkpoint_named(text: str) -> Checkpoint | None:
    """Return the checkpoint that a name in ``models_named`` of a pattern stands for; None for any other name.

    Raises PluginError for an invalid name.
    """
    spec = ModelSpec.parse(text)
    stated = _step(spec.weights or spec.name)
    label, options = spec.label, ""
    if spec.suffix and label.endswith(spec.suffix):
        label, options = label.removesuffix(spec.suffix), spec.suffix
    training, _, step = label.rpartition("-")
    return Checkpoint(f"{training}{options}", int(step)) if training and step == str(stated) else None


def _step(path: str) -> int | None:
    """Return the last number in the name of a file, its step; None if there is no number."""
    numbers = _NUMBER.findall(Path(path).stem)
    if not numbers:
        return None
    return int(numbers[-1] if numbers[-1].isdigit() else float(numbers[-1]))


def _derived_label(spec: ModelSpec, pattern: str) -> str:
    """Return the label of a pattern without step and options: ``net_g`` for ``net_g_*.pth``."""
    stem = _WILD.sub("", Path(pattern).stem).strip("._+-=")
    plain = replace(spec, consistent=False, bfloat16=False)
    if spec.weights:
        return replace(plain, weights=stem).label
    return replace(plain, kind="network", name=f"{stem or 'network'}.pth").label


def stated_scale(text: str) -> int | None:
    """Return the scale that a model states; of a pattern, that of its first checkpoint that can be read.

    Raises the SRBenchError of the last checkpoint if none can be read.
    """
    *others, last = models_named(text)
    for each in others:
        with suppress(SRBenchError):
            return each.scale()
    return last.scale()


def weights_bytes(model: ModelInfo) -> int:
    """Return the memory of a model's weights in float32; the size of its file if its parameters cannot be counted."""
    if model.weights is not None and model.weights.parameters is not None:
        return 4 * model.weights.parameters
    spec = ModelSpec.parse(model.spec)
    return (spec.weights_file() or Path(spec.name)).stat().st_size


def require_memory(models: Sequence[ModelInfo], device: str, processes: int = 1) -> None:
    """Raise RequestError if the weights of these checkpoints exceed the free memory, in each of several processes."""
    if not models:
        return
    needed, free = processes * sum(map(weights_bytes, models)), free_bytes(device)
    if free is None or needed <= free:
        return
    many = "" if processes == 1 else f" in {processes} processes"
    fewer = "" if processes == 1 else ", or with fewer --workers"
    raise RequestError(
        f"{number_of(len(models), 'checkpoint')}, such as {models[0].label}: their weights take "
        f"{amount(needed, 'B')}{many}, and {amount(free, 'B')} are free on {device}; measure them in several commands, "
        f"with narrower patterns and the same --out{fewer}"
    )
