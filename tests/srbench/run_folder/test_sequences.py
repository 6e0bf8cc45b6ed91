"""Random commands on one folder, some of them killed: it stays true, whole, and equal to a fresh one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from record_runs import values_that_count

import srbench.images.io
from srbench.benchmark.run import run, score_run
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

SEQUENCES = 40
METRICS = ("psnr", "ssim", "sigma", "lr_psnr")
TEMPERATURES = (0.3, 0.8)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory, small_models, draw_image):
    """Three images, and models by label."""
    folder = tmp_path_factory.mktemp("sequences")
    for seed in range(3):
        srbench.images.io.write_png(folder / "photos" / f"{'abc'[seed]}.png", draw_image(seed, 32, 36))
    return folder, {"near": f"near={small_models}:Nearest", "noisy": f"noisy={small_models}:Noisy"}


def fresh_values(workshop):
    """Every value of a folder that is made at once: by model, temperature, image and metric."""
    folder, models = workshop
    spec = RunSpec(
        models=tuple(models.values()),
        scale=4,
        data=str(folder / "photos"),
        metrics=METRICS,
        temperature=TEMPERATURES,
        samples=2,
        out=str(folder / "fresh"),
    )
    run(spec)
    return values_that_count(folder / "fresh")


def draw_command(chance, workshop, out):
    """A command: something to run in this process."""
    folder, models = workshop
    begun = (out / "manifest.json").exists()  # another protocol is refused from then on
    if chance.random() < 0.25 and begun:
        names = chance.sample(METRICS, chance.randint(1, 2))
        return ("score", names), lambda: score_run(out, names)
    spec = RunSpec(
        models=tuple(chance.sample(list(models.values()), chance.randint(1, 2))),
        scale=chance.choice([4, 4, 4, 2]) if begun else 4,
        data=str(folder / "photos"),
        limit=chance.choice([None, 1, 2]),
        metrics=tuple(chance.sample(METRICS, chance.randint(1, 3))),
        temperature=tuple(chance.sample(TEMPERATURES, chance.randint(1, 2))),
        samples=2,
        seed=chance.choice([0, 0, 0, 1]) if begun else 0,
        out=str(out),
    )
    if spec.scale == 2:
        spec = replace(spec, models=("bicubic",))
    return ("run", spec), lambda: run(spec)


def asked_values(manifest):
    """What a folder should hold at its end, by its manifest."""
    return {
        (setting.model, setting.temperature, image, metric.name)
        for setting in manifest.settings
        for image in manifest.planned(setting)
        for metric in manifest.metrics
    }


def test_random_sequences(workshop, killed, refused):
    expected = fresh_values(workshop)
    kills = refusals = 0
    for sequence in range(SEQUENCES):
        chance, out = random.Random(sequence), workshop[0] / f"run-{sequence}"
        held, lines = {}, []
        for _ in range(chance.randint(3, 6)):
            what, command = draw_command(chance, workshop, out)
            if chance.random() < 0.6 and killed(command, chance.randint(1, 25)):
                kills += 1
                if not (out / "manifest.json").exists():
                    continue
            else:
                refusal = refused(command)
                refusals += refusal != ""
                assert "holds results of" in refusal or not refusal, what
                if not (out / "manifest.json").exists():
                    continue
            findings = verify(out)
            assert findings.holds, (sequence, what, findings.text())
            try:
                now = values_that_count(out)
            except RunFolderError:
                now = {}
            assert now == {place: expected[place] for place in now}, (sequence, what)
            assert held.keys() <= now.keys(), (sequence, what, "something measured is lost")
            held = now
            text = (out / "rows.jsonl").read_text().splitlines() if now else []
            assert text[: len(lines)] == lines, "lines are only added"
            lines = [line for line in text if line.endswith("}")]
        if (out / "manifest.json").exists():
            manifest = RunFolder.read(out).manifest
            everything = replace_all(workshop, manifest, out)
            run(everything)
            assert set(values_that_count(out)) >= asked_values(manifest), (
                "the last command completes what was asked for"
            )
            assert verify(out).holds
    assert kills > 20
    assert refusals > 5


def replace_all(workshop, manifest, out):
    """One command that asks again for all that the folder was asked for."""
    folder, models = workshop
    return RunSpec(
        models=tuple(models[model.label] for model in manifest.models),
        scale=4,
        data=str(folder / "photos"),
        limit=len(manifest.scope),
        metrics=tuple(metric.name for metric in manifest.metrics),
        temperature=tuple({s.temperature for s in manifest.settings if s.temperature is not None}) or (0.8,),
        samples=2,
        out=str(out),
    )
