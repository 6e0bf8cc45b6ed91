"""What the terminal shows before anything slow is loaded."""

import os
import pty
import subprocess
import sys

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
    "reading runs/x": ["score", "runs/x", "--metrics", "psnr"],
    "reading sr": ["measure", "sr", "--lr", "lr"],
}


def test_a_word_before_torch_is_imported(tmp_path):
    for told, words in COMMANDS.items():
        command = [sys.executable, "-c", LEAVE_AT_TORCH, *words]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        assert (found.stderr.partition("\n")[0], found.stdout) == (f"{told} ...", "")
        assert found.returncode in (77, 1), "1 where a folder is missed before torch is needed"


def test_a_bar_in_a_terminal_before_torch_is_imported(tmp_path):
    screen, terminal = pty.openpty()
    words = [sys.executable, "-c", LEAVE_AT_TORCH, *COMMANDS["opening bicubic, rrdb"]]
    env = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")} | {"TERM": "xterm"}
    left = subprocess.run(
        words, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal, env=env, check=False, timeout=300
    )
    os.close(terminal)
    shown = os.read(screen, 1 << 16).decode()
    os.close(screen)
    assert (left.returncode, "opening bicubic, rrdb" in shown, "0:00:0" in shown) == (77, True, True)
