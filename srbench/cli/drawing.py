"""The command that draws a figure for a paper. Imports that load matplotlib are inside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli import completion, options
from srbench.cli.reporting import reading
from srbench.interfaces import SRBenchError
from srbench.run_folder.limits import SUITE
from srbench.terminal.output import show
from srbench.terminal.progress import Progress, shown_progress
from srbench.words import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from srbench.reporting.figures.paper_figure import Crop
    from srbench.reporting.figures.strips import Part


def _crop(text: str) -> Crop:
    from srbench.reporting.figures.paper_figure import Crop

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


def _samples(text: str) -> tuple[int, ...]:
    """Parse numbers of samples; empty for ``all``."""
    return () if text == "all" else options.SCALES(text)


def _label(text: str) -> tuple[str, str]:
    model, _, label = text.partition("=")
    if not model or not label.strip():
        raise click.BadParameter(f"{text!r} is not MODEL=TEXT, with a text without commas.")
    return model, label.strip()


@click.command(
    epilog=options.examples(
        "srbench figure runs/mine",
        "srbench figure runs/mine --images 0801,0802 --crop 0801=120,64,80",
        "srbench figure runs/mine --models bicubic,srflow --width 3.25 --rows 2",
        "srbench figure runs/mine --labels srflow=SRFlow --samples all --maps",
        "srbench figure mine=out/mine theirs=out/theirs --hr HR --images 0801",
    )
)
@click.argument("sources", nargs=-1, required=True, metavar="RUN...|DIR...", shell_complete=completion.FILES)
@options.folder(
    "--hr", help="Folder of HR images; SOURCES are then folders of outputs, DIR or LABEL=DIR, as in measure."
)
@options.folder("--lr", help="With --hr, folder of LR images.")
@options.names(
    "--images",
    shell_complete=completion.IMAGES,
    help="Images, one below the other. [default: the image on which the leading models differ most]",
)
@click.option(
    "--crop",
    "crops",
    multiple=True,
    type=_crop,
    metavar="[IMAGE=]X,Y,S",
    help=(
        "Square window to magnify: its corner and side in HR pixels; repeat it for several. [default: where the "
        "models differ most]"
    ),
)
@options.models(
    shell_complete=completion.ROWS,
    help="Models, in this order: labels, or labels with a temperature such as srflow-t0.8. [default: all]",
)
@click.option(
    "--labels",
    type=options.comma_separated(_label),
    metavar="MODEL=TEXT,...",
    shell_complete=completion.ROWS,
    help="Names to print below the outputs. [default: as in the table]",
)
@click.option(
    "--samples",
    type=_samples,
    metavar="N,...|all",
    default="1",
    shell_complete=completion.words("all"),
    help="Samples to show of models that sample, each with its own values; the first is 1.",
)
@click.option(
    "--maps",
    is_flag=True,
    help=(
        "Add maps in grey levels: the error of each output (mean of the channels) and the standard deviation of "
        "samples."
    ),
)
@options.suite(help=f"With --hr, protocol of the values (srbench list suites). [default: {SUITE}]")
@options.metrics(
    shell_complete=completion.MEASURED,
    help="Metrics whose values stand below the outputs. [default: psnr,lpips, if measured]",
)
@click.option(
    "--width", type=_inches, metavar="W", default=6.875, help="Width in inches: 6.875 fits a page, 3.25 a column."
)
@click.option("--rows", type=options.COUNT, metavar="N", default=1, help="Rows over which the models are spread.")
@options.file("--out", default=Path("figure.pdf"), help="File, .pdf, .png or .svg.")
def figure(sources: tuple[str, ...], hr: Path | None, **values: Any) -> None:  # noqa: ANN401 - click's
    """Make a figure for a paper.

    It shows images with a box, and the box magnified by LR, every model and HR. Of the values below the outputs, the
    best is bold.
    """
    if hr is None and (option := next((name for name in ("lr", "suite") if values[name]), None)):
        raise click.UsageError(f"--{option} goes with --hr.")
    if hr is not None and (values["models"] or values["labels"] or not values["images"]):
        raise click.UsageError("for folders of outputs, name --images, and the models by LABEL=DIR in their order.")
    chosen: dict[str, Any] = {name: values[name] or () for name in ("images", "crops")}
    chosen |= {"metrics": values["metrics"], "samples": values["samples"] or None, "maps": values["maps"]}
    with shown_progress(reading(sources)) as progress:
        from srbench.reporting.figures.paper_figure import parts_of_run, write_figure
        from srbench.reporting.results import read_results

        if hr is None:
            chosen |= {"models": values["models"] or (), "labels": dict(values["labels"] or ())}
            parts = parts_of_run(read_results(list(map(Path, sources))), **chosen)
        else:
            parts = _parts_of_folders(sources, hr, values["lr"], progress, values["suite"] or SUITE, **chosen)
        write_figure(parts, values["out"], values["width"], values["rows"])
    for part in parts:
        show(f"{part.whole.lines[0]}: {' '.join(f'--crop {box.x},{box.y},{box.width}' for box in part.windows)}")
    show(values["out"])


def _parts_of_folders(
    sources: Sequence[str],
    hr: Path,
    lr: Path | None,
    progress: Progress,
    suite: str,
    images: Sequence[str],
    crops: Sequence[Crop],
    metrics: Sequence[str] | None,
    samples: Sequence[int] | None,
    *,
    maps: bool,
) -> list[Part]:
    """Read and measure some images of folders of outputs. Raises SRBenchError."""
    from srbench.benchmark.measure import labelled, measure_folders
    from srbench.images.io import read_uint8
    from srbench.reporting.figures.image_files import BENEATH
    from srbench.reporting.figures.paper_figure import windows_of
    from srbench.reporting.figures.strips import part_of

    def pixels(path: Path) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = read_uint8(path).permute(1, 2, 0).numpy()
        return image

    names = BENEATH if metrics is None else metrics
    measured = measure_folders(labelled(sources), hr, lr, names=names, progress=progress, suite=suite, images=images)
    if faults := [fault for faults in measured.failures.values() for fault in faults]:
        raise SRBenchError("; ".join(faults))
    parts = []
    for image in images:
        outputs = {}
        for setting, pairs in measured.pairs.items():
            infos = [metric for metric in measured.metrics[setting] if metric.is_of_images]
            own = [measured.values.of[setting, metric.name].get(printable(image)) for metric in infos]
            outputs[setting.model] = [*map(pixels, pairs.results.paths(image))], own
        low, high = (None if files is None else pixels(files[image]) for files in (pairs.lr, pairs.hr))
        title = "input" if pairs.scale == 1 else "LR"
        more = pairs.scale or 1, title, samples, maps
        parts.append(part_of(image, low, high, outputs, windows_of(crops, image), infos, *more))
    return parts
