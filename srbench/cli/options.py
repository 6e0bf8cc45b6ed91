"""Options that several commands have, and how their values are read. Nothing here loads torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import click

from srbench.interfaces import LARGEST_SEED, SMALLEST_TILE, Box

Number = TypeVar("Number", int, float)

DEVICES = click.Choice(["auto", "cpu", "cuda", "mps"])
SEEDS = click.IntRange(0, LARGEST_SEED)
TILES = click.IntRange(SMALLEST_TILE)


def _workers(context: click.Context, parameter: click.Parameter, value: str | None) -> int | Literal["gpus"] | None:
    """``4`` -> the number, ``gpus`` as it is. Raises BadParameter for anything else."""
    if value is None:
        return None
    if value == "gpus":
        return "gpus"
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number of processes, 1 or more, nor gpus.")
    return int(value)


WORKERS = click.option(
    "--workers", callback=_workers, metavar="N|gpus", help="Worker processes, one thread each. On a GPU, one samples "
    "and N measure; gpus: one samples on each GPU. [default: one per core, at most 8 and one per 4 images; 1 on a GPU]",
)  # fmt: skip
ENGINE = click.option(
    "--engine", metavar="NAME", help="dask: a Dask cluster of --workers on this machine; dask:ADDRESS: a running "
    "scheduler.",
)  # fmt: skip
PUBLISHED = click.option(
    "--published", is_flag=True, help="Add published rows of the same data, scale and protocol below the table.",
)  # fmt: skip


def names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``a,b`` -> the names, each once. Raises BadParameter for an empty one."""
    if value is None:
        return None
    parts = tuple(dict.fromkeys(part.strip() for part in value.split(",")))
    if not all(parts):
        raise click.BadParameter(f"{value!r} has an empty part; separate names by single commas.")
    return parts


def data_sets(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """The same of names and folders; a folder that is there may have a comma in its name."""
    return (value,) if value is not None and Path(value).exists() else names(context, parameter, value)


def scales(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """``4,8`` -> the numbers, each once. Raises BadParameter for anything else, and for less than 2."""
    numbers = _listed(value, int, "not a scale such as 4, or a list such as 4,8")
    for number in numbers or ():
        if number < 2:
            raise click.BadParameter(f"{number} is not a scale; it must be 2 or more.")
    return numbers


def temperatures(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """``0,0.5,0.8`` -> the numbers, each once. Raises BadParameter for anything else."""
    numbers = _listed(value, float, "not a list of numbers such as 0,0.5,0.8")
    for number in numbers or ():
        check_temperature(number)
    return numbers


def _listed(value: str | None, kind: Callable[[str], Number], fault: str) -> tuple[Number, ...] | None:
    """``a,b`` -> the numbers, each once; None for None. Raises BadParameter."""
    if value is None:
        return None
    try:
        return tuple(dict.fromkeys(kind(part) for part in value.split(",")))
    except ValueError:
        raise click.BadParameter(f"{value!r} is {fault}.") from None


def temperature(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """One number. Raises BadParameter where it is negative or not finite."""
    return check_temperature(value)


def check_temperature(number: float) -> float:
    """The number itself. Raises BadParameter where it is negative or not finite."""
    if not (0 <= number < math.inf):
        raise click.BadParameter(f"{number:g} is not a temperature; it must be 0 or more.")
    return number


def box(context: click.Context, parameter: click.Parameter, value: str | None) -> Box | None:
    """``x,y,width,height`` -> Box. Raises BadParameter for anything but four whole numbers."""
    if value is None:
        return None
    try:
        x, y, width, height = (int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a box; give x,y,width,height in pixels of HR.") from None
    return Box(x, y, width, height)
