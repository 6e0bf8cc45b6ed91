"""Results that were made elsewhere: a folder of pictures, paired with the benchmark by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from srbench.folders import pictures_in
from srbench.images import read_image
from srbench.types import SRBenchError

_SAMPLE = re.compile(r"(.+)_sample(\d+)", re.DOTALL)


class ResultFolder:
    """One picture per benchmark picture, ``NAME.png``, or several samples: ``NAME_sample0.png`` and so on.

    Raises FolderError for a folder without pictures, SRBenchError that names two files of one sample: ``a_sample0``,
    ``a_sample00``.
    """

    def __init__(self, folder: Path, scale: int) -> None:
        self.folder, self.scale = folder, scale
        self.files = pictures_in(folder)
        self._samples: dict[str, dict[int, Path]] = {}
        for stem, path in self.files.items():
            if match := _SAMPLE.fullmatch(stem):
                numbered = self._samples.setdefault(match[1], {})
                other = numbered.setdefault(int(match[2]), path)
                if other is not path:
                    raise SRBenchError(
                        f"{folder}: {other.name} and {path.name} are one sample of {match[1]}; move one of them away"
                    )

    def __contains__(self, name: str) -> bool:
        """Is there a result of that name?"""
        return name in self.files or name in self._samples

    def others(self, names: Collection[str]) -> list[str]:
        """Its files, without endings, that are a result of none of these names."""
        samples = ((stem, _SAMPLE.fullmatch(stem)) for stem in self.files if stem not in names)
        return [stem for stem, match in samples if match is None or match[1] not in names]

    def read(self, name: str) -> Tensor:
        """(n, 3, s*h, s*w) in [0, 1], samples in order of their numbers.

        Raises SRBenchError where the picture is missing or damaged, or samples differ in size.
        """
        pictures = [read_image(path) for path in self._paths(name)]
        if len({picture.shape for picture in pictures}) > 1:
            raise SRBenchError(f"{self.folder}: the samples of {name} differ in size; make them again")
        return torch.stack(pictures)

    def digest(self, name: str) -> str:
        """sha256 of the files behind a name. Raises SRBenchError where there is none."""
        digest = hashlib.sha256()
        for path in self._paths(name):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _paths(self, name: str) -> list[Path]:
        if name in self.files:
            return [self.files[name]]
        numbered = self._samples.get(name)
        if not numbered:
            raise SRBenchError(f"{self.folder}: no result named {name}; add {name}.png")
        return [numbered[number] for number in sorted(numbered)]
