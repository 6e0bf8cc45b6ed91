"""Requests of ``srbench explore``: open a photograph, sample a part, edit it, show where samples differ, save."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from srbench.editing import EditError
from srbench.editing.edit import Editor, box_mask, lr_psnr, pasted_into, require_inside
from srbench.editing.measures import fit_to_lr
from srbench.editing.photographs import Photograph, Photographs
from srbench.files.atomic import write_whole
from srbench.files.config import structure
from srbench.images.io import encode_png, quantize_floor, read_recipe
from srbench.images.resize import upscale
from srbench.interfaces import Box, ImagePair
from srbench.reporting.figures.error_maps import DEVIATION, coloured, deviation_map

_SPREAD_SAMPLES = 5


@dataclass(frozen=True)
class Request:
    """A sample, an edit or the spread of samples of a part of a photograph, as the page requests it.

    Boxes are x, y, width, height in pixels of the part, the part itself and a paste's source in those of a photograph.
    """

    image: str
    """Identifier, as in ``Photograph.id``."""
    kind: Literal["sample", "style", "content", "restore", "spread"]
    temperature: float
    part: tuple[int, ...] | None = None
    """None: the whole photograph."""
    seed: int = 0
    """Seed of everything but moved texture, which has none."""
    source: tuple[int, ...] | None = None
    """Box whose texture or content is taken."""
    target: tuple[int, ...] | None = None
    source_image: str | None = None
    """Photograph whose content is taken; None: this one."""


@dataclass(frozen=True)
class Made:
    """Answer to a request."""

    png: bytes
    caption: str
    boxes: tuple[tuple[int, ...], ...]
    """Boxes in the part, texture's on the model's grid, source first."""
    recipe: str
    seconds: float


class Explorer:
    """The open photographs and the model. One request is answered at a time."""

    def __init__(self, editor: Editor, out: Path) -> None:
        self.editor, self.out = editor, out
        self.photographs = Photographs(editor.scale)
        self._lock = threading.Lock()

    def open(self, name: str, content: bytes) -> Photograph:
        """Open the bytes of an image file. Raises SRBenchError if they are no image, or one too small or too large."""
        return self.photographs.add(name, content)

    def original(self, image: str, part: tuple[int, ...] | None, kind: str) -> bytes:
        """PNG of a part's HR, or with kind ``lr`` of the model's input, upscaled by bicubic interpolation."""
        pair = self._part(image, part)[1]
        shown = upscale(pair.lr, self.editor.scale) if kind == "lr" else pair.hr
        return encode_png(quantize_floor(shown))

    def make(self, asked: Mapping[str, Any]) -> Made:
        """Answer a request. Raises SRBenchError if it is invalid, or its boxes do not fit the image."""
        request = _request(asked)
        part, pair = self._part(request.image, request.part)
        facts = self.editor.made_by | asdict(request)
        facts |= {"name": pair.name, "scale": self.editor.scale, "part": astuple(part)}
        recipe = json.dumps(facts)
        with self._lock:
            start = time.monotonic()
            pixels, caption, boxes = self._made(request, pair)
            seconds = time.monotonic() - start
        return Made(encode_png(pixels, recipe), caption, tuple(map(astuple, boxes)), recipe, seconds)

    def save(self, asked: Mapping[str, Any]) -> Path:
        """Repeat a request, which gives the same image, and write it into the folder of the page.

        Raises EditError if another image of that name exists.
        """
        made, request = self.make(asked), _request(asked)
        photograph, part = self.photographs[request.image], self._part(request.image, request.part)[0]
        place = "" if part == photograph.whole else f"_{_joined(astuple(part))}"
        path = self.out / f"{photograph.name}{place}_{_described(request, made)}.png"
        if path.exists() and read_recipe(path) != made.recipe:
            raise EditError(f"{path} exists and was made differently; move it away")
        write_whole(path, made.png)
        return path

    def _part(self, image: str, numbers: tuple[int, ...] | None) -> tuple[Box, ImagePair]:
        photograph = self.photographs[image]
        box = photograph.whole if numbers is None else _box("part", numbers)
        return box, photograph.part(box)

    def _made(self, request: Request, pair: ImagePair) -> tuple[Tensor, str, list[Box]]:
        """Pixels (3, H, W) uint8, the caption, and the boxes in the part."""
        boxes: list[Box] = []
        match request.kind:
            case "spread":
                return *self._spread(request, pair), boxes
            case "style":
                drawn = _box("from", request.source), _box("to", request.target)
                boxes = [self.editor.aligned(box, pair) for box in drawn]
                image = self.editor.move_style(pair, boxes[0], boxes[1], request.temperature)
            case "content":
                boxes = [_box("to", request.target)]
                image = self._pasted(request, pair, boxes[0])
            case "restore":
                image = self.editor.restore(pair, request.temperature, request.seed)
            case "sample":
                image = self.editor.sample(pair, request.temperature, 1, request.seed)[0]
        return quantize_floor(image), fit_to_lr(lr_psnr(image, pair)), boxes

    def _pasted(self, request: Request, pair: ImagePair, target: Box) -> Tensor:
        source = _box("from", request.source)
        if (source.width, source.height) != (target.width, target.height):
            raise EditError(f"box {source} and {target}, where it is pasted, differ in size; make them the same size")
        require_inside(target, pair.hr)
        content = self.photographs[request.source_image or request.image].content(source)
        pasted = pasted_into(pair, target, content)
        return self.editor.harmonise(pasted, pair, box_mask(target, pair), request.temperature, request.seed)

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


def _joined(numbers: tuple[int, ...]) -> str:
    return "-".join(map(str, numbers))


def _described(request: Request, made: Made) -> str:
    at = f"t{request.temperature:g}"
    if request.kind == "style":
        return f"style_{at}_{_joined(made.boxes[0])}_to_{_joined(made.boxes[1])}"
    kind = "" if request.kind == "sample" else f"{request.kind}_"
    if request.kind == "content":
        source = "" if request.source_image is None else f"{request.source_image[:8]}-"
        kind += f"{source}{_joined(request.source or ())}_to_{_joined(made.boxes[0])}_"
    return f"{kind}{at}_seed{request.seed}"
