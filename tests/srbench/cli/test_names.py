"""Names of commands and options: one meaning each, and a word for every earlier spelling."""

from __future__ import annotations

import shlex

import click
import pytest

from srbench.cli.main import main
from srbench.cli.renamed import RENAMED


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


@pytest.mark.parametrize(("earlier", "now"), RENAMED.items())
def test_an_earlier_spelling_names_the_new_one(command, earlier, now):
    *words, typed = shlex.split(earlier)
    named = typed if typed.startswith("-") else f"srbench {earlier}"
    for arguments in ([*words, typed], [*words, f"{typed}=x"]) if typed.startswith("-") else ([*words, typed],):
        found = command(*arguments)
        assert (found.code, found.out, len(found.err.splitlines())) == (2, "", 1)
        assert found.err.startswith(f"srbench: {named} is now {now}.")


@pytest.mark.parametrize(("earlier", "now"), RENAMED.items())
def test_an_earlier_spelling_is_gone_and_the_new_one_is_there(earlier, now):
    path, _, typed = earlier.rpartition(" ")
    assert earlier not in COMMANDS
    assert typed not in options(COMMANDS[path]) if path in COMMANDS else True
    if now.startswith("--"):
        assert {word for word in now.split() if word.startswith("-")} <= options(COMMANDS[path]).keys()
    else:
        _, name, *_ = now.split()
        assert name in COMMANDS


def test_a_good_word_beside_a_fault_is_not_called_earlier(command):
    found = command("upscale", "--models", "bicubic")
    assert "is now" not in found.err
    assert "Missing argument" in found.err


def test_one_model_where_one_makes_sense(command):
    for words in (["explore"], ["edit", "restore", "a.png", "--scale", "8"], ["convert", "a.pth", "--preset", "p"]):
        found = command(*words, "--models", "bicubic,rrdb")
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert "'bicubic,rrdb' names several models; give one" in found.err
