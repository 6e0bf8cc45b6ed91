"""Whole trainings, small: they learn, their weights run, what is asked for counts."""

import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from baselines.pretrained import load_rrdb
from srbench.files.config import ConfigError
from srbench.files.hashes import sha256_file
from srbench.images.io import read_image
from srbench.images.resize import downscale
from srbench.interfaces import ImageMetric, MetricInfo
from srbench.training import TrainingError
from srbench.training.folder import TrainingLog, resumed
from srbench.training.loop import Training
from srbench.weights.files import WeightsError, load_weights, packaged_weights
from srbench.weights.reading import read_weights
from srflow.pretrained import load_srflow, load_srflow_perceptual


def test_rrdb_learns(trainings):
    values = trainings.losses("start", "l1")
    assert len(values) == 60
    assert sum(values[-10:]) < 0.5 * sum(values[:10])
    model = load_rrdb(4, trainings.path / "start" / "weights.safetensors")
    assert model(torch.rand(1, 3, 5, 5)).shape == (1, 3, 20, 20)
    assert "3 images of the folder data, 60 steps of 2 patches of 32 pixels" in model.weights.trained_on


def test_what_a_training_leaves(trainings):
    """The resolved preset, metrics at every validation, the best weights with theirs, numbered ones, curves,
    an image."""
    out = trainings.path / "start"
    files = "preset.toml training.json images.txt train.csv validation.csv checkpoint.pt loss.svg validation.png"
    weights = ["best.safetensors", "weights.safetensors", *(f"weights-{6 * n:06}.safetensors" for n in range(1, 11))]
    assert {path.name for path in out.iterdir()} == {*files.split(), *weights, "training.lock"}
    rows = TrainingLog(out / "validation.csv").read()
    assert [row["step"] for row in rows] == [0, 6, 10, 20, 30, 40, 50, 60]
    best = max(rows[1:], key=lambda row: row["psnr"])
    assert rows[-1]["psnr"] > rows[0]["psnr"]
    _, facts = load_weights(out / "best.safetensors")
    assert json.loads(facts["metrics"]) == {"psnr": best["psnr"], "lr_psnr": best["lr_psnr"]}
    assert facts["step"] == str(int(best["step"]))
    assert "<svg" in (out / "loss.svg").read_text()


def test_averaged_weights_are_kept(trainings):
    """rrdb.toml averages by 0.9: the weights are neither the last ones nor far from them."""
    kept, _ = load_weights(trainings.path / "start" / "weights.safetensors")
    last = torch.load(trainings.path / "start" / "checkpoint.pt", weights_only=True)["network"]
    distance = sum(float((kept[name] - last[name]).square().sum()) for name in kept) ** 0.5
    assert 0 < distance < 0.1 * sum(float(last[name].square().sum()) for name in kept) ** 0.5


def test_srflow_is_trained_on_from_its_own_weights(trainings):
    """The first loss of one is near the last of the other, and the encoder learns from the first step."""
    first_stage = trainings.path / "first-stage" / "weights.safetensors"
    path = trainings.train("srflow", "on", "training.steps=4", "training.learning_rate=1e-5", start=first_stage)
    before, after = (trainings.losses(out, "bits_per_dim") for out in ("first-stage", "on"))
    assert abs(after[0] - before[-1]) < abs(after[0] - before[0])
    start, weights = load_weights(first_stage)[0], load_weights(path)[0]
    assert all(not torch.equal(start[name], value) for name, value in weights.items())
    assert load_weights(path)[1]["start"] == sha256_file(first_stage)


def error_of_samples(model, folder, temperature):
    """Mean absolute error on the training images, of eight samples each from fixed latents."""
    errors = []
    for file in sorted(folder.iterdir()):
        hr, generator = read_image(file), torch.Generator().manual_seed(0)
        samples = model.sample(downscale(hr, 4), 8, temperature=temperature, generator=generator)
        errors.append(float((samples - hr).abs().mean()))
    return sum(errors)


def test_the_second_stage_brings_samples_nearer(trainings):
    """On the same images and latents, by its losses on images alone.

    With ten seeds and three sets of instructions, the error was .54 to .64 of that before. The losses of a step are
    of a few patches and latents, and say too little.
    """
    changes = ("training.steps=60", "training.learning_rate=5e-4", "losses.nll_weight=0.0", "losses.pixel_weight=20.0")
    path = trainings.train("srflow-perceptual", "second", *changes)
    before = load_srflow(4, trainings.path / "first-stage" / "weights.safetensors")
    model = load_srflow_perceptual(4, path)
    for temperature in (0.0, 0.8):
        first, second = (error_of_samples(each, trainings.path / "data", temperature) for each in (before, model))
        assert second < 0.8 * first
    names = "step bits_per_dim l1 perceptual texture grid spectrum gradient learning_rate"
    assert trainings.losses("second")[0].keys() == {*names.split()}
    lr = torch.rand(3, 5, 6)
    assert model.sample(lr, 2, temperature=0.8, generator=torch.Generator().manual_seed(0)).isfinite().all()
    with pytest.raises(WeightsError, match="weights of srflow-perceptual, not of srflow"):
        load_srflow(4, path)
    on = trainings.train("srflow-perceptual", "second-on", "training.steps=2", start=path)
    assert load_weights(on)[1]["start"] == sha256_file(path)


def test_a_rectified_flow_learns_beside_an_rrdb_that_stays(trainings):
    """Its weights hold both and temperature 1; another training goes on from them, and needs an RRDB of its size."""
    few = ("training.steps=150", "training.validate_every=150", "training.warm_up=0")
    path = trainings.train("rectified-flow", "rectified", *few)
    errors = trainings.losses("rectified", "flow_matching")
    assert sum(errors[-30:]) < 0.8 * sum(errors[:30])
    tensors, facts = load_weights(path)
    assert facts["temperature"] == "1.0"
    start, _ = load_weights(trainings.path / "start" / "weights.safetensors")
    assert {name: torch.equal(tensors[f"rrdb.{name}"], value) for name, value in start.items()} == {
        name: True for name in start
    }
    on = trainings.train("rectified-flow", "rectified-on", "training.steps=2", start=path)
    assert load_weights(on)[1]["start"] == sha256_file(path)
    with pytest.raises(TrainingError, match=r"no RRDB weights of the preset's size are packaged; name .* with --start"):
        trainings.train("rectified-flow", "no", start=None)
    assert trainings.train("rectified-flow", "no", start=None, dry_run=True)


@pytest.mark.parametrize(("model", "first"), [("srflow-perceptual", "first-stage"), ("esrgan", "start")])
def test_start_weights_bring_their_network(trainings, model, first):
    """Of any size, at the scale of the preset; without --start, the size is that of the preset's."""
    _, facts = load_weights(trainings.train(model, f"{model}-small", "training.steps=2"))
    _, first_facts = load_weights(trainings.path / first / "weights.safetensors")
    assert json.loads(facts["config"]) == json.loads(first_facts["config"])
    with pytest.raises(WeightsError, match="weights for scale 4, but scale 8 is requested"):
        trainings.train(model, "no", "start=mini-x8")
    with pytest.raises(ConfigError, match=r"unknown preset 'mini-x88'; did you mean mini-x8"):
        trainings.train(model, "no", "start=mini-x88")
    with pytest.raises(TrainingError, match=rf"{model} starts from weights of \w+, and none .* name them with --start"):
        trainings.train(model, "no", "start=celeba-x8", start=None)
    _, packaged = load_weights(trainings.train(model, f"{model}-packaged", "training.steps=1", start=None))
    config = json.loads(packaged["config"])
    assert config.get("encoder", config)["features"] == 32, "mini-x4"


def test_start_weights_may_be_named(trainings, until, tmp_path, monkeypatch):
    """A packaged model, of the scale of the preset, unless a training has the name; the same command resumes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rrdb").mkdir()
    steps = ("training.steps=6",)
    for scale in (4, 8):
        until("esrgan", f"named-{scale}", 5, *steps, f"start=mini-x{scale}", start=Path("rrdb"))
        path = trainings.train("esrgan", f"named-{scale}", *steps, f"start=mini-x{scale}", start=Path("rrdb"))
        assert load_weights(path)[1]["start"] == sha256_file(packaged_weights("baselines")["rrdb", scale])
    (tmp_path / "rrdb").rmdir()
    (tmp_path / "rrdb").symlink_to(trainings.path / "start")
    path = trainings.train("esrgan", "of-a-training", "training.steps=1", start=Path("rrdb"))
    assert load_weights(path)[1]["start"] == sha256_file(trainings.path / "start" / "weights.safetensors")
    with pytest.raises(WeightsError, match="srflow: no such weights file"):
        trainings.train("esrgan", "no", start=Path("srflow"))


def test_esrgan_is_trained_further(trainings):
    path = trainings.train("esrgan", "esrgan-first", "training.steps=1")
    further = trainings.train("esrgan", "esrgan-further", "training.steps=1", start=path)
    assert load_weights(further)[1]["start"] == sha256_file(path)
    assert load_weights(path)[1]["start"] == sha256_file(trainings.path / "start" / "weights.safetensors")


def test_start_weights_of_another_model_are_refused(trainings):
    rrdb, flow = (trainings.path / name / "weights.safetensors" for name in ("start", "first-stage"))
    for model, start, others in (
        ("srflow-perceptual", rrdb, "srflow or srflow-perceptual"),
        ("esrgan", flow, "rrdb or esrgan"),
        ("rrdb", flow, "rrdb"),
    ):
        with pytest.raises(WeightsError, match=f"weights of s?r\\w+, not of {others}; choose another --start"):
            trainings.train(model, "no", start=start)


@pytest.mark.parametrize(("frozen", "moves"), [("1.0", False), ("0.5", True)])
def test_srflow_keeps_the_encoder_until_it_is_released(trainings, frozen, moves):
    pretrained, _ = load_weights(trainings.path / "start" / "weights.safetensors")
    weights, _ = load_weights(
        trainings.train("srflow", f"frozen-{frozen}", f"encoder_freeze={frozen}", "training.steps=6")
    )
    encoder = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    assert {not torch.equal(pretrained[name], value) for name, value in encoder.items()} == {moves}


def test_a_reversible_preset_trains_alike(trainings):
    """The same first losses as with stored activations; later ones drift apart by rounding."""
    for name in ("false", "true"):
        trainings.train("srflow", f"reversible-{name}", f"reversible={name}", "training.steps=10")
    stored, rebuilt = (trainings.losses(f"reversible-{name}", "bits_per_dim") for name in ("false", "true"))
    assert rebuilt[:5] == pytest.approx(stored[:5], abs=1e-4)
    assert rebuilt[-1] < rebuilt[0]


def test_esrgan_moves_away_from_rrdb(trainings):
    trained, metadata = load_weights(trainings.train("esrgan", "esrgan"))
    start, _ = load_weights(trainings.path / "start" / "weights.safetensors")
    assert metadata["model"] == "esrgan"
    saved = torch.load(trainings.path / "esrgan" / "checkpoint.pt", weights_only=True)
    rates = [saved[f"{name} optimizer"]["param_groups"][0]["lr"] for name in ("generator", "discriminator")]
    assert rates[1] == pytest.approx(0.5 * rates[0]), "as the preset says"
    assert all(not torch.equal(trained[name], start[name]) for name in start)
    gradients = {f"gradient of {network}" for network in ("generator", "discriminator")}
    names = {"step", "l1", "perceptual", "adversarial", "discriminator", "learning_rate"}
    assert trainings.losses("esrgan")[0].keys() == names | gradients


def test_an_encoder_of_another_size_is_refused(trainings):
    with pytest.raises(TrainingError, match=r"features=6.*features=8.*--start"):
        trainings.train("srflow", "other", "network.encoder.features=6")


def test_without_weights_of_its_size_the_encoder_learns_from_the_start(trainings):
    with pytest.warns(UserWarning, match=r"starts from random weights.*--start"):
        path = trainings.train("srflow", "random", "training.steps=2", start=None)
    [first] = [
        p for p in json.loads((path.parent / "training.json").read_text())["metadata"].items() if p[0] == "start"
    ]
    assert first == ("start", "")
    state = torch.load(path.parent / "checkpoint.pt", weights_only=True)["network optimizer"]["state"]
    number = len(load_weights(path)[0])
    assert len(state) == number, "every parameter has been stepped, the encoder's too"


def test_rrdb_starts_from_one_of_another_scale(trainings):
    """All that both have is taken; the convolution of one more upscaling is new."""
    begin = trainings.path / "start" / "weights.safetensors"
    changes = ("network.scale=8", "training.learning_rate=1e-30", "training.steps=2", "storage=float32")
    trained, metadata = load_weights(trainings.train("rrdb", "larger", *changes, start=begin))
    start, _ = load_weights(begin)
    assert all(torch.equal(trained[name], start[name]) for name in start)
    assert {name.rpartition(".")[0] for name in trained.keys() - start.keys()} == {"conv_up.2"}
    assert metadata["start"] == sha256_file(begin)


def test_weights_carry_the_curves_of_the_losses(trainings):
    _, facts = load_weights(trainings.path / "start" / "weights.safetensors")
    curves, values = json.loads(facts["losses"]), trainings.losses("start", "l1")
    assert curves.keys() == {"l1"}
    assert len(curves["l1"]) == 40
    assert curves["l1"][:3] == pytest.approx([values[0], sum(values[1:3]) / 2, values[3]], rel=1e-3)


def test_numbered_weights(trainings, until, srbench, monkeypatch):
    """What the training would have ended with after their step; as models, they give the curve of a report."""
    monkeypatch.chdir(trainings.path)
    name = "weights-{:06}.safetensors".format
    folder = trainings.train("rrdb", "numbered", "training.steps=10", "training.weights_every=4").parent
    assert sorted(path.name for path in folder.glob("weights-*")) == [name(4), name(8), name(10)]
    last, own = load_weights(folder / name(10))
    assert all(torch.equal(last[key], value) for key, value in load_weights(folder / "weights.safetensors")[0].items())
    assert own["step"] == "10"
    every = ("training.steps=10", "training.checkpoint_every=4")
    unfinished, metadata = read_weights(until("rrdb", "to-eight", 8, *every) / "checkpoint.pt")
    assert metadata.step == 8
    assert all(torch.equal(load_weights(folder / name(8))[0][key], value) for key, value in unfinished.items())
    command = ("run", "--models", "mine=rrdb:numbered/weights-*.safetensors", "--data", "data", "--scale", 4)
    found = srbench(*command, "--metrics", "psnr", "--workers", 1, "--out", "curve")
    assert found.exit_code == 0, found.output
    assert "checkpoints.svg" in (trainings.path / "curve" / "report" / "report.md").read_text()
    none = trainings.train("rrdb", "unnumbered", "training.steps=4", "training.weights_every=0").parent
    assert not [*none.glob("weights-*")]


@pytest.mark.parametrize("model", ["rrdb", "srflow", "esrgan"])
def test_the_first_validation_changes_nothing(trainings, model, monkeypatch):
    """It measures the initial weights, and draws no number of the training, whatever the metric draws."""

    class Drawing(ImageMetric):
        info = MetricInfo(name="drawing", title="Drawing", direction=1, protocol="a test")

        def __call__(self, samples, pair):
            return torch.rand(len(samples))

    short = ("training.steps=3", "training.select_by=drawing")
    folders, validate = [], Training._validate
    for out, steps in (("validated", [0, 1, 3]), ("not-validated", [1, 3])):
        with monkeypatch.context() as patch:
            if out == "not-validated":
                patch.setattr(Training, "_validate", lambda self, done, *rest: done and validate(self, done, *rest))
            folders.append(trainings.train(model, f"{model}-{out}", *short, metrics=(Drawing(),)).parent)
        assert [row["step"] for row in TrainingLog(folders[-1] / "validation.csv").read()] == steps
    first, second = folders
    assert (first / "train.csv").read_bytes() == (second / "train.csv").read_bytes()
    weights = [load_weights(folder / "weights.safetensors")[0] for folder in folders]
    assert all(torch.equal(weights[1][name], value) for name, value in weights[0].items())


def test_initial_weights_are_never_the_best(trainings):
    """Even where the training only makes them worse."""
    start = trainings.path / "start" / "weights.safetensors"
    worse = ("training.steps=2", "training.learning_rate=0.1", "training.ema_decay=0.0")
    folder = trainings.train("rrdb", "worse", *worse, start=start).parent
    rows = TrainingLog(folder / "validation.csv").read()
    assert max(rows, key=lambda row: row["psnr"])["step"] == 0
    assert load_weights(folder / "best.safetensors")[1]["step"] != "0"


@pytest.mark.parametrize("model", ["rrdb", "srflow"])
def test_unknown_names_have_a_near_miss(model, trainings):
    with pytest.raises(ConfigError, match="did you mean mini-x8"):
        trainings.train(model, "no", preset="mini-x88")
    with pytest.raises(ConfigError, match=r"training.*unknown key 'learning_rat'; did you mean learning_rate"):
        trainings.train(model, "no", "training.learning_rat=1e-4", preset="mini-x8")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            "training.batch=3",
            "batch 3 cannot be split equally among 1 process in 2 parts each; make it a multiple of 2",
        ),
        ("training.milestones=[0.5, 0.5]", "have to increase"),
        ("training.steps=0", "training: steps is 0; it has to be 1 or more"),
        ("training.weights_every=-1", "training: weights_every is -1; it has to be 0 or more"),
        ("training.ema_decay=1.0", r"ema_decay is 1.0; they have to be in \[0, 1\)"),
        ("training.learning_rate=inf", "learning_rate is inf; it has to be finite and above 0"),
        ("training.max_grad_norm=0.0", "max_grad_norm is 0.0; it has to be above 0"),
        ("training.select_by=lpips", "unknown metric 'lpips'"),
    ],
)
def test_settings_that_cannot_work_are_named(trainings, change, fault):
    with pytest.raises((ConfigError, TrainingError), match=fault):
        trainings.train("rrdb", "faulty", "training.grad_accumulation=2", change)


def test_settings_of_srflow_that_cannot_work_are_named(trainings):
    with pytest.raises(TrainingError, match=r"range_margin is 0.01; it has to exceed 0.015625"):
        trainings.train("srflow", "faulty", "network.range_margin=0.01")
    with pytest.raises(
        ConfigError, match=r"training.patch is 16; it has to be 32 or more, because textures are compared"
    ):
        trainings.train("srflow-perceptual", "faulty", "training.patch=16")


def test_a_patch_the_discriminator_cannot_halve_is_named(trainings):
    with pytest.raises(ConfigError, match=r"training.patch is 48; it has to be a multiple of 32.*--set"):
        trainings.train("esrgan", "faulty", "training.patch=48")


def test_the_settings_of_accelerate_do_not_count(trainings, monkeypatch):
    """Those of ``accelerate config`` and ``launch``, which would divide the gradient, or scale it by 65536 on a GPU."""
    expected = trainings.train("rrdb", "without-accelerate", "training.steps=2")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    AcceleratorState._reset_state(True)
    path = trainings.train("rrdb", "with-accelerate", "training.steps=2")
    assert trainings.losses("with-accelerate") == trainings.losses("without-accelerate")
    assert all(torch.equal(value, load_weights(path)[0][name]) for name, value in load_weights(expected)[0].items())


def test_the_folder_of_another_training_is_refused(trainings):
    with pytest.raises(TrainingError, match=r"its training.steps is 60, not 20; choose another --out, or resume it"):
        trainings.train("rrdb", "start", "training.seed=3")
    for model, folder, its in (("esrgan", "first-stage", "srflow"), ("srflow-perceptual", "start", "rrdb")):
        with pytest.raises(
            TrainingError, match=rf'its model is "{its}", not "{model}"; choose another --out, or resume it'
        ):
            trainings.train(model, folder)
    (trainings.path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        trainings.train("rrdb", "file/out")


def test_a_tracker_gets_losses_metrics_and_the_image(trainings):
    """The weights are those of a training without it; a resumed training uses the same tracker."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    short = ("training.steps=4", "training.validate_every=2")
    plain = trainings.train("rrdb", "plain", *short)
    tracked = trainings.train("rrdb", "tracked", *short, log_with="tensorboard")
    assert load_weights(tracked)[0].keys() == load_weights(plain)[0].keys()
    assert all(torch.equal(value, load_weights(plain)[0][name]) for name, value in load_weights(tracked)[0].items())
    events = EventAccumulator(str(trainings.path / "tracked" / "tensorboard" / "srbench")).Reload()
    values = [event.value for event in events.Scalars("training/l1")]
    assert values == pytest.approx(trainings.losses("tracked", "l1"))
    assert [event.step for event in events.Scalars("validation/psnr")] == [0, 1, 2, 4]
    assert [event.step for event in events.Images("validation")] == [0, 1, 2, 4]
    assert resumed(trainings.path / "tracked", "cpu", ())[1].log_with == "tensorboard"


@pytest.mark.parametrize("model", ["rrdb", "esrgan", "rectified-flow", "srflow", "srflow-perceptual"])
def test_losses_in_bfloat16_are_near(trainings, model, monkeypatch):
    """In all steps; the weights stay in float32, but for the storage that a preset asks for.

    torch computes in bfloat16 on any processor, slowly where it has no instructions for it.
    """
    monkeypatch.setattr("srbench.machine.precision._cpu_flags", lambda: ["avx512_bf16"])
    for precision in ("float32", "bfloat16"):
        trainings.train(model, f"{model}-{precision}", "training.steps=4", f"training.precision={precision}")
    exact, half = (trainings.losses(f"{model}-{precision}") for precision in ("float32", "bfloat16"))
    assert exact != half
    for before, after in zip(exact, half, strict=True):
        names = [name for name in before if "gradient" not in name and name not in ("step", "learning_rate")]
        assert [after[name] for name in names] == pytest.approx([before[name] for name in names], rel=0.1, abs=0.01)


def test_a_processor_without_bfloat16_is_refused(trainings, monkeypatch):
    monkeypatch.setattr("srbench.machine.precision._cpu_flags", lambda: ["avx2"])
    said = r"training\.precision is bfloat16: this machine has no bfloat16 instructions \(cpu\); use float32"
    with pytest.raises(TrainingError, match=said):
        trainings.train("rrdb", "no", "training.precision=bfloat16")
    with pytest.raises(TrainingError, match="precision is tf32, which only NVIDIA GPUs have, not cpu; use float32"):
        trainings.train("rrdb", "no", "training.precision=tf32")
    trainings.train("rrdb", "no", dry_run=True)
