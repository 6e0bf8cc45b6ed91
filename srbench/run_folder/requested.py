"""A request added to the manifest of a run folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from srbench.interfaces import MetricInfo
from srbench.metrics.loading import located
from srbench.models import ModelInfo
from srbench.run_folder import RunFolderError
from srbench.run_folder.protocol import Manifest, Protocol, Setting

_Named = ModelInfo | MetricInfo


def with_request(path: Path, existing: Manifest, requested: Manifest) -> Manifest:
    """Add the models, temperatures, metrics and images of a request to the manifest of the folder ``path``.

    Raises RunFolderError, which names the difference, if protocols or images of the datasets differ, or if a label or a
    folder of images would have two meanings.
    """
    check_protocol(path, existing.protocol, requested.protocol)
    images = _joined_images(path, existing.images, requested.images)
    models = {model.label: model for model in existing.models}
    for model in requested.models:
        spec = model.spec.removeprefix(f"{model.label}=")
        _check_same(path, model.label, models.get(model.label, model), model, f"give another label: NAME={spec}")
        known = models.get(model.label, model).checkpoint  # also if this request names a checkpoint alone
        models[model.label] = replace(model, checkpoint=model.checkpoint or known)
    models = {model.label: model for model in _in_order(models.values())}
    metrics = {metric.name: metric for metric in existing.metrics}
    for metric in requested.metrics:
        _check_same(path, metric.name, metrics.get(metric.name, metric), metric, "give the metric another name")
        metrics[metric.name] = metric
    order, settings = list(models), dict.fromkeys((*existing.settings, *requested.settings))
    suite = {located(column): index for index, column in enumerate(existing.protocol.columns)}
    _check_folders(path, settings)
    return replace(
        existing,
        protocol=replace(existing.protocol, kept=max(existing.protocol.kept, requested.protocol.kept)),
        images=images,
        groups=_joined_groups(path, existing, requested),
        models=tuple(models.values()),
        settings=tuple(sorted(settings, key=lambda each: (order.index(each.model), each.temperature or 0.0))),
        metrics=tuple(sorted(metrics.values(), key=lambda metric: suite.get(metric.spec, len(suite)))),
    )


def _in_order(models: Iterable[ModelInfo]) -> list[ModelInfo]:
    """Put the checkpoints of each training in the order of their steps, at the place of the first."""
    models = list(models)
    labels = list(dict.fromkeys(model.joint_label for model in models))
    return sorted(
        models, key=lambda model: (labels.index(model.joint_label), model.checkpoint.step if model.checkpoint else 0)
    )


def _check_same(path: Path, name: str, existing: _Named, requested: _Named, advice: str) -> None:
    if existing.spec != requested.spec and existing.digest != requested.digest:
        raise RunFolderError(f"{path}: {name} stands for {existing.spec} in it, not for {requested.spec}; {advice}")


def _check_folders(path: Path, settings: Iterable[Setting]) -> None:
    """Refuse two settings that would share a folder of images, also on file systems that ignore case."""
    taken: dict[str, Setting] = {}
    for setting in settings:
        other = taken.setdefault(setting.folder.casefold(), setting)
        if other != setting:
            raise RunFolderError(
                f"{path}: would put images of {setting.model} and {other.model} into one folder "
                f"({setting.folder}); give one of them another label: NAME=MODEL"
            )


def check_protocol(path: Path, existing: Protocol, requested: Protocol) -> None:
    """Refuse a different protocol, except for the number of saved samples, which changes no value."""
    differing = [name for name, value in vars(existing).items() if name != "kept" and value != getattr(requested, name)]
    if differing:
        values = [", ".join(f"{name} {getattr(each, name)}" for name in differing) for each in (existing, requested)]
        raise RunFolderError(f"{path}: holds results of {values[0]}, not of {values[1]}; choose another --out")


def _joined_images(path: Path, existing: tuple[str, ...], requested: tuple[str, ...]) -> tuple[str, ...]:
    if set(requested) <= set(existing):
        return existing
    if set(existing) <= set(requested):
        return requested
    missing = next(name for name in requested if name not in existing)
    gone = next(name for name in existing if name not in requested)
    raise RunFolderError(
        f"{path}: holds results of other images ({gone}, which is not in the dataset; {missing} is not in the "
        "folder); choose another --out"
    )


def _joined_groups(path: Path, existing: Manifest, requested: Manifest) -> dict[str, str]:
    for image in existing.groups.keys() & requested.groups.keys():
        if existing.groups[image] != requested.groups[image]:
            raise RunFolderError(
                f"{path}: holds results of {image} in group {existing.groups[image]}, not in "
                f"{requested.groups[image]}; choose another --out"
            )
    return {**existing.groups, **requested.groups}
