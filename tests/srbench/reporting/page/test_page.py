"""The page of a run as a file, and the server that shows it. What a reader does with it: test_page_browser.py."""

from __future__ import annotations

import base64
import http.client
import io
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from page_data import data_of, files_of
from PIL import Image

from srbench.images.io import write_png
from srbench.interfaces import SRBenchError
from srbench.reporting.page.view import open_folder
from srbench.reporting.writers.report import write_report

NAMES = ["50% #1 & 'half'", "<!--<script>?", "c"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, srbench, small_models, draw_image):
    """Three images, one of them black: its PSNR is infinite. One result is lost."""
    base = tmp_path_factory.mktemp("page")
    for seed, name in enumerate(NAMES):
        write_png(base / "photos" / f"{name}.png", draw_image(seed, 32, 48) * (name != "c"))
    folder = base / "run"
    models = f"{small_models}:Nearest,{small_models}:Noisy"
    measured = ("--metrics", "psnr,ssim,sigma", "--temperature", "0.8", "--samples", 2)
    done = srbench("run", "--models", models, "--scale", 4, "--data", base / "photos", *measured, "--out", folder)
    assert done.exit_code == 0, done.output
    (folder / "images" / "Noisy-t0.8" / "c_sample1.png").unlink()
    return folder


def write_page(run, **options):
    shutil.rmtree(run / "report", ignore_errors=True)
    return write_report([run], ["html"], **options).files[0]


def numbers_of(values):
    """Values of a metric and a setting, one list or one number per image."""
    return [[*map(float, value)] if isinstance(value, list) else float(value) for value in values]


def test_the_data_of_the_page_are_the_rows(run):
    data = data_of(write_page(run).read_text())
    images = data["images"]
    assert images["names"] == NAMES
    assert (images["widths"], images["heights"]) == ([48] * 3, [32] * 3)
    assert data["settings"] == ["Nearest", "Noisy τ=0.8"]
    lines = map(json.loads, (run / "rows.jsonl").read_text().splitlines())
    found = {(row["model"], row["subject"], row["metric"]): row["value"] for row in lines}
    for model, values in zip(["Nearest", "Noisy"], images["values"], strict=True):
        for metric, one in zip(data["metrics"], values, strict=True):
            for name, shown in zip(NAMES, numbers_of(one), strict=True):
                own = found[model, name, metric["name"]]
                exact = [float(value) for value in own] if isinstance(own, list) else own
                assert shown == pytest.approx(exact, rel=0, abs=10.0 ** -metric["digits"] / 100)
    assert numbers_of(images["values"][0][0])[2] == [math.inf]


def test_every_file_that_is_named_is_there_and_a_lost_one_is_not_named(run):
    data = data_of(write_page(run).read_text())
    assert [column["id"] for column in data["columns"]] == ["lr", "hr", "Nearest", "Noisy-t0.8_1", "Noisy-t0.8_2"]
    by_image = files_of(data["images"])
    files = [file for found in by_image for file in found]
    assert files.count(None) == 2, "samples of an image are shown together or not at all"
    assert by_image[2][3:] == [None, None]
    for file in files:
        assert file is None or (run / "report" / urllib.request.url2pathname(file)).is_file()
        assert file is None or not set(file) & set("#?& '<")


def test_a_single_file_carries_every_image_exactly(run):
    beside = data_of(write_page(run).read_text())
    inside = data_of(write_page(run, single_file=True).read_text())
    pairs = zip(files_of(beside["images"]), files_of(inside["images"]), strict=True)
    for file, address in [pair for left, right in pairs for pair in zip(left, right, strict=True)]:
        if file is not None:
            kind, _, text = address.partition(";base64,")
            assert kind == "data:image/webp"
            carried = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
            stored = np.asarray(Image.open(run / "report" / urllib.request.url2pathname(file)))
            assert np.array_equal(carried, stored)


def test_a_single_file_may_carry_fewer_images_and_says_so(run):
    text = write_page(run, single_file=True, most=1).read_text()
    images = data_of(text)["images"]
    carried = [name for name, files in zip(images["names"], files_of(images), strict=True) if any(files)]
    assert len(carried) == 1
    assert "This file includes 1 of 3 images, and the values of all." in text
    assert len(numbers_of(images["values"][0][0])) == 3
    opened = data_of(text)["opening"]
    assert opened is None or opened["image"] == carried[0]


def test_a_page_without_images_says_so(run, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("images"))
    text = write_page(copy).read_text()
    assert "The run folder holds no images, so this page compares values only." in text
    assert [name for files in files_of(data_of(text)["images"]) for name in files if name] == []
    assert data_of(text)["opening"] is None


@pytest.fixture
def ask(run, served):
    """Asks a server of the run as raw as can be: method and path to status and content."""
    write_page(run)
    server = served(run)

    def call(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
        connection.request(method, path)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    assert server.server_address[0] == "127.0.0.1"
    return call


def test_the_server_gives_the_page_and_its_images(ask, run, served):
    page = run / "report" / "report.html"
    assert ask("GET", "/report/report.html") == (200, page.read_bytes())
    with urllib.request.urlopen(served(run).address, timeout=300) as answer:
        assert answer.geturl().endswith("/report/report.html")
        assert answer.read() == page.read_bytes()
    file = files_of(data_of(page.read_text())["images"])[0][0]
    assert ask("GET", file.removeprefix("..")) == (
        200,
        (run / "report" / urllib.request.url2pathname(file)).read_bytes(),
    )
    assert ask("HEAD", "/manifest.json") == (200, b"")


def test_the_server_writes_nothing(ask, run):
    """Not even if the records are newer than the page that is asked for."""
    with (run / "rows.jsonl").open("ab") as rows:
        rows.write(b"torn")
    try:
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
        for path in ("/", "/report/report.html", "/report/report.json"):
            ask("GET", path)
        assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    finally:
        (run / "rows.jsonl").write_bytes((run / "rows.jsonl").read_bytes().removesuffix(b"torn"))


def test_the_server_gives_nothing_hidden_no_folder_and_nothing_behind_a_link(ask, run):
    """What else it refuses: test_security.py."""
    (run.parent / "secret.txt").write_text("secret")
    (run / "outside").symlink_to(run.parent)
    for name in (".lock", ".owner.json", "images/.secret"):
        (run / name).write_text("secret")
    hidden = ["/.lock", "/.owner.json", "/images/.secret", "/%2elock", "/images/../.lock"]
    linked = ["/images/..%2f..%2fsecret.txt", "/outside/secret.txt"]
    for path in [*hidden, *linked, "/images/", "/images", "/absent"]:
        status, content = ask("GET", path)
        assert (path, status) == (path, 404)
        assert b"secret" not in content.replace(b"secret.txt", b"")
    assert ask("POST", "/report.html")[0] == 501


def test_a_port_that_is_taken_is_named(run):
    with (
        open_folder(run, 0) as server,
        pytest.raises(SRBenchError, match=f"port {server.server_port} .* choose another"),
    ):
        open_folder(run, server.server_port)


@pytest.mark.slow
@pytest.mark.usefixtures("heeded_interrupts")
def test_view_says_where_it_is_and_ends_with_ctrl_c(run):
    shutil.rmtree(run / "report", ignore_errors=True)
    command = [sys.executable, "-m", "srbench", "view", str(run), "--no-browser"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
        with urllib.request.urlopen(address, timeout=120) as answer:
            assert answer.read().endswith((run / "report" / "report.html").read_bytes()[-1000:])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out.strip()) == (0, "")
    assert "Traceback" not in err
