"""A run to vote on: three models and HR on images that no two of them share, without a network."""

from __future__ import annotations

import pytest
from builders import STRENGTHS

from srbench.voting.ballot import ballot, open_candidates


@pytest.fixture
def voted_run(make_run):
    """A finished run of five models on twelve images: better models have a lower LPIPS and, at random, any PSNR."""

    def call(models=tuple(STRENGTHS), images=12, **options):
        values = {
            (model, None): {
                f"i{n}": (25.0 + (7 * n + 3 * place) % 5, 0.1 + 0.05 * place + 0.01 * (n % 3)) for n in range(images)
            }
            for place, model in enumerate(models)
        }
        return make_run("run", values, **options)

    return call


@pytest.fixture
def ballots():
    """Ballots of so many raters of a run: ballots(run, 30) -> questions by rater."""

    def call(run, raters, votes=60, **options):
        candidates = open_candidates(run, **options)
        return {f"rater {n}": ballot(candidates, f"rater {n}", votes) for n in range(raters)}

    return call
