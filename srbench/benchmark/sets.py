"""FID and KID of a run: measured on its saved images, once everything is sampled."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from srbench.benchmark import BenchmarkError
from srbench.images.io import read_uint8
from srbench.metrics.fid import Features, SetDistances
from srbench.run_folder import NothingMeasuredError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.records import SetRecord
from srbench.run_folder.results import Row, rows_of, set_key


def rows_by_setting(folder: RunFolder) -> list[list[Row]]:
    """Return the rows of every setting of a run folder; none if nothing is measured yet."""
    try:
        return [list(rows) for _, rows in groupby(rows_of(folder), key=lambda row: row.setting)]
    except NothingMeasuredError:
        return []


def hr_pixels(folder: RunFolder, image: str) -> str:
    """Return the SHA-256 of the HR pixels of an image; empty if there are none."""
    pair = folder.of(image).pair
    return "" if pair is None or pair.hr is None else pair.hr.pixels


def lacking(folder: RunFolder, distances: SetDistances) -> Iterator[list[Row]]:
    """Yield the rows of each setting whose FID or KID is missing or outdated."""
    for rows in rows_by_setting(folder):
        keys = [set_key(metric, rows, lambda image: hr_pixels(folder, image)) for metric in distances.facts]
        if not folder.sets.keys() >= {*keys}:
            yield rows


def measured(
    folder: RunFolder, distances: SetDistances, rows: list[Row], references: dict[tuple[Path, ...], Features]
) -> list[SetRecord]:
    """Measure the distances of a setting, given its rows; ``references`` caches features of HR images by file.

    Raises BenchmarkError if an image was not saved, is missing or was changed, and MetricError for fewer than two
    images.
    """
    output_files, hr_files = [], []
    for row in rows:
        outputs, pair = folder.outputs(row.sample), folder.pair(row.image)
        if not outputs or pair is None or len(pair) < 2:
            raise BenchmarkError(
                f"needs the output and the HR image of {row.image}, which {folder.path} lacks or which were changed; "
                "run its command again"
            )
        output_files.append(outputs[0])
        hr_files.append(pair[1])
    if (of_hr := tuple(hr_files)) not in references:
        references[of_hr] = distances.features(map(read_uint8, hr_files))
    values = distances.between(distances.features(map(read_uint8, output_files)), references[of_hr])
    setting = rows[0].setting
    return [
        SetRecord(
            set_key(metric, rows, lambda image: hr_pixels(folder, image)),
            metric,
            values[metric.name],
            setting.model,
            setting.temperature,
            len(rows),
        )
        for metric in distances.facts
    ]
