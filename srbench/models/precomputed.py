"""Results made elsewhere: a folder of images, paired with the dataset by name, and the facts that it states."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.files.config import load_toml, require_range
from srbench.files.hashes import sha256_file
from srbench.images.folders import images_in
from srbench.images.io import ENDINGS, read_image
from srbench.interfaces import SRBenchError

if TYPE_CHECKING:
    from torch import Tensor

_SAMPLE = re.compile(r"(.+)_sample(\d+)", re.DOTALL)
_NUMBERED = re.compile(r".*?(\d+)", re.DOTALL)


class ResultFolder:
    """One image per HR image, ``NAME.png``, or several samples, ``NAME_sample0.png`` and so on.

    A folder without images may hold folders of samples, ``NAME/0.png`` or ``0/NAME.png``, with any words before the
    number. Raises ImageError for a folder without images, and SRBenchError that names two files of one sample, such as
    ``a_sample0`` and ``a_sample00``.
    """

    def __init__(self, folder: Path, scale: int) -> None:
        self.folder, self.scale = folder, scale
        self._inner = _inner(folder)
        self.files: Mapping[str, Path] = {} if self._inner else images_in(folder)
        self._samples: dict[str, dict[int, Path]] = {}
        for stem, path in self.files.items():
            if match := _SAMPLE.fullmatch(stem):
                self._add(match[1], match[2], path)
        for path in self._inner:
            if match := _NUMBERED.fullmatch(path.stem):
                self._add(path.parent.name, match[1], path)
            if match := _NUMBERED.fullmatch(path.parent.name):
                self._add(path.stem, match[1], path)

    def _add(self, name: str, number: str, path: Path) -> None:
        other = self._samples.setdefault(name, {}).setdefault(int(number), path)
        if other is not path:
            one, two = (file.relative_to(self.folder) for file in (other, path))
            raise SRBenchError(f"{self.folder}: {one} and {two} are the same sample of {name}; move one of them away")

    def __contains__(self, name: str) -> bool:
        """True if there is a result with this name."""
        return name in self.files or name in self._samples

    def names(self) -> tuple[str, ...]:
        """Names of the images, from the files alone: samples of one image share its name.

        Raises SRBenchError where files cannot tell: folders of samples, a single result beside samples of one name.
        """
        if self._inner:
            raise SRBenchError(
                f"{self.folder}: folders of samples are paired by the names of HR or LR images; give those, or call "
                "the samples NAME_sample0.png"
            )
        found = {match[1] if (match := _SAMPLE.fullmatch(stem)) else stem for stem in self.files}
        self.others(found)
        return tuple(sorted(found))

    def count(self, name: str) -> int:
        """Number of results of a name."""
        return 1 if name in self.files else len(self._samples.get(name, {}))

    def others(self, names: Collection[str]) -> list[str]:
        """Files, without endings, that are results of none of these names.

        Raises SRBenchError if a name has both a single result and samples, unless the samples are results of other
        names.
        """
        for name in names:
            samples = [path for path in self._samples.get(name, {}).values() if path.stem not in names]
            if name in self.files and samples:
                raise SRBenchError(
                    f"{self.folder}: {self.files[name].name} and {samples[0].name} are both results of {name}, a "
                    "single one and a sample; move one of them away"
                )
        used = {path for name in names for path in self._samples.get(name, {}).values()}
        used |= {self.files[name] for name in names if name in self.files}
        paths = chain(self.files.values(), self._inner)
        return [str(path.relative_to(self.folder).with_suffix("")) for path in paths if path not in used]

    def read(self, name: str) -> Tensor:
        """(n, 3, s*h, s*w) in [0, 1], samples in order of their numbers.

        Raises SRBenchError if the image is missing or damaged, or samples differ in size.
        """
        import torch

        images = [read_image(path) for path in self._of(name)]
        if len({image.shape for image in images}) > 1:
            raise SRBenchError(f"{self.folder}: the samples of {name} differ in size; make them again")
        return torch.stack(images)

    def digest(self, name: str) -> str:
        """SHA-256 of the files of a name. Raises SRBenchError if there is none, or one cannot be read."""
        digest = hashlib.sha256()
        for path in self._of(name):
            try:
                digest.update(bytes.fromhex(sha256_file(path)))
            except OSError as error:
                raise SRBenchError(f"{path}: cannot be read ({error.strerror}); restore it and run again") from None
        return digest.hexdigest()

    def _of(self, name: str) -> list[Path]:
        if name in self.files:
            return [self.files[name]]
        numbered = self._samples.get(name)
        if not numbered:
            raise SRBenchError(f"{self.folder}: no result named {name}; add {name}.png")
        return [numbered[number] for number in sorted(numbered)]


def _inner(folder: Path) -> list[Path]:
    """The images in the folders of a folder without images."""
    try:
        if any(path.suffix.lower() in ENDINGS for path in folder.iterdir()):
            return []
        folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        found = [images_in(one) for one in folders if any(path.suffix.lower() in ENDINGS for path in one.iterdir())]
    except OSError:
        return []  # ``images_in`` names the folder that cannot be listed
    return [path for images in found for path in images.values()]


@dataclass(frozen=True)
class ResultFacts:
    """Contents of ``facts.toml``; all of it may be left out."""

    colour_fix: str | None = None
    """Correction of the outputs' colours to those of LR: ``wavelet``, ``adain``, ``none``."""
    tile: int | None = None
    """Side of the tiles in LR pixels; 0 for images that were upscaled whole."""
    steps: int | None = None
    """Number of sampler steps."""
    temperature: float | None = None
    """Sampling temperature."""
    source: str | None = None
    """Web page, commit or person that the results come from."""

    def __post_init__(self) -> None:
        """Raise ValueError for a negative number."""
        given = [name for name in ("tile", "steps", "temperature") if getattr(self, name) is not None]
        require_range(self, given, low=0)


def stated_facts(folder: Path) -> dict[str, str]:
    """Facts that a folder of results states, as texts by name; empty if it has no ``facts.toml``.

    Raises ConfigError that names every unknown key and every value of the wrong type.
    """
    path = folder / "facts.toml"
    found = asdict(load_toml(path, ResultFacts)) if path.exists() else {}
    return {name.replace("_", " "): str(value) for name, value in found.items() if value is not None}
