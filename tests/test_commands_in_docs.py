"""README and docs: their shell commands are run in order, offline, in a folder that looks like a fresh clone.

What takes long is shortened by documented options. What needs a network, other people's files or hours is named below,
with the reason, and nothing else is left out.
"""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = ("README.md", "docs/latents.md", "docs/training.md")
"""Pages whose commands are run here. docs/add-your-own.md and docs/python.md have tests of their own."""
PAGES_LEFT_OUT = {
    "docs/data.md": "downloads archives",
    "docs/index.md": "repeats the README",
    "docs/matrix.md": "needs Set5; tests/srbench/cli/test_matrix.py runs the commands",
    "docs/performance.md": "measures speed for minutes",
    "docs/protocols.md": "needs the benchmark datasets",
    "docs/scale.md": "several machines; tests/srbench/engines runs the engines",
    "docs/weights.md": "downloads the released checkpoints; tests/srbench/cli/test_weights_cli.py runs the commands",
    "docs/zoo.md": "trains for hours",
}
SHORTENED = {
    "run": ("--limit", "2", "--crop", "160", "--samples", "2"),
    "train": ("--set", "training.steps=2", "--set", "training.batch=2"),
}
"""Options that follow those of a documented command."""
LEFT_OUT = {
    r"pip |pytest": "installs, or runs the tests themselves",
    r"srbench train (esrgan|srflow-perceptual)": "its perceptual loss downloads VGG16",
    r"srbench run --models srflow-perceptual:runs": "is trained by the command before",
}
"""By a pattern: commands that are not run, and why."""


def commands(page: str) -> list[str]:
    """The commands of the shell blocks of a page; continued lines are joined, ``&&`` is taken apart."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.partition("#")[0].split("&&") if part.strip()]


def left_out(command: str) -> bool:
    return any(re.match(pattern, command) for pattern in LEFT_OUT)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with what the pages name of a clone, and the photographs that they prepare."""
    for name in ("examples", "srbench", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("train", "val"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for photo in ("books", "dog"):
            (tmp_path / "photographs" / name / f"{photo}.png").symlink_to(ROOT / "srbench" / "photos" / f"{photo}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run_in_order(page, srbench, clone):
    found = commands(page)
    assert len(found) >= 3
    for command in found:
        if left_out(command):
            continue
        name, *arguments = shlex.split(command)
        assert name == "srbench", command
        if arguments[0] in ("view", "explore"):
            serves(arguments)
            continue
        done = srbench(*arguments, *SHORTENED.get(arguments[0], ()))
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
