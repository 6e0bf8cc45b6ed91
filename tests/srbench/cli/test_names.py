"""Names of commands and options: one meaning each, their help, completion, and files that are never overwritten."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import torch

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.cli.main import main
from srbench.images.io import read_uint8, write_png


def commands(group: click.Group = main, path: str = "") -> Iterator[str]:
    """Every command of the tree by its words after srbench, groups too."""
    yield path
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        yield from commands(command, words) if isinstance(command, click.Group) else [words]


COMMANDS = sorted(commands())


def test_completion_in_bash():
    """The line of docs/command-line.md, and what TAB then asks; other shells get scripts of their own."""
    script = Path(sys.executable).with_name("srbench")
    lines = f"""
        eval "$(_SRBENCH_COMPLETE=bash_source {script})"
        COMP_WORDS=({script} upsc); COMP_CWORD=1; _srbench_completion {script}
        echo ${{COMPREPLY[@]}}; COMPREPLY=()
        COMP_WORDS=({script} measure --h); COMP_CWORD=2; _srbench_completion {script}
        echo ${{COMPREPLY[@]}}
    """
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["upscale", "--hr", "--help"]
    for shell in ("zsh", "fish"):
        environment = os.environ | {"_SRBENCH_COMPLETE": f"{shell}_source"}
        made = subprocess.run([script], env=environment, capture_output=True, text=True, check=True, timeout=300).stdout
        assert f"_SRBENCH_COMPLETE={shell}_complete" in made


def test_one_model_where_one_makes_sense(command):
    for words in (["explore"], ["edit", "restore", "a.png", "--scale", "8"], ["convert", "a.pth", "--preset", "p"]):
        found = command(*words, "--models", "bicubic,rrdb")
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert "'bicubic,rrdb' names several models; give one" in found.err


def test_help(command, monkeypatch, snapshot):
    """What every command says of itself in a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    texts = {" ".join(("srbench", path)): command(*path.split(), "--help").out for path in COMMANDS}
    assert texts == snapshot
    assert max(map(len, "".join(texts.values()).splitlines())) <= 80
    assert max(texts[f"srbench {path}"].count("\n") for path in ("", "edit", "data", "weights")) <= 40, "on a screen"


def test_what_is_there_is_never_overwritten(command, photos):
    """Foreign files where the defaults of --out would write."""
    write_png(Path("large.png"), read_uint8(photos / "a.png").repeat(1, 3, 3))
    foreign = ["upscaled/a.png", "edited/large_restored.png", "edited/large_t0.png", "bench.toml", "net.safetensors"]
    config = RRDBConfig.from_preset("psnr-x4")
    torch.save({name: torch.zeros(shape) for name, shape in rrdb_shapes(config).items()}, "net.pth")
    for name in foreign:
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("mine")
    edit = ["--models", "srflow", "--scale", 4]
    for words in (
        ["upscale", photos / "a.png", "--models", "bicubic", "--scale", 4],
        ["edit", "restore", "large.png", *edit],
        ["edit", "temperature", "large.png", *edit, "--temperature", "0"],
        ["run", "--write-template", "bench.toml"],
        ["convert", "net.pth", "--preset", "psnr-x4", "--models", "rrdb"],
    ):
        found = command(*words)
        assert found.code == 1, words
        assert "exists" in found.err, found.err
    assert [Path(name).read_text() for name in foreign] == ["mine"] * len(foreign)
