"""The command line. Imports that load torch are inside the commands, so that --help is instant."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from srbench.cli.data import data
from srbench.cli.editing import edit, explore, upscale
from srbench.cli.interruption import INTERRUPTED, twice_at_once
from srbench.cli.listing import list_command, list_weights, show_command
from srbench.cli.measuring import init, measure, merge, reproduce, run, score, show_report, verify
from srbench.cli.options import PUBLISHED, names
from srbench.cli.training import export, train
from srbench.interfaces import SRBenchError
from srbench.system.file_names import printable
from srbench.system.processes import end_quickly


class OneLineErrors(click.Group):
    """A group of commands whose faults are one line on stderr.

    Exit codes: 1 for a fault of the input, 2 for a wrong command line, 130 for an interruption.
    """

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command that the arguments name, and exit."""
        end_quickly()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal of another encoding lacks is written out
                stream.reconfigure(errors="backslashreplace")
        try:
            with twice_at_once():
                code = super().main(*args, **extra | {"standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "srbench"
            _fault(f"{' '.join(error.format_message().split())} See {command} --help.")
            sys.exit(2)
        except (SRBenchError, click.ClickException) as error:
            _fault(str(error))
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            _fault("interrupted; finished work is kept. Rerun the same command to resume.")
            sys.exit(INTERRUPTED)
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
    text = error.strerror or " ".join(str(error).split()) or type(error).__name__
    return text if error.filename is None else f"{error.filename}: {text}"


def _fault(text: str) -> None:
    click.echo(f"srbench: {printable(text)}", err=True)


@click.group(
    cls=OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="sr-bench", prog_name="srbench")
@click.pass_context
def main(context: click.Context) -> None:
    """Reproducible super-resolution benchmarks."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (init, run, merge, score, verify, measure):
    main.add_command(_command)
main.add_command(reproduce)
main.add_command(upscale)
main.add_command(edit)
main.add_command(explore)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--format", "formats", callback=names, metavar="md,html,tex,csv", help="Formats to write. [default: all]")
@click.option("--single-file", is_flag=True, help="Embed the images in report.html: one file below 8 MB, to mail.")
@click.option("--images", type=click.IntRange(min=1), metavar="N", help="With --single-file, embed only the N images "
              "on which the leading models differ most. [default: all that fit]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Output folder. Required for several runs.")
@PUBLISHED
@click.option("--baseline", metavar="MODEL", help="Baseline of the difference plots, such as bicubic or srflow-t0.8. "
              "[default: first row]")  # fmt: skip
def report(
    runs: tuple[Path, ...], formats: tuple[str, ...] | None, single_file: bool, images: int | None, out: Path | None,
    published: bool, baseline: str | None,
) -> None:  # fmt: skip
    """Write the report of RUN again. The run need not be finished.

    Several runs are merged into one table if they share a protocol.
    """
    if images is not None and not single_file:
        raise click.UsageError("--images goes with --single-file.")
    show_report(runs, formats, out, single_file, images, baseline, published=published)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--run", type=click.Path(path_type=Path), help="Run of models A and B. Without it, A and B are runs.")
def compare(a: str, b: str, run: Path | None) -> None:
    """Compare two models of one run, or two runs, image by image.

    Add the temperature to the name of a model that was sampled at several: srflow-t0.8.
    """
    from srbench.reporting.compare import (
        compare_models,
        compare_runs,
        terminal_table,
        verdict_sentences,
        write_comparison,
    )
    from srbench.system.terminal import show

    measurements, comparisons = compare_models(run, a, b) if run else compare_runs(Path(a), Path(b))
    for comparison in comparisons:
        path = write_comparison(measurements, comparison)
        show(f"A = {comparison.labels[0]}, B = {comparison.labels[1]}")
        show(terminal_table(comparison))
        show(verdict_sentences(comparison))
        show(str(path))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="Port to listen on. [default: any free port]")
@click.option("--no-browser", is_flag=True, help="Do not open a browser; only print the address.")
def view(run: Path, port: int, no_browser: bool) -> None:
    """Open the report of RUN in a browser. Served on localhost only; press Ctrl-C to stop."""
    from srbench.reporting.view import view as view_run

    view_run(run, port=port, browser=not no_browser)


main.add_command(train)
main.add_command(export)


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--preset", required=True, metavar="celeba-x8|df2k-x4|df2k-x8", help="Network size, or a TOML "
              "file. psnr-x4 is the RRDB that ESRGAN starts from.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Weights file to write (.safetensors).")
@click.option("--as", "model", metavar="rrdb|esrgan", help="Model, if the checkpoint fits more than one.")
def convert(checkpoint: Path, preset: str, out: Path, model: str | None) -> None:
    """Convert an official CHECKPOINT to a weights file.

    Reads the released checkpoints of SRFlow, RRDB and ESRGAN.
    """
    from srbench.models.convert import convert as convert_checkpoint
    from srbench.system.terminal import say, show

    found = convert_checkpoint(checkpoint, preset, out, model)
    say(f"{checkpoint}: {found}, preset {preset}")
    show(f"{out}")


main.add_command(data)


@main.group()
def weights() -> None:
    """List, download or add released weights."""


weights.add_command(list_weights)


@weights.command("fetch")
@click.argument("name")
@click.option("--sha256", help="Expected SHA-256; overrides the built-in value.")
def fetch_weights(name: str, sha256: str | None) -> None:
    """Download the released weights NAME. Use them as MODEL:NAME."""
    from srbench.models.fetch import fetch
    from srbench.system.terminal import show

    show(f"{fetch(name, sha256)}")


@weights.command("add")
@click.argument("name")
@click.argument("source", metavar="FILE_OR_URL")
@click.option("--sha256", help="Expected SHA-256; overrides the built-in value.")
def add_weights(name: str, source: str, sha256: str | None) -> None:
    """Add the released weights NAME from a file or URL of your own."""
    from srbench.models.fetch import add
    from srbench.system.terminal import show

    show(f"{add(name, source, sha256)}")


main.add_command(list_command)
main.add_command(show_command)


@main.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check the installation. Exit code 1 if something is missing."""
    from srbench.cli.doctor import findings
    from srbench.system.terminal import show

    found = findings()
    for fine, name, value in found:
        show(f"{'ok     ' if fine else 'MISSING'}  {name}: {value}")
    if not all(fine for fine, _, _ in found):
        context.exit(1)
