"""TAB completes values: names of this installation, and rows and metrics of the typed run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from srbench.cli.main import main


def completed(typed: str) -> list[str]:
    """What TAB offers after a line; its last word is being typed."""
    *words, last = typed.split(" ")
    items = ShellComplete(main, {}, "srbench", "_SRBENCH_COMPLETE").get_completions(words, last)
    return [item.value if item.type == "plain" else f"{item.type}: {item.value}" for item in items]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("run --models srflow", ["srflow", "srflow-perceptual"]),
        ("run --models bicubic,es", ["bicubic,esrgan"]),
        ("run --models my_net", ["file: my_net"]),
        ("run --data set", ["set5", "set14"]),
        ("run --suite cl", ["classic-y"]),
        ("measure DIR --suite cl", ["classic-y"]),
        ("weights fetch --suite cl", ["classic-y"]),
        ("score runs/mine --metrics psnr,co", ["psnr,colour_shift", "psnr,cost"]),
        ("explore PHOTO --models srf", ["srflow", "srflow-perceptual"]),
        ("figure runs/absent --models ", ["file: "]),
        ("compare runs/mi", ["file: runs/mi"]),
    ],
)
def test_names_are_completed(typed, offered):
    assert completed(typed) == offered


@pytest.fixture
def two_rows(make_run, command):
    return make_run("runs/mine", {("bicubic", None): {"a": (20.0, 0.1)}, ("flow", 0.8): {"a": (21.0, 0.2)}})


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("figure runs/mine --models ", ["bicubic", "flow-t0.8"]),
        ("figure runs/mine --models bicubic,f", ["bicubic,flow-t0.8"]),
        ("figure runs/mine --metrics ", ["psnr", "lpips"]),
        ("compare --run runs/mine fl", ["flow-t0.8"]),
        ("compare --run runs/mine flow-t0.8 b", ["bicubic"]),
        ("compare runs/mine b", ["file: b"]),
        ("vote runs/mine --models f", ["flow-t0.8"]),
        ("report runs/mine --baseline b", ["bicubic"]),
    ],
)
def test_rows_of_a_run_are_completed(two_rows, typed, offered):
    assert completed(typed) == offered


def test_a_damaged_run_completes_nothing_and_says_nothing(two_rows, capsys):
    (two_rows / "manifest.json").write_text("{")
    assert completed("figure runs/mine --models ") == ["file: "]
    assert capsys.readouterr() == ("", "")


def test_the_shell_gets_names_without_loading_torch_or_pandas(two_rows):
    code = (
        "import sys\nfrom srbench.cli.main import main\n"
        "try:\n    main(prog_name='srbench')\n"
        "finally:\n    assert not {'torch', 'pandas', 'matplotlib'} & {*sys.modules}\n"
    )
    for typed, offered in {"run --models srf": "srflow", "figure runs/mine --models f": "flow-t0.8"}.items():
        words = {"COMP_WORDS": f"srbench {typed}", "COMP_CWORD": str(len(typed.split()))}
        environment = os.environ | words | {"_SRBENCH_COMPLETE": "bash_complete"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert f"plain,{offered}\n" in done.stdout
        assert done.stderr == ""


def test_the_documentation_says_how_to_turn_it_on():
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()
    for shell in ("bash", "zsh", "fish"):
        assert f"_SRBENCH_COMPLETE={shell}_source srbench" in page
