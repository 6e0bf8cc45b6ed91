"""This process, worker processes, a Dask cluster, merged shards: the same rows and images, whatever dies."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from builders import wait_for_lines
from record_runs import values_in

import srbench.benchmark.engines
from srbench.api import evaluate
from srbench.benchmark import BenchmarkError, plan
from srbench.benchmark.engines import Engine, choose_engine, gpus, take_gpu
from srbench.benchmark.opened import open_request
from srbench.benchmark.plan import planned_run, planned_score
from srbench.benchmark.run import run, score_run
from srbench.benchmark.worker import TaskResult
from srbench.data.datasets import Folder
from srbench.images.io import write_png
from srbench.machine import processes
from srbench.machine.processes import PIXELS, measuring_workers, suitable_workers
from srbench.metrics.suite import open_metrics
from srbench.run_folder import records
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.merge import merge
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

KILLERS = '''
import os
import signal
import tempfile

import torch.nn.functional as F


class Deadly:
    """Repeats pixels; a wide image kills its process."""

    scale = 4

    def __call__(self, lr):
        if lr.shape[-1] > 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return F.interpolate(lr, scale_factor=4)
'''


COUNTING = '''

class Counted:
    """Counts its calls, in files."""

    scale = 4

    def __call__(self, lr):
        os.close(tempfile.mkstemp(prefix="counted ", dir=os.path.dirname(__file__))[0])
        return F.interpolate(lr, scale_factor=4)
'''


@pytest.fixture
def spec(draw_image, models, tmp_path):
    """Six images of which c is damaged and b, d and f are wide; three models of which one fails; six samples."""
    for seed, name in enumerate("abcdef"):
        write_png(tmp_path / "images" / f"{name}.png", draw_image(seed, 32, 32 + 4 * (seed % 2)))
    content = (tmp_path / "images" / "c.png").read_bytes()
    (tmp_path / "images" / "c.png").write_bytes(content[: len(content) // 2])
    return RunSpec(
        models=tuple(f"{models}:{name}" for name in ("Nearest", "Noisy", "Raises")),
        scale=4,
        data=str(tmp_path / "images"),
        metrics=("psnr", "ssim", "sigma"),
        temperature=(0.3, 0.8),
        samples=6,
        out=str(tmp_path / "here"),
    )


@pytest.fixture
def killers(spec, tmp_path):
    """A file of models that kill the process they are in; of the images, a and the wide b are left."""
    for name in "cdef":
        (tmp_path / "images" / f"{name}.png").unlink()
    path = tmp_path / "killers" / "killers.py"
    path.parent.mkdir()
    path.write_text(KILLERS)
    return path


@pytest.fixture
def results(timeless):
    """All that a run folder holds, without times and commands."""

    def call(folder):
        images = {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted((folder / "images").rglob("*.png"))
        }
        return timeless(folder), images, replace(read_manifest(folder), invocations=())

    return call


def by_shards(spec):
    parts = [run(replace(spec, shard=f"{number}/3", out=f"{spec.out}-{number}")) for number in (1, 2, 3)]
    merge([part.folder for part in parts], Path(spec.out))
    return replace(
        parts[0],
        folder=Path(spec.out),
        items=sum(part.items for part in parts),
        sampled=sum(part.sampled for part in parts),
        scored=sum(part.scored for part in parts),
        failures=tuple(failure for part in parts for failure in part.failures),
    )


WAYS = {
    "2 processes": lambda spec: run(spec, workers=2),
    "dask": lambda spec: run(spec, workers=2, engine="dask"),
    "merged shards": by_shards,
}


def test_every_engine_gives_the_same_rows_and_images(spec, results, tmp_path):
    spec = replace(spec, limit=4)
    here = run(spec)
    assert (here.items, here.sampled, here.scored) == (16, 9, 27)
    for name, way in WAYS.items():
        other = way(replace(spec, out=str(tmp_path / name)))
        assert results(other.folder) == results(here.folder), name
        assert (other.items, other.sampled, other.scored) == (here.items, here.sampled, here.scored), name
        assert sorted(other.failures) == sorted(here.failures), name
        keys = Counter(json.loads(line)["key"] for line in (other.folder / "rows.jsonl").read_text().splitlines())
        assert set(keys.values()) == {1}, f"{name}: every value is there once"
        found = verify(other.folder, resample=3)
        assert found.holds, found.text()


def test_what_a_process_makes_of_an_image_quickly_is_written_at_once(spec, monkeypatch):
    written = []
    append = records.append
    monkeypatch.setattr(records, "append", lambda path, lines: written.append(lines) or append(path, lines))
    monkeypatch.setattr(srbench.benchmark.engines, "SECONDS", 60.0)
    folder = run(replace(spec, models=spec.models[:2], limit=2), workers=2).folder
    assert len(written) == 2, "once per image, as each time waits for the disk"
    keys = [json.loads(line)["key"] for line in (folder / "environments.jsonl").read_text().splitlines()]
    assert len(set(keys)) == len(keys)


PATIENT = '''
import time
from pathlib import Path

import torch.nn.functional as F


class Slow:
    """Takes longer than a process keeps what it has made."""

    scale = 4

    def __call__(self, lr):
        time.sleep({seconds})
        return F.interpolate(lr, scale_factor=4)


class Patient:
    """Waits for a record of an output that the task has made before."""

    scale = 4

    def __call__(self, lr):
        end = time.monotonic() + 120
        while not Path("{samples}").exists():
            assert time.monotonic() < end, "nothing is on the disk"
            time.sleep(0.01)
        [image] = (Path("{samples}").parent / "images" / "Slow").iterdir()
        return F.interpolate(lr, scale_factor=4)
'''


@pytest.mark.parametrize(
    "options",
    [{}, {"workers": 2}, pytest.param({"workers": 1, "engine": "dask"}, marks=pytest.mark.slow)],
    ids=["this process", "2 processes", "dask"],
)
def test_the_first_output_is_on_the_disk_before_the_last_is_computed(spec, tmp_path, monkeypatch, options):
    monkeypatch.setattr(srbench.benchmark.engines, "DASK_SECONDS", 1.0)
    patient = tmp_path / "patient.py"
    patient.write_text(PATIENT.format(samples=f"{spec.out}/samples.jsonl", seconds=srbench.benchmark.engines.SECONDS))
    outcome = run(
        replace(spec, models=(f"{patient}:Slow", f"{patient}:Patient"), metrics=("psnr",), limit=1), **options
    )
    assert (outcome.failures, outcome.sampled) == ((), 2)
    assert verify(outcome.folder).holds


def test_an_item_that_kills_its_process_costs_none_that_are_done(spec, killers, monkeypatch):
    """Nor is any of them done twice; the item that comes after it is done, too."""
    killers.write_text(f"{killers.read_text()}{COUNTING}")
    models = (spec.models[0], f"{killers}:Deadly", f"{killers}:Counted")
    appended = []
    append = records.append
    monkeypatch.setattr(records, "append", lambda path, lines: appended.append(lines) or append(path, lines))
    monkeypatch.setattr(srbench.benchmark.engines, "SECONDS", 0.0)
    outcome = run(replace(spec, models=models, metrics=("psnr",)), workers=2)
    assert [(record.model, record.image) for record in sample_records(outcome.folder) if record.failed] == [
        ("Deadly", "b")
    ]
    assert outcome.sampled == 5
    assert len(list(killers.parent.glob("counted *"))) == 2, "once for each image"
    assert len(appended) == 2 * 4, "a pair and three items of each image"
    for name, count in {"pairs": 2, "samples": 6, "rows": 5}.items():
        assert len((outcome.folder / f"{name}.jsonl").read_text().splitlines()) == count


@pytest.mark.slow
def test_every_engine_adds_metrics(spec, results, tmp_path):
    """Five of six samples are saved, so that for SSIM of all of them they are drawn again."""
    spec = replace(spec, models=spec.models[:2])
    whole = run(spec)
    for number, options in enumerate([{"workers": 2}, {"workers": 1, "engine": "dask"}]):
        few = run(replace(spec, metrics=("psnr",), out=str(tmp_path / f"few{number}"))).folder
        assert score_run(few, ["sigma", "ssim"], **options).scored == 30
        assert results(few)[0] == results(whole.folder)[0]


@pytest.mark.slow
@pytest.mark.parametrize("death", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(0)"], ids=["killed", "exit"])
@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 1, "engine": "dask"}], ids=["processes", "dask"])
def test_an_item_that_always_kills_its_process_fails_alone(spec, killers, options, death):
    killers.write_text(killers.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", death))
    deadly = replace(spec, models=(f"{killers}:Deadly", *spec.models[:1]), metrics=("psnr",))
    steps = []
    outcome = run(deadly, steps.append, **options)
    assert outcome.sampled == 3
    assert {step.total for step in steps} == {4}
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == 4, "what is tried again counts once"
    [failed] = [record for record in sample_records(outcome.folder) if record.failed]
    assert (failed.model, failed.image) == ("Deadly", "b")
    assert failed.error.startswith("b: crashed ")
    assert " 3 " in failed.error, "it was tried three times"
    assert outcome.failures == (f"Deadly: {failed.error}",)
    assert verify(outcome.folder).holds
    killers.write_text(killers.read_text().replace(death, "pass"))
    assert run(deadly).failures == (), "the next command tries again"


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 7])
def test_a_model_that_ends_the_only_process_ends_the_command(spec, killers, code):
    killers.write_text(killers.read_text().replace("os.kill(os.getpid(), signal.SIGKILL)", f"os._exit({code})"))
    options = ["--scale", "4", "--data", spec.data, "--metrics", "psnr", "--out", spec.out]
    command = [sys.executable, "-m", "srbench", "run", "--models", f"{killers}:Deadly", *options]
    done = subprocess.run([*command, "--workers", "1"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (code, "")
    assert [record.image for record in sample_records(Path(spec.out))] == ["a"], "finished work is kept"
    assert not (Path(spec.out) / "report").exists()
    resumed = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, timeout=300)
    assert resumed.returncode == 1
    assert f"Deadly: b: crashed its process 3 times (exit code {code})" in resumed.stderr


def sample_records(path):
    return [record for known in RunFolder.read(path).by_image.values() for record in known.samples.values()]


def children(parent):
    """Workers of a process, without the one that watches over shared memory."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in found if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize(
    ("number", "code", "workers"),
    [
        (signal.SIGINT, 130, 1),
        (signal.SIGINT, 130, 2),
        (signal.SIGTERM, 143, 1),
        (signal.SIGTERM, 143, 2),
        (signal.SIGHUP, 129, 2),
    ],
)
def test_a_signal_keeps_what_is_done_and_ends_all_processes(spec, models, number, code, workers):
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.3)\n        up = F"))
    spec = replace(spec, models=spec.models[:2], metrics=("psnr",))
    words = [sys.executable, "-m", *shlex.split(spec.command()), "--workers", str(workers)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    samples, rows = (Path(spec.out) / name for name in ("samples.jsonl", "rows.jsonl"))
    wait_for_lines(rows, 3, process)
    started = children(process.pid)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (code, "")
    assert err.strip().splitlines()[-1].startswith("srbench: interrupted; finished work is kept.")
    assert "Traceback" not in err
    assert len(started) == (0 if workers == 1 else workers)
    assert not [worker for worker in started if Path(f"/proc/{worker}").exists()]
    assert rows.read_text().endswith("\n")
    assert [invocation.finished for invocation in read_manifest(Path(spec.out)).invocations] == [None]
    kept = samples.read_text()
    resumed = run(spec)
    assert samples.read_text().startswith(kept), "no record is lost"
    assert len(resumed.failures) == 1, "the damaged image"
    assert resumed.sampled == 15 - kept.count("\n"), "five images at three settings"
    assert verify(resumed.folder).holds


@pytest.mark.slow
def test_objects_are_sent_to_other_processes_if_they_can_be(spec, tmp_path):
    up = torch.nn.Upsample(scale_factor=4)
    found = evaluate({"up": up}, spec.data, scale=4, metrics="psnr", workers=2, out=tmp_path / "run")
    alone = evaluate({"up": up}, spec.data, scale=4, metrics="psnr")
    assert found.rows.equals(alone.rows)
    with pytest.raises(BenchmarkError, match=r"cannot be sent to other processes .* name it as file.py:Name, or leave"):
        evaluate(lambda lr: up(lr), spec.data, scale=4, metrics="psnr", workers=2)


def test_as_many_workers_as_suit_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    assert [suitable_workers("cpu", tasks) for tasks in (1, 7, 8, 30, 1000)] == [1, 1, 2, 7, 8]
    assert suitable_workers("cuda", 1000) == 1
    sizes = (100, 160), (15, 512), (16, 512), (1000, 512)
    assert [measuring_workers("cpu", number * side**2 // PIXELS) for number, side in sizes] == [1, 1, 2, 8]


def test_small_images_take_fewer_processes(spec, monkeypatch):
    """By the sizes that their headers state; an output to sample is more work than one to measure."""
    spec = replace(spec, models=spec.models[:2], metrics=("psnr",))
    request = open_request(spec)
    monkeypatch.setattr(Folder, "read", lambda *_: pytest.fail("an image is read"))
    new = planned_run(request, Path(spec.out))
    pixels = [32 * 32, 32 * 36] * 3
    outputs = 1 + 2 * 6
    for least, images in ((2**19, 2), (sum(pixels) * outputs * 16 // 3, 3), (1, 6)):
        monkeypatch.setattr(plan, "PIXELS", least)
        assert new.images == images
    monkeypatch.undo()
    run(replace(spec, limit=2))
    folder = RunFolder.read(Path(spec.out))
    added = open_metrics(("ssim",), folder.manifest.protocol.columns, "floor")
    score = planned_score(folder, added, {}, "cpu")
    for least, images in ((2**19, 0), (sum(pixels[:2]) * outputs, 1), (1, 2)):
        monkeypatch.setattr(plan, "PIXELS", least)
        assert score.images == images


@pytest.mark.parametrize(("free", "workers"), [(80, 8), (16, 8), (15.9, 7), (3, 1), (0.5, 1), (None, 1)])
def test_as_many_processes_measure_on_a_gpu_as_its_memory_allows(monkeypatch, free, workers):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)), raising=False)
    asked = []
    found = None if free is None else int(free * 2**30)
    monkeypatch.setattr(processes, "free_bytes", lambda device: asked.append(device) or found)
    assert measuring_workers("cuda", 1000) == workers
    assert measuring_workers("cpu", 1000) == 8
    assert measuring_workers("cuda", 7) == 1
    assert asked == ["cuda"], "a single process need not ask"


def test_a_process_for_every_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus("cuda") == ("0", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    engine = choose_engine(None, "gpus", "cuda", 100)
    assert engine.workers == 2
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in engine.environments] == ["3", "5"]
    with pytest.raises(BenchmarkError, match=r"--workers gpus: no NVIDIA GPU is used \(device cpu\)"):
        choose_engine(None, "gpus", "cpu", 100)
    assert (
        choose_engine("dask", "gpus", "cuda", 100)
        == choose_engine("dask", None, "cuda", 100)
        == replace(engine, dask="")
    )
    assert choose_engine("dask", 8, "cuda", 100) == replace(engine, dask="", workers=8)
    assert not any(choose_engine("dask", 2, "cpu", 100).environments)
    assert not any(choose_engine("dask:ADDRESS", None, "cuda", 100).environments), "which may be another machine"


CARD = """
import os
import time
from pathlib import Path

import torch.nn.functional as F


class Card:
    scale = 4

    def __call__(self, lr):
        Path(__file__).with_name(f"process {os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        time.sleep(0.5)  # for the other worker
        return F.interpolate(lr, scale_factor=4)
"""


@pytest.mark.slow
def test_dask_workers_of_this_machine_have_a_gpu_each(spec, monkeypatch, tmp_path):
    (tmp_path / "card.py").write_text(CARD)
    engine = Engine(2, tuple({"CUDA_VISIBLE_DEVICES": gpu} for gpu in "35"), dask="")
    monkeypatch.setattr("srbench.benchmark.run.choose_engine", lambda *request: engine)
    outcome = run(replace(spec, models=(f"{tmp_path}/card.py:Card",), metrics=("psnr",)), workers=2, engine="dask")
    assert outcome.sampled == 5
    assert sorted(path.read_text() for path in tmp_path.glob("process *")) == ["3", "5"]


class Cards:
    """A machine with two GPUs, seen by the process of a command:
    where its networks are, and what its workers are told."""

    def __init__(self, monkeypatch):
        self.networks, self.workers, to = [], [], torch.nn.Module.to

        def moved(network, *device, **layout):
            self.networks += device
            return to(network, **layout) if layout else network

        def map_items(opener, tasks, *, workers, arguments, environments, apart, left):
            self.workers += [environments[number % len(environments)] for number in range(workers)]
            return ((task, TaskResult()) for task in tasks)

        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
        monkeypatch.setattr("srbench.models.inference.choose_device", lambda name: "cuda")
        monkeypatch.setattr(torch.nn.Module, "to", moved)
        monkeypatch.setattr(srbench.benchmark.engines, "map_items", map_items)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("workers", "environments"), [("gpus", [{"CUDA_VISIBLE_DEVICES": i} for i in "01"]), (2, [{}] * 2)]
)
def test_a_command_whose_workers_have_gpus_loads_no_model_onto_one(workers, environments, spec, monkeypatch):
    """It loads them all the same, before it records them: from the request, and those of the run folder."""
    cards = Cards(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    spec = replace(spec, models=("srflow", "rrdb+bf16"), metrics=("psnr",))
    for limit in (1, 2):
        run(replace(spec, limit=limit), workers=workers)
        assert cards.networks == ["cpu", "cpu"]
        assert cards.workers == environments
        cards.networks.clear()
        cards.workers.clear()


def test_a_rank_takes_the_gpu_of_its_number(monkeypatch):
    """Of those that are visible; Slurm may show each process only its own."""
    count = [2]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count[0])
    for visible, number, taken in ((None, 1, "1"), ("3, 5", 1, "5"), ("3,5", 2, "3"), ("GPU-a,GPU-b", 0, "GPU-a")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "" if visible is None else visible)
        if visible is None:
            monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        take_gpu(number)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == taken
    count[0] = 0
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    take_gpu(1)
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("engine", "workers", "error"),
    [
        ("dask:tcp://127.0.0.1:9", None, r"^dask:tcp://127.0.0.1:9: no scheduler answers \("),
        ("dask:tcp://127.0.0.1:9", 2, r"does not take --workers 2; set the number of workers on the cluster$"),
        ("dask:nowhere://", None, r"^dask:nowhere://: no scheduler answers \("),
        ("ray", None, r"^no engine 'ray'; give dask or dask:ADDRESS, or leave it out$"),
    ],
)
def test_engines_that_do_not_exist(spec, engine, workers, error, monkeypatch):
    monkeypatch.setattr(srbench.benchmark.engines, "DASK_TIMEOUT", 0.5)
    with pytest.raises(BenchmarkError, match=error):
        run(replace(spec, models=spec.models[:1]), engine=engine, workers=workers)


@pytest.mark.slow
def test_a_scheduler_elsewhere_that_is_killed(spec, tmp_path, models, monkeypatch):
    """A worker with another processor says so; without the scheduler what is done stays, and the command resumes."""
    monkeypatch.setattr(srbench.benchmark.engines, "DASK_TIMEOUT", 300)  # it has to start first
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.1)\n        up = F"))
    spec = replace(spec, models=spec.models[:2], metrics=("psnr",))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    words = {
        "dask_scheduler": ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        "dask_worker": [address, "--nthreads", "1", "--memory-limit", "0", "--host", "127.0.0.1", "--no-dashboard"],
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.{name}", *options],
            cwd=tmp_path,
            env=os.environ | {"ATEN_CPU_CAPABILITY": "default"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for name, options in words.items()
    ]

    def progress(step):
        if step.done > 3:  # three items are of c, which has no samples, and any image may be the first
            processes[0].kill()

    try:
        with pytest.raises(
            BenchmarkError, match=r"^the Dask scheduler is gone; finished work is kept\. Rerun the same"
        ):
            run(spec, progress, workers=None, engine=f"dask:{address}")
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=300)
    folder = RunFolder.read(Path(spec.out))
    assert {record.facts["instructions"] for record in folder.environments.values()} == {"DEFAULT"}
    assert folder.manifest.invocations[0].hardware == {"engine": f"dask:{address}"}, "nothing of the client's machine"
    files = [folder.path / name for name in ("samples.jsonl", "rows.jsonl")]
    finished = [path.read_bytes() for path in files]
    resumed = run(spec)
    assert 0 < resumed.sampled < 15
    assert [resumed.sampled, resumed.scored] == [15 - lines.count(b"\n") for lines in finished]
    for path, lines in zip(files, finished, strict=True):
        assert path.read_bytes().startswith(lines)
    whole = run(replace(spec, out=str(tmp_path / "whole")))
    # another processor may round a pixel to the next level
    assert values_in(resumed.folder) == {
        place: {"psnr": pytest.approx(values["psnr"], abs=0.01)} for place, values in values_in(whole.folder).items()
    }
