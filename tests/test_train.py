"""Whole trainings, small: they learn, they resume exactly after a kill, their weights run."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from baselines.rrdb import load_rrdb
from baselines.train import train_esrgan, train_rrdb
from srbench.config import PresetError
from srbench.images import write_png
from srbench.training.loop import TrainingError
from srbench.weights.files import WeightsError, load_weights, sha256_file
from srflow.model import load_srflow
from srflow.train import train_srflow

TRAINING = """
[training]
steps = {steps}
batch = 2
patch = 32
learning_rate = 2e-3
betas = [0.9, 0.99]
milestones = [0.5]
max_grad_norm = 10.0
checkpoint_every = 5
seed = 0
"""
ENCODER = "scale = 4\nfeatures = 8\ngrowth = 4\nblocks = 1\n"
PRESETS = {
    "rrdb": f"[network]\n{ENCODER}{TRAINING}",
    "srflow": f"[network]\nstacked = [0]\nsteps = 1\nwidth = 8\n[network.encoder]\n{ENCODER}{TRAINING}",
    "esrgan": "scale = 4\n[losses]\npixel_weight = 1.0\nperceptual_weight = 1.0\nadversarial_weight = 0.1\n"
    f'perceptual_layer = "conv1_1"\ndiscriminator_width = 2\ndiscriminator_rate = 0.5\n{TRAINING}',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Smooth random pictures, the presets, and RRDB weights to start from."""
    folder = tmp_path_factory.mktemp("training")
    generator = torch.Generator().manual_seed(0)
    for i in range(3):
        small = torch.rand(1, 3, 6, 6, generator=generator)
        smooth = torch.nn.functional.interpolate(small, 48, mode="bicubic")[0].clamp(0, 1)
        write_png(folder / "data" / f"{i}.png", (smooth * 255).byte())
    for name, text in PRESETS.items():
        for steps in (20, 60):
            (folder / f"{name}-{steps}.toml").write_text(text.format(steps=steps))
    train(train_rrdb, folder, "rrdb-60", "rrdb-start", start=None)
    return folder


def train(trainer, folder, preset, out, start="rrdb-start"):
    begin = None if start is None else folder / start / "weights.safetensors"
    return trainer(str(folder / f"{preset}.toml"), folder / "data", folder / out, start=begin, device="cpu")


def losses(folder, out):
    return [json.loads(line) for line in (folder / out / "losses.jsonl").read_text().splitlines()]


def test_rrdb_learns(folder):
    values = [row["l1"] for row in losses(folder, "rrdb-start")]
    assert len(values) == 60
    assert sum(values[-10:]) < 0.5 * sum(values[:10])
    model = load_rrdb(4, folder / "rrdb-start" / "weights.safetensors")
    assert model(torch.rand(1, 3, 5, 5)).shape == (1, 3, 20, 20)
    assert "3 pictures of the folder data, 60 steps of 2 patches of 32 pixels" in model.weights.trained_on


def test_srflow_learns_and_samples(folder):
    path = train(train_srflow, folder, "srflow-60", "srflow")
    values = [row["bits_per_dim"] for row in losses(folder, "srflow")]
    assert sum(values[-10:]) / 10 < sum(values[:10]) / 10 - 0.5
    model = load_srflow(4, path)
    lr = torch.rand(3, 5, 6)
    assert model.sample(lr, 2, temperature=0.8, generator=torch.Generator().manual_seed(0)).isfinite().all()


def test_srflow_keeps_the_encoder_for_the_first_half(folder):
    pretrained, _ = load_weights(folder / "rrdb-start" / "weights.safetensors")

    def moved(out):
        state = torch.load(folder / out / "checkpoint.pt", weights_only=True)["network"]
        return [not torch.equal(pretrained[k.removeprefix("encoder.")], v) for k, v in state.items() if "encoder" in k]

    (folder / "srflow-half.toml").write_text(
        PRESETS["srflow"].format(steps=20).replace("[network]", "frozen = 1.0\n[network]")
    )
    train(train_srflow, folder, "srflow-half", "srflow-half")
    assert not any(moved("srflow-half"))
    train(train_srflow, folder, "srflow-20", "srflow-thawed")
    assert all(moved("srflow-thawed"))


def test_a_reversible_preset_trains_alike(folder):
    """The same first losses as with stored activations; later ones drift apart by rounding."""
    text = PRESETS["srflow"].format(steps=20)
    for name, head in (("stored", ""), ("rebuilt", "reversible = true\n")):
        (folder / f"{name}.toml").write_text(head + text)
        train(train_srflow, folder, name, name)
    stored, rebuilt = ([row["bits_per_dim"] for row in losses(folder, name)] for name in ("stored", "rebuilt"))
    assert rebuilt[:5] == pytest.approx(stored[:5], abs=1e-4)
    assert rebuilt[-1] < rebuilt[0]


def small_vgg():
    generator = torch.Generator().manual_seed(0)
    return {
        "conv1_1.weight": torch.randn(8, 3, 3, 3, generator=generator),
        "conv1_1.bias": torch.zeros(8),
    }


def test_esrgan_moves_away_from_rrdb(folder, monkeypatch):
    monkeypatch.setattr("baselines.train.load_vgg16", small_vgg)
    path = train(train_esrgan, folder, "esrgan-20", "esrgan")
    trained, metadata = load_weights(path)
    start, _ = load_weights(folder / "rrdb-start" / "weights.safetensors")
    assert metadata["model"] == "esrgan"
    assert all(not torch.equal(trained[name], start[name]) for name in start)
    assert losses(folder, "esrgan")[0].keys() == {"step", "l1", "perceptual", "adversarial", "critic"}


PROGRAM = """
import sys
from pathlib import Path
from unittest.mock import patch
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
import baselines.train, srflow.train
from test_train import small_vgg, train
trainer = {{"rrdb": baselines.train.train_rrdb, "esrgan": baselines.train.train_esrgan,
           "srflow": srflow.train.train_srflow}}[{name!r}]
with patch("baselines.train.load_vgg16", small_vgg):
    train(trainer, Path({folder!r}), "{name}-60", {out!r}, start={start!r})
"""


@pytest.mark.parametrize("name", ["rrdb", "esrgan", "srflow"])
def test_a_killed_training_resumes_exactly(folder, name):
    """SIGKILL in the middle, then the same command: losses and weights of an uninterrupted training, bit for bit."""
    start = None if name == "rrdb" else "rrdb-start"

    def command(out):
        text = PROGRAM.format(tests=str(Path(__file__).parent), name=name, folder=str(folder), out=out, start=start)
        return [sys.executable, "-c", text]

    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command(f"{name}-whole"), check=True, env=environment, capture_output=True)
    process = subprocess.Popen(command(f"{name}-killed"), env=environment, stderr=subprocess.DEVNULL)
    written = folder / f"{name}-killed" / "losses.jsonl"
    deadline = time.monotonic() + 120
    while not (written.exists() and len(written.read_text().splitlines()) > 7) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 7 < len(losses(folder, f"{name}-killed")) < 60
    assert not (folder / f"{name}-killed" / "weights.safetensors").exists()
    subprocess.run(command(f"{name}-killed"), check=True, env=environment, capture_output=True)
    assert losses(folder, f"{name}-killed") == losses(folder, f"{name}-whole")
    killed, whole = (load_weights(folder / f"{name}-{end}" / "weights.safetensors")[0] for end in ("killed", "whole"))
    assert all(torch.equal(killed[tensor], whole[tensor]) for tensor in whole)


def test_encoder_of_another_size_is_refused(folder):
    text = PRESETS["srflow"].format(steps=20).replace("features = 8", "features = 6")
    (folder / "other.toml").write_text(text)
    with pytest.raises(TrainingError, match=r"features=6.*features=8.*--start"):
        train(train_srflow, folder, "other", "other")


def test_rrdb_starts_from_one_of_another_scale(folder):
    """All that both have is taken; the convolution of one more enlargement is new."""
    text = PRESETS["rrdb"].format(steps=20).replace("scale = 4", "scale = 8").replace("rate = 2e-3", "rate = 0.0")
    (folder / "larger.toml").write_text(text)
    path = train(train_rrdb, folder, "larger", "larger", start="rrdb-start")
    trained, metadata = load_weights(path)
    start, _ = load_weights(folder / "rrdb-start" / "weights.safetensors")
    assert all(torch.equal(trained[name], start[name]) for name in start)
    assert {name.rpartition(".")[0] for name in trained.keys() - start.keys()} == {"conv_up.2"}
    assert metadata["start"] == sha256_file(folder / "rrdb-start" / "weights.safetensors")


def test_rrdb_starts_from_none_of_another_size(folder):
    (folder / "wider.toml").write_text(PRESETS["rrdb"].format(steps=20).replace("features = 8", "features = 6"))
    with pytest.raises(WeightsError, match=r"rrdb-start.*do not fit the network: .*conv_first\.weight has shape"):
        train(train_rrdb, folder, "wider", "wider", start="rrdb-start")


@pytest.mark.parametrize("trainer", [train_rrdb, train_esrgan, train_srflow])
def test_unknown_presets_have_a_near_miss(trainer, folder):
    with pytest.raises(PresetError, match="mini-x8"):
        trainer("mini-x88", folder / "data", folder / "nowhere", start=None, device="cpu")
