"""Measure edits of the packaged photographs: python benchmarks/edits.py [style content restore spread] [--scale N].

Prints Markdown tables for the central 320x320 of the photographs, with random boxes of 64x64 drawn with --seed.
style: transfers the texture of a box to another box of the same photograph. LR-PSNR compared with an ordinary sample,
and the distance of the target's texture from the source's before, after, and in the ordinary sample.
content: pastes a box of one photograph into another. LR-PSNR and energy across the border of the naive and of the
harmonised paste, and the detail that is kept; the same if the paste is encoded given the LR image that is kept, as in
the paper, instead of its own LR.
restore: adds noise of 20 grey levels, or JPEG at quality 20. PSNR and LPIPS of the damaged image, of a sample given its
LR, and of the restored image.
spread: the deviation of five samples in the flattest and the steepest quarter of the LR pixels.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srbench.data.datasets import cropped, packaged_photos
from srbench.editing.edit import TARGET, Editor, box_mask, figure_panel, lr_psnr, write_figure
from srbench.editing.measures import cut, kept_detail, seam_energy
from srbench.images.box import Box
from srbench.images.io import luma, quantize_floor, quantize_round
from srbench.images.resize import downscale_uint8
from srbench.interfaces import Dataset, ImagePair
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, decibels, mean_squared_errors
from srflow import SRFlow
from srflow.editing import transfer_content

SIDE = 64
"""Side of a box in HR pixels, the smallest image for LPIPS."""
CROP = 320
AROUND = 160
"""Side of the part of an image that a figure shows."""
EDIT_TEMPERATURE, SAMPLE_TEMPERATURE = 0.9, 0.8
SAMPLES = 5
NOISE, JPEG_QUALITY = 20, 20
BANDS = 6
DARK = 1e-3
"""Squared grey levels added to every band's power, so that the logarithm of a flat region is finite."""


@dataclass(frozen=True)
class Trial:
    """The model, the photographs and the random choices of a measurement."""

    editor: Editor
    model: SRFlow
    """Model of the editor."""
    photographs: Dataset
    generator: torch.Generator
    number: int
    figure: Path | None

    def photograph(self) -> ImagePair:
        """Return a random photograph."""
        names = list(self.photographs)
        return self.photographs.read(names[self.below(len(names))])

    def below(self, end: int) -> int:
        """Return a random integer from 0 to ``end`` - 1."""
        return int(torch.randint(end, (), generator=self.generator))

    def box(self, pair: ImagePair, grid: int) -> Box:
        """Return a random box of a photograph whose corner lies on a grid."""
        height, width = pair.hr.shape[-2:]
        x, y = (grid * self.below((side - SIDE) // grid + 1) for side in (width, height))
        return Box(x, y, SIDE, SIDE)


def style(trial: Trial) -> None:
    """Transfer the texture of a box to a box that does not touch it."""
    rows = []
    for _ in range(trial.number):
        pair = trial.photograph()
        source = target = trial.box(pair, trial.model.edit_grid)
        while abs(source.x - target.x) < SIDE and abs(source.y - target.y) < SIDE:
            target = trial.box(pair, trial.model.edit_grid)
        moved = trial.editor.move_style(pair, source, target, EDIT_TEMPERATURE)
        sample = trial.editor.sample(pair, SAMPLE_TEMPERATURE, 1, 0)[0]
        texture, *regions = (cut(pair.hr, source), *(cut(image, target) for image in (pair.hr, moved, sample)))
        spectra = [float(texture_distance(region, texture, trial.editor.scale)) for region in regions]
        features = [lpips(region, texture) for region in regions]
        fits = [lr_psnr_in(target, image, pair) for image in (moved, sample)]
        fits += [lr_psnr(image, pair) for image in (moved, sample)]
        rows.append((pair.name, source, target, *fits, *spectra, *features))
    print_table(
        "photograph | from | to | LR-PSNR in the box | of a sample | LR-PSNR | of a sample"
        " | spectrum before | after | in a sample"
        " | LPIPS before | after | in a sample",
        rows,
    )
    columns = list(zip(*rows, strict=True))[3:]
    inside, outside = gaps(*columns[:2]), gaps(*columns[2:4])
    print(
        f"LR-PSNR minus an ordinary sample's, worst: {min(inside):+.2f} dB in the box, {min(outside):+.2f} dB in all."
    )
    before, after, _, distance_before, distance_after, _ = columns[4:]
    print(moves("Distance of spectra:", "falls", before, after))
    print(moves("LPIPS:", "falls", distance_before, distance_after))


def content(trial: Trial) -> None:
    """Paste a box of one photograph into another."""
    rows, panels = [], []
    for case in range(trial.number):
        pair = other = trial.photograph()
        while other.name == pair.name:
            other = trial.photograph()
        place, taken = trial.box(pair, 1), trial.box(other, 1)
        mask, pasted = box_mask(place, pair), pair.hr.clone()
        pasted[:, mask.bool()] = cut(other.hr, taken).flatten(1)
        after = trial.editor.harmonise(pasted, pair, mask, EDIT_TEMPERATURE, case)
        fits = [lr_psnr(image, pair) for image in (pasted, after)]
        seams = [seam_energy(image, mask) for image in (pair.hr, pasted, after)]
        paper = given_kept_lr(trial.model, pasted, pair, mask, case)
        kept, paper_kept = (kept_detail(image, pasted, mask, trial.editor.scale) for image in (after, paper))
        theirs = lr_psnr(paper, pair), seam_energy(paper, mask), paper_kept
        rows.append((other.name, pair.name, place, *fits, *seams, kept, *theirs))
        if case < 4:
            titles = pair.name, f"from {other.name}", "pasted", "harmonised"
            notes = "", "", f"LR-PSNR {fits[0]:.1f} dB", f"LR-PSNR {fits[1]:.1f} dB"
            shown = [around(place, pair, image) for image in (pair.hr, pasted, after)]
            shown.insert(1, around(taken, other, other.hr))
            panels += [
                figure_panel(title, note, image, {TARGET: box})
                for title, note, (image, box) in zip(titles, notes, shown, strict=True)
            ]
    heads = "from | into | box | LR-PSNR pasted | harmonised | seam before | pasted | harmonised | kept detail"
    print_table(f"{heads} | given the kept LR: LR-PSNR | seam | kept detail", rows)
    naive, fit, _, pasted_seam, seam, details, _, other_seam, other_details = list(zip(*rows, strict=True))[3:]
    rise = gaps(fit, naive)
    print(f"LR-PSNR rises by {statistics.mean(rise):.1f} dB on average, {min(rise):.1f} at least.")
    print(moves("Energy across the border:", "falls", pasted_seam, seam))
    print(f"Kept detail: {statistics.mean(details):.2f} on average, {min(details):.2f} at least.")
    print(moves("Energy across the border, encoded given the kept LR:", "falls", pasted_seam, other_seam))
    print(f"Kept detail, encoded given the kept LR: {statistics.mean(other_details):.2f} on average.")
    if trial.figure is not None:
        write_figure(trial.figure, panels)


@torch.no_grad()
def given_kept_lr(model: SRFlow, pasted: Tensor, pair: ImagePair, mask: Tensor, seed: int) -> Tensor:
    """Transfer content like ``SRFlow.transfer_content``, but encode the paste given the LR that it has to match."""
    given, generator = model.given(pair.lr), torch.Generator().manual_seed(seed)
    return transfer_content(given, pair.hr, given, pasted, mask, temperature=EDIT_TEMPERATURE, generator=generator)


def restore(trial: Trial) -> None:
    """Remove noise and JPEG artefacts from images."""
    for title, damage in (("noise", noisy), ("JPEG", compressed)):
        rows = []
        for name in trial.photographs:
            hr = trial.photographs.read(name).hr
            given = damage(hr, trial.generator)
            pair = ImagePair(name, lr_of(given, trial.editor.scale), given)
            sample = trial.editor.sample(pair, SAMPLE_TEMPERATURE, 1, 0)[0]
            images = given, sample, trial.editor.restore(pair, SAMPLE_TEMPERATURE, 0)
            truth = ImagePair(name, pair.lr, hr)
            ratios = [float(PSNR()(image[None], truth)) for image in images]
            rows.append((name, *ratios, *(lpips(image, hr) for image in images)))
        print_table(f"{title} | PSNR given | of a sample | restored | LPIPS given | of a sample | restored", rows)
        psnr_given, psnr_sample, psnr, lpips_given, lpips_sample, distance = list(zip(*rows, strict=True))[1:]
        print(moves(f"{title}: PSNR, given to restored,", "rises", psnr_given, psnr))
        print(moves(f"{title}: PSNR, sample to restored,", "rises", psnr_sample, psnr))
        print(moves(f"{title}: LPIPS, given to restored,", "falls", lpips_given, distance))
        print(moves(f"{title}: LPIPS, sample to restored,", "falls", lpips_sample, distance) + "\n")


def noisy(hr: Tensor, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise to HR, quantised to 8 bits."""
    return quantize_round(hr + NOISE / 255 * torch.randn(hr.shape, generator=generator)).float() / 255


def compressed(hr: Tensor, generator: torch.Generator) -> Tensor:
    """Compress HR as JPEG and decode it."""
    buffer = BytesIO()
    Image.fromarray(quantize_round(hr).permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return torch.from_numpy(np.array(Image.open(buffer, formats=["JPEG"]))).permute(2, 0, 1).float() / 255


def lr_of(hr: Tensor, scale: int) -> Tensor:
    """Downscale HR to LR by MATLAB's bicubic."""
    return downscale_uint8(quantize_round(hr)[None], scale)[0].float() / 255


def spread(trial: Trial) -> None:
    """Measure how much less samples differ where LR is flat."""
    rows = []
    for name in trial.photographs:
        pair = trial.photographs.read(name)
        samples = trial.editor.sample(pair, SAMPLE_TEMPERATURE, SAMPLES, 0)
        deviation = F.avg_pool2d(samples.clamp(0, 1).std(0).mean(0, keepdim=True), trial.editor.scale)
        order = steepness(pair.lr).flatten().argsort()
        ordered, quarter = 255 * deviation.flatten()[order], len(order) // 4
        rows.append((name, float(ordered[:quarter].mean()), float(ordered[-quarter:].mean())))
    print_table("photograph | flattest quarter | steepest quarter", rows)
    _, flat, steep = zip(*rows, strict=True)
    print(moves("Deviation in grey levels, from the steepest to the flattest quarter:", "falls", steep, flat))


def steepness(lr: Tensor) -> Tensor:
    """Return the range of grey values around every pixel of LR (3, h, w): (h, w)."""
    grey = lr.mean(0, keepdim=True)
    return (F.max_pool2d(grey, 3, 1, 1) + F.max_pool2d(-grey, 3, 1, 1))[0]


def texture_distance(these: Tensor, those: Tensor, scale: int) -> Tensor:
    """Return the difference in texture between two regions (3, h, w) in decibels, 0 for equal spectra.

    Mean absolute difference of their power spectra (luma, Hann window) in six bands of half an octave. The lowest band
    begins at 1/(2 scale) cycles per pixel, the Nyquist frequency of LR, because LR determines all lower frequencies.
    """
    return (_spectrum(these, scale) - _spectrum(those, scale)).abs().mean()


def _spectrum(region: Tensor, scale: int) -> Tensor:
    grey = luma(quantize_floor(region)).double()
    height, width = grey.shape
    window = torch.outer(torch.hann_window(height, dtype=grey.dtype), torch.hann_window(width, dtype=grey.dtype))
    power = torch.fft.fft2((grey - grey.mean()) * window).abs().square() / window.square().sum()
    rows, columns = torch.fft.fftfreq(height), torch.fft.fftfreq(width)
    frequency = torch.hypot(rows[:, None], columns[None, :])
    lowest = 1 / (2 * scale)
    steps = torch.log2(frequency.clamp_min(1e-9) / lowest).mul(2).floor().clamp_max(BANDS - 1)
    bands = [power[steps == band] for band in range(BANDS)]
    return torch.stack([10 * torch.log10(band.mean() + DARK) for band in bands if band.numel()])


def lr_psnr_in(box: Box, image: Tensor, pair: ImagePair) -> float:
    """Return ``lr_psnr`` only of the LR pixels in a box of HR; outside, an edited image equals the photograph."""
    scale = pair.hr.shape[-1] // pair.lr.shape[-1]
    downscaled, lr = downscale_uint8(quantize_floor(image)[None], scale), quantize_floor(pair.lr)
    small = Box(box.x // scale, box.y // scale, box.width // scale, box.height // scale)
    return float(decibels(mean_squared_errors(cut(downscaled, small), cut(lr, small))))


def lpips(region: Tensor, reference: Tensor) -> float:
    """Return LPIPS between two regions."""
    return float(LPIPS()(region[None], ImagePair("region", reference, reference)))


def around(box: Box, pair: ImagePair, image: Tensor) -> tuple[Tensor, Box]:
    """Cut out the surroundings of a box; return them and the box within them."""
    x, y = (
        min(max(start - (AROUND - SIDE) // 2, 0), side - AROUND)
        for start, side in zip((box.x, box.y), pair.hr.shape[:0:-1], strict=True)
    )
    return cut(image, Box(x, y, AROUND, AROUND)), Box(box.x - x, box.y - y, SIDE, SIDE)


def gaps(these: Iterable[float], those: Iterable[float]) -> list[float]:
    """Return ``these`` minus ``those``."""
    return [this - that for this, that in zip(these, those, strict=True)]


def moves(subject: str, verb: Literal["falls", "rises"], before: Sequence[float], after: Sequence[float]) -> str:
    """Return a sentence that says how often a value falls or rises, and its means."""
    count = sum(gap < 0 if verb == "falls" else gap > 0 for gap in gaps(after, before))
    means = f"from {statistics.mean(before):.3g} to {statistics.mean(after):.3g} on average"
    return f"{subject} {verb} in {count} of {len(before)}, {means}."


def print_table(heads: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Print a Markdown table, numbers with three digits."""
    print(f"| {heads} |\n|{'---|' * (heads.count('|') + 1)}")
    for row in rows:
        print(f"| {' | '.join(f'{cell:.3g}' if isinstance(cell, float) else str(cell) for cell in row)} |")
    print()


TRIALS: dict[str, Callable[[Trial], None]] = {"style": style, "content": content, "restore": restore, "spread": spread}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", metavar="|".join(TRIALS), help="default: all")
    parser.add_argument("--models", dest="model", metavar="MODEL", default="srflow")
    parser.add_argument("--scale", type=int, default=8)
    parser.add_argument("--number", type=int, default=20, help="number of pairs of boxes, and of pastes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="PNG to write, of the first four pastes")
    arguments = parser.parse_args()
    if unknown := set(arguments.trials) - TRIALS.keys():
        parser.error(f"{unknown.pop()!r} is none of {', '.join(TRIALS)}")
    editor = Editor(arguments.model, arguments.scale, "cpu")
    if not isinstance(editor.model, SRFlow):
        parser.error(f"{arguments.model} is not SRFlow")
    for name in arguments.trials or TRIALS:
        print(f"\n## {name}, {arguments.model} {arguments.scale}x, seed {arguments.seed}\n")
        generator = torch.Generator().manual_seed(arguments.seed)
        photographs = cropped(packaged_photos(arguments.scale), arguments.scale, CROP)
        TRIALS[name](Trial(editor, editor.model, photographs, generator, arguments.number, arguments.figure))


if __name__ == "__main__":
    main()
