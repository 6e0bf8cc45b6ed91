"""What the terminal shows before anything slow is loaded, and in which order it names things."""

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LEAVE_AT_TORCH = """
import os, sys
class Leave:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            os._exit(77)
sys.meta_path.insert(0, Leave())
from srbench.cli.main import main
main(sys.argv[1:])
"""
COMMANDS = {
    "opening bicubic, rrdb": ["run", "--models", "bicubic,rrdb", "--scale", "8"],
    "opening bench.toml": ["run", "bench.toml"],
    "opening bicubic": ["upscale", "a.png", "--models", "bicubic", "--scale", "4", "--out", "out"],
    "reading runs/x": ["score", "runs/x", "--metrics", "psnr"],
    "reading runs/y": ["verify", "runs/y"],
    "reading a, b": ["report", "a", "b", "--out", "c"],
    "reading sr": ["measure", "sr", "--lr", "lr"],
}


@pytest.mark.parametrize(("told", "words"), COMMANDS.items())
def test_a_word_before_torch_is_imported(tmp_path, told, words):
    found = subprocess.run(
        [sys.executable, "-c", LEAVE_AT_TORCH, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.stderr.partition("\n")[0], found.stdout) == (f"{told} ...", "")
    assert found.returncode in (77, 1), "1 where a folder is missed before torch is needed"


def test_a_bar_in_a_terminal_before_torch_is_imported(tmp_path):
    screen, terminal = pty.openpty()
    words = [sys.executable, "-c", LEAVE_AT_TORCH, *COMMANDS["opening bicubic, rrdb"]]
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm"}
    left = subprocess.run(words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, env=env, check=False)
    os.close(terminal)
    shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert (left.returncode, "opening bicubic, rrdb" in shown, "0:00:0" in shown) == (77, True, True)


def test_a_run_without_simple_upscaling_says_how_to_add_it(command, photos, models):
    made = command(
        "run", "--models", f"{models}:Nearest", "--scale", 4, "--data", photos, "--metrics", "psnr", "--out", "my run"
    )
    told = "Add bicubic,rrdb to see how far these are from simple upscaling: "
    [line] = [line for line in made.out.splitlines() if line.startswith(told)]
    assert line in Path("my run", "report", "report.md").read_text()
    again = shlex.split(line.removeprefix(told))
    assert again == [
        *("srbench", "run", "--models", "bicubic,rrdb", "--scale", "4", "--data", str(photos), "--metrics", "psnr"),
        *("--out", "my run"),
    ]
    added = command(*again[1:])
    assert added.code == 0, added.err
    assert all(name in added.out for name in ("Nearest", "bicubic", "rrdb"))
    assert told not in added.out
