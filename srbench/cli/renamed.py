"""Earlier spellings of commands and options, and what replaces each: one that is typed is told, not obeyed."""

from __future__ import annotations

from collections.abc import Sequence

import click

RENAMED = {
    "upscale --model": "--models",
    "edit style-transfer --model": "--models",
    "edit content-transfer --model": "--models",
    "edit temperature --model": "--models",
    "edit temperature --temperatures": "--temperature",
    "edit restore --model": "--models",
    "explore --model": "--models",
    "measure --ref": "--hr",
    "explain --ref": "--hr",
    "explain --metric": "--metrics",
    "verify --json": "--format json",
    "convert --as": "--models",
    "export --onnx": "--as onnx --out FILE",
    "reproduce --from": "srbench reproduce NAME SOURCE",
    "weights list": "srbench list weights",
    "data list": "srbench list datasets",
    "data prepare OUT": "--out OUT",
    "list trainers": "srbench list presets",
    "list converters": "srbench list weights",
}
"""The option or command that replaces each command with an option or a word."""


def replacement(error: click.UsageError, words: Sequence[str]) -> str | None:
    """A sentence for a command line that was refused because it uses an earlier spelling; None for any other."""
    command = error.ctx.command_path.partition(" ")[2] if error.ctx else ""
    surplus = ["OUT"] if "unexpected extra argument" in error.message else []
    for word in [*words, *surplus]:
        typed = word.partition("=")[0]
        if now := RENAMED.get(f"{command} {typed}"):
            earlier = typed if typed.startswith("-") else f"srbench {command} {typed}"
            return f"{earlier} is now {now}."
    return None
