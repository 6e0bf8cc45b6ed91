"""The sentences at the head of a report, for tables as they come."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import metric, model_facts

from srbench.reporting.answer import answer
from srbench.reporting.scores import score
from srbench.run_folder.results import ResultTable

FACTS = {name: metric(name) for name in ("psnr", "ssim", "lpips", "lr_psnr", "sigma")}
EASE = np.random.default_rng(0).normal(0, 0.02, 12)
NOISE = np.random.default_rng(1).normal(0, 0.02, 12)


@pytest.fixture
def say(make_row):
    """The answer to a table of {(model, temperature): {metric: mean, or a function of the image's place}}."""

    def call(settings, images=12, projected=()):
        names = list(next(iter(settings.values())))
        rows = [
            make_row(
                *setting,
                str(k),
                {
                    name: value(k) if callable(value) else value + (EASE[k] - EASE[:images].mean()) * (name != "sigma")
                    for name, value in means.items()
                },
            )
            for setting, means in settings.items()
            for k in range(images)
        ]
        table = ResultTable.from_rows(rows, tuple(names))
        models = [model_facts(model, projected=model in projected) for model, _ in settings]
        return answer(score(table, [FACTS[name] for name in names], models))

    return call


M, N, FLOW, HOT = ("m", None), ("n", None), ("flow", 0.5), ("flow", 0.9)


def test_decided(say):
    assert say({M: {"psnr": 24, "lpips": 0.2}, N: {"psnr": 23, "lpips": 0.3}}) == [
        "Lowest LPIPS: m at 0.200, ahead of n (0.300, p < 0.001).",
        "Highest PSNR: m at 24.00 dB, ahead of n (23.00 dB, p < 0.001).",
    ]


def test_not_significantly_better(say):
    def noisy(k):
        return 0.2 + EASE[k] - EASE.mean() + NOISE[k] - NOISE.mean() + 0.001

    [sentence] = say({M: {"lpips": 0.2}, N: {"lpips": noisy}, FLOW: {"lpips": 0.5}})
    assert sentence.startswith("Lowest LPIPS: m at 0.200, not significantly better than n (0.201, p = 0.")
    assert "flow" not in sentence
    [sentence] = say({(f"m{k}", None): {"psnr": 24} for k in range(4)})
    assert sentence == (
        "Highest PSNR: m0 at 24.00 dB, not significantly better than m1 (24.00 dB, p = 1.000), m2 and m3."
    )


def test_too_few_images(say):
    [sentence] = say({M: {"lpips": 0.2}, N: {"lpips": 0.3}}, 5)
    assert sentence == "Lowest LPIPS: m at 0.200, undecided: 2 models need at least 6 images."


def test_values_that_are_not_finite(say):
    one, hole = {"lpips": 0.2}, {"lpips": lambda k: math.nan if k == 3 else 0.1 + EASE[k]}
    [sentence] = say({M: one, N: hole})
    assert sentence.startswith("Lowest LPIPS: n at 0.100")
    assert " on the 11 images that all models share, ahead of m (0.2" in sentence
    nothing = {"lpips": lambda k: math.nan}
    assert say({M: one, N: nothing}) == ["Lowest LPIPS: m at 0.200; no other model has finite values."]
    other = {"lpips": lambda k: 0.1 if k == 3 else math.nan}
    assert say({M: hole, N: other}) == ["Lowest LPIPS: undecided, as no image has a finite value from every model."]


def test_one_row(say):
    assert say({M: {"psnr": 24, "lpips": 0.2}}) == [
        "m: LPIPS 0.200 and PSNR 24.00 dB; no other row to compare it with."
    ]
    assert say({M: {"sigma": 0.0}}) == []


def test_other_metrics_where_neither_lpips_nor_psnr_is_measured(say):
    assert say({M: {"sigma": 0.0, "ssim": 0.9}, N: {"sigma": 0.0, "ssim": 0.8}}) == [
        "Highest SSIM: m at 0.900, ahead of n (0.800, p < 0.001)."
    ]


def test_diversity_and_consistency(say):
    def last(lr_psnr, projected=()):
        still = {"psnr": 24, "sigma": 0.0, "lr_psnr": 30.0}
        flow = {"psnr": 23, "sigma": 3.0, "lr_psnr": lr_psnr}
        return say({M: still, FLOW: flow, HOT: flow | {"lr_psnr": 20.0}}, projected=projected)[1:]

    said = "flow τ=0.9 is diverse (sigma 3.00)"
    assert last(50.0) == [
        f"{said} and does not always keep the LR image: LR-PSNR down to 19.97 dB (9), below 45 dB on 12 of 12 images."
    ], "the row nearest to 0.8 stands for the model"
    still, flow = {"psnr": 24, "sigma": 0.0, "lr_psnr": 30.0}, {"psnr": 23, "sigma": 3.0, "lr_psnr": 50.0}
    keeps = "flow τ=0.5 is diverse (sigma 3.00) and keeps the LR image{}: LR-PSNR at least 49.97 dB in every sample."
    assert say({M: still, FLOW: flow})[1:] == [keeps.format("")]
    assert say({M: still, FLOW: flow}, projected=["flow"])[1:] == [keeps.format(" by projection")]
    one_sample = {"lr_psnr": lambda k: [50.0, 50.0, 29.9] if k == 3 else [50.0] * 3}
    assert say({M: still, FLOW: flow | one_sample})[1:] == [
        "flow τ=0.5 is diverse (sigma 3.00) and does not always keep the LR image: LR-PSNR down to 29.90 dB (3), below "
        "45 dB on 1 of 12 images."
    ], "the mean over samples is above 45 dB"
    without = {"psnr": 23, "sigma": 3.0}
    assert say({M: {"psnr": 24, "sigma": 0.0}, FLOW: without})[1:] == ["flow τ=0.5 is diverse (sigma 3.00)."]


def test_rows_of_unlike_images_are_compared_on_the_common_ones(make_row):
    """A grown folder: Good was measured on the first eight images alone, and the others are easier."""
    good, bad = EASE - EASE.min() + 22, EASE - EASE.min() + 21.5
    rows = [make_row("Good", None, str(k), {"psnr": good[k]}) for k in range(8)]
    rows += [make_row("Bad", None, str(k), {"psnr": bad[k] if k < 8 else 45.0}) for k in range(12)]
    scores = score(ResultTable.from_rows(rows, ("psnr",)), [FACTS["psnr"]])
    assert answer(scores) == [
        f"Highest PSNR: Good at {good[:8].mean():.2f} dB on the 8 images that all models share, ahead of Bad "
        f"({bad[:8].mean():.2f} dB, p = 0.008)."
    ]
    assert [line.cells["psnr"].is_best for line in scores.lines] == [True, False]
