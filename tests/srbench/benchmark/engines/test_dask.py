"""A Dask cluster on loopback: workers and schedulers that are killed, and what kills its worker."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from srbench.benchmark import BenchmarkError
from srbench.benchmark.run import run, score_run
from srbench.images.io import write_png
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify

distributed = pytest.importorskip("distributed")

IMAGES = int(os.environ.get("KILLED_IMAGES", "8"))
"""Number of images of the run whose cluster is killed again and again; three settings of each."""
SEED = int(os.environ.get("KILLED_SEED", "0"))
"""Seed of the moments at which it is killed."""


class Cluster:
    """A scheduler and two workers, as a user starts them."""

    def __init__(self, folder, **variables):
        self.folder, self.processes, self.variables = folder, [], variables
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    @property
    def address(self):
        return f"tcp://127.0.0.1:{self.port}"

    def start(self):
        limits = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "2"}
        scheduler = ("dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port))
        worker = ("dask_worker", self.address, "--nthreads", "1", "--memory-limit", "0", "--host", "127.0.0.1")
        for name, *words in (scheduler, worker, worker):
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", f"distributed.cli.{name}", *words, "--no-dashboard"],
                    cwd=self.folder,
                    env=os.environ | limits | self.variables,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    def stop(self):
        for process in self.processes:
            process.kill()
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes.clear()

    def workers(self):
        """Each below the process that was started, which starts another one when it dies."""
        return [one for process in self.processes[1:] for one in children(process.pid)]


def children(parent):
    try:
        found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(one) for one in found if b"spawn_main" in Path(f"/proc/{one}/cmdline").read_bytes()]
    except OSError:
        return []


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "cluster").mkdir()
    found = Cluster(tmp_path / "cluster")
    yield found
    found.stop()


def test_workers_with_another_processor_say_so(changed, tmp_path):
    """The processor of this machine, used as an older one; the client works with the newer one."""
    cluster = Cluster(tmp_path, ATEN_CPU_CAPABILITY="default")
    try:
        folder = RunFolder.read(run(changed(limit=1), workers=None, engine=f"dask:{cluster.address}").folder)
    finally:
        cluster.stop()
    [record] = folder.environments.values()
    assert (record.facts["instructions"], record.facts["threads"]) == ("DEFAULT", "1")
    assert {line.environment for line in folder.of("a").lines()} == {record.key}
    [invocation] = folder.manifest.invocations
    assert invocation.hardware == {"engine": f"dask:{cluster.address}"}, "nothing of the client's machine"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_clients_workers_and_schedulers_killed(
    spec, models, draw_image, results, tmp_path, cluster, start, sampled, wait_for
):
    for number in range(6, IMAGES):
        write_png(tmp_path / "images" / f"more{number}.png", draw_image(number, 32, 32))
    models.write_text(models.read_text().replace("up = F", "time.sleep(0.05)\n        up = F"))
    spec = replace(spec, models=spec.models[:2], metrics=("psnr", "sigma"), out=str(tmp_path / "killed"))
    chance, killed, errors = random.Random(SEED), Counter(), []
    process, target, victims = start(spec, "--engine", f"dask:{cluster.address}"), 1, ["worker", "scheduler", "client"]
    while True:
        target = max(target, sampled(spec)) + chance.randrange(1, 6)
        if not wait_for(process, spec, target):
            break
        victim = victims[sum(killed.values()) % 3]
        killed[victim] += 1
        if victim == "worker":
            for worker in cluster.workers()[:1]:
                os.kill(worker, signal.SIGKILL)
            continue
        if victim == "client":
            process.kill()
        else:
            cluster.stop()
            cluster.start()
        _, err = process.communicate(timeout=120)
        if victim == "scheduler":
            errors.append(err.strip().splitlines()[-1])
        process = start(spec, "--engine", f"dask:{cluster.address}")
    _, err = process.communicate()
    assert process.returncode == 1, err
    assert "1 could not be measured" in err, "the damaged image alone"
    assert killed["worker"]
    print(f"{IMAGES} images, seed {SEED}, killed: {dict(killed)}")
    gone = "srbench: the Dask scheduler is gone; finished work is kept. Rerun the same command to resume."
    done = "srbench: 1 could not be measured (all others were): "
    assert all(error == gone or error.startswith(done) for error in errors), "or it was ready at that moment"
    whole = run(replace(spec, out=str(tmp_path / "whole"))).folder
    assert results(tmp_path / "killed") == results(whole)
    assert verify(tmp_path / "killed").holds


def test_what_kills_its_workers_is_given_up_and_the_rest_finishes(spec, tmp_path, killers):
    for name in "cdf":
        (tmp_path / "images" / f"{name}.png").unlink()
    spec = replace(spec, models=(f"{killers}:Deadly", *spec.models[:1]), metrics=("psnr",))
    outcome = run(spec, engine="dask", workers=1)
    assert outcome.sampled == 5, "b is wide, a and e are not"
    records = [record for known in RunFolder.read(outcome.folder).known.values() for record in known.samples.values()]
    [failed] = [record for record in records if record.failed]
    assert (failed.image, failed.model, failed.tries) == ("b", "Deadly", 3)
    assert "crashed its process 3 times (3 Dask workers)" in failed.error
    assert len(outcome.failures) == 1
    assert verify(outcome.folder).holds


def test_a_worker_that_dask_gave_up_starting_is_started(spec, tmp_path, killers, monkeypatch):
    """As happens where one ends while it starts: the command does not wait for ever."""
    from dask import config
    from distributed import Nanny

    starts, instantiate = [], Nanny.instantiate

    async def failing(nanny):
        starts.append(nanny)
        if len(starts) == 2:
            raise RuntimeError("ended while it started")
        return await instantiate(nanny)

    monkeypatch.setattr(Nanny, "instantiate", failing)
    monkeypatch.setattr("srbench.benchmark.engines.dask.RESTORED", 0.2)
    for name in "cdf":
        (tmp_path / "images" / f"{name}.png").unlink()
    spec = replace(spec, models=(f"{killers}:Deadly",), metrics=("psnr",))
    with config.set({"distributed.deploy.lost-worker-timeout": "1s"}):
        outcome = run(spec, engine="dask", workers=1)
    assert len(starts) > 2
    assert len(outcome.failures) == 1, "what killed it, and nothing else"


def test_metrics_are_added(spec, results, tmp_path, cluster):
    """Also where pairs are there already, and outputs that were not kept are sampled again."""
    spec = replace(spec, models=spec.models[:2], out=str(tmp_path / "few"))
    run(replace(spec, metrics=("psnr",)))
    assert score_run(tmp_path / "few", ["sigma", "ssim"], engine=f"dask:{cluster.address}", workers=None).scored == 30
    whole = run(replace(spec, out=str(tmp_path / "whole"))).folder
    assert results(tmp_path / "few")[0] == results(whole)[0]


@pytest.mark.parametrize(
    ("engine", "workers", "error"),
    [
        ("dask:tcp://127.0.0.1:9", None, r"^dask:tcp://127.0.0.1:9: no scheduler answers there \("),
        ("dask:tcp://127.0.0.1:9", 2, r"does not take --workers 2; set them on the cluster, or leave one out$"),
        ("dask:nowhere://", None, r"^dask:nowhere://: no scheduler answers there \("),
        ("ray", None, r"^no engine 'ray'; give dask or dask:ADDRESS, or leave it out$"),
    ],
)
def test_engines_that_are_none(spec, engine, workers, error, monkeypatch):
    monkeypatch.setattr("srbench.benchmark.engines.dask.PATIENCE", 0.5)
    with pytest.raises(BenchmarkError, match=error):
        run(replace(spec, models=spec.models[:1]), engine=engine, workers=workers)
