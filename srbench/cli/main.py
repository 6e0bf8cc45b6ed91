"""The command line. A command is imported when it is used, so that --help is instant."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import click

import srbench
from srbench.cli.interruption import twice_at_once
from srbench.machine.memory import out_of_memory, shortage
from srbench.machine.processes import Interrupted, collect_seldom, keep_freed_memory, wait_briefly
from srbench.words import one_line, printable

SECTIONS = {
    "Benchmark": {
        "run": ("measuring:run", "Measure models on images and write a report."),
        "merge": ("measuring:merge", "Merge runs of one protocol, such as shards."),
        "score": ("measuring:score", "Add metrics to a run, or to a folder of runs."),
        "verify": ("measuring:verify", "Check that a run's files, values and report are genuine."),
        "measure": ("measuring:measure", "Measure folders of images, with or without HR images."),
        "explain": ("explaining:explain", "Find the protocol behind a published number."),
    },
    "Results": {
        "report": ("reporting:report", "Write the report of one or several runs, or of a folder of runs."),
        "figure": ("drawing:figure", "Make a figure for a paper."),
        "compare": ("reporting:compare", "Compare two models or two runs, image by image."),
        "view": ("reporting:view", "Open the report of a run, or of a folder of runs, in a browser."),
        "vote": ("voting:vote", "Ask people which outputs they prefer."),
        "list": ("listing:list_command", "List models, metrics, datasets, suites, or your runs."),
        "show": ("listing:show_command", "Describe a model, metric, dataset or suite, or a run."),
    },
    "Your images": {
        "upscale": ("editing:upscale", "Upscale your own images."),
        "edit": ("editing:edit", "Edit your own image in a model's latent space."),
        "explore": ("editing:explore", "Upscale a part of an image in a browser."),
    },
    "Train": {
        "train": ("training:train", "Train a model on folders of images."),
        "export": ("exporting:export", "Export trained weights, or a model as ONNX."),
        "convert": ("weights:convert", "Convert an official checkpoint to a weights file."),
    },
    "Files": {
        "data": ("data:data", "Fetch benchmark sets, degrade images."),
        "weights": ("weights:weights", "Fetch or add weights released by authors of models."),
        "doctor": ("doctor:doctor", "Check the installation."),
    },
}
"""Commands by section of the help: where in srbench.cli each is, imported when it is used, and its short help."""


KEEPING = ("run", "score", "train", "upscale", "data", "weights")
"""Commands that keep finished work if interrupted."""


class Commands(Mapping[str, click.Command]):
    """The commands of SECTIONS by name; a lookup imports the command."""

    _targets: ClassVar = {name: target for commands in SECTIONS.values() for name, (target, _) in commands.items()}

    def __getitem__(self, name: str) -> click.Command:
        module, _, attribute = self._targets[name].partition(":")
        command: click.Command = getattr(import_module(f"srbench.cli.{module}"), attribute)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._targets)

    def __len__(self) -> int:
        return len(self._targets)


class CommandLine(click.Group):
    """The group of all commands: its help has sections, and an error is one line on stderr.

    Exit codes: 1 for unusable input, 2 for a wrong command line, 130 after Ctrl-C, 143 after SIGTERM,
    129 after SIGHUP.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List only the commands; the epilog names the two options, so the help fits on one screen."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:9}", text) for name, (_, text) in commands.items()])

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:  # noqa: ANN401
        """Refuse arguments that are not UTF-8: records and reports, which are UTF-8, could not contain them."""
        for text in args:
            if text.encode(errors="ignore").decode() != text:
                raise srbench.SRBenchError(
                    f"{text} is not UTF-8, so records cannot contain it; rename the file or folder"
                )
        return super().make_context(info_name, args, *more, **extra)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's own
        """Run the command that the arguments name, and exit."""
        started = time.time()
        wait_briefly()
        keep_freed_memory()
        collect_seldom()
        warnings.showwarning = _showing_once()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # escape characters that the terminal's encoding lacks
                stream.reconfigure(errors="backslashreplace")
        if "_SRBENCH_COMPLETE" in os.environ:
            import_module("srbench.cli.completion")  # srbench's own completion in fish
        command = [*(sys.argv[1:] if args is None else args), ""][0]
        keeps = command in KEEPING
        try:
            with twice_at_once():
                code = super().main(args, *more, **extra | {"standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:  # srbench, srbench edit: a group without a command
            click.echo(error.format_message())
            sys.exit(0)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else "srbench"
            _fail(f"{one_line(error.format_message())} See {path} --help.", 2)
        except (srbench.SRBenchError, click.ClickException) as error:
            from srbench.benchmark import RequestError

            if isinstance(error, RequestError):
                _fail(f"{error}. See srbench {command} --help.", 2)
            _fail(str(error), 1)
        except (KeyboardInterrupt, click.Abort) as error:
            # click turns KeyboardInterrupt into Abort
            cause = error.__cause__ if isinstance(error, click.Abort) else error
            saved = str(cause or "") or ("finished work is kept" if keeps else "")
            remark = f"; {saved}. Rerun the same command to resume." if saved else ""
            _fail(f"interrupted{remark}", cause.code if isinstance(cause, Interrupted) else 128 + signal.SIGINT)
        except BrokenPipeError:
            sys.exit(1)
        except OSError as error:
            text = error.strerror or one_line(error)  # many libraries raise an OSError with only a message
            place = "" if error.filename is None else f"{error.filename}: "
            _fail(f"{place}{text}{'; finished work is kept' if keeps else ''}", 1)
        except Exception as error:
            if out_of_memory(error):
                kept = "; finished work is kept" if keeps else ""
                remedy = "ask for fewer or smaller images or, where there are, smaller tiles (--tile)"
                _fail(f"{shortage(error)}{kept}; {remedy}, or use another --device", 1)
            if not _installed_since(started):
                raise
            kept = "; finished work is kept. Rerun the same command to resume." if keeps else "; run it again"
            reason = f"{type(error).__name__}: {one_line(error)}"
            _fail(f"the installed packages changed during this command ({reason}){kept}", 1)
        sys.exit(code if isinstance(code, int) else 0)


def _installed_since(moment: float) -> bool:
    """Return whether a package was installed, removed or replaced after a moment, in seconds since the epoch."""
    folders = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return any(folder.stat().st_mtime > moment for folder in folders if folder.is_dir())


def _fail(text: str, code: int) -> NoReturn:
    with suppress(OSError):  # the terminal may be gone
        click.echo(f"srbench: {printable(text)}", err=True)
    sys.exit(code)


def _showing_once() -> Callable[..., None]:
    """Return a function that shows warnings as lines on stderr, without their source lines and each text once.

    Several processes, and several parts of a command, may open the same folder.
    """
    shown: set[str] = set()

    def show_warning(message: Warning | str, *_: object, **__: object) -> None:
        from srbench.terminal.output import say

        text = one_line(message)
        if text not in shown:
            shown.add(text)
            say(f"warning: {text}")

    return show_warning


@click.group(
    cls=CommandLine,
    commands=Commands(),
    subcommand_metavar="COMMAND ...",
    epilog="srbench COMMAND --help shows options and examples, --version the version.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.version_option(package_name="sr-bench", prog_name="srbench")
def main() -> None:
    """Reproducible super-resolution benchmarks."""
