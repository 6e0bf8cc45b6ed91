"""Which rows of a column are better than the others, as far as the pictures support it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from srbench.facts import MetricFacts
from srbench.statistics import LEVEL, paired_p_value

Mark = Literal["", "best", "second"]


def marks(columns: Sequence[pd.Series[float]], metric: MetricFacts) -> list[Mark]:
    """The mark of every row of one column of the table; a row is given by its values, indexed by picture.

    "best" is better than all other rows, "second" better than all but one. A row is better than another if its mean
    is, over the pictures that both have, and the paired permutation test says p < 0.05. There is no correction for
    several tests within a column, because all of them have to succeed (Berger, "Multiparameter hypothesis testing
    and acceptance sampling", 1982). Rows with a value that is not finite take no part, nor do rows of zeros
    where higher is better: the spread of a model with one answer.
    """
    better = 1 if metric.higher_is_better else -1
    scores = [better * column for column in columns]
    taking_part = [
        row
        for row, column in enumerate(columns)
        if len(column) and np.isfinite(column).all() and (better < 0 or column.any())
    ]
    found: list[Mark] = [""] * len(columns)
    # Who is better than all but one is first or second by its mean.
    for row in sorted(taking_part, key=lambda row: -float(scores[row].mean()))[:2]:
        others = [other for other in taking_part if other != row]
        beaten = sum(_is_above(scores[row], scores[other]) for other in others)
        if beaten and beaten >= len(others) - 1:
            found[row] = "best" if beaten == len(others) else "second"
    return found


def _is_above(these: pd.Series[float], those: pd.Series[float]) -> bool:
    differences = (these - those).dropna().to_numpy()
    return len(differences) > 0 and differences.mean() > 0 and paired_p_value(differences) < 1 - LEVEL
