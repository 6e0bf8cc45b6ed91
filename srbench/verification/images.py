"""The saved images of a run; those that are missing are made again:
pairs from their dataset, outputs by their models.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from torch import Tensor

from srbench.benchmark.sampler import read_pair
from srbench.images.io import encode_png, pixels_sha256, quantize_floor
from srbench.interfaces import Dataset, ImagePair, SRBenchError
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder, is_kept
from srbench.run_folder.kept_images import kept_pair
from srbench.run_folder.records import SampleRecord
from srbench.verification.findings import Findings


@contextmanager
def images_of(run: RunFolder, datasets: Mapping[str, Dataset]) -> Iterator[RunImages]:
    """Give access to the saved images of a run.

    If any is missing and there are datasets, by the names of their images, this is a temporary copy of the run, in
    which missing images are made again. Raises RunFolderError if the copy cannot be written.
    """
    if not datasets or all(file.exists() for file, _ in run.kept_images()):
        yield RunImages(run, run, {})
        return
    with TemporaryDirectory() as temporary:
        copy = Path(temporary) / run.path.resolve().name
        with _disk_faults_named(run.path):
            shutil.copytree(run.path, copy, ignore_dangling_symlinks=True)
        yield RunImages(run, replace(run, path=copy), datasets)


@contextmanager
def _disk_faults_named(run: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or "files could not be copied"
        raise RunFolderError(
            f"{run}: its missing images cannot be made again in {gettempdir()} ({reason}); set TMPDIR to a folder with "
            "enough space"
        ) from None


@dataclass(frozen=True)
class RunImages:
    """The saved images of a run."""

    run: RunFolder
    """The run folder that is checked."""
    folder: RunFolder
    """The same, or a copy that gets the images that are made again."""
    datasets: Mapping[str, Dataset]
    """Datasets by the names of their images, for pairs that are made again; empty if none is."""
    made: set[Path] = field(default_factory=set)
    """Files that were made again."""

    def pair(self, image: str) -> ImagePair | None:
        """Read a pair from its files, or else from its dataset; None if neither has the pixels of its record."""
        pair, record = kept_pair(self.folder, image), self.folder.of(image).pair
        if pair is not None or record is None or image not in self.datasets:
            return pair
        try:
            read = read_pair(self.datasets[image], image)
        except SRBenchError:
            return None
        pixels = [quantize_floor(each) for each in (read.lr, read.hr) if each is not None]
        if [*map(pixels_sha256, pixels)] != [each.pixels for each in (record.lr, record.hr) if each is not None]:
            return None
        self._make(self.folder.pair_files(image), pixels)
        return ImagePair(image, *(each.float() / 255 for each in pixels))

    def make_outputs(self, record: SampleRecord, images: Iterable[Tensor]) -> None:
        """Make the saved outputs of a record that are missing from images (3, H, W) uint8 with the same pixels."""
        if self.folder is not self.run:
            self._make(self.folder.output_files(record), images)

    def _make(self, files: Iterable[Path], images: Iterable[Tensor]) -> None:
        for file, image in zip(files, images, strict=False):
            if not file.exists():
                with _disk_faults_named(self.run.path):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(encode_png(image))
                self.made.add(self.run.path / file.relative_to(self.folder.path))

    def check(self, findings: Findings) -> None:
        """Compare every saved image with its record."""
        for file, digest in self.run.kept_images():
            findings.images_kept += 1
            where = file.relative_to(self.run.path).as_posix()
            if is_kept(file, digest):
                findings.images += 1
            elif file.exists():
                findings.add("file-differs", where, "does not match its record")
            elif file in self.made:
                findings.images_made_again += 1
                findings.add("made-again", where, "is missing, and was made again with the pixels of its record")
            else:
                findings.images_missing += 1
                advice = "; --resample all makes it again" if findings.tried < findings.items else ""
                findings.add("not-compared", where, f"is missing{advice}")
