"""Precomputed outputs: a folder of images, paired with the dataset by name, and an optional ``facts.toml``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.files.config import load_toml
from srbench.files.hashes import sha256_files
from srbench.images.folders import images_by_name
from srbench.images.io import read_image
from srbench.images.pairing import Unpaired, ending_of, without_partner
from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLE = re.compile(r"(.+)_sample(\d+)", re.DOTALL)
_NUMBERED = re.compile(r".*?(\d+)", re.DOTALL)


class ResultFolder:
    """A folder with one result per image, ``NAME.png``, or several samples, ``NAME_sample0.png`` and so on.

    If the folder itself holds no images, those of its subfolders are results for the images of clips, as ``images_in``
    names them (``CLIP/NAME.png`` is ``CLIP-NAME``), or samples: ``NAME/0.png`` or ``0/NAME.png``, with any text before
    the number. The names of the images with which they are paired decide. ``ending``, such as ``_x4``, is a suffix of
    every NAME in the folder. Raises ImageError for a folder without images.
    """

    def __init__(self, folder: Path, scale: int) -> None:
        self.folder, self.scale, self.ending = folder, scale, ""
        self.files: Mapping[str, Path] = images_by_name(folder)
        self._has_subfolders = any(path.parent != folder for path in self.files.values())
        self._samples: dict[str, dict[int, list[Path]]] = {}
        """Files by name and number; two files of one number are a fault if the name is that of an image."""
        for stem, path in self.files.items():
            if match := _SAMPLE.fullmatch(stem):
                self._add(match[1], match[2], path)
            if self._has_subfolders:
                if match := _NUMBERED.fullmatch(path.stem):
                    self._add(path.parent.name, match[1], path)
                if match := _NUMBERED.fullmatch(path.parent.name):
                    self._add(path.stem, match[1], path)

    def _add(self, name: str, number: str, path: Path) -> None:
        self._samples.setdefault(name, {}).setdefault(int(number), []).append(path)

    def _numbered(self, stem: str) -> list[Path]:
        """Files of the samples of a name, ordered by number. Raises SRBenchError if two are the same sample."""
        numbered = self._samples.get(stem, {})
        for files in numbered.values():
            if len(files) > 1:
                names = " and ".join(str(file.relative_to(self.folder)) for file in files[:2])
                raise SRBenchError(f"{self.folder}: {names} are the same sample of {stem}; move one of them away")
        return [numbered[number][0] for number in sorted(numbered)]

    def pair_with(self, names: Collection[str], scale: int | None) -> None:
        """Set the ending that fits these names of images best; only that of ``scale`` if it is known."""
        self.ending = ending_of(self.stems, names, scale)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Names of all results, with the ending."""
        return frozenset(self.files) | frozenset(self._samples)

    def names(self, *, in_clips: bool = False) -> tuple[str, ...]:
        """Names of the images, inferred from the files alone; samples of an image share its name.

        Raises SRBenchError if the files leave the names ambiguous: in subfolders, unless these are ``in_clips``, or if
        a name has both a single result and samples.
        """
        if self._has_subfolders and not in_clips:
            raise SRBenchError(
                f"{self.folder}: its subfolders may be clips or samples, which the names of HR or LR images tell; give "
                "those images, --average groups for clips, or names NAME_sample0.png for samples"
            )
        names = {match[1] if (match := _SAMPLE.fullmatch(stem)) else stem for stem in self.files}
        self.unpaired(names)
        return tuple(sorted(names))

    @property
    def samples(self) -> int | None:
        """Number of samples of every image; None unless all files are NAME_sampleK, equally many of every NAME."""
        counts = {len(numbers) for numbers in self._samples.values()}
        is_stated = not self._has_subfolders and sum(map(len, self._samples.values())) == len(self.files)
        return counts.pop() if is_stated and len(counts) == 1 else None

    def unpaired(self, names: Collection[str]) -> list[str]:
        """Files, without extensions, that are not results for any image of these names.

        Raises SRBenchError if a name has both a single result and samples, unless each sample is itself the single
        result for another of these names.
        """
        names = dict.fromkeys(name + self.ending for name in names)
        stems = {path: stem for stem, path in self.files.items()}
        used: set[Path] = set()
        for name in names:
            samples = self._numbered(name)
            used.update(samples)
            if name in self.files:
                used.add(self.files[name])
                if others := [path for path in samples if stems[path] not in names]:
                    raise SRBenchError(
                        f"{self.folder}: {name} has both a single result, {self.files[name].name}, and a sample, "
                        f"{others[0].name}; move one of them away"
                    )
        return [str(path.relative_to(self.folder).with_suffix("")) for path in stems if path not in used]

    def without_partner(self, names: Collection[str], hr: object, limit: int | None = None) -> list[Unpaired]:
        """Unpaired images of the folder and of ``hr``, the folder of these names, of which only the first ``limit``
        count as missing. Raises errors as ``unpaired`` does.
        """
        return without_partner(names, hr, self.stems, self.folder, self.ending, self.unpaired(names), limit)

    def read(self, name: str) -> Tensor:
        """Read the results for an image: (n, 3, s*h, s*w) in [0, 1], samples ordered by number.

        Raises SRBenchError if a file is missing or damaged, or samples differ in size.
        """
        import torch

        images = [read_image(path) for path in self.paths(name)]
        if len({image.shape for image in images}) > 1:
            raise SRBenchError(f"{self.folder}: the samples of {name} differ in size; make them again")
        return torch.stack(images)

    def digest(self, name: str) -> str:
        """SHA-256 of the files for an image. Raises SRBenchError if there are none or a file cannot be read."""
        return sha256_files(self.paths(name))

    def paths(self, name: str) -> list[Path]:
        """Files for an image, samples ordered by number. Raises SRBenchError if there are none."""
        stem = name + self.ending
        if stem in self.files:
            return [self.files[stem]]
        if not (numbered := self._numbered(stem)):
            raise SRBenchError(f"{self.folder}: no result named {stem}; add {stem}.png")
        return numbered


@dataclass(frozen=True)
class ResultFacts:
    """Contents of ``facts.toml``; every fact is optional."""

    colour_fix: str | None = None
    """Method that matched the outputs' colours to LR: ``wavelet``, ``adain``, ``none``."""
    tile: int | None = None
    """Side of the tiles in LR pixels; 0 for images that were upscaled whole."""
    steps: int | None = None
    """Number of sampler steps."""
    temperature: float | None = None
    """Sampling temperature."""
    source: str | None = None
    """Source of the results: a web page, commit or person."""


def stated_facts(folder: Path) -> dict[str, str]:
    """Facts that a folder of results states, by name; empty without a ``facts.toml``.

    Raises ConfigError naming an unknown key or a value of the wrong type.
    """
    path = folder / "facts.toml"
    facts = asdict(load_toml(path, ResultFacts)) if path.exists() else {}
    return {name.replace("_", " "): str(value) for name, value in facts.items() if value is not None}
