"""Result of a table in two or three sentences, with which every report begins."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from srbench.interfaces import MetricFacts
from srbench.reporting.ranking import UNDECIDED, Ranking
from srbench.reporting.scores import Scores, joined, p_text, printed

ASKED = ("Perception", "Distortion")
"""Groups whose leading metrics come first: how good an output looks, how close it is to HR."""
KEEPS_LR = 45.0
"""Smallest LR-PSNR in dB of an output that keeps the LR image: Lugmayr et al., "NTIRE 2021 learning the
super-resolution space challenge", section 3."""
KEEPS = "keeps the LR image"
_NAMED = 2
"""Largest number of named rows that are not distinguishable from the best."""


def answer(scores: Scores) -> list[str]:
    """Best models in perception and distortion, as far as the images decide, and those that are diverse.

    Without metrics of these two, the first one of the table that has a direction.
    """
    directed = [metric for metric in scores.metrics if metric.direction]
    leading = [metric for group in ASKED for metric in directed if metric.leads and metric.group == group]
    asked = leading or directed[:1]
    if len(scores.lines) == 1:
        values = [f"{metric.title} {_value(scores, 0, metric)}" for metric in asked]
        return [f"{scores.lines[0].label}: {joined(values)}; no other row to compare it with."] if values else []
    return [*(_best(scores, metric) for metric in asked), *_diversity(scores)]


def _best(scores: Scores, metric: MetricFacts) -> str:
    ranking = scores.rankings[metric.name]
    what = f"{'Highest' if metric.direction > 0 else 'Lowest'} {metric.title}"
    if ranking.leader is None:
        reason = (
            "no image is common to all rows" if ranking.taking_part else "no row has a finite value for every image"
        )
        return f"{what}: {UNDECIDED}, as {reason}."
    label, is_alike = scores.lines[ranking.leader].label, partial(ranking.is_alike, ranking.leader)
    mean = f" at {_value(scores, ranking.leader, metric)}" if all(map(is_alike, ranking.taking_part)) else ""
    return f"{what}: {label}{mean}, " + "".join(_tail(scores, metric, ranking, ranking.leader))


def _tail(scores: Scores, metric: MetricFacts, ranking: Ranking, leader: int) -> Iterator[str]:
    """Verdict on the leader and the other rows, best first."""
    cells = scores.column(metric.name)
    others = [row for row in ranking.taking_part if row != leader]
    others.sort(key=lambda row: -metric.direction * cells[row].mean)
    if others and ranking.most < ranking.fewest:
        counted = f"{ranking.most} image{'s' if ranking.most > 1 else ''}"
        common = "" if all(ranking.is_alike(leader, row) for row in others) else " in common"
        rows = len(scores.families.models)
        yield f"{UNDECIDED} with {counted}{common}: {rows} rows need at least {ranking.fewest}."
        return
    alike = [row for row in others if ranking.better[leader, row] == 0]
    named = alike[:_NAMED] or others[:1]
    shown = [f"{scores.lines[row].label} ({_against(scores, metric, ranking, leader, row)})" for row in named]
    if not shown:
        yield "the only row with a finite value for every image."
    elif not alike:
        yield f"ahead of {shown[0]}."
    else:
        more = [f"{len(alike) - len(named)} more"] if len(alike) > len(named) else []
        yield f"not distinguishable from {joined([*shown, *more])}."


def _against(scores: Scores, metric: MetricFacts, ranking: Ranking, leader: int, row: int) -> str:
    """Mean of a row and p against the leader; both means over the common images if the two are of unlike images."""
    p = _p(ranking.p_holm[leader, row])
    if ranking.is_alike(leader, row):
        return f"{_value(scores, row, metric)}, {p}"
    count = ranking.shared[leader, row]
    where = f"the {count} images that both have" if count > 1 else "the image that both have"
    best, other = (printed(mean, metric) for mean in (ranking.means[leader, row], ranking.means[row, leader]))
    return f"on {where}: {best} against {_with_unit(other, metric)}, {p}"


def _diversity(scores: Scores) -> Iterator[str]:
    """Models that are diverse, and whether all their samples keep the LR image."""
    sigma = next((metric for metric in scores.metrics if metric.group == "Diversity"), None)
    if sigma is None:
        return
    rows: dict[str, list[int]] = {}
    for row, cell in enumerate(scores.column(sigma.name)):
        if cell.mean > 0:
            rows.setdefault(scores.lines[row].setting.model, []).append(row)
    if not rows:
        return
    models = list(rows)
    everybody = {line.setting.model for line in scores.lines}
    only = "Only " if len(everybody) > len(models) else ""
    consistency = next((metric for metric in scores.metrics if metric.leads and metric.group == "Consistency"), None)
    kept = [] if consistency is None else [_kept(scores, consistency, rows[model]) for model in models]
    if consistency is not None and len(models) > 1 and all(text.startswith(f"{KEEPS} (") for text in kept):
        every = [row for model in models for row in rows[model]]
        clauses = [
            f"{'both' if len(models) == 2 else 'all'} {_kept(scores, consistency, every).replace('keeps', 'keep', 1)}"
        ]
    else:
        subjects = ["it"] if len(models) == 1 else models
        clauses = [f"{subject} {text}" for subject, text in zip(subjects, kept, strict=False) if text]
    are = "is" if len(models) == 1 else "are"
    yield "; ".join([f"{only}{joined(models)} {are} diverse", *clauses]) + "."


def _kept(scores: Scores, metric: MetricFacts, rows: list[int]) -> str:
    """Verdict on some rows of a model: by their means, and by the worst sample of every image."""
    means = [(scores.column(metric.name)[row].mean, row) for row in rows]
    finite = [(mean, row) for mean, row in means if math.isfinite(mean)]
    if not finite:
        return ""
    lowest, row = min(finite)
    if lowest < KEEPS_LR:
        down = "down to " if len(finite) > 1 else ""
        return f"does not keep the LR image ({metric.title} {down}{_value(scores, row, metric)}, below {KEEPS_LR:g} dB)"
    by_row = pd.concat([scores.worst[metric.name][row] for row in rows], axis=1, keys=rows)
    worst = by_row.min(axis=1).sort_values(kind="stable")
    least, below = _with_unit(printed(worst.iloc[0], metric), metric), int((worst < KEEPS_LR).sum())
    if not below:
        return f"{KEEPS} ({metric.title} at least {least} in every sample)"
    setting = scores.lines[rows[int(by_row.loc[worst.index[0]].argmin())]].setting
    where = f" at{setting.label.removeprefix(setting.model)}" if len(rows) > 1 else ""
    others = f" and {below - 1} more of {len(worst)} images" if below > 1 else ""
    return f"{KEEPS} but for {worst.index[0]} ({metric.title} {least}{where}){others}"


def _value(scores: Scores, row: int, metric: MetricFacts) -> str:
    return _with_unit(printed(scores.column(metric.name)[row].mean, metric), metric)


def _with_unit(text: str, metric: MetricFacts) -> str:
    return f"{text} {metric.unit}" if metric.unit == "dB" else text


def _p(value: float) -> str:
    text = p_text(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
