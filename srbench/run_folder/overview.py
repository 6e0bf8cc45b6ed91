"""The progress of a run folder: images requested and done. Nothing here loads torch or pandas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.interfaces import MetricInfo
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import ScoreRecord


@dataclass(frozen=True)
class Overview:
    """Manifest and progress of a run folder."""

    manifest: Manifest
    requested: int
    """Number of images requested."""
    done: int
    """Number of requested images with all values of all settings."""
    missing: tuple[str, ...]
    """Titles of the metrics of many images or of models that some setting lacks."""
    samples: int
    """Number of samples of an image; 1 if no model samples."""

    @property
    def begun(self) -> str:
        """Date and time when the last command started, in UTC; empty if there was none."""
        commands = self.manifest.invocations
        return commands[-1].started[:16].replace("T", " ") if commands else ""


def overview(run: Path) -> Overview:
    """Read a run folder, while another process may be writing into it. Raises RunFolderError if it is damaged."""
    folder = RunFolder.read(run)
    manifest = folder.manifest
    items = [(setting, image) for setting in manifest.settings for image in manifest.planned(setting)]
    undone = {image for setting, image in items if not _is_done(folder, setting, image)}
    missing = [
        metric.title
        for metric in manifest.of_many
        if not all(_is_measured(folder, setting, metric) for setting in manifest.settings)
    ]
    done = sum(image not in undone for image in manifest.scope)
    counts = [len(record.outputs) for known in folder.by_image.values() for record in known.samples.values()]
    if any(setting.temperature is not None for setting in manifest.settings):
        counts.append(manifest.protocol.samples)
    return Overview(manifest, len(manifest.scope), done, tuple(missing), max(counts, default=1))


def _is_done(folder: RunFolder, setting: Setting, image: str) -> bool:
    sample = folder.sample(setting, image)
    if sample is None or sample.failed:
        return False
    return all(map(_has_value, folder.scores_of(sample, folder.manifest.of_images)))


def _is_measured(folder: RunFolder, setting: Setting, metric: MetricInfo) -> bool:
    scores = folder.scores_of_many(setting, metric)
    return bool(scores) and all(_has_value(score) for _, score in scores)


def _has_value(score: ScoreRecord | None) -> bool:
    return score is not None and not score.failed
