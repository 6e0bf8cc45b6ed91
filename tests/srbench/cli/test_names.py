"""Names of commands and options: one meaning each, their help, completion, and files that are never overwritten."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import torch

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.cli.main import main
from srbench.cli.measuring import ADVANCED
from srbench.images.io import read_uint8, write_png


def commands(group: click.Group = main, path: str = ""):
    """Every command of the tree that is no group, by its words after srbench."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands())


def options(command: click.Command) -> dict[str, click.Option]:
    return {one.opts[0]: one for one in command.params if isinstance(one, click.Option)}


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
    done = subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["upscale", "--hr", "--help"]
    for shell in ("zsh", "fish"):
        environment = os.environ | {"_SRBENCH_COMPLETE": f"{shell}_source"}
        made = subprocess.run([script], env=environment, capture_output=True, text=True, check=True).stdout
        assert f"_SRBENCH_COMPLETE={shell}_complete" in made


def test_one_model_where_one_makes_sense(command):
    for words in (["explore"], ["edit", "restore", "a.png", "--scale", "8"], ["convert", "a.pth", "--preset", "p"]):
        found = command(*words, "--models", "bicubic,rrdb")
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert "'bicubic,rrdb' names several models; give one" in found.err


SAME_IN_OTHER_WORDS = {
    "--out": {"DIR", "FILE", "DIR|FILE"},  # names what is written
    "--format": {"table|csv|json|md|tex", "text|json", "md|html|tex|csv"},  # what each command can print
    "--data": {"NAME|DIR", "DIR"},  # a training has no datasets by name
    "--workers": {"N|gpus", "N"},  # measuring folders needs no GPU
}
"""Options with more than one metavar, and why."""


def test_an_option_means_the_same_in_every_command():
    """Equal metavars, but for whether a list is taken."""
    metavars: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for name, option in options(command).items():
            if not option.is_flag:
                metavars.setdefault(name, set()).add(str(option.metavar).removesuffix(",..."))
    assert "None" not in {one for found in metavars.values() for one in found}, metavars
    assert {name: found for name, found in metavars.items() if len(found) > 1} == SAME_IN_OTHER_WORDS


def test_every_option_says_what_it_is_and_what_happens_without_it():
    for path, command in COMMANDS.items():
        for name, option in options(command).items():
            assert option.help, (path, name)
            assert option.help[0].isupper() or option.help.startswith(str(option.metavar).partition("|")[0]), name
            has_default = option.default not in (None, ()) and str(option.default) != "Sentinel.UNSET"
            told = option.is_flag or option.required or has_default or option.multiple
            words = ("[default: ", "[required", "Without", "instead of", "required", "with --", "--resume")
            assert told or any(word in f"{option.help}" for word in words) or name == "--resume", (path, name)


def test_help_fits_a_terminal_of_80_columns(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for path in ("", "edit ", "data ", "weights "):
        lines = command(*path.split(), "--help").out.splitlines()
        assert len(lines) <= 40, path
        listed = {line.split()[0] for line in lines if line.startswith("  ")}
        assert {name.removeprefix(path).split()[0] for name in COMMANDS if name.startswith(path)} <= listed
        assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage")]
        assert max(map(len, lines)) <= 80, path
    for path in COMMANDS:
        assert max(map(len, command(*path.split(), "--help").out.splitlines())) <= 80, path


def test_help_of_run_lists_advanced_options_last(command):
    first, second = command("run", "--help").out.split("\nOptions:\n")[1].split("\nAdvanced:\n")
    common, advanced = (re.findall(r"^  (?:-h, )?(--[a-z-]+)", part, re.MULTILINE) for part in (first, second))
    assert common[:3] == ["--models", "--scale", "--data"]
    assert {*advanced} == {*ADVANCED}
    assert {*common, *advanced} == {*options(COMMANDS["run"]), "--help"}


def test_out_is_optional_and_its_default_is_told():
    outs = {path: options(command)["--out"] for path, command in COMMANDS.items() if "--out" in options(command)}
    assert {"run", "merge", "report", "upscale", "edit restore", "explore", "train", "export", "convert"} < outs.keys()
    for path, out in outs.items():
        assert not out.required, path
        assert "[default: " in out.help or isinstance(out.default, Path), path


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
        ["init"],
        ["convert", "net.pth", "--preset", "psnr-x4", "--models", "rrdb"],
    ):
        found = command(*words)
        assert found.code == 1, words
        assert "exists" in found.err, found.err
    assert [Path(name).read_text() for name in foreign] == ["mine"] * len(foreign)
