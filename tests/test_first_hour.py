"""The first hour of somebody who has just installed srbench, as a script: no step needs a second try."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from urllib.request import urlopen

import pytest
from builders import wait_for_lines
from PIL import Image

import srbench.data.datasets
from srbench.images.folders import images_in

PHOTOS = Path(srbench.data.datasets.__file__).parent / "photos"
NET = """
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def forward(self, x):
        return x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, lr):
        return self.block(F.interpolate(lr, scale_factor=4, mode="bilinear"))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with photographs of one's own, a network, and nothing else."""
    folder = tmp_path_factory.mktemp("hour")
    (folder / "own").mkdir()
    for path in list(images_in(PHOTOS).values())[:2]:
        with Image.open(path) as image:
            image.convert("RGB").crop((0, 0, 130, 98)).save(folder / "own" / f"{path.stem}.png")
            image.convert("RGB").crop((0, 0, 40, 32)).save(folder / f"{path.stem}.jpg")
            photograph = image.convert("RGB").resize((2000, 1500))
    photograph.save(folder / "camera.jpg", quality=80)
    (folder / "net.py").write_text(NET)
    return folder


@pytest.fixture
def typed(here, srbench, monkeypatch):
    """What a command prints, on stdout and stderr."""
    monkeypatch.chdir(here)

    def call(command, code=0):
        done = srbench(*command.split())
        assert done.exit_code == code, done.output
        assert "Traceback" not in done.output
        return done.output

    return call


def started(here: Path, command: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "srbench", *command.split()]
    return subprocess.Popen(words, cwd=here, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_the_table(here, typed):
    process = started(
        here, "run --models bicubic,rrdb,esrgan,srflow --scale 8 --limit 2 --crop 96 --samples 2 --out runs/main"
    )
    _, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    report = (here / "runs/main/report/report.md").read_text()
    header = next(line for line in report.splitlines() if line.startswith("|") and "PSNR" in line)
    for title in ("PSNR", "SSIM", "LPIPS", "LR-PSNR", "NIQE", "BRISQUE", "PIQUE", "sigma"):
        assert title in header
    for model in ("bicubic", "rrdb", "esrgan", "srflow"):
        assert model in report
    typed("report --single-file runs/main")
    assert "data:image/" in (here / "runs/main/report/report.html").read_text()
    paper = (here / "runs/main/report/table.tex").read_text()
    lines = [re.sub(r"(?<!\\)%.*", "", line) for line in paper.splitlines()]
    body = "\n".join(lines)
    assert body.count(r"\begin{") == body.count(r"\end{") > 0
    assert len(re.findall(r"(?<!\\){", body)) == len(re.findall(r"(?<!\\)}", body))
    rows = [line for line in lines if line.rstrip().endswith(r"\\") and r"\multicolumn" not in line]
    assert len(rows) >= 5
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


def test_a_network_of_ones_own(here, typed):
    assert "net.py:Net" in typed("run --models net.py --scale 4", code=1)
    typed(
        "run --models bicubic,net.py:Net --scale 4 --limit 1 --crop 96 --metrics psnr,cost --workers 1 --out runs/net"
    )
    assert "Net" in (here / "runs/net/report/report.md").read_text()


def test_two_folders_measured_as_papers_do(here, typed):
    """Outputs beside HR, and HR beside LR: the same value, on luma and without 4 pixels at the border."""
    typed("run --models bicubic --scale 4 --data own --suite classic-y --workers 1 --out runs/own")
    assert "HR is cropped" in (here / "runs/own/report/report.md").read_text()
    shutil.copytree(here / "runs/own/images/hr", here / "hr")
    shutil.copytree(here / "runs/own/images/lr", here / "lr")
    typed("run --models bicubic --scale 4 --hr hr --lr lr --suite classic-y --workers 1 --out runs/pairs")
    measured = typed("measure runs/pairs/images/bicubic --hr hr --suite classic-y --scale 4 --format csv --workers 1")
    assert "classic-y" in measured
    table = (here / "runs/pairs/report/rows.csv").read_text()
    values = [sorted(re.findall(r"psnr[^,]*,(\d\d\.\d{3})", text)) for text in (measured, table)]
    assert values[0] == values[1]
    assert len(values[0]) == 2


def test_photographs_without_references(here, typed):
    names = [path.name for path in here.glob("*.jpg") if path.name != "camera.jpg"]
    (here / "alone").mkdir()
    for name in names:
        shutil.copy(here / name, here / "alone")
    typed("run --models bicubic,srflow --scale 4 --lr alone --samples 2 --workers 1 --out runs/alone")
    report = (here / "runs/alone/report/report.md").read_text()
    assert "There are no HR images" in report
    assert "LR-PSNR" in report
    assert "estimated" in typed(f"upscale {names[0]} --models srflow --scale 4 --out up --dry-run")
    assert not (here / "up").exists()
    typed(f"upscale {names[0]} --models srflow --scale 4 --out up")
    with Image.open(here / "up" / Path(names[0]).with_suffix(".png").name) as image:
        assert image.size == (160, 128)


@pytest.mark.usefixtures("heeded_interrupts")
def test_a_training_stopped_and_resumed(here, typed):
    command = (
        "train rrdb --preset mini-x4 --data own --out runs/train --set training.steps=5 --set training.patch=32 "
        "--set training.batch=2 --set network.blocks=1 --set training.validate_every=5"
    )
    journal, process = here / "runs/train/train.csv", started(here, command)
    wait_for_lines(journal, 2, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    if process.returncode:  # five steps may be over before it is heard
        assert (process.returncode, "Rerun the same command to resume" in err) == (130, True)
    typed(command)
    assert [line.split(",")[0] for line in journal.read_text().splitlines()[1:]] == list("01234")
    typed("run --models rrdb:runs/train --scale 4 --limit 1 --crop 64 --metrics psnr --workers 1 --out runs/trained")


@pytest.mark.usefixtures("heeded_interrupts")
def test_exploring_a_photograph_of_a_camera(here):
    process = started(here, "explore camera.jpg --scale 4 --no-browser")
    late = threading.Timer(600, process.kill)
    late.start()
    try:
        address = None
        while address is None:
            line = process.stdout.readline() or process.stderr.readline()
            assert line, "it ended"
            address = re.search(r"http://\S+", line)
        with urlopen(address[0], timeout=300) as answer:
            assert answer.status == 200
    finally:
        late.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=600)
