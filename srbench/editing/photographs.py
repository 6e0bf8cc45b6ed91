"""Photographs that are open on the page of ``srbench explore``: kept whole, shown downscaled, worked on in parts."""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from dataclasses import astuple, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from threading import Lock

from PIL import Image
from torch import Tensor

from srbench.data.datasets import pair_of_pixels
from srbench.editing import EditError
from srbench.editing.edit import require_inside
from srbench.editing.measures import cut
from srbench.images.io import read_uint8
from srbench.interfaces import Box, ImagePair, SRBenchError
from srbench.words import FILE_NAME, is_file_name, printable

MOST_PIXELS = 512 * 512
"""HR pixels of the largest part; a larger one would take seconds for each movement of the slider."""
MOST_BYTES = 256 * 2**20
"""Size of the largest image file."""

_VIEW = 1600
"""Longest side of the view in pixels."""
_KEPT, _KEPT_BYTES = 4, 2**30


@dataclass(frozen=True)
class Photograph:
    """An open photograph."""

    id: str
    name: str
    pixels: Tensor
    """All of it, (3, h, w) uint8."""
    scale: int

    @property
    def whole(self) -> Box:
        """The part that is all of it, but for what is left over at a multiple of the scale."""
        height, width = (side - side % self.scale for side in self.pixels.shape[-2:])
        return Box(0, 0, width, height)

    @property
    def first_part(self) -> Box:
        """The part to begin with: all of it, or the largest square in its centre."""
        whole = self.whole
        if whole.width * whole.height <= MOST_PIXELS:
            return whole
        most = math.isqrt(MOST_PIXELS) // self.scale * self.scale
        width, height = min(whole.width, most), min(whole.height, most)
        x, y = (
            (all_of - part) // 2 // self.scale * self.scale
            for all_of, part in ((whole.width, width), (whole.height, height))
        )
        return Box(x, y, width, height)

    def facts(self) -> dict[str, object]:
        """Facts for the page; ``part`` is the box to begin with."""
        height, width = self.pixels.shape[-2:]
        part = astuple(self.first_part)
        return {"id": self.id, "name": self.name, "width": width, "height": height, "part": part}

    def view(self) -> bytes:
        """JPEG of all of it, at most 1600 pixels wide and high."""
        image, buffer = Image.fromarray(self.pixels.permute(1, 2, 0).numpy()), BytesIO()
        image.thumbnail((_VIEW, _VIEW))
        image.save(buffer, format="JPEG", quality=85)
        return buffer.getvalue()

    def part(self, box: Box) -> ImagePair:
        """HR of a part as it is in the file, and the LR image that is made from it.

        Raises EditError for a box that leaves the photograph, is too small or too large, or has sides that are no
        multiples of the scale.
        """
        require_inside(box, self.pixels)
        if box.width % self.scale or box.height % self.scale:
            raise EditError(f"part {box}: its sides are no multiples of the scale {self.scale}; change them")
        if min(box.width, box.height) < 2 * self.scale:
            raise EditError(f"part {box} is too small; both sides need {2 * self.scale} pixels")
        if box.width * box.height > MOST_PIXELS:
            raise EditError(f"part {box} is too large, at most 512x512 pixels in all; choose a smaller one")
        return pair_of_pixels(self.name, cut(self.pixels, box), self.scale)

    def content(self, box: Box) -> Tensor:
        """Pixels (3, h, w) in [0, 1] inside a box. Raises EditError for one that is empty or leaves the photograph."""
        require_inside(box, self.pixels)
        return cut(self.pixels, box).float() / 255


class Photographs:
    """The photographs opened last: four, or fewer where these take more than a gigabyte."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self._open: OrderedDict[str, Photograph] = OrderedDict()
        self._lock = Lock()

    def add(self, name: str, content: bytes) -> Photograph:
        """Open the bytes of an image file, read as everywhere. Raises SRBenchError if they are no image, or too few."""
        name = PurePosixPath(name.replace("\\", "/")).name or "image"
        if not is_file_name(name):
            raise EditError(f"{printable(name)[:100]} cannot be {FILE_NAME}; rename it")
        with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                pixels = read_uint8(path)
            except SRBenchError as error:
                raise EditError(str(error).replace(f"{folder}/", "")) from None
        height, width = pixels.shape[-2:]
        if min(height, width) < 2 * self.scale:
            raise EditError(f"{name}: {width}x{height} is too small; both sides need {2 * self.scale} pixels")
        photograph = Photograph(sha256(content).hexdigest()[:16], path.stem, pixels, self.scale)
        with self._lock:
            self._open[photograph.id] = photograph
            self._open.move_to_end(photograph.id)
            while len(self._open) > 1 and (
                len(self._open) > _KEPT or sum(one.pixels.numel() for one in self._open.values()) > _KEPT_BYTES
            ):
                self._open.popitem(last=False)
        return photograph

    def __getitem__(self, image: str) -> Photograph:
        """The photograph of an identifier. Raises EditError if it is no longer open."""
        try:
            return self._open[image]
        except KeyError:
            raise EditError("this image is no longer open; choose its file again") from None
