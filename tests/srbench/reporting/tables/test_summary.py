"""The sentences at the head of a report, for tables as they come."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import metric, model_facts, values_of

from srbench.reporting.results import read_results
from srbench.reporting.tables.summary import summary
from srbench.reporting.tables.table import table_of, table_of_runs
from srbench.reporting.writers.compare import compare_models
from srbench.run_folder.protocol import Setting

FACTS = {name: metric(name) for name in ("psnr", "ssim", "lpips", "lr_psnr", "sigma")} | {
    "crps": metric("crps", direction=-1),
    "lpips_energy": metric("lpips_energy", title="LPIPS energy", direction=-1, digits=3),
    "spread_skill": metric("spread_skill", title="spread/skill", direction=0, per="set"),
}
EASE = np.random.default_rng(0).normal(0, 0.02, 12)
NOISE = np.random.default_rng(1).normal(0, 0.02, 12)


@pytest.fixture
def say(make_row):
    """The summary of a table of {(model, temperature): {metric: mean, or a function of the image's place}}."""

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
        models = [model_facts(model, projected=model in projected) for model, _ in settings]
        return summary(
            table_of(values_of(rows, [FACTS[name] for name in names]), [FACTS[name] for name in names], models)
        )

    return call


M, N, FLOW, HOT = ("m", None), ("n", None), ("flow", 0.5), ("flow", 0.9)


STILL, DIVERSE = {"psnr": 24, "sigma": 0.0, "lr_psnr": 30.0}, {"psnr": 23, "sigma": 3.0, "lr_psnr": 50.0}
HOLE = {"lpips": lambda k: math.nan if k == 3 else 0.1 + EASE[k]}
CASES = {
    "decided": {M: {"psnr": 24, "lpips": 0.2}, N: {"psnr": 23, "lpips": 0.3}},
    "not significantly better": {
        M: {"lpips": 0.2},
        N: {"lpips": lambda k: 0.201 + EASE[k] - EASE.mean() + NOISE[k] - NOISE.mean()},
        FLOW: {"lpips": 0.5},
    },
    "four equal models": {(f"m{k}", None): {"psnr": 24} for k in range(4)},
    "one value is not finite": {M: {"lpips": 0.2}, N: HOLE},
    "a model without finite values": {M: {"lpips": 0.2}, N: {"lpips": lambda k: math.nan}},
    "no image with values of both": {M: HOLE, N: {"lpips": lambda k: 0.1 if k == 3 else math.nan}},
    "one row": {M: {"psnr": 24, "lpips": 0.2}},
    "one row without quality": {M: {"sigma": 0.0}},
    "neither LPIPS nor PSNR": {M: {"sigma": 0.0, "ssim": 0.9}, N: {"sigma": 0.0, "ssim": 0.8}},
    "diverse and inconsistent; the row nearest to 0.8 stands for the model": {
        M: STILL,
        FLOW: DIVERSE,
        HOT: DIVERSE | {"lr_psnr": 20.0},
    },
    "another row of a model is better than the best row compared": {
        M: {"psnr": 24},
        FLOW: {"psnr": 25},
        HOT: {"psnr": 23},
    },
    "diverse and consistent": {M: STILL, FLOW: DIVERSE},
    "inconsistent in one sample, although the mean is above 45 dB": {
        M: STILL,
        FLOW: DIVERSE | {"lr_psnr": lambda k: [50.0, 50.0, 29.9] if k == 3 else [50.0] * 3},
    },
    "diverse, without LR-PSNR": {M: {"psnr": 24, "sigma": 0.0}, FLOW: {"psnr": 23, "sigma": 3.0}},
}


def test_the_summary(say, snapshot):
    found = {name: say(settings) for name, settings in CASES.items()}
    found["too few images"] = say({M: {"lpips": 0.2}, N: {"lpips": 0.3}}, 5)
    found["consistent by projection"] = say(CASES["diverse and consistent"], projected=["flow"])
    assert found == snapshot


def test_scores_of_samples_lead_and_the_spread_of_samples_follows(make_row):
    settings = {
        M: {"crps": 9.0, "lpips_energy": 0.7, "lpips": 0.2},
        FLOW: {"crps": 8.0, "lpips_energy": 0.4, "lpips": 0.3},
    }
    metrics = [FACTS[name] for name in ("lpips", "crps", "lpips_energy", "spread_skill")]
    rows = [
        make_row(*setting, str(k), {name: value + EASE[k] for name, value in means.items()})
        for setting, means in settings.items()
        for k in range(12)
    ]
    values = values_of(rows, metrics, {Setting(*FLOW): {"spread_skill": 0.5}})
    assert summary(table_of(values, metrics)) == [
        "Lowest CRPS: flow τ=0.5 at 8.00, ahead of m (9.00, p < 0.001).",
        "Lowest LPIPS energy: flow τ=0.5 at 0.400, ahead of m (0.700, p < 0.001).",
        "Spread of samples divided by the error of their mean (spread/skill, 1 if calibrated): flow τ=0.5 0.50.",
    ]


def test_rows_of_unlike_images_are_compared_on_the_common_ones(make_row):
    """A grown folder: Good was measured on the first eight images alone, and the others are easier."""
    good, bad = EASE - EASE.min() + 22, EASE - EASE.min() + 21.5
    rows = [make_row("Good", None, str(k), {"psnr": good[k]}) for k in range(8)]
    rows += [make_row("Bad", None, str(k), {"psnr": bad[k] if k < 8 else 45.0}) for k in range(12)]
    scores = table_of(values_of(rows, [FACTS["psnr"]]), [FACTS["psnr"]])
    assert summary(scores) == [
        f"Highest PSNR: Good at {good[:8].mean():.2f} dB on the 8 of 12 images with a finite value of every model, "
        f"ahead of Bad ({bad[:8].mean():.2f} dB, p = 0.008)."
    ]
    assert [line.cells["psnr"].is_best for line in scores.lines] == [True, False]


def test_a_row_equal_to_hr_is_named(say):
    """Outputs equal to HR have an infinite PSNR everywhere, and no mean to be compared."""
    copy = "copy", None
    assert say({M: {"psnr": 24}, N: {"psnr": 22}, copy: {"psnr": math.inf}})[0] == (
        "Highest PSNR, without copy, whose values are infinite: m at 24.00 dB, ahead of n (22.00 dB, p < 0.001)."
    )
    assert say({M: {"psnr": 24}, copy: {"psnr": math.inf}})[0] == (
        "Highest PSNR, without copy, whose values are infinite: m at 24.00 dB; no other model has finite values."
    )


@pytest.mark.parametrize(("clips", "end"), [(8, "ahead of n (2.450, p = 0.008)."), (4, "undecided.")])
def test_the_units_of_clips_are_groups(make_run, clips, end):
    frames = {f"{clip}-{frame}": f"clip {clip}" for clip in range(clips) for frame in range(2)}
    rows = {
        (model, None): {name: {"tlp": 1.0 + shift + int(name[0]) / 10} for name in frames}
        for model, shift in (("m", 0), ("n", 1.1))
    }
    tlp = metric("tlp", direction=-1, per="group", digits=3)
    run = make_run("run", rows, metrics=(tlp,), groups=frames, images=tuple(frames))
    table = table_of_runs(read_results([run]))
    assert summary(table)[0].startswith("Lowest TLP: m at 1.")
    assert summary(table)[0].endswith(end)
    assert ("Verdicts and 95 % intervals need at least 6 groups." in summary(table)) == (clips < 6)
    assert (table.unit, table.units, [line.n for line in table.lines]) == ("group", "groups", [clips] * 2)
    found = compare_models(read_results([run]), "m", "n")
    assert (found.differences[0].n, "sign flips of groups" in found.explanation) == (clips, True)
    assert ("A verdict needs at least 6 groups." in found.sentence) == (clips < 6)


def test_no_other_metric_of_consistency_is_judged_by_the_limit_of_lr_psnr(make_row):
    shift = metric("shift", group="Consistency", is_primary=True, direction=-1, unit="CIEDE2000")
    rows = [make_row("flow", 0.5, str(k), {"sigma": [3.0, 3.0], "shift": [0.1, 0.2]}) for k in range(12)]
    rows += [make_row("m", None, str(k), {"sigma": 0.0, "shift": 0.1}) for k in range(12)]
    assert summary(table_of(values_of(rows, [shift, FACTS["sigma"]]), [shift, FACTS["sigma"]]))[1:] == [
        "Samples of flow τ=0.5 vary (sigma 3.00)."
    ]
