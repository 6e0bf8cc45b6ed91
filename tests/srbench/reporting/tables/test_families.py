"""Which rows compete, and what follows for the verdicts of a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import model_facts

from srbench.interfaces import WeightsInfo
from srbench.models import Checkpoint
from srbench.models.names import ModelSpec
from srbench.reporting.tables.families import families_of, one_each
from srbench.run_folder.protocol import Setting
from srbench.weights.metadata import stated_metadata

ROOT = Path(__file__).parents[4]


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
    assert found.models == (0, 3)
    assert families("bicubic", "flow 0.5", "flow 0.8").models == (0, 2)
    assert families("bicubic", "flow 0.75", "flow 0.8", flow=weights(0.75)).models == (0, 1)
    assert families("bicubic", "flow 0.5", "flow 0.8", flow=weights(0.75)).models == (0, 2), "nearest to 0.75"
    found = families("bicubic", "flow 0.3", "other 1")
    assert found.models == (0, 1, 2), "there is one each"


def test_projections_and_strengths_are_variants_of_a_model_that_is_there():
    found = families("esrgan", "esrgan+consistent", "bicubic")
    assert found.models == (0, 2)
    half = families("esrgan", "esrgan+bf16", "esrgan+bf16+consistent", "bicubic")
    assert half.models == (0, 3)
    steps = families("flow", "flow+8steps", "flow+16steps+bf16+consistent", "bicubic")
    assert steps.models == (0, 3)
    assert families("bicubic", "esrgan+consistent").models == (0, 1), "it is no variant of what is not measured"
    strengths = {"a": {"spec": "a=x:w.pth"}, "b": {"spec": "x@0.5:w.pth"}, "c": {"spec": "d=x@0.5:w.pth+consistent"}}
    assert families("a", "b", "c", "bicubic", **strengths).models == (0, 3)
    assert families("b", "c", "bicubic", **strengths).models == (0, 2)
    assert families("a", "c", "bicubic", **strengths).models == (0, 2)
    other = {"a": {"spec": "x:v.pth"}, "b": {"spec": "x:w.pth+consistent"}}
    assert families("a", "b", **other).models == (0, 1), "other weights are another model"
    same = {"a": {"spec": "python m.Net"}, "b": {"spec": "python m.Net"}}
    assert families("a", "b", **same).models == (0, 1), "objects of one class are models of their own"
    found = families("flow 0.5", "flow 0.8", "flow+consistent 0.8", "bicubic")
    assert (found.models, found.model_of) == ((1, 3), (0, 0, 0, 2))


def checkpoint(step, training="mine", **changes):
    label = f"{training}-{step}"
    return {"spec": f"{label}=net.py:Net:net_g_{step}.pth", "checkpoint": Checkpoint(training, step)} | changes


def test_a_training_is_represented_by_its_last_checkpoint():
    mine = {f"mine-{step}": checkpoint(step) for step in (50, 300, 100)}
    found = families("bicubic", *mine, "other", **mine)
    assert found.models == (0, 2, 4)
    assert found.model_of == (0, 2, 2, 2, 4)
    other = {f"other-{step}": checkpoint(step, "other") for step in (1, 2)}
    assert families(*mine, *other, **mine, **other).models == (1, 4), "a training of its own"
    assert families(*mine, **mine).models == (0, 1, 2), "all rows of a single training compete"
    assert families("bicubic", "mine-50", "mine-100", **mine).models == (0, 2), "the last that is measured"
    sampled = families("bicubic", "mine-50 0.5", "mine-50 0.8", "mine-100 0.5", "mine-100 0.8", **mine)
    assert sampled.models == (0, 4), "at its temperature"
    half = {f"half-{step}": checkpoint(step, "half", spec=f"net.py:Net:net_g_{step}.pth+bf16") for step in (50, 300)}
    plain = {label: facts | {"spec": facts["spec"].partition("=")[2]} for label, facts in mine.items()}
    assert families("bicubic", *plain, *half, **plain, **half).models == (0, 2), "a precision of a checkpoint"


def test_trainings_of_several_runs_are_represented_in_their_own_run():
    both = {f"mine-{step}/@/{run}": checkpoint(step) for run in "AB" for step in (1, 2)}
    assert families(*both, **both).models == (1, 3)
    once = {"mine-1/@/A": checkpoint(1), "mine-1/@/B": checkpoint(1), "mine-2": checkpoint(2)}
    assert families(*once, "bicubic", **once).models == (2, 3), "which both runs measured alike"


def test_one_row_of_every_training_stands_for_it():
    facts = [model_facts("bicubic"), *(model_facts(f"mine-{step}", **checkpoint(step)) for step in (3, 5, 4))]
    rows = [("bicubic", None), ("mine-3", 0.8), ("mine-5", 0.5), ("mine-5", 0.8), ("mine-4", 0.8)]
    assert one_each([Setting(*row) for row in rows], facts) == [0, 3]


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
        assert found.models == tuple(range(len(rows)))


def test_models_of_several_runs_have_variants_in_their_own_run():
    """Labels as ``srbench report A B`` gives them where two runs have different results under one name."""
    specs = {f"{label}/@/{run}": {"spec": label} for run in "AB" for label in ("x", "x+consistent")}
    found = families("x/@/A", "x+consistent/@/A", "x/@/B", "x+consistent/@/B", **specs)
    assert (found.models, found.model_of) == ((0, 2), (0, 0, 2, 2))


def test_files_of_one_name_below_several_folders_are_several_models():
    specs = {"a": {"spec": "runs/lr=1/net.pth"}, "b": {"spec": "older/lr=1/net.pth+bf16"}}
    assert families("a", "b", "bicubic", **specs).models == (0, 1, 2)


@pytest.mark.parametrize("text", ["srflow", "a=srflow@0.3", "esrgan@0.7:w.pth+consistent", "n@2x.pth", "a@1/f.py:Net"])
def test_strengths_and_projections_are_what_a_name_says(text):
    spec = ModelSpec.parse(text)
    plain = {"plain": {"spec": f"{spec.name}{':' if spec.weights else ''}{spec.weights}"}, "typed": {"spec": text}}
    is_variant = spec.consistent or spec.strength is not None
    assert (families("plain", "typed", "bicubic", **plain).models == (0, 2)) == is_variant


def test_packaged_models_that_sample_have_a_temperature_and_the_documentation_says_so():
    text = (ROOT / "docs/zoo.md").read_text()
    for path in (ROOT / "srflow/weights").glob("*.safetensors"):
        metadata = stated_metadata(path)
        assert f"| {metadata.scale} | {metadata.model}, {metadata.temperature:g} |" in text
