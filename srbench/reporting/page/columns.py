"""Images that a page can show of every image of a run: LR, HR and the outputs of every line of the table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srbench.reporting.measurements import Measurements
from srbench.run_folder.results import Row


@dataclass(frozen=True)
class Column:
    """LR, HR, the output of a model, or one of its samples."""

    id: str
    """Unique name, for the address of the page."""
    title: str
    model: str
    """Empty for LR and HR."""
    temperature: float | None
    sample: int | None
    """Number from 0; None for a model with one output."""
    setting: int | None
    """Line of the table; None for LR and HR."""


LR = Column("lr", "LR", "", None, None, None)
HR = Column("hr", "HR", "", None, None, None)


def kept_files(measurements: Measurements, image: str, lines: dict[int, Row]) -> dict[Column, Path]:
    """Kept files of an image, whose rows are given by line of the table."""
    found = dict(zip((LR, HR), measurements.pair(image) or (), strict=False))
    for line, row in lines.items():
        setting = row.setting
        name, label = setting.folder, setting.label
        for sample, path in enumerate(measurements.outputs(row)):
            if row.sample.drawn:
                title = f"{label} #{sample + 1}" if row.samples > 1 else label
                column = Column(f"{name}_{sample + 1}", title, setting.model, setting.temperature, sample, line)
            else:
                column = Column(name, label, setting.model, setting.temperature, None, line)
            found[column] = path
    return found


def columns_of(files: dict[str, dict[Column, Path]]) -> list[Column]:
    """Columns of a page from the kept files of every image: LR, HR, then outputs in the order of the table."""
    outputs = {column for found in files.values() for column in found} - {LR, HR}
    return [LR, HR, *sorted(outputs, key=lambda column: (column.setting, column.sample))]
