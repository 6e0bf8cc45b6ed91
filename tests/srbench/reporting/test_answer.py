"""The sentences at the head of a report, for tables as they come."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import metric, model_facts

from srbench.reporting.answer import answer
from srbench.reporting.scores import score
from srbench.run_folder.results import ResultTable

FACTS = {
    "psnr": metric("psnr"),
    "ssim": metric("ssim"),
    "lpips": metric("lpips"),
    "lr_psnr": metric("lr_psnr"),
    "sigma": metric("sigma"),
}
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
        return answer(score(table, table.summary(), [FACTS[name] for name in names], models))

    return call


M, N, FLOW, HOT = ("m", None), ("n", None), ("flow", 0.5), ("flow", 0.9)


def test_decided(say):
    assert say({M: {"psnr": 24, "lpips": 0.2}, N: {"psnr": 23, "lpips": 0.3}}) == [
        "Lowest LPIPS: m at 0.200, ahead of n (0.300, p < 0.001).",
        "Highest PSNR: m at 24.00 dB, ahead of n (23.00 dB, p < 0.001).",
    ]


def test_not_distinguishable(say):
    def noisy(k):
        return 0.2 + EASE[k] - EASE.mean() + NOISE[k] - NOISE.mean() + 0.001

    [sentence] = say({M: {"lpips": 0.2}, N: {"lpips": noisy}, FLOW: {"lpips": 0.5}})
    assert sentence.startswith("Lowest LPIPS: m at 0.200, not distinguishable from n (0.201, p = 0.")
    assert "flow" not in sentence


def test_ties_describe_two_and_name_the_others(say):
    [sentence] = say({(f"m{k}", None): {"psnr": 24} for k in range(5)})
    assert sentence == (
        "Highest PSNR: m0 at 24.00 dB, not distinguishable from m1 (24.00 dB, p = 1.000), m2 (24.00 dB, p = 1.000), "
        "m3 and m4."
    )


@pytest.mark.parametrize(
    ("images", "counted", "least"),
    [(1, "1 image", "p = 1.000 is the least that it"), (5, "5 images", "p = 0.062 is the least that they")],
)
def test_too_few_images(say, images, counted, least):
    [sentence] = say({M: {"lpips": 0.2}, N: {"lpips": 0.3}}, images)
    assert sentence == (
        f"Lowest LPIPS: m at 0.200, undecided with {counted}: {least} can give, and 2 rows need at least 6."
    )


def test_hardly_enough_images(say):
    four = {(f"m{k}", None): {"lpips": 0.2 + k / 10} for k in range(4)}
    assert say(four, 8) == [
        "Lowest LPIPS: m0 at 0.200, ahead of m1 (0.300, p = 0.047).",
        "p = 0.047 is the least that 8 images can give between 4 rows.",
    ]
    assert len(say(four, 12)) == 1
    assert say({M: {"lpips": 0.2}, N: {"lpips": 0.3}}, 6)[1] == (
        "p = 0.031 is the least that 6 images can give between 2 rows."
    )


def test_values_that_are_not_finite(say):
    def hole(k):
        return math.nan if k == 3 else 0.1 + EASE[k]

    one, two = {"lpips": 0.2}, {"lpips": hole}
    alone = "Lowest LPIPS: m at 0.200, the only row with a finite value for every image."
    assert say({M: one, N: two}) == [alone], "n is better, but its mean is over other images"
    assert say({M: two, N: two}) == ["Lowest LPIPS: undecided, as no row has a finite value for every image."]
    nothing = {"lpips": lambda k: math.nan}
    assert say({M: one, N: nothing}) == [alone]


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
    def last(*rows):
        settings = [M, FLOW, HOT, N]
        return say({settings[k]: {"psnr": 24 - k, "sigma": s, "lr_psnr": c} for k, (s, c) in enumerate(rows)})[-1]

    assert (
        last((0, 30), (3, 50.5))
        == "Only flow is diverse; it keeps the LR image (LR-PSNR at least 50.47 dB in every sample)."
    )
    assert last((0, 30), (3, 50.5), (6, 47.25)) == (
        "Only flow is diverse; it keeps the LR image (LR-PSNR at least 47.22 dB in every sample)."
    )
    assert last((0, 30), (3, 50), (6, 40)) == (
        "Only flow is diverse; it does not keep the LR image (LR-PSNR down to 40.00 dB, below 45 dB)."
    )
    assert last((2, 30), (3, 50)) == (
        "m and flow are diverse; m does not keep the LR image (LR-PSNR 30.00 dB, below 45 dB); "
        "flow keeps the LR image (LR-PSNR at least 49.97 dB in every sample)."
    )
    assert last((2, 48), (3, 50), (6, 47.25)) == (
        "m and flow are diverse; both keep the LR image (LR-PSNR at least 47.22 dB in every sample)."
    )
    assert last((0, 30), (0, 50)).startswith("Highest PSNR"), "nobody is diverse"
    assert last((0, 30), (3, math.nan)) == "Only flow is diverse."


def test_the_worst_image_is_named_where_the_mean_hides_it(say):
    """One of 12 images at 50 dB has samples down to 29.9; their mean is above 45 dB, and so is that of all."""
    saturated = {3: [50.0, 50, 50, 50, 29.9]}

    def last(lr_psnr, other=50.0):
        flow = {"psnr": 24, "sigma": 3, "lr_psnr": lr_psnr}
        return say({M: {"psnr": 24, "sigma": 0, "lr_psnr": 30}, FLOW: flow, HOT: flow | {"lr_psnr": other}})[-1]

    assert last(lambda k: saturated.get(k, 50.0)) == (
        "Only flow is diverse; it keeps the LR image but for 3 (LR-PSNR 29.90 dB at τ=0.5)."
    )
    assert last(lambda k: 44.0 if k == 2 else 50.0, lambda k: saturated.get(k, [50.0] * 5)) == (
        "Only flow is diverse; it keeps the LR image but for 3 (LR-PSNR 29.90 dB at τ=0.9) and 2."
    )
    assert last(lambda k: 46.0 if k == 9 else [80.0] * 4 + [40.0 + k / 10]) == (
        "Only flow is diverse; it keeps the LR image but for 0 (LR-PSNR 40.00 dB at τ=0.5) and 10 more of 12 images "
        "(all in rows.csv)."
    )


def test_models_that_projection_keeps_are_said(say):
    def last(*projected, **lr_psnr):
        means = {("bicubic", None): (0, 30.0), FLOW: (3, 50.0), ("n", None): (0, 52.0), ("o", None): (0, 51.0)}
        means |= {place: (sigma, lr_psnr.get(place[0], mean)) for place, (sigma, mean) in means.items()}
        table = {place: {"psnr": 24, "sigma": sigma, "lr_psnr": mean} for place, (sigma, mean) in means.items()}
        return say(table, projected=projected)[1:]

    flow = "Only flow is diverse; it keeps the LR image"
    assert last("flow") == [f"{flow} by projection (LR-PSNR at least 49.97 dB in every sample)."]
    assert last("n", "o") == [
        f"{flow} (LR-PSNR at least 49.97 dB in every sample).",
        "n and o keep the LR image by projection (LR-PSNR at least 50.97 dB on every image).",
    ]
    assert last("flow", "n", "o", n=40.0)[1] == (
        "n does not keep the LR image in spite of projection (LR-PSNR 40.00 dB, below 45 dB); "
        "o keeps the LR image by projection (LR-PSNR at least 50.97 dB on every image)."
    )
    assert say({M: {"sigma": 0.0, "lr_psnr": 50.0}}, projected=["m"])[-1].startswith("m keeps the LR image by proj")
    assert say({M: {"psnr": 24}, N: {"psnr": 23}}, projected=["m"])[1:] == [], "LR-PSNR is not measured"


def test_one_of_two_models_has_an_image_that_does_not_keep_lr(say):
    one, two = {"psnr": 24, "sigma": 3, "lr_psnr": 50.0}, {"psnr": 23, "sigma": 3}
    assert say({FLOW: one, ("glow", 0.5): two | {"lr_psnr": lambda k: 29.9 if k == 3 else 50.0}})[-1] == (
        "flow and glow are diverse; flow keeps the LR image (LR-PSNR at least 49.97 dB in every sample); glow keeps "
        "the LR image but for 3 (LR-PSNR 29.90 dB)."
    )


GOOD, BAD = EASE - EASE.min() + 22, EASE - EASE.min() + 21.5
"""PSNR of two models on the first of 14 images; on the others every model has 45 dB."""


@pytest.mark.parametrize(("first", "second"), [(14, 8), (8, 14), (8, 8), (14, 14)])
def test_rows_of_unlike_images_are_compared_on_the_common_ones(make_row, first, second):
    """A grown folder: Good was measured on the first eight images alone, and the others are easier."""
    counts = {"Good": (first, GOOD), "Bad": (second, BAD)}
    rows = [
        make_row(model, None, str(k), {"psnr": values[k] if k < 8 else 45.0 + k / 100 - (model == "Bad") / 9})
        for model, (count, values) in counts.items()
        for k in range(count)
    ]
    table = ResultTable.from_rows(rows, ("psnr",))
    [sentence] = answer(score(table, table.summary(), [FACTS["psnr"]]))
    shared = min(first, second)
    if first != second:
        means = f"{GOOD[:8].mean():.2f} against {BAD[:8].mean():.2f} dB"
        assert sentence == f"Highest PSNR: Good, ahead of Bad (on the 8 images that both have: {means}, p = 0.008)."
    else:
        assert sentence.startswith(f"Highest PSNR: Good at {table.columns('psnr')[0].mean():.2f} dB, ahead of Bad (")
    assert score(table, table.summary(), [FACTS["psnr"]]).rankings["psnr"].most == shared


def test_rows_without_a_common_image(make_row):
    rows = [make_row("m", None, str(k), {"psnr": 20.0 + k}) for k in range(8)]
    rows += [make_row("n", None, str(k), {"psnr": 30.0 + k}) for k in range(8, 16)]
    table = ResultTable.from_rows(rows, ("psnr",))
    scores = score(table, table.summary(), [FACTS["psnr"]])
    assert answer(scores) == ["Highest PSNR: undecided, as no image is common to all rows."]
    assert not any(line.cells["psnr"].mark for line in scores.lines)
    few = [make_row("o", None, str(k), {"psnr": 20.0 + k}) for k in range(6, 9)]
    table = ResultTable.from_rows([*rows[:8], *few], ("psnr",))
    assert answer(score(table, table.summary(), [FACTS["psnr"]])) == [
        "Highest PSNR: m, undecided with 2 images in common: p = 0.500 is the least that they can give, and 2 rows "
        "need at least 6."
    ]
