"""Options that several commands share, and the parsers of their values. Nothing here loads torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from srbench.cli import completion
from srbench.images.box import Box
from srbench.interfaces import LARGEST_SEED
from srbench.machine.trackers import TRACKERS
from srbench.models import SMALLEST_TILE
from srbench.run_folder.limits import AVERAGES, DEVICES, LARGEST_COUNT, is_device, parse_shard
from srbench.words import did_you_mean

Value = TypeVar("Value")
Command = Callable[..., Any]


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Combine several options into one decorator, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def examples(*commands: str) -> str:
    """Return the end of a command's help: commands to type. Continued lines stay as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {command}".replace("\n", "\n  ") for command in commands)])


def records_of(command: click.Command, context: click.Context) -> list[tuple[str, str]]:
    """Return names and help of the options of a command."""
    options = [parameter for parameter in command.get_params(context) if isinstance(parameter, click.Option)]
    return [record for option in options if (record := option.get_help_record(context))]


class LongCommand(click.Command):
    """A command with many options: its help lists the common options first, then the ``advanced`` ones."""

    def __init__(self, *arguments: Any, advanced: Sequence[str], **more: Any) -> None:  # noqa: ANN401 - click's own
        """``advanced`` are names such as ``--tile``."""
        super().__init__(*arguments, **more)
        self.advanced = advanced

    def sections(self, context: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return names and help of the options, by title of their section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": [], "Advanced": []}
        for names, text in records_of(self, context):
            sections["Advanced" if names.split()[0] in self.advanced else "Options"].append((names, text))
        return sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of the options, section by section."""
        for title, records in self.sections(ctx).items():
            with formatter.section(title):
                formatter.write_dl(records)


class Choice(click.Choice[str]):
    """A choice that suggests the closest word for a misspelt one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's own
        """Return the message of click, with the suggestion."""
        message = super().get_invalid_choice_message(value, ctx)
        guess = did_you_mean(value, self.choices)
        return f"{message.removesuffix('.')}; {guess}" if guess else message


class _Device(Choice):
    """A device, such as cuda:1 for cuda:N."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401 - click's own
        """Return the device. Raises BadParameter."""
        if not is_device(str(value)):
            self.fail(self.get_invalid_choice_message(value, ctx), param, ctx)
        return str(value)


def whole(smallest: int, largest: int = LARGEST_COUNT) -> Callable[[str | int], int]:
    """Return the type of an option that takes a whole number within limits."""

    def read(text: str | int) -> int:
        number = _number(str(text))
        if not smallest <= number <= largest:
            allowed = f"{smallest} or more" if number < largest else f"{smallest} to {largest}"
            raise click.BadParameter(f"{text!r} is not a whole number of {allowed}.")
        return number

    return read


def _number(text: str) -> int:
    """Parse a whole number; -1 for any other text. Python raises for more than 4300 digits, hence the limit."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4000 else -1


def comma_separated(read: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Return the type of an option with comma-separated values; a repeated value counts once."""
    return lambda text: tuple(dict.fromkeys(read(part.strip()) for part in text.split(",")))


def _name(text: str) -> str:
    if not text:
        raise click.BadParameter("a name is empty; separate names by single commas.")
    return text


def _one_name(text: str) -> str:
    if "," in text:
        raise click.BadParameter(f"{text!r} names several models; give one.")
    return _name(text)


def _metric(text: str) -> str:
    """Return the name of a metric, registered or a bundle's as it is spelt there, not in the typed case."""
    from srbench.metrics.suite import BUNDLES
    from srbench.plugins.registry import registered

    name, plus, arguments = _name(text).partition("+")
    known = [*registered("metrics"), *BUNDLES]
    spelt = {each.lower(): each for each in known} | {each: each for each in known}
    return spelt.get(name, spelt.get(name.lower(), name)) + plus + arguments


def _temperature(text: str | float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise click.BadParameter(f"{text!r} is not a temperature; give a number of 0 or more.")
    if number > HIGHEST_TEMPERATURE:
        warnings.warn(
            f"temperature {number:g} is above {HIGHEST_TEMPERATURE:g}, where samples become noise; 1 is the "
            "temperature of the distribution that a model has learnt",
            stacklevel=2,
        )
    return number


def _box(text: str) -> Box:
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a box; give x,y,width,height in HR pixels.") from None
    return Box(x, y, width, height)


def _workers(text: str) -> int | Literal["gpus"]:
    if text == "gpus":
        return "gpus"
    if (number := _number(text)) < 1:
        raise click.BadParameter(f"{text!r} is neither a number of processes, 1 or more, nor gpus.")
    return number


def resampled(text: str) -> int | Literal["all"]:
    """Parse ``--resample``: a number of items, or ``all``."""
    if text == "all":
        return "all"
    if (number := _number(text)) < 0:
        raise click.BadParameter(f"{text!r} is neither a number of items, 0 or more, nor all.")
    return number


def data(text: str) -> tuple[str, ...]:
    """Parse ``--data``: names or folders, separated by commas; an existing folder may have commas in its name."""
    return (text,) if text and Path(text).exists() else NAMES(text)


def shard(text: str) -> str:
    """Check ``--shard``: ``2/8``, or ``env``, which stays as it is."""
    try:
        parse_shard(None if text == FROM_LAUNCHER else text)
    except ValueError as error:
        raise click.BadParameter(f"{error}, or {FROM_LAUNCHER} under torchrun or srun.") from None
    return text


def _engine(text: str) -> str:
    if text.partition(":")[0] != "dask":
        raise click.BadParameter(f"{text!r} is not dask or dask:ADDRESS.")
    return text


HIGHEST_TEMPERATURE = 1.5
"""Highest temperature without a warning: the packaged 4x SRFlow loses 10 dB of PSNR from 1 to 1.5."""
FROM_LAUNCHER = "env"
"""Value of ``--shard`` for the shard that torchrun or Slurm gives this process."""
PATH = click.Path(path_type=Path)
COUNT = whole(1)
NAMES = comma_separated(_name)
SCALES = comma_separated(COUNT)

TILES = (
    "Upscale in tiles of PX x PX LR pixels to save memory. SRFlow gives the same result up to rounding, as do networks "
    "with a receptive field of up to 16 pixels to each side; others differ at the seams."
)

models = partial(click.option, "--models", type=NAMES, metavar="MODEL,...", shell_complete=completion.MODELS)
one_model = partial(
    click.option, "--models", "model", type=_one_name, metavar="MODEL", shell_complete=completion.MODELS
)
scale = partial(click.option, "--scale", metavar="S", type=COUNT)
factor = partial(click.option, "--scale", metavar="S", type=whole(2))
temperature = partial(click.option, "--temperature", metavar="T", type=_temperature)
temperatures = partial(click.option, "--temperature", metavar="T,...", type=comma_separated(_temperature))
metrics = partial(
    click.option, "--metrics", type=comma_separated(_metric), metavar="METRIC,...", shell_complete=completion.METRICS
)
suite = partial(click.option, "--suite", metavar="NAME|FILE", shell_complete=completion.SUITES)
box = partial(click.option, metavar="X,Y,W,H", type=_box)
samples = partial(click.option, "--samples", metavar="N", type=COUNT)
seed = partial(
    click.option,
    "--seed",
    metavar="N",
    type=whole(0, LARGEST_SEED),
    help="Random seed: equal seeds give equal samples.",
)
device = partial(
    click.option,
    "--device",
    metavar="|".join(DEVICES),
    default="auto",
    type=_Device(DEVICES),
    help="Device to run on; auto takes a GPU if there is one.",
)
tile = partial(click.option, "--tile", metavar="PX", type=whole(SMALLEST_TILE), help=f"{TILES} [default: whole images]")
names = partial(click.option, type=NAMES, metavar="NAME,...")
folder = partial(click.option, type=PATH, metavar="DIR")
preset = partial(click.option, "--preset", metavar="NAME|FILE", shell_complete=completion.PRESETS)
file = partial(click.option, type=PATH, metavar="FILE")
log_with = partial(click.option, "--log-with", type=Choice(TRACKERS), metavar="|".join(TRACKERS))
average = click.option(
    "--average",
    type=Choice(AVERAGES),
    metavar="|".join(AVERAGES),
    help="What means, intervals and tests are over: images, or groups, such as clips, whose images are averaged first; "
    f"a subfolder is a group (docs/protocols.md). [default: {AVERAGES[0]}]",
)
workers = click.option(
    "--workers",
    shell_complete=completion.words("gpus"),
    type=_workers,
    metavar="N|gpus",
    help="Worker processes, one thread each; gpus: one process for each GPU. "
    "[default: one per core, at most 8 and one per 4 images, fewer if they are small; 1 on a GPU]",
)
engine = click.option(
    "--engine",
    shell_complete=completion.words("dask"),
    type=_engine,
    metavar="NAME",
    help="Where the work is done: dask for a Dask cluster of --workers on this machine, dask:ADDRESS for a running "
    "scheduler. [default: processes on this machine]",
)
measuring_workers = partial(click.option, "--workers", type=COUNT, metavar="N")
page = together(
    click.option(
        "--port",
        metavar="N",
        default=0,
        type=whole(0, 65535),
        show_default=False,
        help="Port to listen on. [default: any free port]",
    ),
    click.option("--no-browser", is_flag=True, help="Only print the address, without opening a browser."),
)
