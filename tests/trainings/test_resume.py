"""A training that was killed and taken up again is the uninterrupted one, bit for bit."""

import json
import math
import os
import random
import shutil
import signal

import pytest
import torch

from srbench.interfaces import ImageMetric, MetricInfo
from srbench.machine.processes import Interrupted
from srbench.training import TrainingError, loop
from srbench.training.folder import TrainingFolder, TrainingLog
from srbench.weights.files import WeightsError, load_weights

NUMBERED = tuple(f"weights-{step:06}.safetensors" for step in (2, 4, 6, 8, 10, 12))
FILES = ("train.csv", "validation.csv", "weights.safetensors", "best.safetensors", *NUMBERED)


def same_files(trainings, one, other):
    return [
        name
        for name in FILES
        if (trainings.path / one / name).read_bytes() == (trainings.path / other / name).read_bytes()
    ]


@pytest.mark.parametrize("model", ["rrdb", "esrgan", "srflow"])
def test_an_interrupted_training_resumes_exactly(trainings, until, model):
    """Between two checkpoints, too: every file has the bytes of the uninterrupted training."""
    whole, stopped = f"{model}-at-once", f"{model}-in-two"
    trainings.train(model, whole, "training.steps=12")
    until(model, stopped, 10, "training.steps=12")
    trainings.go_on(stopped)
    assert same_files(trainings, whole, stopped) == list(FILES)


@pytest.mark.parametrize("killed", [0, 6, 7])
def test_a_kill_keeps_the_numbered_weights(trainings, until, killed):
    """Before the first checkpoint; between the numbered weights of a step and its checkpoint; and after it."""
    steps = ("training.steps=12", "training.checkpoint_every=1")
    trainings.train("rrdb", "unkilled", *steps)
    with pytest.MonkeyPatch.context() as patch:
        take, save = loop.take_step, TrainingFolder.save

        def taken(batch, *rest):
            return interrupted() if batch.step == killed else take(batch, *rest)

        patch.setattr(loop, "take_step", taken)
        if killed == 6:
            patch.setattr(TrainingFolder, "save", lambda self, state, step: step < 6 and save(self, state, step))
        with pytest.raises(KeyboardInterrupt):
            trainings.train("rrdb", f"killed-{killed}", *steps)
    folder = trainings.path / f"killed-{killed}"
    assert [path.name for path in sorted(folder.glob("weights-*"))] == [*NUMBERED[: killed // 2]]
    trainings.go_on(f"killed-{killed}") if killed else trainings.train("rrdb", f"killed-{killed}", *steps)
    assert [path.name for path in sorted(folder.glob("weights-*"))] == [*NUMBERED]
    assert same_files(trainings, "unkilled", f"killed-{killed}") == list(FILES)


@pytest.mark.parametrize("model", ["rrdb", "esrgan", "rectified-flow", "srflow", "srflow-perceptual"])
def test_a_training_resumes_without_its_initial_weights(trainings, until, tmp_path, model):
    """Deleted or changed; SRFlow's encoder, frozen up to step 6, stays so after step 5, and then is trained."""
    start, steps = tmp_path / "start.safetensors", "training.steps=12"
    first = "first-stage" if model == "srflow-perceptual" else "start"
    content = (trainings.path / first / "weights.safetensors").read_bytes()
    start.write_bytes(content)
    whole, stopped = f"{model}-with-start", f"{model}-without-start"
    trainings.train(model, whole, steps, start=start)
    until(model, stopped, 5, steps, start=start)
    start.unlink()
    with pytest.raises(TrainingError, match=r"its --start is .*, not .*another.*or resume it: srbench train --resume"):
        trainings.train(model, stopped, steps, start=tmp_path / "another.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingFolder, "forget_after", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainings.go_on(stopped)
    start.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(TrainingError, match=r"its --start is .*or resume it: srbench train --resume"):
        trainings.train(model, stopped, steps, start=start)
    trainings.go_on(stopped)
    assert same_files(trainings, whole, stopped) == list(FILES)


def interrupted(*arguments):
    raise KeyboardInterrupt


def test_a_training_without_a_checkpoint_needs_its_initial_weights(trainings, tmp_path):
    start = tmp_path / "start.safetensors"
    start.write_bytes((trainings.path / "start" / "weights.safetensors").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingFolder, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainings.train("srflow", "no-checkpoint", start=start)
    start.write_bytes((trainings.path / "first-stage" / "weights.safetensors").read_bytes())
    with pytest.raises(TrainingError, match=r'its --start is "\w+", not "\w+"; choose another --out$'):
        trainings.go_on("no-checkpoint")
    start.unlink()
    with pytest.raises(WeightsError, match=r"start\.safetensors: no such weights file"):
        trainings.go_on("no-checkpoint")


def test_a_training_whose_images_changed_says_what_to_do(trainings, until, tmp_path):
    """And resumes exactly when they are restored, elsewhere too."""
    data, steps = tmp_path / "data", "training.steps=12"
    shutil.copytree(trainings.path / "data", data)
    trainings.train("rrdb", "all-images", steps, data=(data,))
    until("rrdb", "fewer-images", 10, steps, data=(data,))
    photograph = (data / "1.png").read_bytes()
    (data / "1.png").unlink()
    fault = (
        r"data: not the images that the training in .*fewer-images began with \(3 images of the folder data, 12 steps.*"
    )
    for resume in (
        lambda: trainings.go_on("fewer-images"),
        lambda: trainings.train("rrdb", "fewer-images", steps, data=(data,)),
    ):
        with pytest.raises(TrainingError, match=rf"{fault}restore them, or train on these in another --out"):
            resume()
    (data / "1.png").write_bytes(photograph)
    data.rename(tmp_path / "moved")
    with pytest.raises(
        TrainingError, match=r"data: no such folder.*repeat the command that began the training, with the new"
    ):
        trainings.go_on("fewer-images")
    trainings.train("rrdb", "fewer-images", steps, data=(tmp_path / "moved",))
    assert (trainings.path / "fewer-images" / "train.csv").read_bytes() == (
        trainings.path / "all-images" / "train.csv"
    ).read_bytes()


def test_a_training_keeps_the_settings_that_it_began_with(trainings, until):
    trainings.train("rrdb", "as-begun", "training.steps=12")
    folder = until("rrdb", "edited", 10, "training.steps=12")
    preset = folder / "preset.toml"
    preset.write_text(preset.read_text().replace("steps = 12", "steps = 30"))
    with pytest.warns(UserWarning, match=r"preset\.toml: was edited, .* srbench train rrdb --preset .* --out ANOTHER"):
        trainings.go_on("edited")
    assert same_files(trainings, "as-begun", "edited") == list(FILES)
    preset.unlink()
    trainings.go_on("edited")


def test_a_training_of_an_earlier_version_is_refused(trainings, until):
    folder = until("srflow", "earlier", 5)
    description = json.loads((folder / "training.json").read_text())
    description["facts"] = description.pop("metadata")
    (folder / "training.json").write_text(json.dumps(description))
    for resume in (lambda: trainings.go_on("earlier"), lambda: trainings.train("srflow", "earlier")):
        with pytest.raises(WeightsError, match=r"training\.json: not written by this version of srbench; name another"):
            resume()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "ranks"),
    [("rrdb", 1), ("esrgan", 1), ("rectified-flow", 2), ("srflow", 1), ("srflow", 2), ("srflow-perceptual", 1)],
)
def test_a_killed_training_resumes_exactly(trainings, model, ranks):
    """SIGKILL at a random step, then the same again: every file has the bytes of the uninterrupted training."""
    whole, killed = f"{model}-{ranks}-whole", f"{model}-{ranks}-killed"
    assert trainings.ended(trainings.fork(model, whole, ranks=ranks)) == [0] * ranks
    pids = trainings.fork(model, killed, ranks=ranks)
    trainings.wait_for_steps(killed, random.randrange(1, 19))
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert trainings.ended(pids) == [-signal.SIGKILL] * ranks
    assert len(trainings.losses(killed)) < 20
    assert trainings.ended(trainings.fork(model, killed, ranks=ranks)) == [0] * ranks
    assert same_files(trainings, whole, killed) == list(FILES)
    states = [
        torch.load(trainings.path / f"{out}-rank{rank}.pt", weights_only=True)
        for out in (whole, killed)
        for rank in range(ranks)
    ]
    for other in states[1:]:
        assert all(torch.equal(other[0][name], value) for name, value in states[0][0].items())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "ranks"), [(signal.SIGINT, 1), (signal.SIGTERM, 1), (signal.SIGTERM, 2)])
def test_a_signal_saves_the_step_in_progress(trainings, number, ranks):
    """No checkpoint is due before the end; one process of several is enough to stop all."""
    out, never = f"stopped-{number}-{ranks}", "training.checkpoint_every=1000"
    pids = trainings.fork("rrdb", out, never, ranks=ranks)
    trainings.wait_for_steps(out, 3)
    os.kill(pids[-1], number)
    assert trainings.ended(pids) == [1] * ranks
    saved = torch.load(trainings.path / out / "checkpoint.pt", weights_only=True)
    assert 3 <= saved["step"] == len(trainings.losses(out)) < 20
    assert trainings.ended(trainings.fork("rrdb", out, never, ranks=ranks)) == [0] * ranks
    assert trainings.ended(trainings.fork("rrdb", f"{out}-whole", never, ranks=ranks)) == [0] * ranks
    assert same_files(trainings, out, f"{out}-whole") == list(FILES)


def test_a_long_time_without_a_checkpoint(trainings, monkeypatch):
    saved, save = [], TrainingFolder.save
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHECKPOINT_FRACTION", 1e9)
    monkeypatch.setattr(TrainingFolder, "save", lambda self, state, step: (saved.append(step), save(self, state, step)))
    trainings.train("rrdb", "by-time", "training.steps=4", "training.checkpoint_every=1000")
    assert saved == [1, 2, 3, 4]


def test_a_slow_checkpoint_takes_two_percent_of_the_time(trainings, monkeypatch):
    """A second for each checkpoint, and none for anything else: after the first, one is due when 50 s are over."""
    now, saved, save = [0.0], [], TrainingFolder.save

    def slow(self, state, step):
        saved.append(step)
        now[0] += 1
        save(self, state, step)

    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 10.0)
    monkeypatch.setattr(TrainingFolder, "save", slow)
    take = loop.take_step

    def timed(*arguments):
        now[0] += 10
        return take(*arguments)

    monkeypatch.setattr(loop, "take_step", timed)
    trainings.train("rrdb", "slow", "training.steps=12", "training.checkpoint_every=1000")
    assert saved == [1, 6, 11, 12]


def test_the_curves_of_a_stopped_training_are_drawn(trainings, monkeypatch):
    """At its first step, before any validation but that of the initial weights."""
    take = loop.take_step

    def stopped(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return take(*arguments)

    monkeypatch.setattr(loop, "take_step", stopped)
    with pytest.raises(Interrupted, match="saved up to step 1 of 20"):
        trainings.train("rrdb", "drawn")
    assert "<!-- l1 -->" in (trainings.path / "drawn" / "loss.svg").read_text()


def test_a_training_begun_before_numbered_weights_is_resumed(trainings, until):
    folder = until("rrdb", "older", 5)
    description = json.loads((folder / "training.json").read_text())
    settings = json.loads(description["metadata"]["settings"])
    del settings["training"]["weights_every"]
    description["metadata"]["settings"] = json.dumps(settings)
    (folder / "training.json").write_text(json.dumps(description))
    for path in folder.glob("weights-*"):
        path.unlink()
    trainings.train("rrdb", "older")
    assert min(path.name for path in folder.glob("weights-*")) == "weights-000006.safetensors"


def full_after(steps):
    """From the given step on, files of this process cannot grow beyond what train.csv needs."""

    def before():
        import resource

        take = loop.take_step

        def step(batch, *rest):
            if batch.step == steps:
                resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
            return take(batch, *rest)

        loop.take_step = step

    return before


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(trainings):
    pids = trainings.fork("rrdb", "full", before=full_after(7))
    assert trainings.ended(pids) == [1]
    out = trainings.path / "full"
    assert torch.load(out / "checkpoint.pt", weights_only=True)["step"] == 5
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing half-written is left"
    trainings.go_on("full")
    trainings.train("rrdb", "uninterrupted")
    assert same_files(trainings, "full", "uninterrupted") == list(FILES)


def test_another_validation_is_another_training(trainings):
    trainings.train("rrdb", "validated", "training.steps=2", validation=trainings.path / "data", start=None)
    with pytest.raises(TrainingError, match=r"its --validation is"):
        trainings.train("rrdb", "validated", "training.steps=2", start=None)


class NeedsWeights(ImageMetric):
    """A metric that loads its weights at its first call."""

    info = MetricInfo(name="mine", title="Mine", direction=1, protocol="a test")

    def __init__(self, path):
        self.path = path

    def __call__(self, samples, pair):
        load_weights(self.path)
        return torch.zeros(len(samples))


def test_missing_weights_of_a_metric_are_an_error_before_the_first_step(trainings):
    missing = NeedsWeights(trainings.path / "mine.safetensors")
    message = r"validation by Mine: .*mine\.safetensors: no such weights file"
    with pytest.raises(TrainingError, match=message):
        trainings.train("rrdb", "unmeasured", "training.steps=2", metrics=(*trainings.metrics, missing))
    assert not (trainings.path / "unmeasured").exists()


def test_a_metric_that_is_there_no_more(tmp_path):
    TrainingLog(tmp_path / "v.csv").append(1, {"psnr": 20.0, "mine": 1.0})
    TrainingLog(tmp_path / "v.csv").append(2, {"psnr": 21.0})
    assert math.isnan(TrainingLog(tmp_path / "v.csv").read()[1]["mine"])
