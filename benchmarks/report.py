"""What a report costs to make and to open: python benchmarks/report.py [--pictures N] [--models N] [--samples N].

A run is written into a folder that is deleted afterwards: the packaged photographs at 8x, linked under other names
where more are asked for, and models that all draw samples, which are the enlarged LR picture with noise; their values
are random numbers. Printed are the time that ``srbench report`` takes for it, the size of the page, and what a headless
Chromium needs to open it and to scroll its list of pictures. Measure on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import torch

from srbench.datasets import packaged_photos
from srbench.images import quantize_floor, write_png, write_whole
from srbench.manifest import hardware, metric_facts, model_facts, now, software, write_manifest
from srbench.registry import load_metric
from srbench.reporting.report import write_report
from srbench.resize import upscale
from srbench.results import COLUMNS, FILE, Row, setting_folder

SCALE = 8
TEMPERATURE = 0.8
FRAMES = 120
"""Steps in which the list is scrolled from its start to its end."""


def write_run(folder: Path, pictures: int, models: int, samples: int) -> None:
    """Write what ``srbench run`` would leave."""
    generator = torch.Generator().manual_seed(0)
    photos = list(packaged_photos(SCALE))
    names = [*photos, *(f"{photos[k % len(photos)]}-{k}" for k in range(len(photos), pictures))][:pictures]
    labels = [f"model-{k + 1}" for k in range(models)]
    for name in names[: len(photos)]:
        write_pictures(folder / "images", name, labels, samples, generator)
    written = list((folder / "images").rglob("*.png"))
    for place, name in enumerate(names[len(photos) :]):
        photo = photos[place % len(photos)]
        for path in written:
            if path.stem == photo or path.stem.startswith(f"{photo}_sample"):
                os.link(path, path.with_name(path.name.replace(photo, name)))
    metrics = [load_metric(name) for name in COLUMNS]
    rows = []
    for label in labels:
        for name in names:
            values = {metric.name: torch.rand(samples, generator=generator).tolist() for metric in metrics}
            facts = (f"{label} {name}", label, TEMPERATURE, "photos", name, SCALE, samples, 0, "srflow@1")
            rows.append(Row(*facts, values | {"sigma": values["sigma"][0]}, 0.1, 0.1, None))
    write_whole(folder / FILE, "".join(f"{row.to_json()}\n" for row in rows).encode())
    write_manifest(folder, {
        "command": "python benchmarks/report.py", "suite": "srflow@1", "scale": SCALE, "seed": 0,
        "dataset": {"name": "photos", "names": names, "limit": None, "crop": None, "lr": "made from HR"},
        "samples": samples, "temperatures": [TEMPERATURE], "metrics": [metric_facts(metric) for metric in metrics],
        "models": [model_facts(label, label, label, None) for label in labels], "failures": [],
        "software": software(), "hardware": hardware("cpu"), "started": now(), "finished": now(),
        "keys": [row.key for row in rows],
    })  # fmt: skip


def write_pictures(images: Path, name: str, labels: list[str], samples: int, generator: torch.Generator) -> None:
    """Write the pair of a photograph and the samples of all models."""
    pair = packaged_photos(SCALE).read(name)
    write_png(images / "lr" / f"{name}.png", quantize_floor(pair.lr))
    write_png(images / "hr" / f"{name}.png", quantize_floor(pair.hr))
    enlarged = upscale(pair.lr, SCALE)
    for label in labels:
        for sample in range(samples):
            path = images / setting_folder(label, TEMPERATURE) / f"{name}_sample{sample}.png"
            write_png(path, quantize_floor(enlarged + 0.02 * torch.randn(enlarged.shape, generator=generator)))


def measure_report(folder: Path) -> None:
    """Time and processor time of all formats, and the size of what was written."""
    before, start, cpu = set(folder.rglob("*")), time.perf_counter(), time.process_time()
    write_report([folder])
    print(f"report made in {time.perf_counter() - start:.1f} s, {time.process_time() - cpu:.1f} s of the processor")
    made = [path for path in folder.rglob("*") if path.is_file() and path not in before]
    megabytes = sum(path.stat().st_size for path in made) / 1e6
    print(f"{len(made)} files, {megabytes:.0f} MB; report.html {(folder / 'report.html').stat().st_size / 1e6:.2f} MB")


def measure_page(folder: Path) -> None:
    """Time until the page shows its first two pictures, files it asked for, and how evenly its list scrolls."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        start = time.perf_counter()
        page.goto((folder / "report.html").as_uri())
        page.wait_for_function(SHOWN)
        files = [url for url in requests if url.startswith("file:")]
        print(f"page opened in {time.perf_counter() - start:.2f} s with {len(files)} files")
        times = sorted(page.evaluate(SCROLL, FRAMES))
        print(f"frames while scrolling: median {times[len(times) // 2]:.0f} ms, longest {times[-1]:.0f} ms")
        browser.close()


SHOWN = "['image-a', 'image-b'].every((id) => document.getElementById(id).complete)"
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
    for name, default in (("pictures", 22), ("models", 6), ("samples", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, arguments.pictures, arguments.models, arguments.samples)
        measure_report(folder)
        measure_page(folder)


if __name__ == "__main__":
    main()
