"""Which rows compete, and what follows for the verdicts of a table."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import metric, model_facts

from srbench.interfaces import WeightsInfo
from srbench.models.names import ModelSpec
from srbench.reporting.families import families_of, one_each
from srbench.reporting.ranking import rank
from srbench.run_folder.protocol import Setting
from srbench.run_folder.statistics import paired_p_values
from srbench.weights.metadata import load_described

TABLES = int(os.environ.get("TABLES", "30"))
"""Simulated tables of each kind; 1000 of each take half an hour."""
DOWN = metric("lpips")
ROOT = Path(__file__).parents[3]


def families(*rows, **facts):
    """Families of rows ``srflow`` or ``srflow 0.8``; facts by label, with - for _."""
    settings = []
    for row in rows:
        model, _, temperature = row.partition(" ")
        settings.append(Setting(model.replace("/", " "), float(temperature) if temperature else None))
    named = [model_facts(label.replace("/", " "), **changes) for label, changes in facts.items()]
    return families_of(settings, named)


def weights(temperature):
    return {"weights": WeightsInfo("c0ffee", "CC0-1.0", "flowers", 3, temperature=temperature)}


def test_a_model_competes_by_the_row_at_its_temperature():
    found = families("bicubic", "flow 0", "flow 0.75", "flow 0.84", "flow 1")
    assert (found.models, found.variants) == ((0, 3), (1, 2, 4))
    assert found.reasons == ("flow τ=0.84 (nearest to 0.8, the default)",)
    assert families("bicubic", "flow 0.5", "flow 0.8").reasons == ("flow τ=0.8 (the default)",)
    found = families("bicubic", "flow 0.75", "flow 0.8", flow=weights(0.75))
    assert (found.models, found.reasons) == ((0, 1), ("flow τ=0.75 (chosen for its weights on validation images)",))
    [reason] = families("bicubic", "flow 0.5", "flow 0.8", flow=weights(0.75)).reasons
    assert reason == "flow τ=0.8 (nearest to 0.75, chosen for its weights on validation images)"
    found = families("bicubic", "flow 0.3", "other 1")
    assert (found.models, found.variants, found.reasons, found.words) == ((0, 1, 2), (), (), ""), "there is one each"


def test_projections_and_strengths_are_variants_of_a_model_that_is_there():
    found = families("esrgan", "esrgan+consistent", "bicubic")
    assert (found.models, found.variants, found.groups) == ((0, 2), (1,), [[0, 1]])
    assert found.words == "Models compete by one row each, which stand first."
    assert families("bicubic", "esrgan+consistent").models == (0, 1), "it is no variant of what is not measured"
    strengths = {"a": {"spec": "a=x:w.pth"}, "b": {"spec": "x@0.5:w.pth"}, "c": {"spec": "d=x@0.5:w.pth+consistent"}}
    assert families("a", "b", "c", "bicubic", **strengths).models == (0, 3)
    assert families("b", "c", "bicubic", **strengths).models == (0, 2)
    assert families("a", "c", "bicubic", **strengths).groups == [[0, 1]]
    other = {"a": {"spec": "x:v.pth"}, "b": {"spec": "x:w.pth+consistent"}}
    assert families("a", "b", **other).models == (0, 1), "other weights are another model"
    same = {"a": {"spec": "python m.Net"}, "b": {"spec": "python m.Net"}}
    assert families("a", "b", **same).models == (0, 1), "objects of one class are models of their own"
    found = families("flow 0.5", "flow 0.8", "flow+consistent 0.8", "bicubic")
    assert (found.models, found.variants, found.model_of) == ((1, 3), (0, 2), (0, 0, 0, 2))


def test_one_row_of_every_label_stands_for_it_by_the_same_rule():
    facts = [
        model_facts("flow", **weights(0.75)),
        model_facts("flow+consistent", **weights(0.75)),
        model_facts("x"),
    ]
    rows = [("flow", 0.75), ("flow", 0.8), ("flow+consistent", 0.8), ("flow+consistent", 0.71), ("x", 0.75), ("x", 0.8)]
    assert one_each([Setting(*row) for row in rows], facts) == [0, 3, 5]


def test_all_rows_of_a_single_model_compete():
    for rows in (("flow 0", "flow 0.5", "flow 1"), ("esrgan", "esrgan+consistent"), ("m",), ()):
        found = families(*rows)
        assert (found.models, found.variants, found.words) == (tuple(range(len(rows))), (), "")


def test_models_of_several_runs_have_variants_in_their_own_run():
    """Labels as ``srbench report A B`` gives them where two runs have different results under one name."""
    specs = {f"{label}/@/{run}": {"spec": label} for run in "AB" for label in ("x", "x+consistent")}
    found = families("x/@/A", "x+consistent/@/A", "x/@/B", "x+consistent/@/B", **specs)
    assert (found.models, found.model_of) == ((0, 2), (0, 0, 2, 2))


@pytest.mark.parametrize("text", ["srflow", "a=srflow@0.3", "esrgan@0.7:w.pth+consistent", "n@2x.pth", "a@1/f.py:Net"])
def test_strengths_and_projections_are_what_a_name_says(text):
    spec = ModelSpec.parse(text)
    plain = {"plain": {"spec": f"{spec.name}{':' if spec.weights else ''}{spec.weights}"}, "typed": {"spec": text}}
    is_variant = spec.consistent or spec.strength is not None
    assert (families("plain", "typed", "bicubic", **plain).models == (0, 2)) == is_variant


def test_every_pair_is_of_one_family():
    found = families("bicubic", "flow 0", "flow 0.8", "flow 1", "x", "x+consistent")
    kinds = {pair: found.of(*pair) for pair in combinations(range(6), 2)}
    assert sorted(kinds.values()) == ["models"] * 3 + ["others"] * 8 + ["variants"] * 4
    assert [pair for pair, kind in kinds.items() if kind == "models"] == [(0, 2), (0, 4), (2, 4)]
    assert [pair for pair, kind in kinds.items() if kind == "variants"] == [(1, 2), (1, 3), (2, 3), (4, 5)]
    assert all(found.of(*pair) == found.of(*pair[::-1]) for pair in kinds)


def test_marks_of_both_families():
    """Lower is better, and every difference is the same on all images."""
    ease = np.random.default_rng(0).normal(0, 3, 20)
    found = families("bicubic", "flow 0", "flow 0.8", "flow 1", "x", "x+consistent")
    ranking = rank([pd.Series(mean + ease) for mean in (5, 1, 3, 4, 3, 2)], DOWN, found)
    assert ranking.marks == ("second", "own", "best", "", "best", "own"), "who does not compete is never bold"
    assert (ranking.leader, ranking.tests) == (2, {"models": 3, "variants": 4, "others": 8})
    ranking = rank([pd.Series(mean + ease) for mean in (5, 4, 3, 4, 4, 4)], DOWN, found)
    assert ranking.marks == ("", "", "best own", "", "second", ""), "the two rows of x are undecided"
    sigma = rank([pd.Series(mean + ease) for mean in (5, 1, 3, 4, 3, 2)], metric("sigma"), found)
    assert (set(sigma.marks), sigma.leader) == ({""}, None)


def test_packaged_models_that_sample_have_a_temperature_and_the_documentation_says_so():
    text = (ROOT / "docs/zoo.md").read_text()
    for path in (ROOT / "srflow/weights").glob("*.safetensors"):
        metadata = load_described(path)[1]
        assert f"| {metadata.scale} | {metadata.model}, {metadata.temperature:g} |" in text


# --- simulated tables: 22 images, 6 models with a row at each of 10 temperatures

COUNT, TEMPERATURES = 22, np.linspace(0.1, 1, 10)
MODELS = ("bicubic", "rrdb", "esrgan", "esrgan+consistent", "srflow", "srflow-perceptual")
TABLE = families(*(f"m{model} {temperature:g}" for model in range(6) for temperature in TEMPERATURES))


@pytest.fixture(scope="module")
def measured():
    """LPIPS of six models on 22 photographs at 8x, (images, models): the last one is ahead by 0.020 on 16 images."""
    values = pd.read_csv(ROOT / "reports/photos-x8/rows.csv").query("metric == 'lpips'")
    chosen = {("srflow", 0.84), ("srflow-perceptual", 0.75)}
    is_row = [np.isnan(t) or (model, t) in chosen for model, t in zip(values.model, values.temperature, strict=True)]
    table = values[is_row].pivot_table("value", "image", "model")[list(MODELS)].to_numpy()
    ahead = table[:, 4] - table[:, 5]
    assert (round(ahead.mean(), 3), (ahead > 0).sum()) == (0.020, 16)
    assert paired_p_values(ahead[:, None])[0] == pytest.approx(0.005, abs=0.004)
    return table


def with_temperatures(random, table):
    """Sixty rows: ten of every model, that of its temperature as in the table and the others near it."""
    for model in range(6):
        for place in range(10):
            noise = random.normal(0, 0.007, COUNT) if model * 10 + place not in TABLE.models else 0
            yield pd.Series(table[:, model] + noise)
