"""Paired tests of the rows of a column; their verdicts are kept in the user's cache, as the values never change."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from srbench.files.atomic import write_whole
from srbench.files.cache import cache_folder
from srbench.files.hashes import sha256_bytes
from srbench.interfaces import MetricFacts
from srbench.plugins.code_digest import package_digest
from srbench.reporting.ranking import rank
from srbench.run_folder.records import digest


def better_of(columns: Sequence[NDArray[np.float64]], metric: MetricFacts) -> NDArray[np.int64]:
    """Verdicts of ``srbench.reporting.ranking.rank`` about rows, each given by its values (images,).

    Returns (rows, rows): 1 if the row is better than the column, -1 if it is worse, 0 if that is undecided.
    """
    key = digest(package_digest(__name__), metric.direction, [sha256_bytes(column.tobytes()) for column in columns])
    file, shape = cache_folder("index") / f"{key}.verdicts", (len(columns), len(columns))
    try:
        known = np.frombuffer(file.read_bytes(), dtype=np.int8)
        if known.size == len(columns) ** 2:
            return known.reshape(shape).astype(np.int64)
    except OSError:
        pass  # not tested before
    better = rank([pd.Series(column) for column in columns], metric).better
    with suppress(OSError):  # tested again the next time
        write_whole(file, better.astype(np.int8).tobytes())
    return better
