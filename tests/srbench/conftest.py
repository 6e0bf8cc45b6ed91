"""Small images, small models in a file, and the command line in this process."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass, replace

import pytest
import torch
from builders import drawn, metric, model_facts, protocol
from msgspec import structs
from record_runs import forge_sums, timeless_records

from srbench.benchmark.run import run
from srbench.files.hashes import sha256_bytes
from srbench.images.io import encode_png, pixels_sha256, write_png
from srbench.plugins.registry import registered
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.journal import Journal
from srbench.run_folder.measurements import Measurement
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Setting
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, ScoreRecord
from srbench.run_folder.request import RunSpec

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window, for pages."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def entry_points_looked_up_again():
    """They are looked up once a process, and some tests have others."""
    registered.cache_clear()
    yield
    registered.cache_clear()


@pytest.fixture(autouse=True)
def quick_commands(monkeypatch, request):
    """Commands run as on one core, in one process unless --workers is given;
    only ``with_plots`` has reports with plots."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    if "with_plots" not in request.fixturenames:
        for name in ("write_plots", "draw_plots"):
            monkeypatch.setattr(f"srbench.reporting.writers.report.{name}", lambda *given: [])


@pytest.fixture
def with_plots():
    """For tests of reports with their plots."""


MODELS = '''
import time

import torch
import torch.nn.functional as F


class Nearest(torch.nn.Module):
    """Repeats pixels."""

    scale = 4

    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4)


class Noisy:
    """Repeats pixels and adds noise."""

    def __init__(self, scale):
        self.scale = scale

    def sample(self, lr, n, *, temperature, generator):
        up = F.interpolate(lr[None], scale_factor=self.scale)
        noise = torch.randn((n, *up.shape[1:]), generator=generator)
        return up + 0.1 * temperature * noise.to(lr)


class Slow(Noisy):
    def sample(self, lr, n, *, temperature, generator):
        time.sleep(0.2)
        return super().sample(lr, n, temperature=temperature, generator=generator)


class NotFinite(Nearest):
    """Divides by zero where an image is flat."""

    def forward(self, lr):
        return super().forward(lr) / lr.std()


class WrongSize(Nearest):
    def forward(self, lr):
        return lr


class TooFew(Noisy):
    def sample(self, lr, n, *, temperature, generator):
        return super().sample(lr, n - 1, temperature=temperature, generator=generator)


class Raises(Nearest):
    def forward(self, lr):
        raise RuntimeError("no memory\\nfor this")


class BrokenConstructor:
    def __init__(self, scale):
        raise OSError("no such device")
'''


def write_photos(folder):
    """Four images: a, b, c, d; the sides of b do not divide by 4."""
    for seed, (name, size) in enumerate({"a": (32, 32), "b": (33, 42), "c": (40, 32), "d": (32, 36)}.items()):
        write_png(folder / f"{name}.png", drawn(seed, *size))
    return folder


@pytest.fixture
def photos(tmp_path):
    """Four images: a, b, c, d; the sides of b do not divide by 4."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def models(tmp_path):
    """A file of models to be named as f"{models}:Noisy"."""
    path = tmp_path / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """The same file of models, for fixtures of any scope."""
    path = tmp_path_factory.mktemp("models") / "models.py"
    path.write_text(MODELS)
    return path


@pytest.fixture(scope="session")
def draw_image():
    return drawn


@dataclass
class Finished:
    """What a command left."""

    code: int
    out: str
    err: str


@pytest.fixture
def command(srbench, monkeypatch, tmp_path):
    """The command line, run in this process and in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        found = srbench(*arguments)
        return Finished(found.exit_code, found.stdout, found.stderr)

    return call


@pytest.fixture
def timeless():
    return timeless_records


@pytest.fixture(scope="session")
def make_row():
    """A row of a table: make_row("m", 0.8, "a", {"psnr": [20.0, 21.0], "sigma": 1.0}); as many outputs as values."""

    def call(model, temperature, image, values, seconds=0.5):
        outputs = max((len(value) for value in values.values() if isinstance(value, list)), default=1)
        sample = SampleRecord(
            f"{model} {temperature} {image}",
            0,
            "",
            image,
            "m",
            temperature,
            "",
            (ImageDigest("0", None),) * outputs,
            seconds,
            100.0,
        )
        return Measurement(sample, Setting(model, temperature), values, 0.25, frozenset((0,)))

    return call


MEASURED = metric("psnr"), metric("lpips")


@dataclass(frozen=True)
class Greys:
    """Levels of the images of a made run, which are flat."""

    lr: int = 20
    hr: int = 20
    first: int = 40
    """Level of the first setting; every other is 30 levels brighter than the one before."""
    step: int = 1
    """Levels by which a sample is brighter than the one before."""


@pytest.fixture
def make_run(tmp_path):
    """A finished run of two metrics: make_run("name", {("m", None): {"a": (psnr, lpips), ...}, ...}) -> its folder.

    Values are numbers, or lists where samples were drawn; or all values by name as they are in a row: a metric without
    a value is not measured; or the text of the error with which the model failed. HR is 24 x 24. ``protocol``,
    ``models`` (by label) and ``invocation`` are changes of these facts; ``settings`` are more than those with values;
    ``groups`` has the group of every image.
    """

    def call(name, values, *, images=None, metrics=MEASURED, greys=None, limit=None, settings=(), **changes):
        folder, greys = RunFolder(tmp_path / name, None), greys or Greys()
        for file in ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl"):
            (folder.path / file).unlink(missing_ok=True)
        images = tuple(images or next(iter(values.values())))
        planned = list(dict.fromkeys([*settings, *values]))
        labels, facts = dict.fromkeys(model for model, _ in planned), changes.pop("models", {})
        command = f"srbench run --models m --scale 4 --out {name}"
        asked = tuple(Setting(*setting) for setting in planned)
        names = tuple(metric.name for metric in metrics)
        software, hardware = {"torch": "2.9"}, {"cpu": "abacus"}
        invocation = Invocation(command, asked, images[:limit], names, "then", "later", "cpu", software, hardware)
        manifest = Manifest(
            FORMAT,
            protocol(**changes.pop("protocol", {})),
            images,
            metrics,
            tuple(model_facts(label, **facts.get(label, {})) for label in labels),
            asked,
            (replace(invocation, **changes.pop("invocation", {})),),
            groups=changes.pop("groups", {}),
        )
        assert not changes
        folder.path.mkdir(parents=True, exist_ok=True)
        Journal(folder).extend(manifest)
        measured = [image for found in values.values() for image in found]
        for image in dict.fromkeys([*folder.manifest.scope, *measured]):
            files = []
            sides = {"lr": (6, greys.lr), "hr": (24, greys.hr)}
            lr, hr = (
                _kept(folder.path / "images" / kind / f"{image}.png", torch.full((3, side, side), level), folder, files)
                for kind, (side, level) in sides.items()
            )
            Journal(folder).add([PairRecord(f"pair {image}", 0, "", image, lr, hr)], files)
        for place, ((model, temperature), by_image) in enumerate(values.items()):
            for image, found in by_image.items():
                _write_row(folder, model, temperature, image, found, greys.first + 30 * place, greys.step)
        _write_values_of_many(folder, values)
        return folder.path

    return call


def _write_values_of_many(folder, values):
    """The records of metrics that are not of images; every image states the same value."""
    for setting, each in itertools.product(folder.manifest.settings, folder.manifest.of_many):
        for subject, _ in folder.scores_of_many(setting, each):
            found = values[setting.model, setting.temperature][subject.samples[0].image]
            if not isinstance(found, dict) or each.name not in found:
                continue
            value = found[each.name]
            facts = subject.key, 0, "", subject.name, setting.model, setting.temperature, each.name, each.signature
            Journal(folder).add([ScoreRecord(*facts, value, "", 0.1)])


def _kept(path, image, folder, files):
    """The digest of a flat image, whose file is added to the files to write."""
    content = encode_png(image.byte())
    files.append((path.relative_to(folder.path), content))
    return ImageDigest(pixels_sha256(image.byte()), sha256_bytes(content))


def _write_row(folder, model, temperature, image, found, grey, step):
    """The records and images of a model at a temperature for one image."""
    setting = Setting(model, temperature)
    key = folder.sample_key(setting, f"pair {image}", "")
    if isinstance(found, str):
        failed = SampleRecord(key, 0, found, image, model, temperature, "", (), 0.0, None)
        Journal(folder).add([failed])
        return
    metrics = folder.manifest.metrics
    if not isinstance(found, dict):
        in_order = zip((metric.name for metric in metrics), found, strict=False)
        found = {name: value if isinstance(value, list) else [value] for name, value in in_order}
    count = max((len(value) for value in found.values() if isinstance(value, list)), default=1)
    files = []
    outputs = [ImageDigest("not kept", None)] * count
    record = SampleRecord(key, 0, "", image, model, temperature, "", tuple(outputs), 0.5, 100.0, "", 0)
    for sample in range(count):
        level = torch.full((3, 24, 24), grey + step * sample)
        file = [*folder.output_files(record, folder.manifest.protocol.kept), None]
        if sample < len(file) - 1:
            outputs[sample] = _kept(file[sample], level, folder, files)
        else:
            outputs[sample] = ImageDigest(pixels_sha256(level.byte()), None)
    record = structs.replace(record, outputs=tuple(outputs))
    scores = [
        ScoreRecord(
            score_key(record, metric),
            0,
            "",
            image,
            model,
            temperature,
            metric.name,
            metric.signature,
            found[metric.name],
            record.key,
            0.25 / len(found),
        )
        for metric in metrics
        if metric.name in found and metric.is_of_images
    ]
    Journal(folder).add([record, *scores], files)


@pytest.fixture(scope="session")
def greys():
    return Greys


def request_in(here):
    """Nearest, and Noisy at two temperatures; two samples, kept in run."""
    return RunSpec(
        models=(f"near={here}/models.py:Nearest", f"noisy={here}/models.py:Noisy"),
        scale=4,
        data=str(here / "photos"),
        limit=3,
        metrics=("psnr", "ssim", "sigma"),
        temperature=(0.3, 0.8),
        samples=2,
        out=str(here / "run"),
    )


@pytest.fixture
def spec(photos, models, tmp_path):
    """Nearest, and Noisy at two temperatures; two samples, kept in tmp_path/run."""
    return request_in(tmp_path)


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """The folder of that run, measured. Nobody writes into it."""
    here = tmp_path_factory.mktemp("finished")
    write_photos(here / "photos")
    (here / "models.py").write_text(MODELS)
    return run(request_in(here)).folder


@pytest.fixture
def finished(finished_once, photos, models, tmp_path):
    """A copy of that run, as if it had been made in tmp_path/run."""
    folder = shutil.copytree(finished_once, tmp_path / "run")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(finished_once.parent), str(tmp_path)))
    forge_sums(folder)
    return folder


@pytest.fixture
def changed(spec):
    """The same request with other values: changed(seed=1)."""
    return lambda **values: replace(spec, **values)
