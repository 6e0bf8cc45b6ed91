"""Pages of runs in a real browser, from the file system."""

from __future__ import annotations

import json
from contextlib import ExitStack
from urllib.parse import urlencode

import pytest
from builders import serving

from srbench.benchmark.run import run as run_spec
from srbench.images.io import write_png
from srbench.reporting.page.view import open_folder
from srbench.reporting.writers.report import write_report
from srbench.run_folder.request import RunSpec

EVIL_IMAGE = "<img src=x onerror=alert(1)>"
EVIL_MODEL = "<script><b onmouseover=alert(2)>&"
START = f"#{urlencode({'image': EVIL_IMAGE, 'a': 'lr', 'b': 'Noisy-t0.8_1'})}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, srbench, small_models, draw_image):
    """A run of three images, a model with one output and one that samples twice at three temperatures."""
    base = tmp_path_factory.mktemp("page")
    for seed, name in enumerate(["apple", "birch", EVIL_IMAGE]):
        write_png(base / "photos" / f"{name}.png", draw_image(seed, 64, 96))
    run = base / "run"
    models = f"{small_models}:Nearest,{small_models}:Noisy"
    measured = ("--metrics", "psnr,ssim,sigma", "--temperature", "0,0.5,0.8", "--samples", 2)
    done = srbench("run", "--models", models, "--scale", 4, "--data", base / "photos", *measured, "--out", run)
    assert done.exit_code == 0, done.output
    for path in (run / "manifest.json", run / "samples.jsonl", run / "rows.jsonl"):
        # as no command line would do it, but an edited or foreign manifest may
        path.write_text(path.read_text().replace(json.dumps("Nearest"), json.dumps(EVIL_MODEL)))
    assert json.dumps(EVIL_MODEL) in (run / "manifest.json").read_text()
    write_report([run], ["html"])
    return run


@pytest.fixture(scope="session")
def reported_run(tmp_path_factory, small_models, draw_image):
    """A finished run of two images, with its report."""
    here = tmp_path_factory.mktemp("reported")
    for seed, name in enumerate("ab"):
        write_png(here / "photos" / f"{name}.png", draw_image(seed, 96, 96))
    spec = RunSpec(
        models=("bicubic", f"noisy={small_models}:Noisy"),
        scale=4,
        data=str(here / "photos"),
        metrics=("psnr", "ssim", "sigma"),
        temperature=(0.8,),
        samples=2,
        out=str(here / "run"),
    )
    folder = run_spec(spec).folder
    write_report([folder])
    return folder


CORNER = """
import torch
import torch.nn.functional as F


class Nearest(torch.nn.Module):
    scale = 4

    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4)


class Corner(Nearest):
    def forward(self, lr):
        upscaled = super().forward(lr)
        upscaled[..., -24:, -24:] = 1 - upscaled[..., -24:, -24:]
        return upscaled
"""


@pytest.fixture(scope="module")
def corner(tmp_path_factory, srbench, draw_image):
    """A run of two models that differ in the lower right corner alone, as a page that carries its images."""
    base = tmp_path_factory.mktemp("corner")
    for seed, name in enumerate(["one", "two"]):
        write_png(base / "photos" / f"{name}.png", draw_image(seed, 160, 240))
    (base / "corner.py").write_text(CORNER)
    models = f"{base / 'corner.py'}:Nearest,{base / 'corner.py'}:Corner"
    measured = ("--metrics", "lpips,psnr", "--out", base / "run")
    done = srbench("run", "--models", models, "--scale", 4, "--data", base / "photos", *measured)
    assert done.exit_code == 0, done.output
    write_report([base / "run"], ["html"], base / "sent", single_file=True)
    return base


@pytest.fixture
def served():
    """Serves a folder as ``srbench view`` does, until the test ends."""
    with ExitStack() as stack:
        yield lambda folder: stack.enter_context(serving(open_folder(folder, 0)))


@pytest.fixture
def open_page(folder, browser):
    """Opens the page with an address behind ``#``; whatever is done there, nothing may complain or leave the folder."""
    complaints, requests, contexts = [], [], []

    def call(address=START, file=folder / "report" / "report.html", **options):
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri() + address)
        return page

    yield call
    for context in contexts:
        context.close()
    assert complaints == []
    assert requests
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="session")
def shown_windows():
    """Part of its images that every visible frame shows, as shares of the image."""

    def call(page, frames="#stage .layer img:visible, #tiles img:visible"):
        return page.locator(frames).evaluate_all("""(images) => images.map((image) => {
            const [frame, box] = [image.parentElement.getBoundingClientRect(), image.getBoundingClientRect()];
            return [(frame.left - box.left) / box.width, (frame.top - box.top) / box.height, frame.width / box.width];
        })""")

    return call


@pytest.fixture(scope="session")
def evil_names():
    """An image and a model of the page, whose names are markup."""
    return EVIL_IMAGE, EVIL_MODEL
