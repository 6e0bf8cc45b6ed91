"""Result of a table in a few sentences, with which every report begins."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from srbench.interfaces import MetricFacts
from srbench.reporting.measurements import Measurements
from srbench.reporting.ranking import UNDECIDED, Ranking
from srbench.reporting.scores import Scores, joined, p_text, printed
from srbench.words import number_of

ASKED = ("Perception", "Distortion")
"""Groups whose leading metrics come first: how good an output looks, how close it is to HR."""
KEEPS_LR = 45.0
"""Smallest LR-PSNR in dB of an output that keeps the LR image: Lugmayr et al., "NTIRE 2021 learning the
super-resolution space challenge", section 3."""
KEEPS, _PROJECTED = "keeps the LR image", " by projection"
LISTED = "rows.csv"
"""File that lists what a sentence leaves out."""
_DESCRIBED = 2
"""Largest number of rows that are not distinguishable from the best and have their values in a sentence."""
_NAMED = 5
"""Largest number of images that a sentence names."""
BARELY = 0.025
"""Least p from which a report says how little its images can show."""
_ANCHOR = re.compile(r"(?:[^=]*=)?(?:bicubic|rrdb)(?:[:@+].*)?")
"""Label or name of a model that is the floor of a comparison: interpolation, and a network trained for PSNR alone."""
RRDB_SCALES = (4, 8)
"""Scales of the packaged weights of RRDB."""


def answer(scores: Scores) -> list[str]:
    """Best models in perception and distortion, as far as the images decide, those that are diverse or projected.

    Without metrics of perception and distortion, the best in the first one of the table that has a direction.
    """
    directed = [metric for metric in scores.metrics if metric.direction]
    leading = [metric for group in ASKED for metric in directed if metric.leads and metric.group == group]
    asked = leading or directed[:1]
    if len(scores.lines) == 1:
        values = [f"{metric.title} {_value(scores, 0, metric)}" for metric in asked]
        alone = [f"{scores.lines[0].label}: {joined(values)}; no other row to compare it with."] if values else []
        return [*alone, *_projection(scores, set())]
    diverse = _diverse(scores)
    best = [_best(scores, metric) for metric in asked]
    return [*best, *_barely(scores, asked), *_diversity(scores, diverse), *_projection(scores, set(diverse))]


def _barely(scores: Scores, asked: Sequence[MetricFacts]) -> Iterator[str]:
    """Say how little the images can show, where a verdict is possible and hardly more than that."""
    rankings = [scores.rankings[metric.name] for metric in asked]
    able = [ranking for ranking in rankings if len(ranking.taking_part) > 1 and ranking.most >= ranking.fewest]
    if able and (weakest := max(able, key=lambda ranking: ranking.least)).least >= BARELY:
        rows = len(scores.families.models)
        yield barely(weakest.least, weakest.most, f" between {rows} rows")


def barely(least: float, images: int, rows: str = "") -> str:
    """Sentence about the least p of so few images."""
    return f"p = {p_text(least)} is the least that {number_of(images, 'image')} can give{rows}."


def anchor(measurements: Measurements) -> list[str]:
    """Sentence with the command that adds simple upscaling to a run that has none; none for several runs."""
    run, names = measurements.runs[0], [name for model in measurements.models for name in (model.label, model.spec)]
    commands = (one.command for one in run.folder.manifest.invocations)
    made = next((shlex.split(one) for one in commands if one.startswith("srbench run --models ")), None)
    if len(measurements.runs) > 1 or any(map(_ANCHOR.fullmatch, names)) or made is None:
        return []
    anchors = "bicubic,rrdb" if measurements.protocol.scale in RRDB_SCALES else "bicubic"
    made[made.index("--models") + 1] = anchors
    if "--out" not in made:
        made += ["--out", f"runs/{run.name}"]
    return [f"Add {anchors} to see how far these are from simple upscaling: {shlex.join(made)}"]


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
        counted = number_of(ranking.most, "image")
        common = "" if all(ranking.is_alike(leader, row) for row in others) else " in common"
        rows = len(scores.families.models)
        least = f"p = {p_text(ranking.least)} is the least that {'it' if ranking.most == 1 else 'they'} can give"
        yield f"{UNDECIDED} with {counted}{common}: {least}, and {rows} rows need at least {ranking.fewest}."
        return
    alike = [row for row in others if ranking.better[leader, row] == 0]
    described = alike[:_DESCRIBED] or others[:1]
    shown = [f"{scores.lines[row].label} ({_against(scores, metric, ranking, leader, row)})" for row in described]
    if not shown:
        yield "the only row with a finite value for every image."
    elif not alike:
        yield f"ahead of {shown[0]}."
    else:
        more = [scores.lines[row].label for row in alike[_DESCRIBED:]]
        yield f"not distinguishable from {joined([*shown, *more])}."


def _against(scores: Scores, metric: MetricFacts, ranking: Ranking, leader: int, row: int) -> str:
    """Mean of a row and p against the leader; both means over the common images if the two are of unlike images."""
    text = p_text(ranking.p_holm[leader, row])
    p = f"p {text}" if text.startswith("<") else f"p = {text}"
    if ranking.is_alike(leader, row):
        return f"{_value(scores, row, metric)}, {p}"
    count = ranking.shared[leader, row]
    where = f"the {count} images that both have" if count > 1 else "the image that both have"
    best, other = (printed(mean, metric) for mean in (ranking.means[leader, row], ranking.means[row, leader]))
    return f"on {where}: {best} against {_with_unit(other, metric)}, {p}"


def _diverse(scores: Scores) -> dict[str, list[int]]:
    """Models that are diverse, each with its rows that are."""
    rows: dict[str, list[int]] = {}
    for metric in [metric for metric in scores.metrics if metric.group == "Diversity"][:1]:
        for row, cell in enumerate(scores.column(metric.name)):
            if cell.mean > 0:
                rows.setdefault(scores.lines[row].setting.model, []).append(row)
    return rows


def _diversity(scores: Scores, diverse: dict[str, list[int]]) -> Iterator[str]:
    """Models that are diverse, and whether all their samples keep the LR image."""
    if diverse:
        only = "Only " if len({line.setting.model for line in scores.lines}) > len(diverse) else ""
        are, subject = ("is", "it") if len(diverse) == 1 else ("are", "both" if len(diverse) == 2 else "all")
        yield "; ".join([f"{only}{joined(list(diverse))} {are} diverse", *_consistency(scores, diverse, subject)]) + "."


def _projection(scores: Scores, said: set[str]) -> Iterator[str]:
    """Models whose LR-PSNR is kept by projection, but for those of which that is said already."""
    rows: dict[str, list[int]] = {}
    for row, line in enumerate(scores.lines):
        if line.is_projected and line.setting.model not in said:
            rows.setdefault(line.setting.model, []).append(row)
    if clauses := _consistency(scores, rows, joined(list(rows))):
        yield "; ".join(clauses) + "."


def _consistency(scores: Scores, models: dict[str, list[int]], subject: str) -> list[str]:
    """Clauses on whether the rows of some models keep the LR image: one about the ``subject`` if all do likewise."""
    metric = next((metric for metric in scores.metrics if metric.name in scores.worst), None)
    if metric is None or not models:
        return []
    kept = {model: _kept(scores, metric, rows) for model, rows in models.items()}
    verdicts = {text.partition(" (")[0] for text in kept.values()}
    if len(models) == 1:
        [text] = kept.values()
        return [f"{subject} {text}"] if text else []
    if len(verdicts) == 1 and verdicts <= {KEEPS, f"{KEEPS}{_PROJECTED}"}:
        every = _kept(scores, metric, [row for rows in models.values() for row in rows])
        return [f"{subject} {every.replace('keeps', 'keep', 1)}"]
    return [f"{model} {text}" for model, text in kept.items() if text]


def _kept(scores: Scores, metric: MetricFacts, rows: Sequence[int]) -> str:
    """Verdict on some rows of a model: by their means, and by the worst sample of every image."""
    means = [(scores.column(metric.name)[row].mean, row) for row in rows]
    finite = [(mean, row) for mean, row in means if math.isfinite(mean)]
    if not finite:
        return ""
    lowest, row = min(finite)
    is_projected = all(scores.lines[row].is_projected for row in rows)
    if lowest < KEEPS_LR:
        down, spite = "down to " if len(finite) > 1 else "", " in spite of projection" if is_projected else ""
        below = f"{metric.title} {down}{_value(scores, row, metric)}, below {KEEPS_LR:g} dB"
        return f"does not keep the LR image{spite} ({below})"
    keeps = f"{KEEPS}{_PROJECTED}" if is_projected else KEEPS
    by_row = pd.concat([scores.worst[metric.name][row] for row in rows], axis=1, keys=rows)
    worst = by_row.min(axis=1).sort_values(kind="stable")
    least, names = _with_unit(printed(worst.iloc[0], metric), metric), list(map(str, worst[worst < KEEPS_LR].index))
    if not names:
        is_sampled = any(scores.lines[row].setting.temperature is not None for row in rows)
        return f"{keeps} ({metric.title} at least {least} {'in every sample' if is_sampled else 'on every image'})"
    setting = scores.lines[rows[int(by_row.loc[worst.index[0]].argmin())]].setting
    where = f" at{setting.label.removeprefix(setting.model)}" if len(rows) > 1 else ""
    others = names[1:] if len(names) <= _NAMED else [f"{len(names) - 1} more of {len(worst)} images (all in {LISTED})"]
    return f"{keeps} but for {joined([f'{names[0]} ({metric.title} {least}{where})', *others])}"


def _value(scores: Scores, row: int, metric: MetricFacts) -> str:
    return _with_unit(printed(scores.column(metric.name)[row].mean, metric), metric)


def _with_unit(text: str, metric: MetricFacts) -> str:
    return f"{text} {metric.unit}" if metric.unit == "dB" else text
