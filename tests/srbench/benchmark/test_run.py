"""Whole runs, small: killed, repeated, resumed, with bad images among good ones."""

import shutil
import time
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from srbench.benchmark.plan import Task
from srbench.benchmark.run import run
from srbench.benchmark.sampler import Sampler
from srbench.data.datasets import Folder
from srbench.images.io import read_image, write_png
from srbench.metrics.loading import load_metric
from srbench.metrics.suite import read_suite
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.location import dated_folder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.measurements import failures_of, measurements_of
from srbench.run_folder.protocol import Setting
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify


@pytest.fixture
def spec(photos, models, tmp_path):
    return RunSpec(
        models=(f"{models}:Nearest", f"{models}:Noisy"),
        scale=4,
        data=str(photos),
        metrics=("psnr", "sigma"),
        temperature=(0.0, 0.8),
        samples=3,
        out=str(tmp_path / "run"),
    )


def text(run_folder, name="rows.jsonl"):
    return (Path(run_folder) / name).read_text()


def by_place(run_folder):
    """The rows of a run by model, temperature and image."""
    return {
        (row.setting.model, row.setting.temperature, row.image): row
        for row in measurements_of(RunFolder.read(Path(run_folder)))
    }


def test_rows_hold_what_the_metrics_say(spec, photos):
    outcome = run(spec)
    assert (outcome.folder, outcome.items, outcome.failures) == (Path(spec.out), 12, ())
    assert (outcome.sampled, outcome.scored, outcome.usable) == (12, 24, True)
    rows = by_place(spec.out)
    settings = [("Nearest", None, 1), ("Noisy", 0.0, 3), ("Noisy", 0.8, 3)]
    assert [(row.image, row.setting.model, row.setting.temperature, row.samples) for row in rows.values()] == [
        (image, *setting) for setting in settings for image in "abcd"
    ]
    pair = Folder(photos, 4).read("b")
    nearest = pair.lr.repeat_interleave(4, 1).repeat_interleave(4, 2)[None]
    assert rows["Nearest", None, "b"].values == {"psnr": load_metric("psnr")(nearest, pair).tolist(), "sigma": 0.0}
    noisy = rows["Noisy", 0.8, "a"].values
    assert len(set(noisy["psnr"])) == 3
    assert 15 < noisy["sigma"] < 25, "0.08 of 255 is 20.4"
    assert rows["Noisy", 0.0, "a"].values["sigma"] == 0
    samples = [row.sample for row in rows.values()]
    assert all(sample.seconds >= 0 and sample.peak_memory_mb > 0 for sample in samples)
    assert all(row.metric_seconds > 0 for row in rows.values())


def test_images_are_saved_as_they_were_measured(spec, photos):
    images = run(spec).folder / "images"
    pair = Folder(photos, 4).read("b")
    assert torch.equal(read_image(images / "hr" / "b.png"), pair.hr)
    assert torch.equal(read_image(images / "lr" / "b.png"), pair.lr)
    saved = sorted(str(path.relative_to(images)) for path in images.rglob("a*.png"))
    assert saved == [
        "Nearest/a.png",
        *(f"Noisy-{temperature}/a_sample{sample}.png" for temperature in ("t0.8", "t0") for sample in range(3)),
        "hr/a.png",
        "lr/a.png",
    ]
    row = by_place(spec.out)["Noisy", 0.8, "b"]
    again = load_metric("psnr")(read_image(images / "Noisy-t0.8" / "b_sample1.png")[None], pair)
    assert again.item() == row.values["psnr"][1]


def test_a_finished_run_has_nothing_to_do(spec):
    run(spec)
    names = ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl", "SHA256SUMS")
    before = [text(spec.out, name) for name in names]
    again = run(spec)
    assert (again.items, again.sampled, again.scored, again.failures) == (12, 0, 0, ())
    assert [text(spec.out, name) for name in names] == before


def test_progress_counts_all_items_without_counting_them_at_every_step(spec, monkeypatch):
    counted, steps = [], []
    size = Task.size.fget
    monkeypatch.setattr(Task, "size", property(lambda task: counted.append(task.image) or size(task)))
    run(spec, steps.append)
    assert {step.total for step in steps} == {12}
    assert len(steps) > 12
    assert len(counted) <= 4 + 2 * (4 + 12), "each of 4 images for the total, and at each of its parts"


def test_one_seed_one_result(spec, tmp_path, timeless):
    run(spec)
    run(replace(spec, out=str(tmp_path / "again")))
    assert timeless(tmp_path / "again") == timeless(tmp_path / "run")
    run(replace(spec, out=str(tmp_path / "other"), seed=1))
    one, other = by_place(tmp_path / "run"), by_place(tmp_path / "other")
    differing = {place[:2] for place, row in one.items() if row.values["psnr"] != other[place].values["psnr"]}
    assert differing == {("Noisy", 0.8)}, "noise at temperature 0.8 alone depends on the seed"


def test_order_and_company_do_not_change_a_sample(spec, tmp_path):
    run(spec)
    run(
        replace(
            spec,
            models=(f"renamed={spec.models[1]}",),
            metrics=("psnr",),
            temperature=(0.8,),
            limit=2,
            out=str(tmp_path / "alone"),
        )
    )
    alone = {image: row.values["psnr"] for (_, _, image), row in by_place(tmp_path / "alone").items()}
    together = by_place(spec.out)
    assert alone == {image: together["Noisy", 0.8, image].values["psnr"] for image in ("a", "b")}


@pytest.mark.parametrize(
    ("name", "left", "sampled", "scored", "torn"),
    [
        ("pairs.jsonl", 3, 0, 0, ""),
        ("samples.jsonl", 5, 7, 14, '{"key": "12'),
        ("rows.jsonl", 5, 0, 19, '{"key": "12"}'),
    ],
)
def test_a_torn_run_is_completed(spec, tmp_path, timeless, name, left, sampled, scored, torn):
    run(spec)
    shutil.copytree(spec.out, tmp_path / "torn")
    lines = text(spec.out, name).splitlines(keepends=True)
    (tmp_path / "torn" / name).write_text("".join(lines[:left]) + torn)
    outcome = run(replace(spec, out=str(tmp_path / "torn")))
    assert (outcome.sampled, outcome.scored, outcome.failures) == (sampled, scored, ())
    assert timeless(tmp_path / "torn") == timeless(tmp_path / "run")


def test_bad_images_among_good_ones(spec, photos):
    content = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(content[: len(content) // 2])
    (photos / "text.png").write_text("this is no image")
    steps = []
    outcome = run(spec, steps.append)
    assert outcome.sampled == 9
    assert [failure.partition(": ")[0] for failure in outcome.failures] == [
        str(photos / "b.png"),
        str(photos / "text.png"),
    ], "each is named once, not once a model"
    assert outcome.failures[0].startswith(f"{photos / 'b.png'}: damaged image")
    assert outcome.failures[1].startswith(f"{photos / 'text.png'}: not an image")
    assert [step.fault for step in steps if step.fault] == list(outcome.failures)
    assert failures_of(RunFolder.read(outcome.folder), attrgetter("folder")) == list(outcome.failures)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert (steps[-1].done, steps[-1].total) == (15, 15)
    (photos / "b.png").write_bytes(content)
    (photos / "text.png").unlink()
    repaired = run(spec)
    assert (repaired.sampled, repaired.failures) == (3, ())


def test_a_result_that_is_not_finite_is_named(spec, models, photos):
    write_png(photos / "flat.png", torch.full((3, 32, 32), 99, dtype=torch.uint8))
    outcome = run(replace(spec, models=(f"{models}:NotFinite", f"{models}:Nearest")))
    assert outcome.sampled == 9
    assert len(outcome.failures) == 1
    assert outcome.failures[0].startswith("NotFinite: flat: 3072 of 3072 values of the result are not finite")


def test_a_folder_of_results_is_measured(spec, photos, tmp_path):
    for name in "abc":
        whole = np.array(Image.open(photos / f"{name}.png"))
        side = [length // 4 * 4 for length in whole.shape[:2]]
        array = whole[: side[0], : side[1]] if name != "c" else whole[:8, :8]
        (tmp_path / "theirs").mkdir(exist_ok=True)
        Image.fromarray(array).save(tmp_path / "theirs" / f"{name}.png")
    outcome = run(replace(spec, models=(f"theirs={tmp_path / 'theirs'}",), limit=3))
    assert outcome.sampled == 2
    found = {place: row.values["psnr"] for place, row in by_place(outcome.folder).items()}
    assert found == {("theirs", None, "a"): [float("inf")], ("theirs", None, "b"): [float("inf")]}
    assert '"value": ["inf"]' in text(spec.out), "JSON has no infinity"
    assert "c: the result has shape (1, 3, 8, 8); it must be (n, 3, 40, 32), 4 times LR" in outcome.failures[0]


def test_a_folder_grows_by_models_temperatures_metrics_and_images(spec, tmp_path, timeless):
    few = replace(spec, models=spec.models[1:], temperature=(0.8,), metrics=("psnr",), limit=2)
    assert run(few).sampled == 2
    more = [
        (replace(few, temperature=(0.0,)), 2, 2),
        (replace(few, metrics=("sigma",)), 0, 4),
        (replace(few, temperature=(0.0, 0.8), limit=None), 4, 8),
        (replace(few, models=spec.models[:1], limit=3), 3, 6),
        (replace(few, models=spec.models[:1], limit=None), 1, 2),
        (spec, 0, 0),
        (few, 0, 0),
    ]
    for added, sampled, scored in more:
        outcome = run(added)
        assert (outcome.sampled, outcome.scored) == (sampled, scored)
    whole = replace(spec, out=str(tmp_path / "whole"))
    run(whole)
    assert timeless(spec.out) == timeless(whole.out), "as if it had been asked for at once"
    assert len(by_place(spec.out)) == 12
    manifest = read_manifest(Path(spec.out))
    assert len(manifest.invocations) == 6, "those that did something"
    assert manifest.settings == (Setting("Noisy", 0.0), Setting("Noisy", 0.8), Setting("Nearest", None))
    assert [metric.name for metric in manifest.metrics] == ["psnr", "sigma"]


def test_a_folder_in_which_everything_failed_takes_any_request(spec, models, photos, draw_image, timeless, tmp_path):
    """Another model of the same label, other images, another seed."""
    typo = replace(spec, models=(f"near={models}:Raises",))
    assert not run(typo).usable
    other = tmp_path / "other"
    write_png(other / "z.png", draw_image(9, 64, 64))
    spec = replace(spec, models=(f"near={models}:Nearest", spec.models[1]))
    for request in (spec, replace(spec, data=str(other)), replace(spec, seed=1)):
        shutil.rmtree(spec.out)
        run(typo)
        (Path(spec.out) / "mine.txt").write_text("of the user")
        assert run(request).usable
        new = run(replace(request, out=str(tmp_path / "new"))).folder
        assert timeless(Path(spec.out)) == timeless(new)
        manifests = [replace(read_manifest(folder), invocations=()) for folder in (Path(spec.out), new)]
        assert manifests[0] == manifests[1]
        assert verify(Path(spec.out), resample="all").proven
        assert (Path(spec.out) / "mine.txt").is_file()
        shutil.rmtree(new)


def test_a_folder_with_one_result_keeps_it(spec, models):
    run(replace(spec, models=(f"near={models}:Raises", spec.models[1])))
    with pytest.raises(RunFolderError, match=r"near stands for .*Raises in it, not for .*Nearest; give another label"):
        run(replace(spec, models=(f"near={models}:Nearest",)))


def test_a_changed_model_is_sampled_again(spec, models):
    run(spec)
    models.write_text(models.read_text().replace("0.1 * temperature", "0.2 * temperature"))
    outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (12, 24), "its file changed, so both may have"
    assert 30 < by_place(spec.out)["Noisy", 0.8, "a"].values["sigma"] < 50


def test_equal_images_and_two_labels_of_one_model_have_values_of_their_own(spec, models, photos):
    shutil.copy(photos / "a.png", photos / "d.png")
    twice = replace(spec, models=(*spec.models, f"again={models}:Noisy"))
    assert run(twice).scored == 2 * 4 * 5
    rows = by_place(spec.out)
    assert all(len(row.values) == 2 for row in rows.values())
    assert rows["Noisy", 0.8, "a"].values == rows["again", 0.8, "d"].values
    again = run(twice)
    assert (again.sampled, again.scored) == (0, 0)


METRIC = """
import torch

from srbench.interfaces import ImageMetric, MetricInfo


class Odd(ImageMetric):
    info = MetricInfo(name="m", title="M", direction=1, digits=1, protocol="none")

    def __call__(self, samples, pair):
        if pair.name == "b":
            raise ValueError("too\\nsmall")
        return torch.tensor([float("nan") if pair.name == "a" else 1.0])
"""


def test_a_metric_that_fails_or_is_not_defined_leaves_the_other_values(spec, tmp_path_factory):
    path = tmp_path_factory.mktemp("metrics") / "odd.py"
    path.write_text(METRIC)
    odd = replace(spec, models=spec.models[:1], metrics=("psnr", f"{path}:Odd"))
    outcome = run(odd)
    assert (outcome.sampled, outcome.scored) == (4, 8)
    assert outcome.failures == (
        "Nearest: a: m is not defined for this image (NaN); leave out the metric or the image",
        "Nearest: b: m failed: ValueError: too small (odd.py line 12)",
    )
    assert {image: sorted(row.values) for (_, _, image), row in by_place(spec.out).items()} == {
        "a": ["psnr"],
        "b": ["psnr"],
        "c": ["m", "psnr"],
        "d": ["m", "psnr"],
    }
    again = run(odd)
    assert (again.sampled, again.scored, again.failures) == (0, 2, outcome.failures), "what failed is tried again"
    path.write_text(METRIC.replace('pair.name == "b"', "False").replace('"nan"', '"2"'))
    repaired = run(odd)
    assert (repaired.sampled, repaired.scored, repaired.failures) == (0, 4, ()), "another metric now"
    assert failures_of(RunFolder.read(Path(spec.out)), attrgetter("folder")) == []


def test_the_manifest_says_what_was_run(spec):
    manifest = read_manifest(run(spec).folder)
    assert asdict(manifest.protocol) == {
        "suite": "srflow@1",
        "dataset": "photos",
        "lr": "made from HR by MATLAB-exact bicubic",
        "scale": 4,
        "crop": None,
        "samples": 3,
        "seed": 0,
        "tile": None,
        "quantize": "floor",
        "columns": read_suite("srflow").columns,
        "kept": 5,
        "average": "images",
    }
    assert manifest.images == ("a", "b", "c", "d")
    assert [metric.name for metric in manifest.metrics] == ["psnr", "sigma"]
    assert [model.label for model in manifest.models] == ["Nearest", "Noisy"]
    assert manifest.settings == (Setting("Nearest", None), Setting("Noisy", 0.0), Setting("Noisy", 0.8))
    (invocation,) = manifest.invocations
    assert (invocation.settings, invocation.images) == (manifest.settings, manifest.images)
    assert invocation.command == spec.command()
    assert invocation.software["torch"] == torch.__version__
    assert (invocation.device, invocation.hardware["device"]) == ("cpu", "cpu")
    assert invocation.started <= invocation.finished


def test_the_folder_is_named_after_day_models_and_scale(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unnamed = replace(spec, out=None)
    folder = run(unnamed).folder
    day, _, rest = folder.name.partition("-Nearest-")
    assert (folder.parent, rest) == (Path("runs"), "Noisy-x4")
    assert time.strptime(day, "%Y-%m-%d")
    yesterday = folder.rename(folder.with_name("2001-02-03-Nearest-Noisy-x4"))
    again = run(unnamed)
    assert (again.folder, again.sampled) == (yesterday, 0), "a run goes on after midnight"
    assert run(replace(unnamed, seed=5)).folder == folder, "another run is another folder"
    second = run(replace(unnamed, seed=6)).folder
    assert second == folder.with_name(f"{folder.name}-2"), "another protocol on the same day too"
    again = run(replace(unnamed, seed=6))
    assert (again.folder, again.sampled) == (second, 0)
    more = run(replace(unnamed, seed=5, metrics=("psnr", "ssim")))
    assert more.folder == folder, "metrics are added to today's folder"


def test_folders_are_newest_first_by_date_and_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["2026-02-01-a-x4-10", "2026-02-01-a-x4-9", "2026-02-01-a-x4", "2026-01-31-a-x4-11"]
    for name in [*names, "2026-02-02-b-a-x4", "2026-02-02-a-x4-old"]:
        (tmp_path / "runs" / name).mkdir(parents=True)
    looked_at = []
    dated_folder("a-x4", looked_at.append, lambda path: True)
    assert [path.name for path in looked_at] == names


def test_images_that_are_not_those_of_their_records_are_made_again(spec):
    """An edited image beside the value of another one would be the worst of errors."""
    folder = run(spec).folder
    wanted = {file: file.read_bytes() for file in sorted((folder / "images").rglob("*.png"))}
    *_, other = wanted.values()
    damages = {
        "Nearest/a.png": other,
        "Noisy-t0.8/a_sample1.png": b"",
        "hr/b.png": other,
        "lr/c.png": other[:-9],
        "Noisy-t0/d_sample0.png": None,
    }
    for name, content in damages.items():
        file = folder / "images" / name
        file.unlink() if content is None else file.write_bytes(content)
    outcome = run(spec)
    assert (outcome.sampled, outcome.scored, outcome.failures) == (3, 0, ()), "values of equal images stay"
    assert {file: file.read_bytes() for file in wanted} == wanted
    assert verify(folder, resample="all").proven
    shutil.rmtree(folder / "images")
    outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (12, 0)
    assert {file: file.read_bytes() for file in wanted} == wanted


def test_a_lost_image_that_is_not_the_same_again_gets_new_values(spec, monkeypatch):
    """As on another machine."""
    folder = run(spec).folder
    sample = Sampler.sample

    def rounded(*arguments):
        output = sample(*arguments)
        output.images[0, 0, 0, 0] += 0.1
        return output

    (folder / "images" / "Nearest" / "a.png").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Sampler, "sample", rounded)
        outcome = run(spec)
    assert (outcome.sampled, outcome.scored) == (1, 2)
    assert not verify(folder).contradicted
    assert ("sample-differs", "Nearest a") in {
        (finding.rule, finding.where) for finding in verify(folder, resample="all").findings
    }
