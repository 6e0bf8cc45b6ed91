"""``srbench edit``: move texture, paste content, compare temperatures and remove noise with a model that has latents.

The input image is HR. It is downscaled as in every benchmark, and every edit preserves the resulting LR image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from srbench.data.datasets import pair_of_hr
from srbench.editing import EditError
from srbench.editing.measures import LR_FIT_LIMIT, cut, kept_detail, seam_energy
from srbench.files.atomic import write_new
from srbench.images.box import Box
from srbench.images.io import encode_png, quantize_floor, read_image
from srbench.interfaces import ImagePair, StochasticSRModel
from srbench.machine.precision import products
from srbench.metrics import lr_psnr as measured_lr_psnr
from srbench.models import LoadedModel
from srbench.models.inference import SamplingParameters, choose_device, upscale
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.models.wrapped import Wrapped
from srbench.reporting.figures.strips import Panel, Part, difference_window, figure_bytes
from srbench.run_folder.protocol import exactly

_WIDTH, _DOTS = 8.0, 200
"""Width of a figure in inches, and its dots per inch."""


@dataclass(frozen=True)
class Edited:
    """An edited image on disk, and how well it fits LR."""

    file: Path
    lr_psnr: float
    """LR-PSNR in dB."""
    remark: str = ""
    """Further measurements, or the boxes on the model's grid."""


@runtime_checkable
class EditableSRModel(StochasticSRModel, Protocol):
    """A model that can edit an HR image so that it still fits its LR image."""

    edit_grid: int
    """Boxes have to be aligned to multiples of this number of HR pixels."""

    def transfer_style(self, hr: Tensor, lr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
        """Copy the texture at ``source`` to ``target`` in HR (3, s*h, s*w), fitting LR (3, h, w); not clamped.

        The temperature multiplies the strength of the moved texture. Both boxes lie in the image and on the grid,
        except that the last column or row of the grid may extend beyond the image.
        """

    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """Paste content into HR (3, s*h, s*w) where the mask (s*h, s*w) is 1, fitting LR (3, h, w); not clamped.

        ``pasted`` is as large as HR and equal to it outside the mask. ``generator`` is a CPU generator.
        """

    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """Remove noise from HR (3, s*h, s*w), fitting LR (3, h, w); not clamped. ``generator`` is a CPU generator."""


class Editor:
    """A model that can edit, on a device. It is loaded when it is first needed,
    after the image and the boxes are read.
    """

    def __init__(self, model: str, scale: int, device: str) -> None:
        self.name = model
        self.scale = scale
        self.device = choose_device(device)

    @cached_property
    def loaded(self) -> LoadedModel:
        """The loaded model.

        Raises EditError for a model without latents or with an option such as ``+consistent``, PluginError for an
        unknown model.
        """
        loaded = load_model(self.name, self.scale, self.device)
        if isinstance(loaded.model, Wrapped) and isinstance(loaded.model.network, EditableSRModel):
            suffix = ModelSpec.parse(self.name).suffix
            raise EditError(f"{self.name} cannot edit: omit {suffix}; edits use the model itself")
        if not isinstance(loaded.model, EditableSRModel):
            raise EditError(f"{self.name} cannot edit: it has no latents; name a model with latents, such as srflow")
        return loaded

    @cached_property
    def model(self) -> EditableSRModel:
        """The model itself."""
        model = self.loaded.model
        assert isinstance(model, EditableSRModel)
        return model

    @property
    def temperature(self) -> float:
        """Temperature stated in the model's weights, else TEMPERATURE."""
        return self.loaded.temperature

    @cached_property
    def identity(self) -> dict[str, str]:
        """Identification of the model in the recipe of a saved image."""
        return {"model": self.loaded.spec, "digest": self.loaded.digest}

    def sample(self, pair: ImagePair, temperature: float, samples: int, seed: int) -> Tensor:
        """Draw samples (n, 3, H, W), equal to those of ``srbench upscale`` for the LR image and this seed."""
        return upscale(
            self.model, pair.name, pair.lr, SamplingParameters(temperature, samples, seed), self.device
        ).images

    def aligned(self, box: Box) -> Box:
        """The smallest box on the model's grid that contains ``box``."""
        return box.aligned(self.model.edit_grid)

    def move_style(self, pair: ImagePair, source: Box, target: Box, temperature: float) -> Tensor:
        """Copy the texture at ``source`` to ``target`` in HR (3, H, W); both boxes lie on the model's grid."""

        def edit(hr: Tensor, lr: Tensor) -> Tensor:
            return self.model.transfer_style(hr, lr, source, target, temperature=temperature)

        return self._edited(edit, pair.hr, pair.lr)

    def harmonise(self, pasted: Tensor, pair: ImagePair, mask: Tensor, temperature: float, seed: int) -> Tensor:
        """Paste the content of ``pasted`` (3, H, W) into HR (3, H, W) where the mask (H, W) is 1, fitting LR."""
        generator = torch.Generator().manual_seed(seed)
        edit = partial(self.model.transfer_content, temperature=temperature, generator=generator)
        return self._edited(edit, pair.hr, pair.lr, pasted, mask)

    def restore(self, pair: ImagePair, temperature: float, seed: int) -> Tensor:
        """Remove noise from HR (3, H, W)."""
        generator = torch.Generator().manual_seed(seed)
        return self._edited(partial(self.model.restore, temperature=temperature, generator=generator), pair.hr, pair.lr)

    def _edited(self, edit: Callable[..., Tensor], *images: Tensor) -> Tensor:
        """Edit copies of the images, which a model may change in place, on the device;
        as in ``upscale``, without TF32.
        """
        with products(torch.device(self.device), tf32=False):
            return edit(*(image.to(self.device, copy=True) for image in images)).cpu()


def require_inside(box: Box, image: Tensor) -> None:
    """Raise EditError if a box is empty or extends beyond an image (..., H, W)."""
    height, width = image.shape[-2:]
    if min(box.width, box.height) < 1 or min(box.x, box.y) < 0:
        raise EditError(f"box {box} is empty or starts outside the image; give x,y,width,height in HR pixels")
    if box.x + box.width > width or box.y + box.height > height:
        raise EditError(f"box {box} leaves the image, which is {width} wide and {height} high; make it smaller")


def lr_psnr(image: Tensor, pair: ImagePair) -> float:
    """LR-PSNR of an image (3, H, W) in dB, against the pair's LR."""
    return float(measured_lr_psnr(image, pair.lr))


def transfer_style(editor: Editor, image: Path, source: Box, target: Box, temperature: float, out: Path) -> Edited:
    """Copy the texture of a box into another box; writes the image and a figure of before and after."""
    pair = pair_of_hr(image, editor.scale)
    for box in (source, target):
        require_inside(box, pair.hr)
    source, target = editor.aligned(source), editor.aligned(target)
    after = editor.move_style(pair, source, target, temperature)
    fit = lr_psnr(after, pair)
    panels = [
        figure_panel(pair.hr, "before", f"texture from {source}"),
        figure_panel(after, f"after, to {target}", _fit_note(fit)),
    ]
    file = _write(out / f"{image.stem}_style.png", after, panels, target, source)
    return Edited(file, fit, f"from {source} to {target}")


def transfer_content(
    editor: Editor, target: Path, source: Path, where: Box | Path, temperature: float, seed: int, out: Path
) -> Edited:
    """Paste the source's content, harmonised, into a box or a mask of the target; writes the image and a figure.

    The figure also shows the naive paste. Raises EditError if the source has neither the target's nor the box's size,
    or the mask does not have the target's size.
    """
    pair = pair_of_hr(target, editor.scale)
    if isinstance(where, Box):
        require_inside(where, pair.hr)
    mask = box_mask(where, pair) if isinstance(where, Box) else _read_mask(where, pair)
    pasted = torch.where(mask.bool(), _placed(source, where, pair), pair.hr)
    after = editor.harmonise(pasted, pair, mask, temperature, seed)
    panels = [figure_panel(pair.hr, "target")]
    fits = []
    steps = []
    for title, image in (("pasted", pasted), ("harmonised", after)):
        fits.append(lr_psnr(image, pair))
        steps.append(math.sqrt(seam_energy(image, mask)))
        step = f"step at the border {steps[-1]:.0f} grey levels"
        panels.append(figure_panel(image, title, f"LR-PSNR {fits[-1]:.1f} dB", step))
    rows, columns = (mask.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
    pasted_into = Box(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
    file = _write(out / f"{target.stem}_content.png", after, panels, _around(pasted_into, pair.hr))
    remark = (
        f"pasted naively {fits[0]:.2f} dB; step across the border {steps[1]:.1f} grey levels, naively {steps[0]:.1f}, "
        f"lower is better; kept detail {kept_detail(after, pasted, mask, editor.scale):.2f} of 1"
    )
    return Edited(file, fits[1], remark)


def compare_temperatures(
    editor: Editor, image: Path, temperatures: tuple[float, ...], seed: int, out: Path
) -> list[Edited]:
    """Write a sample of the image's LR at every temperature, all with the same seed, and a figure of all samples."""
    pair = pair_of_hr(image, editor.scale)
    edits = []
    panels = [figure_panel(pair.hr, "HR")]
    for temperature in temperatures:
        sample = editor.sample(pair, temperature, 1, seed)[0]
        fit = lr_psnr(sample, pair)
        file = out / f"{image.stem}_t{exactly(temperature)}.png"
        write_new(file, encode_png(quantize_floor(sample)))
        edits.append(Edited(file, fit))
        panels.append(figure_panel(sample, f"temperature {exactly(temperature)}", _fit_note(fit)))
    write_figure(out / f"{image.stem}_temperatures_figure.png", panels, [_most_different(panels[1:], editor.scale)])
    return edits


def restore_image(editor: Editor, image: Path, temperature: float | None, seed: int, out: Path) -> Edited:
    """Remove noise; writes the image, and a figure of it with the input image and a sample of its LR.

    ``temperature`` is by default that of the model.
    """
    pair = pair_of_hr(image, editor.scale)
    temperature = editor.temperature if temperature is None else temperature
    after = editor.restore(pair, temperature, seed)
    fit = lr_psnr(after, pair)
    panels = [
        figure_panel(pair.hr, "given"),
        figure_panel(editor.sample(pair, temperature, 1, seed)[0], "sample of its LR alone"),
        figure_panel(after, "restored", _fit_note(fit)),
    ]
    zoomed = _most_different([panels[0], panels[2]], editor.scale)
    return Edited(_write(out / f"{image.stem}_restored.png", after, panels, zoomed), fit)


def figure_panel(image: Tensor, *lines: str) -> Panel:
    """Make a figure panel of an image (3, H, W) in [0, 1]."""
    return Panel(quantize_floor(image).permute(1, 2, 0).cpu().numpy(), lines)


def write_figure(path: Path, panels: Sequence[Panel], windows: Sequence[Box]) -> None:
    """Write a PNG by ``write_new``: the first image, and windows of all panels beside it."""
    part = Part(replace(panels[0], lines=(path.stem.removesuffix("_figure"),)), tuple(windows), tuple(panels))
    write_new(path, figure_bytes([part], _WIDTH, -(-len(panels) // 8), _DOTS))


def _fit_note(fit: float) -> str:
    return f"LR-PSNR {fit:.1f} dB (8 bits allow {LR_FIT_LIMIT})"


def _write(file: Path, image: Tensor, panels: list[Panel], *windows: Box) -> Path:
    write_new(file, encode_png(quantize_floor(image)))
    write_figure(file.with_name(f"{file.stem}_figure.png"), panels, windows)
    return file


def _most_different(panels: list[Panel], scale: int) -> Box:
    """Window in which the images differ most; for a single image, its top left corner."""
    return difference_window([panel.image for panel in panels], scale)


def _around(box: Box, image: Tensor) -> Box:
    """Return a box with a quarter of its size on all sides, within an image (3, H, W), so that its border is seen."""
    x, y = max(box.x - box.width // 4, 0), max(box.y - box.height // 4, 0)
    right = min(box.x + box.width * 5 // 4, image.shape[2])
    bottom = min(box.y + box.height * 5 // 4, image.shape[1])
    return Box(x, y, right - x, bottom - y)


def box_mask(box: Box, pair: ImagePair) -> Tensor:
    """Mask (H, W) of HR that is 1 in the box and 0 elsewhere."""
    mask = torch.zeros(pair.hr.shape[-2:])
    cut(mask, box).fill_(1)
    return mask


def _read_mask(path: Path, pair: ImagePair) -> Tensor:
    image = _cropped(read_image(path), pair)
    if image is None:
        raise EditError(f"{path}: the mask has to be as large as the target, and white where content is pasted")
    mask = (image.mean(0) > 0.5).float()
    if not mask.any():
        raise EditError(f"{path}: no pixel of the mask is white, so nothing would be pasted; paint the region white")
    return mask


def _placed(source: Path, where: Box | Path, pair: ImagePair) -> Tensor:
    """The source's content, placed in an image as large as HR."""
    content = read_image(source)
    if isinstance(where, Box) and content.shape[-2:] == (where.height, where.width):
        pasted = pair.hr.clone()
        cut(pasted, where).copy_(content)
        return pasted
    whole = _cropped(content, pair)
    if whole is None:
        size = f"{content.shape[-1]}x{content.shape[-2]}"
        raise EditError(f"{source}: its size {size} is neither the target's nor the box's; crop or upscale it")
    return whole


def _cropped(image: Tensor, pair: ImagePair) -> Tensor | None:
    """Crop an image to a multiple of the scale, like the target; None if its size is not the target's."""
    height, width = pair.hr.shape[-2:]
    down, right = image.shape[-2] - height, image.shape[-1] - width
    return image[:, :height, :width] if 0 <= down < pair.scale and 0 <= right < pair.scale else None
