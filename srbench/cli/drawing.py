"""The command that draws a figure for a paper. Imports that load matplotlib are inside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import completion, options
from srbench.cli.reporting import reading
from srbench.terminal.output import show
from srbench.terminal.progress import shown_progress

if TYPE_CHECKING:
    from srbench.reporting.figures.paper import Crop


def _crop(text: str) -> Crop:
    from srbench.reporting.figures.paper import Crop

    image, _, window = text.rpartition("=")
    try:
        x, y, side = map(int, window.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no window; give X,Y,S in HR pixels, or IMAGE=X,Y,S.") from None
    if min(x, y, side - 1) < 0:
        raise click.BadParameter(f"{text!r}: X and Y are 0 or more, and the side S is 1 or more.")
    return Crop(x, y, side, image or None)


def _inches(text: str | float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 40:
        raise click.BadParameter(f"{text!r} is not a width of 1 to 40 inches.")
    return number


@click.command(
    epilog=options.examples(
        "srbench figure runs/mine",
        "srbench figure runs/mine --images 0801,0802 --crop 0801=120,64,80",
        "srbench figure runs/mine --models bicubic,srflow --width 3.25 --rows 2",
    )
)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=options.PATH)
@options.names(
    "--images", help="Images, one below the other. [default: the image on which the leading models differ most]"
)
@click.option(
    "--crop",
    "crops",
    multiple=True,
    type=_crop,
    metavar="[IMAGE=]X,Y,S",
    help="Square window to magnify: its corner and side in HR pixels; repeat it for several. [default: where the models differ most]",
)
@options.models(
    shell_complete=completion.ROWS,
    help="Models, in this order: labels, or labels with a temperature such as srflow-t0.8. [default: all]",
)
@options.metrics(
    shell_complete=completion.MEASURED,
    help="Metrics whose values stand below the outputs. [default: psnr,lpips, if measured]",
)
@click.option(
    "--width", type=_inches, metavar="W", default=6.875, help="Width in inches: 6.875 fits a page, 3.25 a column."
)
@click.option("--rows", type=options.COUNT, metavar="N", default=1, help="Rows over which the models are spread.")
@options.file("--out", default=Path("figure.pdf"), help="File, .pdf or .png.")
def figure(runs: tuple[Path, ...], **values: Any) -> None:  # noqa: ANN401 - click's
    """Make a figure for a paper.

    It shows images with a box, and the box magnified by LR, every model and HR.
    A model that samples is shown by its first sample, with the values of that sample.
    """
    with shown_progress(reading(runs)):
        from srbench.reporting.figures.paper import parts_of_run, write_figure
        from srbench.reporting.results import read_results

        names = {name: values[name] or () for name in ("images", "models", "crops")}
        parts = parts_of_run(read_results(runs), metrics=values["metrics"], **names)
        write_figure(parts, values["out"], values["width"], values["rows"])
    for part in parts:
        show(f"{part.whole.lines[0]}: {' '.join(f'--crop {crop}' for crop in part.crops)}")
    show(values["out"])
