"""The parts of a training, each alone; whole trainings are in tests/trainings."""

import math
import re
import tomllib
from pathlib import Path

import pytest
import torch
from small_presets import PRESETS

from srbench.images.io import write_png
from srbench.interfaces import TEMPERATURE, ImageMetric, ImagePair, MetricInfo
from srbench.training import TrainingError
from srbench.training.breakdown import PATIENCE, Breakdowns, breakdown
from srbench.training.config import LOWEST_RATE, TrainingConfig
from srbench.training.curves import curves
from srbench.training.folder import TrainingFolder, TrainingLog
from srbench.training.learner import Batch, Learner, moving_average
from srbench.training.patches import Patches
from srbench.training.stopping import StopRequest
from srbench.training.validation import LABEL, BestValidation, Validation
from srbench.training.view import View
from srbench.weights.metadata import WeightsMetadata
from srbench.weights.reading import read_weights


def config(**changes):
    values = tomllib.loads(PRESETS["rrdb"])["training"] | {"batch": 3, "patch": 16, "learning_rate": 1.0}
    return TrainingConfig(**values | {"milestones": (0.5, 0.75), "seed": 5} | changes)


def test_learning_rate_halves_at_the_milestones():
    rates = [config().learning_rate_at(step) for step in (0, 9, 10, 14, 15, 19)]
    assert rates == [1, 1, 0.5, 0.5, 0.25, 0.25]


def test_when_a_training_validates_and_keeps_weights():
    """Early, and ten times if the preset does not say how often; always at the end."""
    validated = [sorted(config(steps=95, validate_every=every).validated_steps) for every in (4, 40, 1000)]
    assert validated == [[*range(4, 95, 4), 95], [10, 40, 80, 95], [10, 95]]
    kept = [config(steps=95, weights_every=every).numbered_steps for every in (None, 40, 1000, 0)]
    assert kept == [[10, 20, 30, 40, 50, 60, 70, 80, 90, 95], [40, 80, 95], [95], []]
    assert config(steps=1).numbered_steps == [1]


def test_learning_rate_along_a_cosine_that_begins_anew():
    """As torch's CosineAnnealingWarmRestarts where the periods are equal."""
    cosine = config(schedule="cosine", milestones=(0.25, 0.5, 0.75))
    optimizer = torch.optim.SGD([torch.zeros(1)], 1.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, eta_min=LOWEST_RATE)
    for step in range(20):
        assert cosine.learning_rate_at(step) == pytest.approx(torchs.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        torchs.step()


def test_learning_rate_kept_until_the_first_milestone():
    constant, cosine = config(schedule="constant-cosine"), config(schedule="cosine")
    assert [constant.learning_rate_at(step) for step in (0, 9, 10)] == [1, 1, 1]
    assert [constant.learning_rate_at(step) for step in range(10, 20)] == [
        cosine.learning_rate_at(step) for step in range(10, 20)
    ]
    assert config(schedule="constant-cosine", warm_up=4).learning_rate_at(0) == 0.25


def test_learning_rate_rises_in_the_warm_up():
    rates = [config(warm_up=4).learning_rate_at(step) for step in (0, 1, 2, 3, 4, 9, 10)]
    assert rates == [0.25, 0.5, 0.75, 1, 1, 1, 0.5]


def test_a_batch_that_processes_cannot_share_names_the_numbers_that_can():
    for processes in (1, 2, 3, 6):
        config(batch=12, grad_accumulation=2).check(processes, 4)
    said = (
        "12 cannot be split equally among 4 processes in 2 parts each; use 1, 2, 3, 6 processes, make it a "
        "multiple of 8"
    )
    with pytest.raises(TrainingError, match=said):
        config(batch=12, grad_accumulation=2).check(4, 4)


@pytest.mark.parametrize("has_instructions", [True, False])
def test_a_card_without_bfloat16_is_refused(has_instructions, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_instructions)
    half = config(precision="bfloat16")
    if has_instructions:
        half.check_precision("cuda")
    else:
        with pytest.raises(TrainingError, match=r"no bfloat16 instructions \(cuda\); use float32"):
            half.check_precision("cuda")


def test_noise_belongs_to_the_patch():
    """Whatever part of the step a batch is, patch 5 gets the same numbers; another step gets others."""
    hr = torch.zeros(6, 3, 4, 4)
    whole = Batch(hr, hr, step=3, first=0, seed=1)
    parts = [part.uniform() for part in whole.parts(3)]
    assert torch.equal(torch.cat(parts), whole.uniform())
    assert torch.equal(Batch(hr[:2], hr[:2], 3, 4, 1).uniform(), parts[2])
    assert not torch.equal(Batch(hr, hr, 4, 0, 1).uniform(), whole.uniform())
    assert 0 <= whole.uniform().min() < whole.uniform().max() < 1
    assert whole.uniform().flatten(1).unique(dim=0).shape[0] == 6


def test_a_journal_forgets_what_was_cut_off(tmp_path):
    path = tmp_path / "train.csv"
    journal = TrainingLog(path)
    for step in range(4):
        journal.append(step, {"loss": step / 3, "gradient": 1e-9})
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert [row["step"] for row in TrainingLog(path).read()] == [0, 1, 2]
    again = TrainingLog(path)
    again.cut(2)
    for step in (2, 3):
        again.append(step, {"gradient": 1e-9, "loss": step / 3})
    assert path.read_bytes() == whole
    assert TrainingLog(path).read()[3] == {"step": 3, "loss": 1.0, "gradient": 1e-9}
    path.write_text("step,lo")
    TrainingLog(path).cut(9)
    assert not path.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_the_folder_on_a_full_disk_is_named(tmp_path):
    folder = TrainingFolder(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "training.json").touch()
    with folder.writing():
        folder.losses.append(0, {"loss": 1.0})
    folder.losses.path.unlink()
    folder.losses.path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught, folder.writing():
        folder.losses.append(1, {"loss": 1.0})
    assert caught.value.filename == str(tmp_path / "run")


def test_counters_are_stored_as_integers(tmp_path):
    """float16 ends at 65504, and a file with an infinite number cannot be read."""
    network = torch.nn.BatchNorm2d(3)
    network.num_batches_tracked.fill_(70_001)
    network.config = {}
    folder = TrainingFolder(tmp_path)
    folder._metadata = WeightsMetadata("rrdb", "mini-x4", 4, {})
    folder.save_weights("weights.safetensors", network, "float16", {})
    tensors, _ = read_weights(tmp_path / "weights.safetensors")
    assert tensors["num_batches_tracked"] == 70_001
    assert tensors["weight"].dtype == torch.float16


def test_an_average_is_the_exponential_one():
    network = torch.nn.Linear(1, 1, bias=False)
    average, expected = moving_average(network, 0.9), None
    for value in (1.0, 2.0, 5.0):
        torch.nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        expected = value if expected is None else 0.9 * expected + 0.1 * value
        assert float(average.module.weight.detach()) == pytest.approx(expected)
    other = moving_average(torch.nn.Linear(1, 1, bias=False), 0.9)
    other.load_state_dict(average.state_dict())
    assert torch.equal(other.module.weight, average.module.weight)
    assert moving_average(network, 0.0) is None


class Named(ImageMetric):
    def __init__(self, name, direction, values):
        self.info = MetricInfo(name=name, title=name, direction=direction, protocol="a test")
        self.values = iter(values)

    def __call__(self, samples, pair):
        return torch.tensor([next(self.values)])


@pytest.mark.parametrize(("direction", "expected"), [(1, [True, False, False, True]), (-1, [True, True, False, False])])
def test_the_best_is_by_the_direction_of_the_metric(direction, expected):
    """2, then 1, NaN, 3. A NaN never is the best, not even at first."""
    metric, best = Named("m", direction, ()), BestValidation()
    assert not best.record({"m": math.nan}, metric)
    assert [best.record({"m": value}, metric) for value in (2.0, 1.0, math.nan, 3.0)] == expected
    again = BestValidation()
    again.load_state_dict(best.state_dict())
    assert again.state_dict() == best.state_dict() != BestValidation().state_dict()


def test_validation_means_over_the_images():
    pairs = [ImagePair(str(i), torch.rand(3, 4, 4), torch.rand(3, 8, 8)) for i in range(2)]
    validation = Validation(pairs, [Named("a", 1, (1.0, 2.0)), Named("b", -1, (0.0, 4.0))], "a")
    network = torch.nn.Upsample(scale_factor=2)
    assert validation.measure(network) == {"a": 1.5, "b": 2.0}
    assert validation.grid(network).shape == (3, 16 + LABEL, 24)
    with pytest.raises(TrainingError, match="unknown metric 'lpips'"):
        Validation(pairs, validation.metrics.values(), "lpips")
    broken = torch.nn.Sequential(network, torch.nn.Threshold(2.0, math.nan))
    assert all(math.isnan(value) for value in validation.measure(broken).values())


def test_validation_draws_the_samples_that_it_is_told():
    """Metrics of an image's samples together need several; the rest are means over samples."""

    class Flow(torch.nn.Module):
        scale = 2

        def sample(self, lr, n, *, temperature, generator):
            drawn.append((n, temperature))
            return torch.rand(n, 3, 8, 8, generator=generator) * temperature

    def together(samples, pair):
        return torch.tensor(float(len(samples)))

    def each(samples, pair):
        return samples.mean((1, 2, 3))

    class Made(ImageMetric):
        def __init__(self, name, per, values):
            self.info = MetricInfo(name=name, title=name, direction=1, protocol="a test", per=per)
            self.values = values

        def __call__(self, samples, pair):
            return self.values(samples, pair)

    drawn = []
    metrics = [Made("each", "sample", each), Made("together", "image", together)]
    pairs = [ImagePair("a", torch.rand(3, 4, 4), torch.rand(3, 8, 8))]
    network = Flow()
    network.weight = torch.nn.Parameter(torch.zeros(1))
    values = Validation(pairs, metrics, "together", temperature=0.5, samples=3).measure(network)
    assert drawn == [(3, 0.5)]
    assert values["together"] == 3
    assert values["each"] == pytest.approx(0.25, abs=0.05)
    assert Validation(pairs, metrics, "each").measure(network).keys() == {"each"}
    assert drawn[1:] == [(1, TEMPERATURE)]


def test_images_held_out_are_not_trained_on(tmp_path):
    for i in range(30):
        write_png(tmp_path / "data" / f"{i:02}.png", torch.full((3, 20 + 4 * (i % 3), 24), i, dtype=torch.uint8))
    patches = Patches([tmp_path / "data"], 4, config(batch=64, patch=16))
    held_out = patches.hold_out(8, 16)
    assert [pair.name for pair in held_out] == ["00", "10", "20"]
    assert {pair.hr.shape for pair in held_out} == {(3, 16, 16)}
    assert [round(255 * float(pair.hr[2, 9, 9])) for pair in held_out] == [0, 10, 20]
    assert [round(255 * float(pair.lr[2, 3, 3])) for pair in held_out] == [0, 10, 20]
    assert patches.origin == "27 images of the folder data"
    seen = {round(255 * float(value)) for step in range(6) for value in patches.batch(step)[1][:, 0, 0, 0]}
    assert seen == set(range(30)) - {0, 10, 20}
    assert patches.centres(100, 64)[0].hr.shape == (3, 24, 24)


class Line(torch.nn.Module):
    """Two layers that change nothing at first."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)
        for name, parameter in self.named_parameters():
            torch.nn.init.constant_(parameter, float(name.endswith("weight")))

    def forward(self, x):
        return self.second(self.first(x))


def learner(network, loss=None):
    def mean(batch):
        value = network(batch.hr.mean((1, 2, 3))[:, None]).square().mean()
        return value, {"loss": value}

    return Learner("network", network, torch.optim.SGD(network.parameters(), 1.0), loss or mean)


BATCH = Batch(torch.ones(2, 3, 2, 2), torch.ones(2, 3, 4, 4), step=41, first=0, seed=0)


@pytest.mark.parametrize(
    ("layer", "value", "said"),
    [
        ("second.weight", math.nan, "the weights second.weight are not finite"),
        ("first.weight", 3e38, "non-finite values, first in second"),
        ("second.weight", 2e19, "non-finite values, first in the network;"),
        ("first.bias", 1e12, "the network loss is .*, and second.weight has the largest gradient"),
    ],
)
def test_a_breakdown_names_the_layer_and_the_step(layer, value, said):
    network = Line()
    torch.nn.init.constant_(network.get_parameter(layer), value)
    if layer == "first.weight":
        torch.nn.init.constant_(network.second.weight, 100.0)
    error = breakdown(learner(network), BATCH, 10, 40, config())
    assert str(error).startswith(f"{PATIENCE} steps in a row broke down, up to step 41: ")
    with pytest.raises(TrainingError, match=f"{said}.*checkpoint of step 40 is kept.*training.learning_rate"):
        raise error


def test_a_breakdown_before_any_checkpoint_claims_none():
    with pytest.raises(TrainingError, match="no checkpoint had been saved"):
        raise breakdown(learner(Line()), BATCH, 10, 0, config())


def test_broken_steps_are_counted():
    counts = Breakdowns()
    for loss, skipped, in_a_row in [
        (1.0, 0, 0),
        (99.0, 0, 0),
        (101.0, 0, 1),
        (2.0, 1, 2),
        (math.nan, 1, 3),
        (3.0, 0, 0),
    ]:
        counts.count({"loss": loss}, skipped=bool(skipped))
        assert counts.in_a_row == in_a_row
    other = Breakdowns()
    other.load_state_dict(counts.state_dict())
    other.count({"loss": 500.0}, skipped=False)
    assert other.in_a_row == 1


def test_the_view_shows_the_latest_values_and_that_the_training_will_stop(capsys, monkeypatch):
    """Where stderr is no terminal, as a line at the end. The memory is that of the training's device."""
    monkeypatch.setattr("srbench.training.view.peak_memory_mb", {"cuda:1": 7.0}.get)
    stop = StopRequest()
    with View(config(), 4, stop, "cuda:1", enabled=True) as view:
        view.show(5, {"l1": 0.5, "gradient": 1.0})
        view.show(6, {"l1": 0.25, "validation psnr": 20.0})
        assert "stopping" not in [*view.get_renderables()][-1].plain
        stop.signal = 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("20 steps of 3 patches, 16x16 pixels.")
    facts = "stopping after this step; repeat to stop at once, l1 0.25, gradient 1, validation psnr 20, patches/s"
    assert re.match(rf"step 6 of 20, about \d+ s left: {facts}", last)
    assert last.endswith("memory 7 MB")


def test_the_time_left_is_that_of_the_remaining_steps(capsys, monkeypatch):
    """Of 20 steps, from step 4: two a minute. The validation of the initial weights takes an hour and is no step."""
    now = [0.0]
    monkeypatch.setattr("srbench.training.view.time.monotonic", lambda: now[0])
    with View(config(), 4, StopRequest(), "cpu", enabled=True) as view:
        now[0] += 3600
        view.show(4, {"validation psnr": 10.0})
        for step in range(5, 21):
            now[0] += 30
            view.show(step, {"l1": 0.5})
    lines = capsys.readouterr().err.splitlines()[1:]
    assert lines[0].startswith("step 4 of 20: validation psnr 10, patches/s")
    assert lines[1].startswith("step 6 of 20, about 7 min left: ")
    assert lines[-1].startswith("step 20 of 20: ")


def test_curves_of_a_training(tmp_path):
    journal = TrainingLog(tmp_path / "train.csv")
    for step in range(1000):
        journal.append(step, {name: math.nan if step == 3 else 1 / (1 + step) for name in ("l1", "discriminator")})
    metrics = TrainingLog(tmp_path / "validation.csv")
    metrics.append(500, {"psnr": 20.0, "lpips": math.nan})
    drawn = []
    for _ in range(2):
        drawn.append(curves(journal.read(), metrics.read(), {"psnr": "dB", "lpips": ""}).decode())
    assert drawn[0] == drawn[1]
    text = drawn[0]
    titles = ("l1", "discriminator", "validation psnr", "validation lpips")
    assert all(f"<!-- {unit} -->" in text for unit in ("loss", "dB", "step"))
    assert [f"<!-- {title} -->" in text for title in titles] == [True, True, True, False]
