"""A run to vote on, and votes on it."""

from __future__ import annotations

import numpy as np
import pytest

from srbench.run_folder.records import append
from srbench.voting.records import Vote
from srbench.voting.study import open_study, turns

STRENGTHS = {"best": 1.2, "fair": 0.0, "worst": -1.2}
"""True strengths of the models, natural logarithms."""


@pytest.fixture
def strengths():
    return STRENGTHS


@pytest.fixture
def run(make_run):
    """A finished run of three models on twelve images: better models have a lower LPIPS and, at random, any PSNR."""
    values = {
        (model, None): {f"i{n}": (25.0 + (7 * n + 3 * place) % 5, 0.1 + 0.1 * place + 0.01 * n) for n in range(12)}
        for place, model in enumerate(STRENGTHS)
    }
    run = make_run("run", values)
    (run / "study.key").write_text("0123456789abcdef" * 2)
    return run


@pytest.fixture
def add_votes():
    """Add answers of raters: add_votes(run, raters, rule) with rule(question, random) -> choice, else ``looks``."""

    def call(run, raters, rule=looks, votes=36):
        random, study = np.random.default_rng(0), open_study(run, begin=True)
        questions = [study.question(asked) for turn in turns(study) for asked in turn]
        added = [
            Vote(rater, "2026-01-01T00:00:00+00:00", question, rule(question, random))
            for rater in (f"rater {n}" for n in range(raters))
            for question in questions[:votes]
        ]
        append(run, added)
        return added

    return call


@pytest.fixture
def sent(run):
    """The lines of a file that a rater sends back, as dictionaries."""
    study = open_study(run)
    return [
        {"study": study.id, "rater": "00ff" * 4, "time": "2026-01-01T00:00:00.000Z"}
        | dict(zip(("reference", "left", "right"), asked, strict=True))
        | {"choice": "left"}
        for turn in turns(study)[:2]
        for asked in turn
    ]


def looks(question, random):
    """Choice of a rater in the model of Bradley and Terry."""
    gap = STRENGTHS[question.left.name] - STRENGTHS[question.right.name]
    return "left" if random.random() < 1 / (1 + np.exp(-gap)) else "right"
