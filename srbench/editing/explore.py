"""``srbench explore``: a page, served only to this machine, on which a model upscales a part of a photograph.

The part is either LR and is upscaled, or HR: then it is first downscaled, and samples are shown beside it.
"""

from __future__ import annotations

import json
import math
import re
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import quote, unquote

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srbench.data.datasets import pair_of_pixels
from srbench.editing import EditError
from srbench.editing.edit import Editor, lr_psnr, require_inside
from srbench.editing.measures import cut, fit_to_lr
from srbench.files.atomic import write_whole
from srbench.files.config import structure
from srbench.files.paths import no_file
from srbench.images.box import Box
from srbench.images.io import encode_png, quantize_floor, read_recipe, read_uint8
from srbench.images.resize import upscale
from srbench.interfaces import ImagePair, SRBenchError
from srbench.pages.fragments import hashes
from srbench.pages.server import LocalServer, PageRequestHandler, open_server, serve
from srbench.reporting.figures.error_maps import DEVIATION, coloured, deviation_map
from srbench.words import FILE_NAME, is_file_name, printable

MAX_PIXELS = 512 * 512
"""Pixels of the largest output; larger outputs would take seconds for each movement of the slider."""
MAX_BYTES = 256 * 2**20
"""Size of the largest image file in bytes."""
_MAX_REQUEST = 2**16
"""Size of the largest request without a file, in bytes."""
_VIEW = 1600
"""Longest side of the overview in pixels."""
_SPREAD_SAMPLES = 5
_FILES = {
    "/": ("srbench.editing", "explore.html", "text/html"),
    "/explore.js": ("srbench.editing", "explore.js", "text/javascript"),
    "/report.css": ("srbench.reporting", "report.css", "text/css"),
    "/viewer.js": ("srbench.reporting", "viewer.js", "text/javascript"),
}
"""Package, name and content type of the template for each address. Style and viewer are shared with reports."""


@dataclass(frozen=True)
class Photograph:
    """An opened image file."""

    id: str
    name: str
    pixels: Tensor
    """(3, h, w) uint8."""

    def first_part(self, is_lr: bool, scale: int) -> Box:
        """The largest allowed part: the whole photograph, or a square in its centre."""
        grid, most = (1, MAX_PIXELS // scale**2) if is_lr else (scale, MAX_PIXELS)
        height, width = (side - side % grid for side in self.pixels.shape[-2:])
        if width * height <= most:
            return Box(0, 0, width, height)
        side = math.isqrt(most) // grid * grid
        part = Box(0, 0, min(width, side), min(height, side))
        return Box((width - part.width) // 2, (height - part.height) // 2, part.width, part.height)


@dataclass(frozen=True)
class Request:
    """A request of the page: a sample of a part, or a map of where its samples differ."""

    image: str
    """Identifier of the photograph."""
    part: tuple[int, ...]
    """x, y, width, height in pixels of the photograph."""
    temperature: float
    seed: int = 0
    kind: Literal["sample", "spread"] = "sample"
    part_is: Literal["lr", "hr"] = "lr"
    """``lr``: the part is upscaled; ``hr``: it is first downscaled, then upscaled."""


@dataclass(frozen=True)
class Answer:
    """The image that answers a request."""

    png: bytes
    caption: str
    recipe: str


class Explorer:
    """The model and the photograph that was opened last. Requests are answered one at a time."""

    def __init__(self, editor: Editor, out: Path) -> None:
        self.editor = editor
        self.out = out
        self.photograph: Photograph | None = None
        self._lock = threading.Lock()

    def open(self, name: str, content: bytes) -> Photograph:
        """Open the bytes of an image file. Raises SRBenchError if they are not an image of a suitable size."""
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
        least = 2 * self.editor.scale
        if min(height, width) < least:
            raise EditError(f"{name}: {width}x{height} is too small; both sides need {least} pixels or more")
        self.photograph = Photograph(sha256(content).hexdigest()[:16], path.stem, pixels)
        return self.photograph

    def facts(self, photograph: Photograph) -> dict[str, object]:
        """Facts about a photograph for the page."""
        height, width = photograph.pixels.shape[-2:]
        parts = {
            part_is: astuple(photograph.first_part(part_is == "lr", self.editor.scale)) for part_is in ("lr", "hr")
        }
        return {"id": photograph.id, "name": photograph.name, "width": width, "height": height, "parts": parts}

    def overview(self, image: str) -> bytes:
        """JPEG of the whole photograph, with sides of at most 1600 pixels."""
        overview, buffer = Image.fromarray(self._opened(image).pixels.permute(1, 2, 0).numpy()), BytesIO()
        overview.thumbnail((_VIEW, _VIEW))
        overview.save(buffer, format="JPEG", quality=85)
        return buffer.getvalue()

    def before(self, image: str, part: tuple[int, ...], part_is: str, kind: str) -> bytes:
        """PNG of a part: HR itself or, with kind ``lr``, the model's input upscaled by bicubic interpolation."""
        pair = self._pair(image, part, part_is)
        return encode_png(quantize_floor(pair.hr if kind == "hr" else upscale(pair.lr, self.editor.scale)))

    def make(self, body: Mapping[str, Any]) -> Answer:
        """Answer a request. Raises SRBenchError if it is invalid, or its part does not fit the photograph."""
        request = _request(body)
        pair = self._pair(request.image, request.part, request.part_is)
        recipe = json.dumps(self.editor.identity | asdict(request) | {"name": pair.name, "scale": self.editor.scale})
        with self._lock:
            if request.kind == "spread":
                pixels, caption = self._spread(request, pair)
            else:
                image = self.editor.sample(pair, request.temperature, 1, request.seed)[0]
                pixels, caption = quantize_floor(image), fit_to_lr(lr_psnr(image, pair))
        return Answer(encode_png(pixels, recipe), caption, recipe)

    def save(self, body: Mapping[str, Any]) -> Path:
        """Answer a request again, with the same image, and write the image into the output folder.

        Raises EditError if another image of that name exists.
        """
        request = _request(body)
        answer = self.make(body)
        kind = "" if request.kind == "sample" else f"_{request.kind}"
        place = "-".join(map(str, request.part)) + ("" if request.part_is == "lr" else "_downscaled")
        name = f"{self._opened(request.image).name}_{place}{kind}_t{request.temperature:g}_seed{request.seed}.png"
        path = self.out / name
        if path.exists() and read_recipe(path) != answer.recipe:
            raise EditError(f"{path} exists and was made differently; move it away")
        write_whole(path, answer.png)
        return path

    def _opened(self, image: str) -> Photograph:
        photograph = self.photograph
        if photograph is None or photograph.id != image:
            raise EditError("this image is no longer open; choose its file again")
        return photograph

    def _pair(self, image: str, numbers: tuple[int, ...], part_is: str) -> ImagePair:
        """A part of the photograph: as LR without HR, or as HR with the LR image made from this part alone."""
        photograph, scale = self._opened(image), self.editor.scale
        is_lr = part_is == "lr"
        if len(numbers) != 4:
            raise EditError("the part is not x,y,width,height; give four whole numbers")
        box = Box(*numbers)
        require_inside(box, photograph.pixels)
        if not is_lr and (box.width % scale or box.height % scale):
            raise EditError(f"part {box}: its sides are not multiples of the scale {scale}; change them")
        least = 2 if is_lr else 2 * scale
        if min(box.width, box.height) < least:
            raise EditError(f"part {box} is too small; both sides need {least} pixels or more")
        if box.width * box.height * (scale**2 if is_lr else 1) > MAX_PIXELS:
            side = math.isqrt(MAX_PIXELS) // (scale if is_lr else 1)
            raise EditError(f"part {box} is too large; its area may be at most {side}x{side} pixels")
        pixels = cut(photograph.pixels, box)
        if is_lr:
            return ImagePair(photograph.name, pixels.float() / 255)
        return pair_of_pixels(photograph.name, pixels, scale)

    def _spread(self, request: Request, pair: ImagePair) -> tuple[Tensor, str]:
        """Map of the standard deviation of samples, (3, H, W) uint8, and its caption."""
        samples = self.editor.sample(pair, request.temperature, _SPREAD_SAMPLES, request.seed)
        values = deviation_map([sample.permute(1, 2, 0).numpy() for sample in quantize_floor(samples)])
        image = np.array(coloured(values, DEVIATION).convert("RGB"))
        differ = f"{_SPREAD_SAMPLES} samples differ by {values.mean():.1f} grey levels on average"
        legend = f"black 0, pale yellow {DEVIATION.upper:g} or more"
        return torch.from_numpy(image).permute(2, 0, 1), f"{differ} ({legend})"


def _request(body: Mapping[str, Any]) -> Request:
    request = structure(body, Request, "the page")
    if not 0 <= request.temperature <= 2:
        raise EditError(f"{request.temperature:g} is not a temperature from 0 to 2")
    if not 0 <= request.seed < 2**31:
        raise EditError(f"{request.seed} is not a seed; give a whole number from 0 to {2**31 - 1}")
    return request


def explore(explorer: Explorer, image: Path | None, *, port: int = 0, browser: bool = True) -> None:
    """Serve the page until Ctrl-C, with ``image`` open if given. Port 0 selects a free port.

    Raises SRBenchError if the image cannot be opened, or the port is in use.
    """
    server = open_explorer(explorer, image, port)
    _ = explorer.editor.loaded  # an unknown model ends the command, not the first request
    message = f"exploring at {server.address} (Ctrl-C ends); saved images go to {explorer.out}"
    serve(server, message, browser=browser)


def open_explorer(explorer: Explorer, image: Path | None, port: int) -> LocalServer:
    """Create the server of the page. Raises SRBenchError if the image cannot be opened, or the port is in use."""
    if image is not None:
        if kind := no_file(image):
            raise EditError(f"{image}: {kind}, not a file; name an image")
        try:
            content = image.read_bytes()
        except OSError as error:
            raise EditError(f"{image}: cannot be read ({error.strerror}); name an image") from None
        explorer.open(image.name, content)
    [style] = hashes(*re.findall("<style>(.*?)</style>", _template("/").decode(), re.DOTALL))
    policy = f"default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'sha256-{style}'"
    return open_server(port, type("Handler", (_ExploreHandler,), {"explorer": explorer, "policy": policy}))


def _template(address: str) -> bytes:
    package, name, _ = _FILES[address]
    return (files(package) / "templates" / name).read_bytes()


class _ExploreHandler(PageRequestHandler):
    explorer: Explorer

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        """Serve the page and its files, the open photograph, its overview, and parts before upscaling."""
        path, query = self.address()
        if path in _FILES:
            self.send_content(_template(path), f"{_FILES[path][2]}; charset=utf-8")
        elif path == "/first":
            photograph = self.explorer.photograph
            opened = None if photograph is None else self.explorer.facts(photograph)
            scale, side = self.explorer.editor.scale, math.isqrt(MAX_PIXELS)
            start = {"opened": opened, "scale": scale, "temperature": self.explorer.editor.temperature}
            self.send_json(start | {"most": {"lr": side // scale, "hr": side}})
        elif path == "/overview.jpg":
            self.answer(lambda: self.send_content(self.explorer.overview(query.get("image", "")), "image/jpeg"))
        elif path in ("/hr.png", "/lr.png"):
            self.answer(lambda: self._send_before(path[1:3], query))
        else:
            self.send_missing()

    def do_POST(self) -> None:  # noqa: N802
        """``/open`` expects an image file, ``/make`` and ``/save`` a request as JSON."""
        actions = {"/open": self._open, "/make": self._make, "/save": self._save}
        if not self.may_post():
            return
        if self.path not in actions:
            self.send_missing()
        else:
            self.answer(actions[self.path])

    def _send_before(self, kind: str, query: Mapping[str, str]) -> None:
        try:
            part = tuple(int(number) for number in query.get("part", "").split(","))
        except ValueError:
            raise EditError("the part is not x,y,width,height; give four whole numbers") from None
        part_is = "hr" if kind == "hr" else query.get("part_is", "lr")
        self.send_content(self.explorer.before(query.get("image", ""), part, part_is, kind), "image/png")

    def _open(self) -> None:
        name = unquote(self.headers.get(self.ASKED, ""))
        self.send_json(self.explorer.facts(self.explorer.open(name, self.body(MAX_BYTES))))

    def _make(self) -> None:
        answer = self.explorer.make(self.json_body(_MAX_REQUEST))
        self.send_content(answer.png, "image/png", headers={"X-Caption": quote(answer.caption)})

    def _save(self) -> None:
        self.send_json({"saved": str(self.explorer.save(self.json_body(_MAX_REQUEST)))})
