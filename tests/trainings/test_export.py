"""One file of a finished training, and what it says."""

import csv
import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard

from srbench.models.loading import load_model
from srbench.training.folder import TrainingLog
from srbench.weights.files import load_weights, save_weights


def test_an_exported_training_is_a_model_that_says_what_it_is(trainings, srbench, tmp_path):
    run = trainings.train("srflow", "exported").parent
    out = tmp_path / "given.safetensors"
    found = srbench("export", run, "--out", out, "--licence", "CC0-1.0", "--temperature", "0.7")
    assert (found.exit_code, found.stdout) == (0, f"{out}\n{tmp_path / 'given.md'}\n")
    tensors, facts = load_weights(out)
    own, known = load_weights(run / "weights.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in own.items())
    assert {name: facts[name] for name in known} == known | {"licence": "CC0-1.0"}
    assert facts["temperature"] == "0.7"
    rows = TrainingLog(run / "validation.csv").read()
    validation = json.loads(facts["validation"])
    assert validation == {"last": rows[-1], "best": max(rows, key=lambda row: row["psnr"])}
    assert facts["step"] == "20"
    assert str(trainings.path) not in json.dumps(facts), "paths of this machine"
    lr = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(1))
    drawn = [
        load_model(f"srflow:{path}", 4, "cpu").model.sample(
            lr, 1, temperature=0.8, generator=torch.Generator().manual_seed(0)
        )
        for path in (run, out)
    ]
    assert torch.equal(*drawn)
    weights = load_model(f"srflow:{out}", 4, "cpu").weights
    assert (weights.licence, weights.temperature) == ("CC0-1.0", 0.7)
    card = (tmp_path / "given.md").read_text()
    assert f"- Size: {weights.parameters:,} parameters" in card
    assert "srbench run --models srflow:given.safetensors --scale 4" in card
    assert f"| last |   20 | {rows[-1]['psnr']:.4g}" in card
    assert known["data"] in card
    assert "- Temperature: 0.7\n" in card
    assert 'select_by = "psnr"' in card


def test_the_best_weights(trainings, srbench, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = trainings.path / "start"
    assert srbench("export", run, "--best").stdout == "rrdb-rrdb.safetensors\nrrdb-rrdb.md\n"
    tensors, facts = load_weights(tmp_path / "rrdb-rrdb.safetensors")
    best, known = load_weights(run / "best.safetensors")
    assert all(torch.equal(tensors[name], value) for name, value in best.items())
    assert facts["step"] == known["step"]
    assert facts["licence"] == "not stated"


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--out", "weights.pt"), "has to end in .safetensors"),
        (("--out", "{run}/best.safetensors"), "is a file of the training itself"),
        (("--out", "{run}/weights.safetensors"), "is a file of the training itself"),
        (("--out", "{run}/weights-000006.safetensors"), "is a file of the training itself"),
    ],
)
def test_files_that_are_refused(trainings, srbench, arguments, fault):
    run = trainings.path / "start"
    before = (run / "weights.safetensors").read_bytes()
    found = srbench("export", run, *(argument.format(run=run) for argument in arguments))
    assert (found.exit_code, found.stderr.count("\n")) == (1, 1)
    assert fault in found.stderr
    assert (run / "weights.safetensors").read_bytes() == before


def test_what_a_file_lacks_is_named(trainings, srbench, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trainings.path / "start", run)
    (run / "best.safetensors").unlink()
    assert "has no best.safetensors" in srbench("export", run, "--best", "--out", tmp_path / "o.safetensors").stderr
    assert srbench("export", run, "--out", tmp_path / "o.safetensors").exit_code == 0
    tensors, facts = load_weights(run / "weights.safetensors")
    del facts["settings"]
    save_weights(run / "weights.safetensors", tensors, facts)
    assert "settings of the rrdb weights: steps: missing" in srbench("export", run).stderr


def test_folders_that_are_refused(srbench, tmp_path):
    assert "not a training folder" in srbench("export", tmp_path).stderr
    (tmp_path / "training.json").write_text('{"metadata": {"model": "rrdb"}, "request": {}}')
    found = srbench("export", tmp_path)
    assert found.exit_code == 1
    assert "has no checkpoint yet; resume it: srbench train --resume" in found.stderr


@pytest.mark.filterwarnings("default:.*not finished")
def test_an_unfinished_training_is_exported_with_its_step(until, srbench, tmp_path):
    run, out = until("rrdb", "exported-unfinished", 15), tmp_path / "o.safetensors"
    found = srbench("export", run, "--out", out)
    assert (found.exit_code, found.stdout) == (0, f"{out}\n{tmp_path / 'o.md'}\n")
    assert found.stderr == f"warning: {run}: not finished; these are the weights of step 15 of 20\n"
    weights, expected = (load_model(f"rrdb:{path}", 4, "cpu") for path in (out, run))
    assert weights.weights.trained_on == expected.weights.trained_on
    assert weights.weights.trained_on.endswith("; weights of step 15 of 20")
    assert all(
        torch.equal(expected.model.state_dict()[key], value) for key, value in weights.model.state_dict().items()
    )
    card = (tmp_path / "o.md").read_text()
    assert "- Weights: after step 15 of 20\n" in card
    assert "| best |   10 |" in card
    best = tmp_path / "best.safetensors"
    assert srbench("export", run, "--best", "--out", best).exit_code == 0
    assert "- Weights: after step 10 of 20\n" in best.with_suffix(".md").read_text()


@pytest.mark.parametrize("ending", [".safetensors", ".md"])
def test_another_file_in_the_way_stays(trainings, srbench, tmp_path, ending):
    yours = tmp_path / f"o{ending}"
    yours.write_text("mine")
    found = srbench("export", trainings.path / "start", "--out", tmp_path / "o.safetensors")
    assert (found.exit_code, "exists with different contents" in found.stderr) == (1, True)
    assert yours.read_text() == "mine"


def test_hubs_read_licence_tags_and_results_of_the_card(trainings, srbench, tmp_path):
    """The run measures the weights before they are exported, beside models that are not these weights alone."""
    training = trainings.train("srflow", "measured").parent
    own = f"srflow:{training}"
    models = f"bicubic,projected={own}+consistent,mine={own}"
    request = ("run", "--models", models, "--scale", 4, "--crop", 48, "--limit", 8)
    run, out = tmp_path / "run", tmp_path / "given.safetensors"
    measured = ("--metrics", "psnr,lr_psnr", "--temperature", "0.2,0.7", "--samples", 2, "--out", run)
    assert srbench(*request, *measured).exit_code == 0
    command = ("export", training, "--out", out, "--temperature", "0.2", "--licence", "CC-BY-4.0")
    assert srbench(*command).exit_code == 0
    facts = ModelCard.load(tmp_path / "given.md").data.to_dict()
    assert facts == {
        "license": "cc-by-4.0",
        "tags": ["super-resolution", "srflow", "4x", "srbench"],
        "pipeline_tag": "image-to-image",
    }
    assert srbench(*command, "--run", run).exit_code == 0, "the card without results is replaced"
    card = ModelCard.load(tmp_path / "given.md")
    assert card.data.license == "cc-by-4.0"
    assert card.text.strip().startswith("# given\n")
    table = list(csv.DictReader((run / "report" / "table.csv").read_text().splitlines()))
    row = next(row for row in table if (row["model"], row["temperature"]) == ("mine", "0.2"))
    assert card.data.model_name == "given"
    found = {result.metric_type: result for result in card.data.eval_results}
    assert found.keys() == {"psnr", "lr_psnr"}
    for name, result in found.items():
        assert result.metric_value == pytest.approx(float(row[name]), abs=0.006)
        assert result.metric_args["signature"] == row[f"{name}_signature"]
        assert result.metric_args["low"] == pytest.approx(float(row[f"{name}_low"]), abs=0.006)
        assert result.metric_args["low"] < result.metric_value < result.metric_args["high"]
        measured_on = {"images": 8, "lr": "made from HR by MATLAB-exact bicubic", "suite": "srflow@1", "crop": 48}
        assert result.dataset_args == measured_on | {"temperature": 0.2, "samples": 2}
        assert (result.task_type, result.task_name) == ("image-to-image", "4x super-resolution")
    other = ("export", training, "--out", tmp_path / "o.safetensors", "--run", run)
    assert "is of these weights at temperature 0.5" in srbench(*other, "--temperature", 0.5).stderr
    assert srbench(*other).exit_code == 0
    drawn = ModelCard.load(tmp_path / "o.md").data.eval_results[0].dataset_args["temperature"]
    assert drawn == 0.7, "the row that represents the model"
    (tmp_path / "given.md").write_text("mine")
    assert "exists with different contents" in srbench(*command, "--run", run).stderr


def test_a_run_of_other_weights_gives_no_results(trainings, srbench, tmp_path):
    request = ("run", "--models", "bicubic,rrdb", "--data", trainings.path / "data", "--scale", 4, "--crop", 32)
    assert srbench(*request, "--limit", 1, "--metrics", "psnr", "--out", tmp_path / "run").exit_code == 0
    out = tmp_path / "o.safetensors"
    found = srbench("export", trainings.path / "start", "--out", out, "--run", tmp_path / "run")
    assert found.exit_code == 1
    assert "none of its rows (bicubic, rrdb) is of these weights; name a run that measured them" in found.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("licence", "listed"),
    [("MIT", "mit"), (None, "unknown"), ("for research: ask us", "other"), ("GPL-3.0-only", "other")],
)
def test_a_licence_that_hubs_do_not_know_is_other(trainings, srbench, tmp_path, licence, listed):
    stated = () if licence is None else ("--licence", licence)
    assert srbench("export", trainings.path / "start", "--out", tmp_path / "o.safetensors", *stated).exit_code == 0
    card = ModelCard.load(tmp_path / "o.md")
    assert card.data.license == listed
    assert f"- Licence: {licence or 'not stated'}" in card.text
