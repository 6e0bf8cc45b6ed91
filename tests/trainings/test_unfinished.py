"""A training that is not finished is a model: its last checkpoint."""

import shutil

import pytest
import torch

from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.plugins import PluginError
from srbench.weights.files import WeightsError


def weights_of(loaded):
    return loaded.model.state_dict()


@pytest.mark.parametrize("model", ["rrdb", "srflow-perceptual", "esrgan", "rectified-flow"])
def test_the_last_checkpoint_is_measured(trainings, until, model):
    out = f"unfinished-{model}"
    folder = until(model, out, 5)
    early = load_model(f"{model}:{folder}", 4, "cpu")
    assert early.weights.trained_on.endswith(
        "of the folder data, 20 steps of 2 patches of 32 pixels; weights of step 5 of 20"
    )
    assert early.label == out.removeprefix("unfinished-") + f"-{out}"
    assert ModelSpec.parse(f"{model}:{folder}").scale() == 4
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    for name, value in weights_of(early).items():
        expected = saved["average"][f"module.{name}"] if "average" in saved else saved["network"][name]
        assert torch.equal(value, expected), name

    until(model, out, 10)
    later = load_model(f"{model}:{folder}", 4, "cpu")
    assert "step 10 of 20" in later.weights.trained_on
    assert later.digest != early.digest
    assert later.weights.sha256 != early.weights.sha256

    trainings.train(model, out)
    finished = load_model(f"{model}:{folder}", 4, "cpu")
    assert finished.weights.trained_on.endswith("20 steps of 2 patches of 32 pixels")
    (folder / "weights.safetensors").unlink()  # as if it had been killed just before it was written
    last = load_model(f"{model}:{folder}", 4, "cpu")
    assert all(torch.equal(value, weights_of(finished)[name]) for name, value in weights_of(last).items())


def test_weights_are_rounded_as_they_will_be_stored(trainings):
    path = trainings.train("rrdb", "half", "training.steps=2", "storage=float16")
    finished = load_model(f"rrdb:{path.parent}", 4, "cpu")
    path.unlink()
    last = load_model(f"rrdb:{path.parent}", 4, "cpu")
    assert all(torch.equal(value, weights_of(finished)[name]) for name, value in weights_of(last).items())


def test_the_best_weights_state_their_step(until):
    best = until("rrdb", "best", 10) / "best.safetensors"
    assert "weights of step 10 of 20" in load_model(f"rrdb:{best}", 4, "cpu").weights.trained_on


def test_an_unfinished_esrgan_is_interpolated(until):
    folder = until("esrgan", "unfinished-interpolated", 5)
    loaded = load_model(f"esrgan@0.5:{folder}", 4, "cpu")
    assert "weights of step 5 of 20; interpolated: 0.5 of these weights" in loaded.weights.trained_on


def test_a_table_states_the_step(until, srbench, tmp_path):
    folder = until("srflow", "unfinished-table", 5)
    model = f"srflow:{folder}"
    data = folder.parent / "data"
    found = srbench(
        *f"run --models {model} --scale 4 --data {data} --metrics psnr --workers 1 --out {tmp_path}".split()
    )
    assert found.exit_code == 0, found.stderr
    assert "weights of step 5 of 20" in (tmp_path / "report" / "report.md").read_text()


def test_without_a_usable_checkpoint_it_says_what_to_do(trainings, until, tmp_path):
    folder = until("rrdb", "unfinished-damaged", 5)
    shutil.copy(folder / "training.json", tmp_path)
    with pytest.raises(WeightsError, match="has no checkpoint yet; resume it: srbench train --resume"):
        load_model(f"rrdb:{tmp_path}", 4, "cpu")
    content = (folder / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: damaged, or not a checkpoint of this training"):
        load_model(f"rrdb:{tmp_path}", 4, "cpu")
    with pytest.raises(WeightsError, match="weights of rrdb, not of srflow"):
        load_model(f"srflow:{folder}", 4, "cpu")


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_refused(until, monkeypatch):
    """Outputs of the new weights must not be kept under the digest of the old ones."""
    folder = until("rrdb", "unfinished-replaced", 5)
    digest_of, begun = ModelSpec.digest, []

    def then_replaced(spec, scale):
        digest = digest_of(spec, scale)
        if begun:
            return digest
        begun.append(digest)
        until("rrdb", "unfinished-replaced", 10)
        return digest

    monkeypatch.setattr(ModelSpec, "digest", then_replaced)
    with pytest.raises(PluginError, match="changed while it was read"):
        load_model(f"rrdb:{folder}", 4, "cpu")
