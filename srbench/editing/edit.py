"""Edits of a person's own image by a model with latents: texture moved, content pasted, temperatures compared.

The image is HR; the LR image that every edit has to keep is made from it as in every benchmark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from srbench.data.datasets import pair_of_hr
from srbench.editing import EditError
from srbench.editing.figures import SOURCE, TARGET, FigurePanel, write_figure
from srbench.editing.measures import LR_FIT_LIMIT, kept_detail, seam_energy
from srbench.images.io import quantize_floor, read_image, write_png
from srbench.interfaces import Box, EditableSRModel, ImagePair
from srbench.metrics import lr_psnr as measured_lr_psnr
from srbench.models.inference import Draw, choose_device, upscale
from srbench.models.loading import load_model
from srbench.reporting.strips import difference_window


@dataclass(frozen=True)
class Edited:
    """An image that was made, and how well it fits its LR image."""

    file: Path
    lr_psnr: float
    """In dB."""
    remark: str = ""
    """What else was measured, or where a box really lies."""


class Editor:
    """A model that can edit, on a device.

    Raises EditError for a model without latents, PluginError for an unknown one.
    """

    def __init__(self, model: str, scale: int, device: str) -> None:
        self.device = choose_device(device)
        loaded = load_model(model, scale, self.device).model
        if not isinstance(loaded, EditableSRModel):
            raise EditError(f"{model} cannot edit: it has no latents; name a model that has, such as srflow")
        self.scale, self.model = scale, loaded

    def sample(self, pair: ImagePair, temperature: float, samples: int, seed: int) -> Tensor:
        """(n, 3, H, W), the same as ``srbench upscale`` makes of the LR image with this seed."""
        return upscale(self.model, pair.name, pair.lr, Draw(temperature, samples, seed), self.device).images

    def aligned(self, box: Box, pair: ImagePair) -> Box:
        """The box grown to the model's grid. Raises EditError where it is empty or leaves the image."""
        height, width = pair.hr.shape[-2:]
        if min(box.width, box.height) < 1 or min(box.x, box.y) < 0:
            raise EditError(f"box {box} is empty or begins outside; give x,y,width,height, all in pixels of HR")
        if box.x + box.width > width or box.y + box.height > height:
            raise EditError(f"box {box} leaves the image, which is {width} wide and {height} high; make it smaller")
        return box.aligned(self.model.edit_grid)

    def move_style(self, pair: ImagePair, source: Box, target: Box, temperature: float) -> Tensor:
        """HR (3, H, W) of the pair with the texture at ``source`` also at ``target``."""
        source, target = self.aligned(source, pair), self.aligned(target, pair)
        hr, lr = pair.hr.to(self.device), pair.lr.to(self.device)
        return self.model.transfer_style(hr, lr, source, target, temperature=temperature).cpu()

    def harmonise(self, pasted: Tensor, pair: ImagePair, mask: Tensor, temperature: float, seed: int) -> Tensor:
        """Content (3, H, W) that was pasted where the mask (H, W) is 1, made to fit the pair's LR."""
        generator = torch.Generator().manual_seed(seed)
        there = [part.to(self.device) for part in (pair.hr, pair.lr, pasted, mask)]
        return self.model.transfer_content(*there, temperature=temperature, generator=generator).cpu()

    def restore(self, pair: ImagePair, temperature: float, seed: int) -> Tensor:
        """HR (3, H, W) of the pair without its noise."""
        generator = torch.Generator().manual_seed(seed)
        hr, lr = pair.hr.to(self.device), pair.lr.to(self.device)
        return self.model.restore(hr, lr, temperature=temperature, generator=generator).cpu()


def lr_psnr(image: Tensor, pair: ImagePair) -> float:
    """Of HR (3, H, W), in dB, against the LR image that it must keep."""
    return float(measured_lr_psnr(image, pair.lr))


def transfer_style(editor: Editor, image: Path, source: Box, target: Box, temperature: float, out: Path) -> Edited:
    """Write the image with the texture of one box in another, and a figure of before and after."""
    pair = pair_of_hr(image, editor.scale)
    boxes = {SOURCE: editor.aligned(source, pair), TARGET: editor.aligned(target, pair)}
    after = editor.move_style(pair, source, target, temperature)
    fit = lr_psnr(after, pair)
    panels = [
        FigurePanel("before", f"texture from {boxes[SOURCE]}", pair.hr, boxes),
        FigurePanel("after", f"to {boxes[TARGET]}, LR-PSNR {fit:.1f} dB (8 bits allow {LR_FIT_LIMIT})", after, boxes),
    ]
    file = _write(out / f"{image.stem}_style.png", after, panels, boxes[TARGET])
    return Edited(file, fit, f"from {boxes[SOURCE]} to {boxes[TARGET]}")


def transfer_content(
    editor: Editor, target: Path, source: Path, where: Box | Path, temperature: float, seed: int, out: Path
) -> Edited:
    """Write the target with the source's content inside a box or a mask, harmonised, and a figure beside the naive one.

    Raises EditError where the source has neither the target's size nor that of the box, or the mask another size.
    """
    pair = pair_of_hr(target, editor.scale)
    if isinstance(where, Box):
        editor.aligned(where, pair)  # for its checks: content need not lie on the grid
    mask = box_mask(where, pair) if isinstance(where, Box) else _read_mask(where, pair)
    pasted = torch.where(mask.bool(), _placed(source, where, pair), pair.hr)
    after = editor.harmonise(pasted, pair, mask, temperature, seed)
    fits = [lr_psnr(image, pair) for image in (pasted, after)]
    seams = [seam_energy(image, mask) for image in (pasted, after)]
    kept = kept_detail(after, pasted, mask, editor.scale)
    frame = {TARGET: _bounds(mask)}
    panels = [FigurePanel("target", "", pair.hr, frame)] + [
        FigurePanel(title, f"LR-PSNR {fit:.1f} dB, step at the border {math.sqrt(seam):.0f} grey levels", image, frame)
        for title, image, fit, seam in zip(("pasted", "harmonised"), (pasted, after), fits, seams, strict=True)
    ]
    file = _write(out / f"{target.stem}_content.png", after, panels, frame[TARGET])
    steps = [math.sqrt(seam) for seam in seams]
    naive = (
        f"pasted naively {fits[0]:.2f} dB; step across the border {steps[1]:.1f} grey levels, naively {steps[0]:.1f}"
    )
    return Edited(file, fits[1], f"{naive}, lower is better; kept detail {kept:.2f} of 1")


def compare_temperatures(
    editor: Editor, image: Path, temperatures: tuple[float, ...], seed: int, out: Path
) -> list[Edited]:
    """Write a sample of the image's LR at every temperature, from one seed, and a figure of all."""
    pair = pair_of_hr(image, editor.scale)
    made, panels = [], [FigurePanel("HR", "what LR was made of", pair.hr)]
    for temperature in temperatures:
        sample = editor.sample(pair, temperature, 1, seed)[0]
        fit = lr_psnr(sample, pair)
        file = out / f"{image.stem}_t{temperature:g}.png"
        write_png(file, quantize_floor(sample))
        made.append(Edited(file, fit))
        panels.append(
            FigurePanel(f"temperature {temperature:g}", f"LR-PSNR {fit:.1f} dB (8 bits allow {LR_FIT_LIMIT})", sample)
        )
    zoomed = _most_different([panel.image for panel in panels[1:]], editor.scale)
    write_figure(out / f"{image.stem}_temperatures_figure.png", panels, zoomed)
    return made


def restore_image(editor: Editor, image: Path, temperature: float, seed: int, out: Path) -> Edited:
    """Write the image without its noise, and a figure of it beside the image given and a sample of its LR."""
    pair = pair_of_hr(image, editor.scale)
    after = editor.restore(pair, temperature, seed)
    fit = lr_psnr(after, pair)
    panels = [
        FigurePanel("given", "", pair.hr),
        FigurePanel("sample", "of its LR alone", editor.sample(pair, temperature, 1, seed)[0]),
        FigurePanel("restored", f"LR-PSNR {fit:.1f} dB (8 bits allow {LR_FIT_LIMIT})", after),
    ]
    zoomed = _most_different([pair.hr, after], editor.scale)
    return Edited(_write(out / f"{image.stem}_restored.png", after, panels, zoomed), fit)


def _write(file: Path, image: Tensor, panels: list[FigurePanel], zoomed: Box) -> Path:
    write_png(file, quantize_floor(image))
    write_figure(file.with_name(f"{file.stem}_figure.png"), panels, zoomed)
    return file


def _most_different(images: Sequence[Tensor], scale: int) -> Box:
    """The window in which images (3, H, W) differ most; of one, its upper left corner."""
    window = difference_window([quantize_floor(image).permute(1, 2, 0).numpy() for image in images], scale)
    return Box(window.left, window.top, window.side, window.side)


def box_mask(box: Box, pair: ImagePair) -> Tensor:
    """A mask (H, W) of an image's HR: 1 in the box, 0 elsewhere."""
    mask = torch.zeros(pair.hr.shape[-2:])
    mask[box.y : box.y + box.height, box.x : box.x + box.width] = 1
    return mask


def _read_mask(path: Path, pair: ImagePair) -> Tensor:
    image = _cropped(read_image(path), pair)
    if image is None:
        raise EditError(f"{path}: a mask has to be as large as the target; white is where content is pasted")
    mask = (image.mean(0) > 0.5).float()
    if not mask.any():
        raise EditError(f"{path}: nothing in the mask is white, so nothing would be pasted")
    return mask


def _placed(source: Path, where: Box | Path, pair: ImagePair) -> Tensor:
    content = read_image(source)
    if isinstance(where, Box) and content.shape[-2:] == (where.height, where.width):
        placed = pair.hr.clone()
        placed[:, where.y : where.y + where.height, where.x : where.x + where.width] = content
        return placed
    whole = _cropped(content, pair)
    if whole is None:
        size = f"{content.shape[-1]}x{content.shape[-2]}"
        raise EditError(f"{source}: {size} is the size of neither the target nor the box; crop or upscale it")
    return whole


def _cropped(image: Tensor, pair: ImagePair) -> Tensor | None:
    """The image with the target's own crop, where it was as large as the target; else None."""
    height, width = pair.hr.shape[-2:]
    scale = height // pair.lr.shape[-2]
    down, right = image.shape[-2] - height, image.shape[-1] - width
    return image[:, :height, :width] if 0 <= down < scale and 0 <= right < scale else None


def _bounds(mask: Tensor) -> Box:
    rows, columns = (mask.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    return Box(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
