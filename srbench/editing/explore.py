"""Requests of ``srbench explore``: open an image, sample, move texture, show where samples differ, save."""

from __future__ import annotations

import json
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from srbench.benchmark.error_maps import DEVIATION, coloured, deviation_map
from srbench.data.datasets import pair_of_hr
from srbench.editing import EditError
from srbench.editing.edit import Editor, lr_psnr
from srbench.editing.measures import fit_to_lr
from srbench.images.io import encode_png, header_size, quantize_floor, read_recipe, write_whole
from srbench.images.resize import upscale
from srbench.interfaces import Box, ImagePair, SRBenchError
from srbench.system.config import structure
from srbench.system.file_names import FILE_NAME, is_file_name, printable

MOST_PIXELS = 512 * 512
"""HR pixels of the largest image; a larger one would take seconds for each movement of the slider."""
MOST_BYTES = 32 * 2**20
"""Size of the largest image file."""

_KEPT = 4
_SPREAD_SAMPLES = 5


@dataclass(frozen=True)
class Request:
    """A sample, moved texture, or the spread of samples, as the page requests it."""

    image: str
    """Identifier, as in ``Opened.id``."""
    kind: Literal["sample", "style", "spread"]
    temperature: float
    seed: int = 0
    """Seed of a sample or a spread."""
    source: tuple[int, ...] | None = None
    """Box whose texture is taken: x, y, width, height."""
    target: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Opened:
    """An image that the page can work on."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Made:
    """Answer to a request."""

    png: bytes
    caption: str
    boxes: tuple[tuple[int, ...], ...]
    """Boxes on the model's grid, source first."""
    recipe: str


class Explorer:
    """The open images and the model. One request is answered at a time."""

    def __init__(self, editor: Editor, out: Path) -> None:
        self.editor, self.out = editor, out
        self._pairs: OrderedDict[str, ImagePair] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, name: str, content: bytes) -> Opened:
        """Open the bytes of an image file. Raises SRBenchError if they are no image, or one too large."""
        name = PurePosixPath(name.replace("\\", "/")).name or "image"
        if not is_file_name(name):
            raise EditError(f"{printable(name)[:100]} cannot be {FILE_NAME}; rename it")
        width, height = header_size(BytesIO(content))
        if width * height > MOST_PIXELS:
            raise EditError(f"{name}: {width}x{height} is too large, at most 512x512 pixels in all; cut a part out")
        with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                pair = pair_of_hr(path, self.editor.scale)
            except SRBenchError as error:
                raise EditError(str(error).replace(f"{folder}/", "")) from None
        height, width = pair.hr.shape[-2:]
        if min(height, width) < 2 * self.editor.scale:
            raise EditError(f"{name}: {width}x{height} is too small; both sides need {2 * self.editor.scale} pixels")
        opened = Opened(sha256(content).hexdigest()[:16], pair.name, width, height)
        with self._lock:
            self._pairs[opened.id] = pair
            self._pairs.move_to_end(opened.id)
            while len(self._pairs) > _KEPT:
                self._pairs.popitem(last=False)
        return opened

    def original(self, image: str, kind: str) -> bytes:
        """PNG of the model's input (``lr``, upscaled by bicubic interpolation), or else of HR."""
        pair = self._pair(image)
        shown = upscale(pair.lr, self.editor.scale) if kind == "lr" else pair.hr
        return encode_png(quantize_floor(shown))

    def make(self, asked: Mapping[str, Any]) -> Made:
        """Answer a request. Raises SRBenchError if it is invalid, or its boxes do not fit the image."""
        request = _request(asked)
        pair = self._pair(request.image)
        recipe = json.dumps(asdict(request) | {"name": pair.name, "scale": self.editor.scale})
        boxes: list[Box] = []
        with self._lock:
            if request.kind == "spread":
                pixels, caption = self._spread(request, pair)
                return Made(encode_png(pixels, recipe), caption, (), recipe)
            if request.kind == "style":
                drawn = _box("from", request.source), _box("to", request.target)
                boxes = [self.editor.aligned(box, pair) for box in drawn]
                image = self.editor.move_style(pair, boxes[0], boxes[1], request.temperature)
            else:
                image = self.editor.sample(pair, request.temperature, 1, request.seed)[0]
        png = encode_png(quantize_floor(image), recipe)
        return Made(png, fit_to_lr(lr_psnr(image, pair)), tuple(map(astuple, boxes)), recipe)

    def save(self, asked: Mapping[str, Any]) -> Path:
        """Repeat a request, which gives the same image, and write it into the folder of the page.

        Raises EditError if another image of that name exists.
        """
        made, request = self.make(asked), _request(asked)
        path = self.out / f"{self._pair(request.image).name}_{_described(request, made)}.png"
        if path.exists() and read_recipe(path) != made.recipe:
            raise EditError(f"{path} exists and was made in another way; move it away")
        write_whole(path, made.png)
        return path

    def _pair(self, image: str) -> ImagePair:
        try:
            return self._pairs[image]
        except KeyError:
            raise EditError("this image is no longer open; choose its file again") from None

    def _spread(self, request: Request, pair: ImagePair) -> tuple[Tensor, str]:
        samples = self.editor.sample(pair, request.temperature, _SPREAD_SAMPLES, request.seed)
        values = deviation_map([sample.permute(1, 2, 0).numpy() for sample in quantize_floor(samples)])
        image = np.array(coloured(values, DEVIATION).convert("RGB"))
        differ = f"{_SPREAD_SAMPLES} samples differ by {values.mean():.1f} grey levels on average"
        legend = f"black 0, pale yellow {DEVIATION.upper:g} or more"
        return torch.from_numpy(image).permute(2, 0, 1), f"{differ} ({legend})"


def _request(asked: Mapping[str, Any]) -> Request:
    request = structure(asked, Request, "the page")
    if not 0 <= request.temperature <= 2:
        raise EditError(f"{request.temperature:g} is not a temperature from 0 to 2")
    if not 0 <= request.seed < 2**31:
        raise EditError(f"{request.seed} is not a seed; give a whole number from 0 to {2**31 - 1}")
    return request


def _box(name: str, numbers: tuple[int, ...] | None) -> Box:
    if numbers is None or len(numbers) != 4:
        raise EditError(f"the box '{name}' is missing; draw it, or type x,y,width,height")
    return Box(*numbers)


def _described(request: Request, made: Made) -> str:
    if request.kind == "style":
        source, target = ("-".join(map(str, box)) for box in made.boxes)
        return f"style_t{request.temperature:g}_{source}_to_{target}"
    return f"{'spread_' if request.kind == 'spread' else ''}t{request.temperature:g}_seed{request.seed}"
