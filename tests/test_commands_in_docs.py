"""README and docs: their shell commands are run in order, offline, in a folder that looks like a fresh clone.

What takes long is shortened by documented options. What is downloaded stands in for what the address has: photographs
for Set5, a network of the same shapes for ESRGAN's. What needs other people's files or hours is named below, with the
reason, and nothing else is left out.
"""

from __future__ import annotations

import math
import re
import runpy
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import torch

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.data.benchmark_sets import table as sets_table
from srbench.data.benchmark_sets.table import find_set, pixels_digest
from srbench.files.hashes import sha256_file
from srbench.weights import table as weights_table
from srbench.weights.table import find_released

ROOT = Path(__file__).parents[1]
RUN = (
    "README.md",
    "docs/command-line.md",
    "docs/data.md",
    "docs/latents.md",
    "docs/index-of-runs.md",
    "docs/matrix.md",
    "docs/reviewers.md",
    "docs/training.md",
    "docs/weights.md",
)
"""Pages whose commands are run here. docs/add-your-own.md and docs/python.md have tests of their own."""
PAGES_LEFT_OUT = {
    "docs/explain.md": "is run, and compared with what it prints, by tests/test_docs.py",
    "docs/index.md": "repeats the README",
    "docs/performance.md": "measures speed for minutes",
    "docs/protocols.md": "needs the benchmark datasets",
    "docs/run-folder.md": "has Python alone, which tests/srbench/run_folder/test_reading.py runs",
    "docs/scale.md": "several machines; tests/srbench/benchmark/engines runs the engines",
    "docs/verify.md": "needs the run of the README; tests/srbench/benchmark/test_verify.py has the command",
    "docs/votes.md": "serves a page; tests/test_docs.py runs its example",
    "docs/zoo.md": "trains for hours",
}
SHORTENED = {
    "run": ("--limit", "2", "--crop", "160", "--samples", "2"),
    "run --models bicubic,rrdb,srflow --data set5,photos": ("--limit", "1", "--crop", "96", "--samples", "1"),
    "run --models esrgan:esrgan-x4": ("--limit", "1", "--crop", "96"),
    "train": ("--set", "training.steps=2", "--set", "training.batch=2"),
}
"""Options that follow those of a documented command, by its longest beginning here."""
LEFT_OUT = {
    r"pip |pytest": "installs, or runs the tests themselves",
    r"torchrun |srbench train .*--device cuda": "needs GPUs; tests/trainings/test_job_script.py runs torchrun",
    r"srbench train (esrgan|srflow-perceptual)": "its perceptual loss downloads VGG16",
    r"srbench run --models srflow-perceptual:runs": "is trained by the command before",
    r"srbench (train|run) .*data/celeba": "needs CelebA, and days",
    r"srbench data prepare": "needs archives of gigabytes; tests/srbench/data/test_prepare.py prepares small ones",
    r"srbench weights add srflow": "needs SRFlow's checkpoint; tests/srbench/models/test_official.py adds small ones",
    r"srbench (convert|run --models srflow:)": "tests/srflow/checkpoints/test_convert.py has small ones",
}
"""By a pattern: commands that are not run, and why."""


def commands(page: str) -> list[str]:
    """The commands of the shell blocks of a page; continued lines are joined, ``&&`` is taken apart."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.partition("#")[0].split("&&") if part.strip()]


def left_out(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in LEFT_OUT)


def shortened(command: str) -> tuple[str, ...]:
    beginnings = [beginning for beginning in SHORTENED if command.startswith(beginning)]
    return SHORTENED[max(beginnings, key=len)] if beginnings else ()


@pytest.fixture
def internet(monkeypatch, tmp_path):
    """Set5's first address gives photographs, ESRGAN's a network of noise; the tables know these by their digests."""
    names, files = find_set("set5").names, sorted((ROOT / "srbench" / "data" / "photos").glob("*.png"))
    photos = dict(zip(names, files, strict=False))
    checkpoint = tmp_path / "noise.pth"
    torch.manual_seed(0)
    shapes = rrdb_shapes(RRDBConfig.from_preset("df2k-x4"))
    network = {
        name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else torch.zeros(shape)
        for name, shape in shapes.items()
    }
    torch.save(network | {"conv_last.bias": torch.full((3,), 0.5)}, checkpoint)
    answers = {find_set("set5").addresses[0].format(name=name): path for name, path in photos.items()}
    answers[find_released("esrgan-x4").addresses[0]] = checkpoint

    def download(address, part, title):
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(answers[address].read_bytes())

    for module in ("srbench.models.official", "srbench.data.benchmark_sets.fetch"):
        monkeypatch.setattr(f"{module}.download", download)
    digests = {
        find_set("set5").pixels: pixels_digest(photos),
        find_released("esrgan-x4").sha256: sha256_file(checkpoint),
    }
    for module in (sets_table, weights_table):
        known = tmp_path / f"{module.__name__}.toml"
        text = Path(module._TABLE).read_text()
        for theirs, ours in digests.items():
            text = text.replace(theirs, ours)
        known.write_text(text)
        monkeypatch.setattr(module, "_TABLE", known)


@pytest.fixture
def clone(tmp_path, monkeypatch, internet):
    """A folder with what the pages name of a clone, and the photographs that they prepare."""
    for name in ("examples", "srbench", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("train", "val"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for photo in ("books", "dog"):
            (tmp_path / "photographs" / name / f"{photo}.png").symlink_to(
                ROOT / "srbench" / "data" / "photos" / f"{photo}.png"
            )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")  # pyiqa would try addresses in vain for a minute
    return tmp_path


@pytest.mark.usefixtures("heeded_interrupts")
@pytest.mark.filterwarnings("default:left out of the table")  # metrics whose weights are not here
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_in_order(page, srbench, clone):
    found = commands(page)
    assert found
    for command in found:
        if left_out(command):
            continue
        name, *arguments = shlex.split(command)
        if name == "python":
            runpy.run_path(*arguments, run_name="__main__")
            continue
        assert name == "srbench", command
        if arguments[0] in ("view", "explore"):
            serves(arguments)
            continue
        done = srbench(*arguments, *shortened(" ".join(arguments)))
        assert done.exit_code == 0, f"{command}\n{done.output}"


def serves(arguments: list[str]) -> None:
    """The command prints an address, answers there, and ends by Ctrl-C."""
    code = "from srbench.cli.main import main; main(prog_name='srbench')"
    command = [sys.executable, "-c", code, *arguments, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            [address] = re.findall(r"http://\S+", process.stdout.readline())
            with urllib.request.urlopen(address) as page:
                assert b"</html>" in page.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(60) in (0, 130)
        finally:
            process.kill()


def test_every_page_is_run_or_left_out_for_a_reason():
    pages = [str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]]
    shown = {page for page in pages if commands(page)}
    assert shown <= {*RUN, *PAGES_LEFT_OUT, "docs/add-your-own.md", "docs/python.md"}


def test_everything_left_out_is_still_documented():
    documented = [command for page in RUN for command in commands(page)]
    for pattern in LEFT_OUT:
        assert any(re.match(pattern, command) for command in documented), pattern
