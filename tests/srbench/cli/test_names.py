"""Names of commands and options: one meaning each, their help, completion, and files that are never overwritten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.cli.main import SECTIONS, main
from srbench.images.io import read_uint8, write_png

METAVARS = (
    "A B BENCH.TOML CHECKPOINT DATASET DIR FILE FORMAT H HEX I IMAGE K KEY KIND LABEL METRIC MODEL N NAME PX RUN S "
    "SETTING SOURCE T TARGET TEXT TRAINING URL VALUE W X Y"
)
"""Placeholders of values in the help; each stands for one kind of value."""
RULES = " ".join((Path(__file__).parents[3] / "CONTRIBUTING.md").read_text().split())
AVOIDED = re.split(", | and ", re.search(r"We write image, .*?; not (.*?)\.", RULES)[1])


def commands(group: click.Group = main, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree with its words after srbench, groups too."""
    yield path, group
    for name, command in group.commands.items():
        words = f"{path} {name}".strip()
        yield from commands(command, words) if isinstance(command, click.Group) else [(words, command)]


COMMANDS = dict(commands())


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
    assert "string split --max 1" in made, "srbench's own script of fish"


def test_the_help_of_srbench_says_of_a_command_what_the_command_says():
    for section in SECTIONS.values():
        for name, (_, text) in section.items():
            assert (main.commands[name].name, main.commands[name].get_short_help_str(80)) == (name, text)


def test_one_model_where_one_makes_sense(command):
    for words in (["explore"], ["edit", "restore", "a.png", "--scale", "8"], ["convert", "a.pth", "--preset", "p"]):
        found = command(*words, "--models", "bicubic,rrdb")
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert "'bicubic,rrdb' names several models; give one" in found.err


@pytest.mark.parametrize("path", COMMANDS)
def test_help(command, monkeypatch, path):
    """In a terminal of 80 columns: it fits, groups list each command in one whole line,
    and every option is explained."""
    monkeypatch.setenv("COLUMNS", "80")
    asked, text = COMMANDS[path], command(*path.split(), "--help").out
    assert max(map(len, text.splitlines())) <= 80
    assert not [word for word in AVOIDED if re.search(rf"\b{word}s?\b", text, re.IGNORECASE)]
    if isinstance(asked, click.Group):
        assert text.count("\n") <= 40, "on a screen"
        for name, listed in asked.commands.items():
            assert re.search(rf"^  {name} +{re.escape(listed.get_short_help_str(80))}$", text, re.MULTILINE), name
        return
    plain = "".join(text.split())
    for parameter in asked.params:
        metavar = parameter.make_metavar(click.Context(asked))
        if isinstance(parameter, click.Option):
            assert re.search(r"[.\]]$", parameter.help or ""), parameter.opts
            assert "".join(parameter.help.split()) in plain, parameter.opts
            metavar = "" if parameter.is_flag else metavar
        assert set(re.findall(r"[A-Z]+(?:\.[A-Z]+)?", metavar)) <= set(METAVARS.split())
        if isinstance(parameter.type, click.Choice):
            assert all(choice in text for choice in parameter.type.choices), parameter.opts


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
