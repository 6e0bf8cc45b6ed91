"""Commands for your own images: upscale, edit, explore. Imports that load torch are inside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import options
from srbench.images.box import Box
from srbench.interfaces import TEMPERATURE, SRBenchError
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress
from srbench.words import number_of

if TYPE_CHECKING:
    from srbench.editing.edit import Edited

_STATED = f"[default: the one stated in the model's weights, else {TEMPERATURE:g}]"


@click.command(
    epilog=options.examples(
        "srbench upscale photo.jpg --models srflow --scale 4",
        "srbench upscale folder --models rrdb,srflow --scale 4 --dry-run",
    )
)
@click.argument("paths", metavar="IMAGE|DIR...", nargs=-1, required=True, type=options.PATH)
@options.models(
    required=True,
    help="Models, as in srbench run. Several models or temperatures have a subfolder of --out each, as in a run "
    "folder: LABEL, or LABEL-tT at temperature T.",
)
@options.factor(required=True, help="Upscaling factor.")
@options.temperatures(
    help=f"Temperatures of models that sample: 0 gives the smoothest output, 1 the most varied. {_STATED}",
)
@options.samples(default=1, help="Samples per image, of models that sample: NAME_sample0.png and so on.")
@options.seed(default=0)
@options.device()
@options.tile(
    help=f"{options.TILES} [default: whole images; on a CPU, images above 256x256 in tiles of 256 (SRFlow: 128)]"
)
@options.folder("--out", default=Path("upscaled"), help="Folder of the outputs.")
@click.option("--dry-run", is_flag=True, help="Only list the outputs, and the disk space they take at most.")
def upscale(dry_run: bool, **values: Any) -> None:  # noqa: ANN401 - click's
    """Upscale your own images.

    DIR takes all images in it and its subfolders. Existing outputs are kept. The LR-PSNR printed for each output shows
    how closely it downscales to its input.
    """
    failures = 0
    with shown_progress(f"opening {', '.join(values['models'])}") as progress:
        from srbench.upscaling import UpscaleSpec, estimate, upscale

        if dry_run:
            for line in estimate(UpscaleSpec(**values)):
                show(line)
            return
        for result in upscale(UpscaleSpec(**values), progress):
            failures += bool(result.fault)
            for path, lr_psnr in zip(result.files, result.lr_psnr, strict=True):
                show(f"{path}  LR-PSNR {lr_psnr:.2f} dB{'  (kept)' if result.kept else ''}")
    if failures:
        raise SRBenchError(f"{number_of(failures, 'image')} could not be upscaled, see above")


@click.group()
def edit() -> None:
    """Edit your own image in a model's latent space.

    Results still downscale to the same LR image as the original.
    """


_EDITING = options.together(
    options.one_model(required=True, help="Model with latents: srflow, srflow:WEIGHTS or your own."),
    options.factor(required=True, help="Factor between the image and the LR image that edits preserve."),
    options.device(),
    options.folder("--out", default=Path("edited"), help="Folder of the results."),
)


@edit.command(
    "style-transfer",
    epilog=options.examples(
        "srbench edit style-transfer photo.png --from 48,192,64,64 \\\n  --to 256,32,64,64 --models srflow --scale 8"
    ),
)
@click.argument("image", type=options.PATH)
@options.box("--from", "source", required=True, help="Box to take the texture from.")
@options.box("--to", "target", required=True, help="Box to put the texture into.")
@options.temperature(default=0.9, help="Strength of the transferred texture: 1 keeps it, less is smoother.")
@_EDITING
def style_transfer(**values: Any) -> None:  # noqa: ANN401 - click's
    """Copy the texture of one part of an image to another.

    Boxes are in pixels of IMAGE: left, top, width, height.
    """
    from srbench.editing.edit import transfer_style

    _edit(transfer_style, **values)


@edit.command(
    "content-transfer",
    epilog=options.examples(
        "srbench edit content-transfer photo.png patch.png --box 96,96,96,96 \\\n  --models srflow --scale 8"
    ),
)
@click.argument("target", type=options.PATH)
@click.argument("source", type=options.PATH)
@options.box("--box", help="Box to paste into. [required, or --mask]")
@options.file("--mask", help="Image of the size of TARGET, white where to paste, instead of --box.")
@options.temperature(default=0.9, help="Strength of the pasted texture: 1 keeps it, less is smoother.")
@options.seed(default=0)
@_EDITING
def content_transfer(box: Box | None, mask: Path | None, **values: Any) -> None:  # noqa: ANN401 - click's
    """Paste one image into another and harmonise it.

    SOURCE is pasted into TARGET, and has the size of TARGET or of the box.
    """
    where = box or mask
    if where is None or (box and mask):
        raise click.UsageError("Give either --box or --mask.")
    from srbench.editing.edit import transfer_content

    _edit(transfer_content, where=where, **values)


@edit.command("temperature", epilog=options.examples("srbench edit temperature photo.png --models srflow --scale 8"))
@click.argument("image", type=options.PATH)
@options.temperatures(
    "temperatures", default="0,0.3,0.6,0.8,1", help="Temperatures: 0 gives the smoothest sample, 1 the most varied."
)
@options.seed(default=0)
@_EDITING
def temperature_command(**values: Any) -> None:  # noqa: ANN401 - click's
    """Upscale an image's LR at several temperatures.

    IMAGE is downscaled, then upscaled at every temperature with the same seed.
    """
    from srbench.editing.edit import compare_temperatures

    _edit(compare_temperatures, **values)


@edit.command("restore", epilog=options.examples("srbench edit restore photo.png --models srflow --scale 8"))
@click.argument("image", type=options.PATH)
@options.temperature(help=f"Strength of the remaining texture: less is smoother. {_STATED}")
@options.seed(default=0)
@_EDITING
def restore(**values: Any) -> None:  # noqa: ANN401 - click's
    """Denoise an image.

    Removes detail that neither the model nor the LR image of IMAGE explains.
    """
    from srbench.editing.edit import restore_image

    _edit(restore_image, **values)


@click.command(epilog=options.examples("srbench explore photo.png --scale 4"))
@click.argument("image", required=False, type=options.PATH)
@options.one_model(default="srflow", help="Model with latents: srflow, srflow:WEIGHTS or your own.")
@options.factor(default=8, help="Upscaling factor.")
@options.device()
@options.folder("--out", default=Path("explored"), help="Folder of the images that you save.")
@options.page
def explore(image: Path | None, model: str, scale: int, device: str, out: Path, port: int, no_browser: bool) -> None:
    """Upscale a part of an image in a browser.

    Shows samples beside bicubic interpolation, and where they differ. The part can also be downscaled first, to compare
    samples with the original. Without IMAGE, choose an image in the browser. The page is only reachable from this
    machine; press Ctrl-C to stop.
    """
    from srbench.editing import explore as page
    from srbench.editing.edit import Editor

    page.explore(page.Explorer(Editor(model, scale, device), out), image, port=port, browser=not no_browser)


def _edit(
    edit: Callable[..., Edited | list[Edited]],
    model: str,
    scale: int,
    device: str,
    **values: Any,  # noqa: ANN401 - click's
) -> None:
    from srbench.editing.edit import Editor
    from srbench.editing.measures import fit_to_lr
    from srbench.files.paths import no_place

    if reason := no_place(values["out"]):
        raise SRBenchError(f"{values['out']}: {reason}; choose another --out")
    edited = edit(Editor(model, scale, device), **values)
    for image in edited if isinstance(edited, list) else [edited]:
        show(f"{image.file}  {fit_to_lr(image.lr_psnr)}{f'  ({image.remark})' if image.remark else ''}")
