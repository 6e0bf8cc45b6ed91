"""What the page of ``srbench explore`` can do: open a picture, draw, move texture, show where samples differ, save."""

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
from PIL import Image
from torch import Tensor

from srbench.config import structure
from srbench.datasets import pair_of_hr
from srbench.editing.edit import Editor, lr_psnr
from srbench.editing.measures import fit_to_lr
from srbench.images import encode_png, quantize_floor, read_recipe, write_whole
from srbench.names import FILE_NAME, is_file_name, printable
from srbench.reporting.maps import DEVIATION, coloured, deviation_map
from srbench.resize import upscale
from srbench.types import Box, ImagePair, SRBenchError

MOST_PIXELS = 512 * 512
"""Of HR. A larger picture would take seconds for each movement of the slider."""
MOST_BYTES = 32 * 2**20
"""Of a picture's file."""

_KEPT = 4
_SPREAD_SAMPLES = 5


class ExploreError(SRBenchError):
    """A wish that the page cannot fulfil; its text is shown there."""


@dataclass(frozen=True)
class Wish:
    """What the page asks for: a sample, moved texture, or the spread of samples."""

    picture: str
    """As ``Opened.id``."""
    kind: Literal["sample", "style", "spread"]
    temperature: float
    seed: int = 0
    """Of a sample and of a spread."""
    source: tuple[int, ...] | None = None
    """x, y, width, height: the box whose texture is taken."""
    target: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Opened:
    """A picture that the page can work on."""

    id: str
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Made:
    """The answer to a wish."""

    png: bytes
    caption: str
    boxes: tuple[tuple[int, ...], ...]
    """Where the boxes really lie, source first."""
    recipe: str


class Explorer:
    """Pictures that are open, and the model that works on them. One wish is fulfilled at a time."""

    def __init__(self, editor: Editor, out: Path) -> None:
        self.editor, self.out = editor, out
        self._pairs: OrderedDict[str, ImagePair] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, name: str, content: bytes) -> Opened:
        """Take the bytes of a picture's file. Raises SRBenchError where they are no picture, or one too large."""
        name = PurePosixPath(name.replace("\\", "/")).name or "picture"
        if not is_file_name(name):
            raise ExploreError(f"{printable(name)[:100]} cannot be {FILE_NAME}; rename it")
        _check_size(name, content)
        with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            path = Path(folder) / name
            path.write_bytes(content)
            try:
                pair = pair_of_hr(path, self.editor.scale)
            except SRBenchError as error:
                raise ExploreError(str(error).replace(f"{folder}/", "")) from None
        height, width = pair.hr.shape[-2:]
        if min(height, width) < 2 * self.editor.scale:
            raise ExploreError(f"{name}: {width}x{height} is too small; both sides need {2 * self.editor.scale} pixels")
        opened = Opened(sha256(content).hexdigest()[:16], pair.name, width, height)
        with self._lock:
            self._pairs[opened.id] = pair
            self._pairs.move_to_end(opened.id)
            while len(self._pairs) > _KEPT:
                self._pairs.popitem(last=False)
        return opened

    def original(self, picture: str, kind: str) -> bytes:
        """PNG of what the model is given (``lr``, enlarged by bicubic interpolation), or else of HR."""
        pair = self._pair(picture)
        shown = upscale(pair.lr, self.editor.scale) if kind == "lr" else pair.hr
        return encode_png(quantize_floor(shown))

    def make(self, asked: Mapping[str, Any]) -> Made:
        """Fulfil a wish. Raises SRBenchError where it is none, or its boxes do not fit the picture."""
        wish = _wish(asked)
        pair = self._pair(wish.picture)
        recipe = json.dumps(asdict(wish) | {"name": pair.name, "scale": self.editor.scale})
        boxes: list[Box] = []
        with self._lock:
            if wish.kind == "spread":
                pixels, caption = self._spread(wish, pair)
                return Made(encode_png(pixels, recipe), caption, (), recipe)
            if wish.kind == "style":
                boxes = [_box("from", wish.source), _box("to", wish.target)]
                picture = self.editor.move_style(pair, boxes[0], boxes[1], wish.temperature)
            else:
                picture = self.editor.sample(pair, wish.temperature, 1, wish.seed)[0]
        aligned = tuple(astuple(self.editor.aligned(box, pair)) for box in boxes)
        png = encode_png(quantize_floor(picture), recipe)
        return Made(png, fit_to_lr(lr_psnr(picture, pair)), aligned, recipe)

    def save(self, asked: Mapping[str, Any]) -> Path:
        """Make it again, which gives the same, and write it into the folder of the page.

        Raises ExploreError where another picture of that name is there.
        """
        made, wish = self.make(asked), _wish(asked)
        path = self.out / f"{self._pair(wish.picture).name}_{_described(wish, made)}.png"
        if path.exists() and read_recipe(path) != made.recipe:
            raise ExploreError(f"{path} is there and was made of something else; move it away")
        write_whole(path, made.png)
        return path

    def _pair(self, picture: str) -> ImagePair:
        try:
            return self._pairs[picture]
        except KeyError:
            raise ExploreError("this picture is no longer open; choose its file again") from None

    def _spread(self, wish: Wish, pair: ImagePair) -> tuple[Tensor, str]:
        samples = self.editor.sample(pair, wish.temperature, _SPREAD_SAMPLES, wish.seed)
        values = deviation_map([sample.permute(1, 2, 0).numpy() for sample in quantize_floor(samples)])
        picture = np.array(coloured(values, DEVIATION).convert("RGB"))
        differ = f"{_SPREAD_SAMPLES} samples differ by {values.mean():.1f} grey levels on average"
        legend = f"black 0, pale yellow {DEVIATION.upper:g} or more"
        return torch.from_numpy(picture).permute(2, 0, 1), f"{differ} ({legend})"


def _check_size(name: str, content: bytes) -> None:
    try:
        with Image.open(BytesIO(content)) as file:
            width, height = file.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return  # reading it whole says what is wrong
    if width * height > MOST_PIXELS:
        raise ExploreError(
            f"{name}: {width}x{height} is too large to be explored, at most 512x512 pixels in all; cut a part out"
        )


def _wish(asked: Mapping[str, Any]) -> Wish:
    wish = structure(asked, Wish, "the page")
    if not 0 <= wish.temperature <= 2:
        raise ExploreError(f"{wish.temperature:g} is no temperature between 0 and 2")
    if not 0 <= wish.seed < 2**31:
        raise ExploreError(f"{wish.seed} is no seed; give a whole number from 0 to {2**31 - 1}")
    return wish


def _box(name: str, numbers: tuple[int, ...] | None) -> Box:
    if numbers is None or len(numbers) != 4:
        raise ExploreError(f"the box '{name}' is missing; draw it, or type x,y,width,height")
    return Box(*numbers)


def _described(wish: Wish, made: Made) -> str:
    if wish.kind == "style":
        source, target = ("-".join(map(str, box)) for box in made.boxes)
        return f"style_t{wish.temperature:g}_{source}_to_{target}"
    return f"{'spread_' if wish.kind == 'spread' else ''}t{wish.temperature:g}_seed{wish.seed}"
