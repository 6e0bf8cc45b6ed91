"""Whatever does the work: the same results, none lost, none twice, and folders that verify."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import srbench.benchmark.engines.choice
import torch
from PIL import Image
from srbench.benchmark.engines.processes import processes

from srbench.api import evaluate
from srbench.benchmark import BenchmarkError
from srbench.benchmark.engines import choose_engine, gpus
from srbench.benchmark.run import run, score_run
from srbench.images.io import read_uint8, write_png
from srbench.machine.processes import suitable_workers
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.verification.verify import verify

IMAGES = int(os.environ.get("KILLED_IMAGES", "12"))
"""Number of images of the run that is killed again and again, about 20 times where there are many; three settings."""
SEED = int(os.environ.get("KILLED_SEED", "0"))
"""Seed of the moments at which it is killed."""


def lines(folder, name):
    return [json.loads(line) for line in (Path(folder) / name).read_text().splitlines()]


@pytest.fixture
def apart(monkeypatch):
    """One process samples and others measure, as on a GPU."""

    def call(session, tasks, opening, samplers, scorers):
        processes(session, tasks, opening, [None], len(samplers))

    monkeypatch.setattr(srbench.benchmark.engines.choice, "processes", call)


def test_metrics_are_added_by_processes(spec, results, tmp_path):
    few = replace(spec, models=spec.models[:2], metrics=("psnr",), out=str(tmp_path / "few"))
    run(few)
    assert score_run(tmp_path / "few", ["sigma", "ssim"], workers=2).scored == 30
    whole = run(replace(spec, models=spec.models[:2]))
    assert results(tmp_path / "few")[0] == results(whole.folder)[0]
    assert verify(tmp_path / "few").holds


@pytest.mark.filterwarnings("default::UserWarning")
def test_what_a_worker_warns_of_is_heard_here(spec, tmp_path):
    for name in "ab":
        clear = Image.open(tmp_path / "images" / f"{name}.png").convert("RGBA")
        clear.putpixel((0, 0), (1, 2, 3, 4))
        clear.save(tmp_path / "images" / f"{name}.png")
    with pytest.warns(UserWarning, match="transparent") as heard:
        run(replace(spec, models=("bicubic",), metrics=("psnr",), limit=2), workers=2)
    assert [str(one.message) for one in heard] == [
        f"{tmp_path / 'images'}: images with transparent pixels are put on white"
    ]


def test_what_kills_its_process_is_given_up_and_the_rest_finishes(spec, killers, tmp_path):
    deadly = replace(spec, models=(f"{killers}:Deadly", *spec.models[:1]))
    outcome = run(deadly, workers=2)
    assert outcome.sampled == 3 - 1 + 5, "b, d and f are wide, c is damaged"
    given_up = [line for line in lines(outcome.folder, "samples.jsonl") if line["error"]]
    assert [(line["model"], line["tries"]) for line in given_up] == [("Deadly", 3)] * 3
    assert {line["image"] for line in given_up} == {"b", "d", "f"}
    assert all("crashed its process 3 times (signal SIGKILL)" in line["error"] for line in given_up)
    assert len(outcome.failures) == 4
    assert verify(outcome.folder).holds
    safe = killers.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", "pass")
    killers.write_text(safe)
    assert run(deadly).failures[1:] == (), "tried again by the next command"


@pytest.mark.parametrize("where", ["together", "apart"])
def test_a_metric_that_kills_is_given_up(spec, killers, tmp_path, request, where):
    if where == "apart":
        request.getfixturevalue("apart")
    metrics = ("psnr", f"{killers}:DeadlyMetric")
    outcome = run(replace(spec, models=spec.models[:1], metrics=metrics), workers=2)
    assert outcome.sampled == 5
    folder = RunFolder.read(outcome.folder)
    known = folder.known.values()
    failed = {(score.image, score.metric) for one in known for score in one.scores.values() if score.failed}
    assert failed == {(image, metric) for image in "bdf" for metric in ("psnr", "deadly")}
    samples = [sample for one in known for sample in one.samples.values()]
    assert all(sample.tries == 1 and not sample.failed for sample in samples), "sampled once"
    assert verify(outcome.folder).holds


def children(process):
    """The workers of a run: its children but the one that watches over shared memory."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_killed_at_random_moments_and_resumed(spec, models, draw_image, results, start, sampled, wait_for, tmp_path):
    for number in range(6, IMAGES):
        write_png(tmp_path / "images" / f"more{number}.png", draw_image(number, 32, 32))
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.05)\n        up = F"))
    chance, killed = random.Random(SEED), Counter()
    spec = replace(spec, models=spec.models[:2], metrics=("psnr", "sigma"), out=str(tmp_path / "killed"))
    process, target = start(spec, "--workers", "2"), 1
    while True:
        target = max(target, sampled(spec)) + chance.randrange(1, max(12, IMAGES // 5))
        if chance.random() < 0.2:  # whatever it is at by then, the start too
            time.sleep(chance.random() * 5)
            at_work = process.poll() is None
        else:
            at_work = wait_for(process, spec, target)
        time.sleep(chance.random() * 0.1)
        if not at_work or process.poll() is not None:
            break
        workers = children(process)
        victim = chance.choice([process.pid, *workers])
        os.kill(victim, signal.SIGKILL)
        killed["parent" if victim == process.pid else "worker"] += 1
        if victim == process.pid:
            process.communicate()
            process = start(spec, "--workers", "2")
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "1 could not be measured" in err, "the damaged image alone"
    assert killed
    print(f"{IMAGES} images, seed {SEED}, killed: {dict(killed)}")
    whole = run(replace(spec, out=str(tmp_path / "whole"))).folder
    for name in ("samples.jsonl", "rows.jsonl"):
        assert len(lines(spec.out, name)) == len(lines(whole, name)), "none twice"
    assert results(tmp_path / "killed") == results(whole)
    assert verify(tmp_path / "killed").holds


@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [1, 2])
def test_interrupted_it_ends_its_processes(spec, models, start, wait_for, number):
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.3)\n        up = F"))
    process = start(replace(spec, models=spec.models[:2]), "--workers", str(number))
    assert wait_for(process, spec, 3)
    workers = children(process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.strip().splitlines()[-1] == (
        "srbench: interrupted; finished work is kept. Rerun the same command to resume."
    )
    assert "Process Spawn" not in err, "workers are not interrupted themselves"
    assert "Traceback" not in err
    assert len(workers) == (0 if number == 1 else number)
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert (Path(spec.out) / "rows.jsonl").read_text().endswith("\n")
    assert [one.finished for one in read_manifest(Path(spec.out)).invocations] == [None]


def test_objects_go_to_other_processes_where_they_can(spec, tmp_path):
    up = torch.nn.Upsample(scale_factor=4)
    found = evaluate({"up": up}, spec.data, scale=4, metrics="psnr", workers=2, out=tmp_path / "run")
    alone = evaluate({"up": up}, spec.data, scale=4, metrics="psnr")
    assert found.rows.equals(alone.rows)
    with pytest.raises(
        BenchmarkError, match=r"cannot be sent to other processes .* name it as file.py:Name, or leave out wor"
    ):
        evaluate(lambda lr: up(lr), spec.data, scale=4, metrics="psnr", workers=2)


class Fatal:
    """Ends every process that it is sent to."""

    scale = 4

    def __call__(self, lr):
        return torch.nn.functional.interpolate(lr, scale_factor=4)

    def __reduce__(self):
        return os._exit, (3,)


def test_processes_that_cannot_begin_are_one_error(spec):
    with pytest.raises(BenchmarkError, match=r"^worker processes die at startup \(exit code 3\); leave out workers"):
        evaluate(Fatal(), spec.data, scale=4, metrics="psnr", workers=2)


def test_as_many_as_suit_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    assert [suitable_workers("cpu", tasks) for tasks in (1, 7, 8, 30, 1000)] == [1, 1, 2, 7, 8]
    assert suitable_workers("cuda", 1000) == 1


def test_a_process_for_every_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus("cuda") == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert choose_engine(None, "gpus", "cuda", 100).samplers == gpus("cuda") == ("3", "5")
    assert choose_engine(None, "gpus", "cuda", 100).scorers > 0
    with pytest.raises(BenchmarkError, match=r"--workers gpus: no NVIDIA GPU is used here \(device cpu\)"):
        choose_engine(None, "gpus", "cpu", 100)


SEES = """
import os

FOUND = os.environ.get("CUDA_VISIBLE_DEVICES", "none")

import torch


class Sees:
    scale = 4

    def __call__(self, lr):
        if {"torch", "7", "9"} & {FOUND} != {os.environ["CUDA_VISIBLE_DEVICES"]}:
            raise RuntimeError(FOUND)
        return torch.full((*lr.shape[:2], 4 * lr.shape[2], 4 * lr.shape[3]), int(FOUND) / 255)

    def digest(self):
        return "the same in every process"
"""


def test_each_samples_on_its_own_gpu(spec, tmp_path, monkeypatch):
    """On a stand-in for two GPUs: what a process sees, as grey levels of what its model makes."""
    (tmp_path / "sees.py").write_text(SEES)
    choice = srbench.benchmark.engines.choice
    monkeypatch.setattr(choice, "gpus", lambda device: ("7", "9"))
    monkeypatch.setattr(choice, "suitable_workers", lambda device, tasks: 1)
    outcome = run(replace(spec, models=(f"{tmp_path / 'sees.py'}:Sees",), metrics=("psnr",)), workers="gpus")
    assert (outcome.sampled, outcome.scored) == (5, 5)
    seen = {int(read_uint8(file).max()) for file in (outcome.folder / "images" / "Sees").glob("*.png")}
    assert seen <= {7, 9}
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
