"""Trainings: what a checkpoint may say, two in one folder, folders of somebody else, no network."""

from __future__ import annotations

import json

import pytest
import torch

from srbench.images.io import write_png
from srbench.metrics import MetricError
from srbench.training.breakdown import Breakdowns
from srbench.training.folder import LOCK, TrainingFolder
from srbench.training.validation import Validation
from srbench.weights.files import load_weights

TRAIN = (
    "train rrdb --preset mini-x4 --data {here}/data --set training.steps=2 --set training.patch=32 "
    "--set training.batch=2 --set network.features=8 --set network.growth=4 --set network.blocks=1 "
    "--set training.validate_every=2 --set training.checkpoint_every=1 --device cpu --out {here}/train"
)


@pytest.fixture
def begun(srbench, bad, tmp_path, monkeypatch):
    """A training of two steps that is finished, and the command that made it."""
    generator = torch.Generator().manual_seed(0)
    for name in "ab":
        write_png(tmp_path / "data" / f"{name}.png", torch.randint(256, (3, 40, 40), generator=generator).byte())
    monkeypatch.chdir(tmp_path)
    found = srbench(*TRAIN.format(here=tmp_path).split())
    assert found.exit_code == 0, found.output
    return tmp_path / "train"


def test_a_checkpoint_of_no_step(refused, begun):
    saved = torch.load(begun / "checkpoint.pt", weights_only=True)
    lines = (begun / "train.csv").read_bytes()
    for step in (-1, 0, 3, 10**30, 1.5, "2", None, True, [2]):
        torch.save(saved | {"step": step}, begun / "checkpoint.pt")
        refused(TRAIN, r"checkpoint\.pt: not a checkpoint of this training \(step .* of 2\)")
    refused("train --resume {here}/train", "not a checkpoint of this training")
    for content in (b"", b"PK\x03\x04", b"\x80\x02]q\x00.", b"\x80\x02K\x01."):
        (begun / "checkpoint.pt").write_bytes(content)
        refused(TRAIN, r"checkpoint\.pt: not a checkpoint of this training")
    assert (begun / "train.csv").read_bytes() == lines


def test_a_failed_validation_loses_no_step(srbench, begun, monkeypatch):
    """The steps before it are saved, and the same command goes on with the validation until it succeeds."""

    measure, calls = Validation.measure, []

    def fails(self, network):
        calls.append(network)
        if len(calls) > 2:  # but for those of step 0 and 1
            raise MetricError("lpips: no memory")
        return measure(self, network)

    folder = begun.parent / "failed"
    command = TRAIN.replace("{here}/train", "{here}/failed").replace("every=1 ", "every=100 ").format(here=begun.parent)
    with monkeypatch.context() as patch:
        patch.setattr(Validation, "measure", fails)
        for _ in range(2):
            failed = srbench(*command.split())
            assert (failed.exit_code, "lpips: no memory" in failed.output) == (1, True)
            assert not (folder / "weights.safetensors").exists()
    for _ in range(2):
        resumed = srbench(*command.split())
        assert resumed.exit_code == 0, resumed.output
        metrics = [load_weights(each / "weights.safetensors")[1]["metrics"] for each in (folder, begun)]
        assert metrics[0] == metrics[1]
        for log in ("train.csv", "validation.csv"):
            assert (folder / log).read_bytes() == (begun / log).read_bytes(), "no step was repeated"


def test_steps_that_broke_down_at_the_end_are_no_weights(srbench, begun, monkeypatch):
    folder = begun.parent / "broken"
    command = TRAIN.replace("{here}/train", "{here}/broken").format(here=begun.parent)
    count = Breakdowns.count
    monkeypatch.setattr(
        Breakdowns, "count", lambda self, losses, skipped: count(self, losses, skipped=bool(self.first))
    )
    for _ in range(2):
        failed = srbench(*command.split())
        assert failed.exit_code == 1
        assert "1 step in a row broke down, up to step 1: " in failed.stderr
        assert "the checkpoint of step 1 is kept" in failed.stderr
        assert not (folder / "weights.safetensors").exists()


def test_two_trainings_in_one_folder_and_a_folder_of_somebody_else(refused, begun, tmp_path):
    lines = (begun / "train.csv").read_bytes()
    with TrainingFolder(begun).writing():
        refused(TRAIN, "another process is training in this folder; wait for it, or choose another --out")
    assert (begun / "train.csv").read_bytes() == lines
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.csv").write_text("mine")
    command = TRAIN.replace("{here}/train", "{here}/mine")
    refused(command, r"mine: holds train\.csv but no training", kept=["mine"])
    assert not (tmp_path / "mine" / LOCK).exists()


def test_a_description_that_is_none(refused, begun):
    for text in ("{", "[]", "{}", '{"metadata": 3}', "[" * 100_000, json.dumps({"metadata": {"model": 3}})):
        (begun / "training.json").write_text(text)
        refused("train --resume {here}/train", r"training\.json: not written by this version of srbench")
        refused(TRAIN, r"training\.json: not written by this version of srbench")
