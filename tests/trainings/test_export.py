"""One file of a finished training, and what it says."""

import json
import shutil

import pytest
import torch

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
    assert "not finished; resume it: srbench train --resume" in found.stderr


@pytest.mark.parametrize("ending", [".safetensors", ".md"])
def test_another_file_in_the_way_stays(trainings, srbench, tmp_path, ending):
    yours = tmp_path / f"o{ending}"
    yours.write_text("mine")
    found = srbench("export", trainings.path / "start", "--out", tmp_path / "o.safetensors")
    assert (found.exit_code, "exists with different contents" in found.stderr) == (1, True)
    assert yours.read_text() == "mine"
