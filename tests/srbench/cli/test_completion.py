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
        ("train srflow-", ["srflow-perceptual"]),
        ("train srflow-perceptual --preset ", ["mini-x4", "mini-x8"]),
        ("train --preset mini-x", ["mini-x4", "mini-x8"]),
        ("train rrdb --preset my", ["file: my"]),
        ("train rrdb --preset mini-x4 --set training.st", ["training.steps=6000"]),
        ("train rrdb --preset mini-x4 --set training.sc", ["training.schedule=cosine"]),
        ("train rrdb --preset mini-x4 --set training.be", ["training.betas="]),
        ("train rrdb --preset mini-x4 --set network.bl", ["network.blocks=6"]),
        ("train --set network.bl", ["network.blocks="]),
        ("convert A.pth --preset psnr", ["psnr-x4"]),
        ("show classic", ["classic-y"]),
        ("show runs/mi", ["file: runs/mi"]),
        ("export es", ["esrgan"]),
        ("export runs/mi", ["file: runs/mi"]),
        ("export rrdb --as o", ["onnx"]),
        ("run --degrade bicubic-p", ["bicubic-pillow"]),
        ("data degrade DIR --degrade blur", ["blur-noise-jpeg"]),
        ("data fetch set5 set1", ["set14"]),
        ("weights fetch esr", ["esrgan-x4"]),
        ("weights add esr", ["esrgan-x4"]),
        ("weights add esrgan-x4 A", ["file: A"]),
        ("run --workers g", ["gpus"]),
        ("run --engine d", ["dask"]),
        ("run --hr D", ["file: D"]),
        ("run --out D", ["file: D"]),
        ("run --shard ", ["env"]),
        ("measure D", ["file: D"]),
        ("verify RUN --resample ", ["all"]),
        ("report RUN --format md,h", ["md,html"]),
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
        ("figure runs/mine --images ", ["a"]),
        ("run --out runs/mine --again fl", ["flow"]),
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
    lines = {
        "run --models srf": "srflow",
        "figure runs/mine --models f": "flow-t0.8",
        "show classic": "classic-y",
        "train rrdb --preset mini-x4 --set training.st": "training.steps=6000",
        "run --degrade blur": "blur-noise-jpeg",
        "weights add esr": "esrgan-x4",
    }
    for typed, offered in lines.items():
        words = {"COMP_WORDS": f"srbench {typed}", "COMP_CWORD": str(len(typed.split()))}
        environment = os.environ | words | {"_SRBENCH_COMPLETE": "bash_complete"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert f"plain,{offered}\n" in done.stdout
        assert done.stderr == ""


def test_fish_takes_values_with_commas(command, monkeypatch):
    """click's script for fish would cut bicubic,srflow after the first name."""
    monkeypatch.setenv("_SRBENCH_COMPLETE", "fish_source")
    found = command()
    assert 'string split --max 1 "," $completion' in found.out


def test_the_documentation_says_how_to_turn_it_on():
    page = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text()
    for shell in ("bash", "zsh", "fish"):
        assert f"_SRBENCH_COMPLETE={shell}_source srbench" in page
