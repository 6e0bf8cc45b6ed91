"""Agreement of metrics with ratings and votes beside scipy's and simulated truth; columns that agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import metric
from scipy.stats import kendalltau, spearmanr

from srbench.judging.sentences import agreement_sentence
from srbench.run_folder.protocol import Setting
from srbench.run_folder.values import Values
from srbench.voting.agreement import agreement_of_columns, agreements_with_ratings
from srbench.voting.tally import tally
from srbench.voting.words import agreement_table

MOS, PSNR, LPIPS = metric("mos", by_row=True, per="image"), metric("psnr"), metric("lpips")


def table(*columns, **options):
    """Values of MOS, PSNR and LPIPS: arrays (rows, images)."""
    settings = [Setting(f"row{row}", None) for row in range(len(columns[0]))]
    images = [f"i{place:03}" for place in range(columns[0].shape[1])]
    values = {
        (setting, info.name): dict(zip(images, map(float, column[row]), strict=True))
        for info, column in zip((MOS, PSNR, LPIPS), columns, strict=False)
        for row, setting in enumerate(settings)
    }
    return Values(values, dict.fromkeys(settings, images), **options)


def test_agreement_beside_pairs_counted_one_by_one_and_scipy():
    random = np.random.default_rng(0)
    mos, psnr, lpips = random.integers(1, 6, (3, 8)), random.normal(size=(3, 8)), random.integers(0, 3, (3, 8))
    mos = mos.astype(float)
    mos[0, 0] = math.nan
    rows = {row.metric.name: row for row in agreements_with_ratings(table(mos, psnr, lpips), MOS, [PSNR, LPIPS]).rows}
    for info, values in ((PSNR, psnr), (LPIPS, -lpips)):
        shares = []
        for image in range(8):
            pairs = [(a, b) for a in range(3) for b in range(a) if abs(mos[a, image] - mos[b, image]) > 0]
            signs = [np.sign((mos[a, image] - mos[b, image]) * (values[a, image] - values[b, image])) for a, b in pairs]
            shares += [np.mean([(1 + sign) / 2 for sign in signs])] if signs else []
        row, rated = rows[info.name], np.isfinite(mos)
        assert (row.share, row.units) == (pytest.approx(np.mean(shares)), len(shares))
        assert row.correlation == pytest.approx(spearmanr(mos[rated], values[rated]).statistic)
        assert math.isnan(row.low_of_raters)


def test_the_truth_plus_noise_comes_first_with_its_agreement():
    """Of normal values of correlation r, 1/2 + arcsin(r)/pi of pairs have the same order (Sheppard, 1899)."""
    random = np.random.default_rng(1)
    mos = random.normal(size=(4, 200))
    found = agreements_with_ratings(table(mos, mos + random.normal(size=mos.shape), -3 * mos), MOS, [PSNR, LPIPS])
    lpips, psnr = found.rows
    assert (lpips.metric.name, lpips.share, lpips.low, lpips.high) == ("lpips", 1, 1, 1)
    assert psnr.low < 0.75 < psnr.high < psnr.low + 0.12
    assert agreement_sentence(found.best, ["LPIPS", "PSNR"], "mos") == (
        f"Of the metrics, LPIPS (100 %) agrees best with mos, significantly better than PSNR ({100 * psnr.share:.0f} "
        "%), p < 0.001."
    )


def test_few_images_and_frames_of_a_clip_are_not_judged():
    mos = np.random.default_rng(2).normal(size=(3, 12))
    few = agreements_with_ratings(table(mos[:, :5], mos[:, :5], mos[:, :5]), MOS, [PSNR, LPIPS])
    assert "undecided, as a verdict needs at least 6 images" in agreement_sentence(few.best, ["PSNR", "LPIPS"], "mos")
    assert [line[1] for line in agreement_table(few)[1:]] == ["too few", "too few"]
    frames = {f"i{place:03}": str(place // 4) for place in range(12)}
    clips = agreements_with_ratings(table(mos, mos, mos, ungrouped=frames), MOS, [PSNR, LPIPS])
    assert "not tested" in agreement_sentence(clips.best, ["PSNR", "LPIPS"], "mos")
    assert all(math.isnan(row.low) for row in clips.rows)


def test_six_raters_have_an_interval_of_their_own(run, add_votes):
    for raters, columns in ((5, 5), (6, 6)):
        add_votes(run, raters)
        lines = agreement_table(tally(run).agreements)
        assert {len(line) for line in lines} == {columns}
    lpips = tally(run).agreements.rows[0]
    assert lpips.low_of_raters <= lpips.share <= lpips.high_of_raters


def test_columns_that_agree_beside_scipy():
    random = np.random.default_rng(3)
    columns = [random.integers(0, 4, (5, 7)).astype(float) for _ in range(3)]
    columns[1][:3, 0] = math.nan
    values = table(*columns)
    shown, taus = agreement_of_columns(values, [MOS, PSNR, LPIPS])
    merits = [info.direction * column for info, column in zip(shown, columns, strict=True)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        of_images = [kendalltau(merits[a][:, i], merits[b][:, i], nan_policy="omit").statistic for i in range(7)]
        start = 1 if 1 in (a, b) else 0  # two rows are no order
        assert taus[a, b] == taus[b, a] == pytest.approx(np.nanmean(of_images[start:]))
    assert np.isnan(agreement_of_columns(table(*(column[:2] for column in columns)), [MOS, PSNR])[1]).all()


def test_images_of_a_group_count_together():
    """The share, its interval and the number of units are over groups, where means are."""
    random = np.random.default_rng(4)
    mos, psnr = random.normal(size=(2, 3, 24))
    groups = {f"i{place:03}": str(0 if place < 17 else place - 16) for place in range(24)}
    [row] = agreements_with_ratings(table(mos, psnr, unit_of=groups), MOS, [PSNR]).rows
    images = [agreements_with_ratings(table(mos[:, [i]], psnr[:, [i]]), MOS, [PSNR]).rows[0].share for i in range(24)]
    assert row.units == 8
    assert row.share == pytest.approx(np.mean([np.mean(images[:17]), *images[17:]]))
    assert row.low <= row.share <= row.high
