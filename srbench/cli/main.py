"""The command line. Imports that load torch are inside the commands, so that --help is instant."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

import click

from srbench.cli.data import data
from srbench.cli.editing import edit, explore, upscale
from srbench.cli.explaining import explain
from srbench.cli.exporting import export
from srbench.cli.index import index
from srbench.cli.interruption import INTERRUPTED, twice_at_once
from srbench.cli.listing import doctor, list_command
from srbench.cli.measuring import init, measure, merge, run, score, verify
from srbench.cli.reporting import compare, report, view
from srbench.cli.showing import show_command
from srbench.cli.terminal import warn_in_one_line
from srbench.cli.training import train
from srbench.cli.voting import vote
from srbench.cli.weights import convert, weights
from srbench.interfaces import SRBenchError
from srbench.machine.processes import Interrupted, end_quickly
from srbench.words import one_line, printable

SECTIONS = {
    "Benchmark": (init, run, merge, score, verify, measure, explain),
    "Results": (report, compare, view, vote, index, list_command, show_command),
    "Your images": (upscale, edit, explore),
    "Train": (train, export, convert),
    "Files": (data, weights, doctor),
}
"""Commands as the help lists them."""


class CommandLine(click.Group):
    """The group of all commands: lists them in sections, and tells of a fault in one line on stderr.

    Exit codes: 1 for a fault of the input, 2 for a wrong command line, 130 for an interruption (143 by SIGTERM).
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands alone; the epilogue names the two options, so that all fits on one screen."""
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{one.name:9}", one.get_short_help_str(80)) for one in commands])

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:  # noqa: ANN401
        """Refuse what is not UTF-8, as records, reports and links are."""
        for text in args:
            if text.encode(errors="ignore").decode() != text:
                raise SRBenchError(f"{text} is not UTF-8, as names in records are; rename the file or folder")
        return super().make_context(info_name, args, *more, **extra)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's own
        """Run the command that the arguments name, and exit."""
        end_quickly()
        warn_in_one_line()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal of another encoding lacks is written out
                stream.reconfigure(errors="backslashreplace")
        try:
            with twice_at_once():
                code = super().main(args, *more, **extra | {"standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "srbench"
            _fault(f"{one_line(error.format_message())} See {command} --help.")
            sys.exit(2)
        except (SRBenchError, click.ClickException) as error:
            _fault(str(error))
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort) as error:
            stopped = error if isinstance(error, Interrupted) else error.__cause__  # click turns one into the other
            kept = stopped if isinstance(stopped, Interrupted) else "finished work is kept"
            _fault(f"interrupted; {kept}. Rerun the same command to resume.")
            sys.exit(stopped.code if isinstance(stopped, Interrupted) else INTERRUPTED)
        except BrokenPipeError:
            sys.exit(1)
        except MemoryError as error:
            _fault(f"too little memory ({error or 'none was left'}); ask for fewer or smaller images")
            sys.exit(1)
        except OSError as error:
            _fault(f"{_sentence(error)}; finished work is kept")
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: OSError) -> str:
    """Many libraries raise an OSError that has no number and no file but a text."""
    text = error.strerror or one_line(error)
    return text if error.filename is None else f"{error.filename}: {text}"


def _fault(text: str) -> None:
    click.echo(f"srbench: {printable(text)}", err=True)


@click.group(
    cls=CommandLine,
    invoke_without_command=True,
    subcommand_metavar="COMMAND ...",
    epilog="srbench COMMAND --help shows its options, --version the version.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110, "show_default": True},
)
@click.version_option(package_name="sr-bench", prog_name="srbench")
@click.pass_context
def main(context: click.Context) -> None:
    """Reproducible super-resolution benchmarks."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (one for commands in SECTIONS.values() for one in commands):
    main.add_command(_command)
