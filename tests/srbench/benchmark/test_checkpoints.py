"""All checkpoints of a training by one pattern: their names, what a second command measures, and their memory."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from builders import NETWORK
from record_runs import forge_sums

from srbench.benchmark import RequestError
from srbench.benchmark.checkpoints import checkpoint_named, models_named, stated_scale
from srbench.benchmark.run import run
from srbench.plugins.registry import find_plugin
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

PATTERN = "mine=net.py:Network:ckpts/net_g_*.pth"
LABELS = ["mine-2", "mine-10", "mine-100"]


def save(step, name="net_g_{}.pth"):
    """Save the checkpoint of a step: it repeats pixels, and is the darker the earlier it is."""
    weights = torch.zeros(48, 3, 3, 3)
    for channel in range(48):
        weights[channel, channel // 16, 1, 1] = 1
    path = Path("ckpts") / name.format(step)
    path.parent.mkdir(exist_ok=True)
    torch.save({"convolution.weight": weights, "convolution.bias": torch.full((48,), -0.5 / step)}, path)


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A folder with a network and its checkpoints of steps 2, 10 and 100."""
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NETWORK)
    for step in (2, 10, 100):
        save(step)


def labels(text):
    return [each.text.partition("=")[0] for each in models_named(text)]


@pytest.mark.usefixtures("trained")
def test_checkpoints_are_models_in_the_order_of_their_steps():
    found = models_named(PATTERN)
    assert [each.text for each in found] == [f"mine-{n}=net.py:Network:ckpts/net_g_{n}.pth" for n in (2, 10, 100)]
    assert [(each.checkpoint.training, each.checkpoint.step) for each in found] == [("mine", n) for n in (2, 10, 100)]


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("text", "label", "training"),
    [
        ("ckpts/net_g_*.pth", "net_g-2", "net_g"),
        ("ckpts/net_g_?.pth", "net_g-2", "net_g"),
        ("ckpts/net_g_[0-9].pth", "net_g-2", "net_g"),
        ("ckpts/*.pth", "network-2", "network"),
        ("*/net_g_*", "net_g-2", "net_g"),
        ("net.py:Network:ckpts/net_g_*.pth", "Network-net_g-2", "Network-net_g"),
        ("net.py:Network:ckpts/*", "Network-2", "Network"),
        ("srflow:ckpts/net_g_*.pth", "srflow-net_g-2", "srflow-net_g"),
        ("esrgan@0.7:ckpts/net_g_*.pth", "esrgan-net_g-0.7-2", "esrgan-net_g-0.7"),
        ("ckpts/net_g_*.pth+bf16+consistent", "net_g-2+bf16+consistent", "net_g+bf16+consistent"),
        ("mine=ckpts/net_g_*.pth+bf16", "mine-2", "mine"),
    ],
)
def test_labels_without_a_typed_one(text, label, training):
    first = models_named(text)[0]
    assert first.text.startswith(f"{label}=")
    assert first.checkpoint.training == training
    assert first.text.endswith(f"ckpts/net_g_2.pth{text[text.find('+') :] if '+' in text else ''}")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    "text",
    [
        "a-10=net.py:Network:ckpts/net_g_11.pth",
        "10=ckpts/net_g_10.pth",
        "ckpts/net_g_10.pth",
        "srflow",
        "a-10+bf16=ckpts/net_g_11.pth+bf16",
    ],
)
def test_other_names_are_no_checkpoints(text):
    assert checkpoint_named(text) is None


FORGERIES = {
    "permuted": {"mine-10": {"training": "mine", "step": 100}, "mine-100": {"training": "mine", "step": 10}},
    "renamed": {"mine-10": {"training": "yours", "step": 10}},
    "moved": {"mine-10": {"training": "mine", "step": 1000}},
    "dropped": {"mine-10": None},
    "added": {"bicubic": {"training": "mine", "step": 1000}},
}


def test_a_false_checkpoint_is_contradicted(measured, tmp_path):
    original = measured()[1]
    for name, forged in FORGERIES.items():
        folder = shutil.copytree(original, tmp_path / name)
        manifest = json.loads((folder / "manifest.json").read_text())
        for model in manifest["models"]:
            model["checkpoint"] = forged.get(model["label"], model["checkpoint"])
        (folder / "manifest.json").write_text(json.dumps(manifest))
        forge_sums(folder)
        write_report([folder])
        found = {each.where for each in verify(folder, resample="all").findings if each.rule == "manifest-differs"}
        assert found == set(forged), name


@pytest.mark.usefixtures("trained")
def test_the_step_is_the_last_number_of_a_name(monkeypatch):
    for path in Path("ckpts").iterdir():
        path.unlink()
    for name in ("epoch=1-step=000700.pth", "epoch=2-step=90.pth"):
        save(1, name)
    assert labels("mine=net.py:Network:ckpts/*.pth") == ["mine-90", "mine-700"]
    save(1, "other-3.pth")
    monkeypatch.chdir("ckpts")
    assert [each.text for each in models_named("epoch=*-step=*.pth+bf16")] == [
        "epoch--step-90+bf16=epoch=2-step=90.pth+bf16",
        "epoch--step-700+bf16=epoch=1-step=000700.pth+bf16",
    ], "the name of the files has an equals sign"


@pytest.mark.usefixtures("trained")
def test_a_step_may_have_an_exponent():
    for number in ("5e3", "3E1", "1.5e+04", "7e2_ema", "9007199254740993"):
        save(1, f"net_d_{number}.pth")
    steps = (30, 700, 5000, 15000, 9007199254740993)
    assert labels("m=ckpts/net_d_*.pth") == [f"m-{step}" for step in steps]


@pytest.mark.usefixtures("trained")
def test_brackets_in_the_name_of_a_folder():
    Path("ckpts").rename("run[1]")
    assert labels("m=run[[]1]/net_g_*.pth") == ["m-2", "m-10", "m-100"]
    for text in ("m=run[1]/net_g_*.pth", "m=run[1]/net_g_3.pth"):
        with pytest.raises(
            RequestError, match=r"check the path; brackets are a pattern, and \[\[\] stands for a bracket"
        ):
            models_named(text)


@pytest.mark.usefixtures("trained")
def test_what_is_no_pattern_names_one_model():
    for text in ("srflow", "x=net.py:Network:ckpts/net_g_2.pth", "ckpts/net_g_2.pth", "nothing.pth", "out=ckpts"):
        assert [(each.text, each.checkpoint) for each in models_named(text)] == [(text, None)]
    save(1, "net_g_[10].pth")
    assert models_named("ckpts/net_g_[10].pth")[0].checkpoint is None, "a file has that very name"


@pytest.mark.parametrize(
    ("extra", "pattern", "says"),
    [
        ("", "net_d_*.pth", "m=net.py:Network:ckpts/net_d_*.pth: no file is called ckpts/net_d_*.pth; check the path"),
        (
            "net_g_latest.pth",
            "net_g_*.pth",
            "ckpts/net_g_latest.pth: no number in its name, which would be its step; leave it out: "
            "ckpts/net_g_[0-9]*.pth",
        ),
        (
            "net_d_010.pth",
            "net_*.pth",
            "ckpts/net_d_010.pth and ckpts/net_g_10.pth: both of step 10, the last number in their names; name the "
            "checkpoints of one training",
        ),
    ],
)
def test_a_pattern_that_names_no_training_is_a_usage_error(refused, trained, extra, pattern, says):
    if extra:
        save(1, extra)
    for scale in ("", " --scale 4"):
        refused(
            f"run --models m=net.py:Network:ckpts/{pattern}{scale} --out run", re.escape(f"srbench: {says}. See"), 2
        )
    assert not Path("run").exists()


@pytest.fixture
def measured(trained, photos, srbench):
    """Measure the training beside bicubic, without --out; returns the output and the run."""

    def call(*more):
        done = srbench("run", "--models", f"bicubic,{PATTERN}", "--data", photos, "--metrics", "psnr", *more)
        assert done.exit_code == 0, done.output
        [folder] = Path("runs").iterdir()
        return done.output, folder

    return call


def test_a_file_that_cannot_be_loaded_is_named_and_the_rest_is_measured(trained, photos, srbench):
    command = ("run", "--models", f"bicubic,{PATTERN}", "--data", photos, "--metrics", "psnr", "--out", "run")
    whole = Path("ckpts/net_g_2.pth").read_bytes()
    Path("ckpts/net_g_2.pth").write_bytes(whole[:99])
    fault = "mine-2: ckpts/net_g_2.pth: "
    assert f"cannot be loaded: {fault}" in srbench(*command, "--dry-run").output
    done = srbench(*command)
    assert done.exit_code == 1
    assert done.stderr.count(f"failed: {fault}") == 1
    last = done.stderr.splitlines()[-1]
    assert last == "srbench: 1 result could not be measured (all others were), see above"
    assert [model.label for model in RunFolder.read(Path("run")).manifest.models] == ["bicubic", "mine-10", "mine-100"]
    Path("ckpts/net_g_2.pth").write_bytes(whole)
    assert srbench(*command).exit_code == 0
    assert [model.label for model in RunFolder.read(Path("run")).manifest.models] == ["bicubic", *LABELS]
    for path in Path("ckpts").iterdir():
        path.write_bytes(whole[:99])
    refused = srbench(*command, "--out", "none")
    assert (refused.exit_code, Path("none").exists()) == (1, False)


@pytest.mark.usefixtures("scripted")
def test_the_scale_is_stated_by_a_checkpoint_that_can_be_read():
    Path("ckpts/net_g_2.pt").write_bytes(b"no network")
    assert stated_scale("mine=ckpts/net_g_*.pt") == 4


def test_the_last_checkpoint_represents_the_training_and_the_others_are_variants(measured, srbench):
    output, folder = measured()
    assert folder.name.endswith("-bicubic-mine-x4")
    models, _, variants = output.partition(" variants")
    assert "mine-100" in models
    assert [label for label in LABELS if f" {label} " in variants] == ["mine-2", "mine-10"]
    table = (folder / "report/table.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in table[2:]] == [
        [label, "", "mine-100", str(label == "mine-100")] for label in LABELS
    ]
    assert "mine-2 " in srbench("show", folder).output.partition("### Other")[2]
    assert "mine-2 " not in (folder / "report/table.tex").read_text()
    assert " bicubic,mine " in srbench("list", "runs").output


def test_a_second_command_measures_the_new_file_alone(measured):
    folder = measured()[1]
    before = (folder / "samples.jsonl").read_text()
    save(20)
    again = measured()[1]
    assert again == folder
    added = (folder / "samples.jsonl").read_text().removeprefix(before).splitlines()
    assert {json.loads(line)["model"] for line in added} == {"mine-20"}
    manifest = RunFolder.read(folder).manifest
    assert [model.label for model in manifest.models] == ["bicubic", "mine-2", "mine-10", "mine-20", "mine-100"]
    assert [setting.model for setting in manifest.settings] == [model.label for model in manifest.models]
    size = (folder / "samples.jsonl").stat().st_size
    measured()
    assert (folder / "samples.jsonl").stat().st_size == size


def test_the_manifest_says_training_and_step_and_the_request_names_every_file(measured, tmp_path):
    folder = measured()[1]
    manifest = RunFolder.read(folder).manifest
    checkpoint = manifest.model("mine-10").checkpoint
    assert (checkpoint.training, checkpoint.step) == ("mine", 10)
    [invocation] = manifest.invocations
    assert invocation.request.models[1] == f"mine-2={tmp_path}/net.py:Network:{tmp_path}/ckpts/net_g_2.pth"
    assert f"'bicubic,{PATTERN}'" in invocation.command
    save(200)
    assert verify(folder, resample="all").proven, "whatever has become of the folder of checkpoints"


@pytest.mark.usefixtures("with_plots")
def test_a_step_of_many_digits_is_plotted(measured):
    """Such as the time at which a checkpoint was saved."""
    save(12345678901234567890123456)
    output, folder = measured("--limit", 1)
    assert "mine-12345678901234567890123456" in output
    assert "checkpoints.svg" in (folder / "report" / "report.md").read_text()


def test_a_checkpoint_that_is_named_alone_later_stays_one(measured, photos):
    folder = measured()[1]
    run(RunSpec(("mine-10=net.py:Network:ckpts/net_g_10.pth",), 4, str(photos), metrics=("psnr",), out=str(folder)))
    assert RunFolder.read(folder).manifest.model("mine-10").checkpoint.step == 10


def test_evaluate_takes_patterns(trained, photos):
    import srbench

    results = srbench.evaluate({"mine": "net.py:Network:ckpts/net_g_*.pth"}, photos, metrics="psnr", progress=False)
    assert list(results.table.index.get_level_values(0)) == LABELS


def test_a_matrix_takes_patterns(trained, photos, srbench, tmp_path):
    shutil.copytree(photos, tmp_path / "second")
    data = f"{photos},{tmp_path / 'second'}"
    done = srbench("run", "--models", PATTERN, "--data", data, "--metrics", "psnr", "--out", "runs")
    assert done.exit_code == 0, done.output
    found = [[model.label for model in RunFolder.read(run).manifest.models] for run in Path("runs").glob("*-x4")]
    assert found == [LABELS, LABELS]


def test_the_dry_run_says_what_memory_the_weights_take(measured):
    assert "weights of 3 checkpoints: 16 kB of memory, in each process\n" in measured_dry(measured)


def measured_dry(measured):
    measured()
    return measured("--dry-run")[0]


@pytest.fixture
def scripted(trained):
    """The same checkpoints as TorchScript files, which a run that knows them need not load."""
    network = find_plugin("models", "net.py:Network").factory().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for step in (2, 10, 100):
            torch.jit.save(torch.jit.freeze(torch.jit.script(network)), f"ckpts/net_g_{step}.pt")


@pytest.mark.usefixtures("scripted")
@pytest.mark.parametrize("pattern", [PATTERN.partition("=")[2], "ckpts/net_g_*.pt"])
def test_more_weights_than_memory_are_a_usage_error(refused, photos, monkeypatch, pattern):
    monkeypatch.setattr("srbench.benchmark.checkpoints.free_bytes", lambda device: 9_000)
    says = r"srbench: 2 checkpoints, such as mine-2: their weights take \d+ kB, and 9 kB are free on cpu; measure them"
    command = f"run --models mine={pattern} --data {photos} --metrics psnr --out run --device cpu"
    refused(command, says, 2)
    refused(f"{command} --dry-run", says, 2)
    monkeypatch.setattr("srbench.benchmark.checkpoints.free_bytes", lambda device: 1e5)
    says = r"3 checkpoints.*take \d+ kB in 30 processes, and 100 kB are free.* and the same --out, or with fewer --work"
    refused(f"{command} --workers 30", says, 2)


@pytest.mark.usefixtures("scripted")
def test_checkpoints_that_the_run_knows_need_memory_only_for_new_images(refused, srbench, photos, monkeypatch):
    command = f"run --models mine=ckpts/net_g_*.pt --data {photos} --metrics psnr --out run --device cpu"
    assert srbench(*command.split(), "--limit", 1).exit_code == 0
    monkeypatch.setattr("srbench.benchmark.checkpoints.free_bytes", lambda device: 9_000)
    assert srbench(*command.split(), "--limit", 1).exit_code == 0
    for more in ("", " --dry-run"):
        refused(f"{command}{more}", "srbench: 3 checkpoints, such as mine-2: their weights take", 2)
