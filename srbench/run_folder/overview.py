"""The progress of a run folder: images requested and done. Nothing here loads torch or pandas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest, Setting


@dataclass(frozen=True)
class Overview:
    """Manifest and progress of a run folder."""

    manifest: Manifest
    asked: int
    """Number of images requested."""
    done: int
    """Number of requested images with all values of all settings."""

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
    lacking = {image for setting, image in items if not _is_done(folder, setting, image)}
    return Overview(manifest, len(manifest.scope), sum(image not in lacking for image in manifest.scope))


def _is_done(folder: RunFolder, setting: Setting, image: str) -> bool:
    sample = folder.sample(setting, image)
    if sample is None or sample.failed:
        return False
    return all(score and not score.failed for score in folder.scores_of(sample, folder.manifest.metrics))
