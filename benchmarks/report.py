"""Time to make and to open a report: python benchmarks/report.py [--images N --models N --samples N --crop N].

Writes a synthetic run into a temporary folder: the packaged photographs at 8x, linked under more names if more images
are requested, with models whose samples are the upscaled LR image plus noise, and random values. ``--crop`` keeps the
central N x N pixels of each image, for runs of thousands. Prints the time that ``srbench report`` takes, the size of
the page, and how long a headless Chromium takes to open it, scroll its list of images, filter, and show the worst
images. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import Tensor

from srbench.data.datasets import cropped, packaged_photos
from srbench.files.hashes import sha256_bytes
from srbench.images.io import encode_png, pixels_sha256, quantize_floor
from srbench.images.resize import upscale
from srbench.interfaces import ImagePair, MetricFacts
from srbench.machine.facts import hardware, software
from srbench.metrics.suite import open_metrics
from srbench.models import ModelFacts
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder, score_key
from srbench.run_folder.journal import Journal
from srbench.run_folder.manifest import now
from srbench.run_folder.protocol import FORMAT, Invocation, Manifest, Protocol, Setting
from srbench.run_folder.records import ImageDigest, PairRecord, SampleRecord, ScoreRecord

SCALE = 8
TEMPERATURE = 0.8
FRAMES = 120
"""Number of steps in which the list is scrolled from its start to its end."""


def write_run(path: Path, images: int, models: int, samples: int, crop: int | None) -> None:
    """Write a run folder like ``srbench run``."""
    generator = torch.Generator().manual_seed(0)
    dataset = packaged_photos(SCALE) if crop is None else cropped(packaged_photos(SCALE), SCALE, crop)
    photos = list(dataset)
    names = [*photos, *(f"{photos[k % len(photos)]}-{k}" for k in range(len(photos), images))][:images]
    labels = [f"model-{k + 1}" for k in range(models)]
    path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path, manifest(names, labels, samples))
    Journal(folder).extend(folder.manifest)
    for name in names[: len(photos)]:
        _sample(folder, dataset.read(name), labels, samples, generator)
    for place, name in enumerate(names[len(photos) :]):
        _link(folder, photos[place % len(photos)], name, labels)
    for record in [sample for known in folder.known.values() for sample in known.samples.values()]:
        Journal(folder).add(_scores(record, folder.manifest.metrics, generator))


def manifest(names: list[str], labels: list[str], samples: int) -> Manifest:
    """Return the manifest of a run on the packaged photographs, whose models all sample at one temperature."""
    protocol = Protocol(
        "srflow@1", "photos", "made from HR", scale=SCALE, crop=None, samples=samples, seed=0, tile=None
    )
    metrics = tuple(metric.facts for metric in open_metrics(None, protocol.columns, "floor"))
    facts = tuple(ModelFacts(label, label, label, projected=False, weights=None) for label in labels)
    settings = tuple(Setting(label, TEMPERATURE) for label in labels)
    measured = tuple(metric.name for metric in metrics)
    command, machine = "python benchmarks", (software(), hardware("cpu"))
    invocation = Invocation(command, settings, tuple(names), measured, now(), now(), "cpu", *machine)
    return Manifest(FORMAT, protocol, tuple(names), metrics, facts, settings, (invocation,))


def _sample(folder: RunFolder, pair: ImagePair, labels: list[str], samples: int, generator: torch.Generator) -> None:
    """Save the pair of a photograph and samples of all models."""
    name = pair.name
    lr, hr = _kept(folder, [pair.lr, pair.hr], folder.pair_files(name))
    Journal(folder).add([PairRecord(name, name, 0, 1, "", lr, hr)])
    upscaled = upscale(pair.lr, SCALE)
    for label in labels:
        images = upscaled + 0.02 * torch.randn((samples, *upscaled.shape), generator=generator)
        setting = Setting(label, TEMPERATURE)
        key = folder.sample_key(setting, name, "")
        outputs = (ImageDigest("", None),) * samples
        record = SampleRecord(key, name, 0, 1, "", label, TEMPERATURE, "", outputs, 0.1, None, "", 0)
        files = folder.output_files(record, folder.manifest.protocol.kept)
        kept = _kept(folder, images, files)
        left = [ImageDigest(pixels_sha256(quantize_floor(image)), None) for image in images[len(kept) :]]
        Journal(folder).add([replace(record, outputs=(*kept, *left))])


def _kept(folder: RunFolder, images: Iterable[Tensor], files: Sequence[Path]) -> list[ImageDigest]:
    """Write images to files, as many as there are files, and return their digests."""
    digests = []
    for image, file in zip(images, files, strict=False):
        pixels = quantize_floor(image)
        content = encode_png(pixels)
        Journal(folder).add([], [(file.relative_to(folder.path), content)])
        digests.append(ImageDigest(pixels_sha256(pixels), sha256_bytes(content)))
    return digests


def _link(folder: RunFolder, photo: str, name: str, labels: list[str]) -> None:
    """Link all files and records of a photograph under another name."""
    files = list(zip(folder.pair_files(photo), folder.pair_files(name), strict=True))
    pair = folder.of(photo).pair
    assert pair is not None
    Journal(folder).add([replace(pair, image=name, key=name)])
    for label in labels:
        setting = Setting(label, TEMPERATURE)
        known = folder.of(photo).samples[setting]
        linked = replace(known, image=name, key=folder.sample_key(setting, name, ""))
        files += zip(folder.output_files(known), folder.output_files(linked), strict=True)
        Journal(folder).add([linked])
    for there, here in files:
        os.link(there, here)


def _scores(record: SampleRecord, metrics: Sequence[MetricFacts], generator: torch.Generator) -> Iterator[ScoreRecord]:
    for metric in metrics:
        values = torch.rand(len(record.outputs), generator=generator).tolist()
        yield ScoreRecord(
            score_key(record, metric),
            record.image,
            0,
            1,
            "",
            record.model,
            record.temperature,
            metric.name,
            metric.signature,
            values[0] if metric.per == "image" else values,
            record.key,
            0.01,
        )


def measure_report(folder: Path) -> None:
    """Print the time and processor time of a report in all formats, and the size of its files."""
    before, start, cpu = set(folder.rglob("*")), time.perf_counter(), time.process_time()
    write_report([folder])
    print(f"report made in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of the processor")
    written = [path for path in folder.rglob("*") if path.is_file() and path not in before]
    megabytes = sum(path.stat().st_size for path in written) / 1e6
    print(
        f"{len(written)} files, {megabytes:.0f} MB; report.html {(folder / 'report' / 'report.html').stat().st_size / 1e6:.2f} MB"
    )


def measure_page(folder: Path) -> None:
    """Print the time until the page shows its first two images, the files it requests, and how smoothly it scrolls."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        start = time.perf_counter()
        page.goto((folder / "report" / "report.html").as_uri())
        page.wait_for_function(SHOWN)
        files = [url for url in requests if url.startswith("file:")]
        print(f"page opened in {time.perf_counter() - start:.2f} s with {len(files)} files")
        times = sorted(page.evaluate(SCROLL, FRAMES))
        print(f"frames while scrolling: median {times[len(times) // 2]:.0f} ms, longest {times[-1]:.0f} ms")
        for field, text, event in CHANGES:
            print(f"{field} {text!r}: {page.evaluate(CHANGE, [field, text, event]):.0f} ms")
        browser.close()


SHOWN = "['image-a', 'image-b'].every((id) => document.getElementById(id).complete)"
CHANGES = (("filter", "a", "input"), ("filter", "", "input"), ("worst", "20", "change"), ("worst", "", "change"))
CHANGE = """([id, text, event]) => {
    const start = performance.now();
    document.getElementById(id).value = text;
    document.getElementById(id).dispatchEvent(new Event(event));
    document.body.getBoundingClientRect();
    return performance.now() - start;
}"""
"""Changes a field; returns the time until the page is laid out again."""
SCROLL = """async (frames) => {
    const list = document.getElementById("list");
    const next = () => new Promise(requestAnimationFrame);
    document.getElementById("compare").scrollIntoView({ behavior: "instant" });
    const times = [];
    let before = await next();
    for (let frame = 1; frame <= frames; frame += 1) {
        list.scrollTop = (list.scrollHeight - list.clientHeight) * frame / frames;
        const now = await next();
        times.push(now - before);
        before = now;
    }
    return times;
}"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("images", 22), ("models", 6), ("samples", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--crop", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, arguments.images, arguments.models, arguments.samples, arguments.crop)
        measure_report(folder)
        measure_page(folder)


if __name__ == "__main__":
    main()
