"""What a page can show of every image: LR, HR and the outputs of every row of the table, and where their files are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.reporting.merge import Measurements
from srbench.run_folder.protocol import setting_folder, setting_label
from srbench.run_folder.results import Row


@dataclass(frozen=True)
class Column:
    """What can be looked at for every image: LR, HR, the output of a model or one of its samples."""

    id: str
    """In the address of the page, and unique."""
    title: str
    model: str
    """Empty for LR and HR."""
    temperature: float | None
    sample: int | None
    """From 0; None for a model with one output."""
    setting: int | None
    """Place of its model and temperature in the table; None for LR and HR."""


LR = Column("lr", "LR", "", None, None, None)
HR = Column("hr", "HR", "", None, None, None)


def kept_files(measurements: Measurements, image: str, measured: dict[int, Row]) -> dict[Column, Path]:
    """The files of an image that are still there; ``measured`` are its rows by their place in the table."""
    found = dict(zip((LR, HR), measurements.pair(image) or (), strict=False))
    for place, row in measured.items():
        for number, path in enumerate(measurements.outputs(row)):
            found[_column(row, place, number if row.sample.drawn else None)] = path
    return found


def columns_of(files: dict[str, dict[Column, Path]]) -> list[Column]:
    """The columns of a page from the kept files of every image: LR, HR, then the outputs in the table's order."""
    outputs = {column for found in files.values() for column in found} - {LR, HR}
    return [LR, HR, *sorted(outputs, key=lambda column: (column.setting, column.sample))]


def _column(row: Row, place: int, sample: int | None) -> Column:
    name, label = setting_folder(row.model, row.temperature), setting_label(row.model, row.temperature)
    if sample is not None:
        name = f"{name}_{sample + 1}"
        label = f"{label} #{sample + 1}" if row.samples > 1 else label
    return Column(name, label, row.model, row.temperature, sample, place)
