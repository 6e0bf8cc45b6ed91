"""Images of a page: LR, HR and the outputs of every row of the table, linked or embedded.

Embedded images are lossless if the page stays small enough to mail, else compressed.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from PIL import Image

from srbench.images.decoding import FORMATS
from srbench.reporting.results import Runs
from srbench.run_folder.measurements import Measurement

MAILABLE = 8_000_000
"""Largest size of a single-file page, in bytes."""
_ATTEMPTS = ((None, True), (90, True), (80, False))
"""Attempts in order: WebP quality (None: lossless), and whether to embed all samples or only the first."""


@dataclass(frozen=True)
class Column:
    """A choice on the page: LR, HR, the output of a model, or one of its samples."""

    id: str
    """Unique name, used in links to the page."""
    title: str = field(compare=False)
    model: str
    """Empty for LR and HR."""
    temperature: float | None
    sample: int | None
    """Index from 0; None for a model with a single output."""
    setting: int | None
    """Index of the row in the table; None for LR and HR."""


LR = Column("lr", "LR", "", None, None, None)
HR = Column("hr", "HR", "", None, None, None)
Files = Mapping[str, Mapping[Column, Path]]
"""Files by image and column."""


def lr_of(results: Runs) -> Column:
    """Return LR under its title, which is another at scale 1."""
    return replace(LR, title=results.protocol.lr_title)


def kept_files(results: Runs, image: str, lines: dict[int, Measurement]) -> dict[Column, Path]:
    """Return the saved files of an image; ``lines`` are its rows by index in the table."""
    files = dict(zip((lr_of(results), HR), results.pair(image) or (), strict=False))
    for line, row in lines.items():
        setting = row.setting
        for sample, path in enumerate(results.outputs(row)):
            name, title, number = setting.folder, setting.label, None
            if row.sample.drawn:
                name, number = f"{name}_{sample + 1}", sample
                title += f" #{number + 1}" if row.samples > 1 else ""
            files[Column(name, title, setting.model, setting.temperature, number, line)] = path
    return files


def columns_of(results: Runs, files: dict[str, dict[Column, Path]]) -> list[Column]:
    """Return the columns of a page: LR, HR if there is one, then outputs in the order of the table."""
    outputs = {column for by_column in files.values() for column in by_column} - {LR, HR}
    order = sorted(outputs, key=lambda column: (column.setting, -1 if column.sample is None else column.sample))
    return [lr_of(results), *([HR] if results.has_hr else []), *order]


@dataclass(frozen=True)
class Embedded:
    """Images embedded in a page."""

    addresses: dict[str, dict[Column, str]]
    """``data:`` addresses by image and column."""
    quality: int | None
    """WebP quality; None if lossless."""
    all_samples: bool
    """False if only the first sample of each model is embedded."""


def embed(files: Files, room: int) -> Embedded:
    """Embed images with the best quality that fits into ``room`` bytes of text.

    Tries lossless images, then compressed images, then compressed images of first samples only. If even these are too
    large, as many images as fit are embedded, in their order, but at least one. LR is always lossless, because its
    pixels are magnified.
    """
    for quality, all_samples in _ATTEMPTS:
        wanted = {
            name: {column: path for column, path in by_column.items() if all_samples or not column.sample}
            for name, by_column in files.items()
        }
        addresses = _embed_in_order(wanted, quality, room)
        if len(addresses) == len(files):
            break
    if files and not addresses:
        first = next(iter(wanted))
        addresses = _embed_in_order({first: wanted[first]}, quality, math.inf)
    return Embedded(addresses, quality, all_samples)


def _embed_in_order(files: Files, quality: int | None, room: float) -> dict[str, dict[Column, str]]:
    """Embed images in their order until there is no more room."""
    taken: dict[str, dict[Column, str]] = {}
    Image.init()  # imports the formats; an import in a pool may meet another half done
    with ThreadPoolExecutor() as pool:
        for name, by_column in files.items():
            addresses = list(pool.map(partial(_encode, quality), by_column, by_column.values()))
            room -= sum(map(len, addresses))
            if room < 0:
                break
            taken[name] = dict(zip(by_column, addresses, strict=True))
    return taken


def _encode(quality: int | None, column: Column, path: Path) -> str:
    """Return the ``data:`` address of an image file."""
    with Image.open(path, formats=FORMATS) as file:
        image = file.convert("RGB")
    return exact(image) if quality is None or column == LR else _address(_webp(image, quality=quality, method=4))


def exact(image: Image.Image) -> str:
    """Return a lossless ``data:`` address of an image."""
    return _address(_webp(image, lossless=True, method=1))


def small(image: Image.Image, side: int) -> str:
    """Return a compressed ``data:`` address of an image, downscaled to fit side x side."""
    image = image.convert("RGB")
    image.thumbnail((side, side))
    return _address(_webp(image, quality=70))


def _webp(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", **options)
    return buffer.getvalue()


def _address(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
