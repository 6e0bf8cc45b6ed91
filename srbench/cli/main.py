"""The command line. Whatever loads torch is imported inside the commands, so that help comes at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srbench.cli.data import data
from srbench.cli.measuring import init, measure, merge, run, score, show_report, verify
from srbench.cli.options import names
from srbench.cli.pictures import edit, explore, upscale
from srbench.cli.training import export, train
from srbench.types import SRBenchError

if TYPE_CHECKING:
    from srbench.types import Metric, WeightsInfo


class OneLineErrors(click.Group):
    """A group of commands whose faults are one line on stderr.

    Exit codes: 1 for a fault of the input, 2 for a wrong command line, 130 for an interruption.
    """

    def main(self, *args: Any, **extra: Any) -> Any:  # noqa: ANN401 - click's own signature
        """Run the command that the arguments name, and exit."""
        try:
            code = super().main(*args, **extra | {"standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "srbench"
            _fault(f"{error.format_message()} See {command} --help.")
            sys.exit(2)
        except (SRBenchError, click.ClickException) as error:
            _fault(str(error))
            sys.exit(1)
        except (KeyboardInterrupt, click.Abort):
            _fault("interrupted; finished work is kept, and the same command goes on from there")
            sys.exit(130)
        except BrokenPipeError:
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
    click.echo(f"srbench: {text}", err=True)


@click.group(
    cls=OneLineErrors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="sr-bench", prog_name="srbench")
@click.pass_context
def main(context: click.Context) -> None:
    """Super-resolution tables that can be checked."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (init, run, merge, score, verify, measure):
    main.add_command(_command)
main.add_command(upscale)
main.add_command(edit)
main.add_command(explore)


@main.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--format", "formats", callback=names, metavar="md,html,tex,csv", help="[default: all]")
@click.option("--single-file", is_flag=True, help="Let report.html carry the images: one file below 8 MB, to mail.")
@click.option("--images", type=click.IntRange(min=1), metavar="N", help="With --single-file, carry N images: those on "
              "which the leading models differ most. [default: all that fit]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the report; needed for several runs.")
@click.option("--baseline", metavar="MODEL", help="Plot differences from this row, such as bicubic or srflow-t0.8. "
              "[default: the first]")  # fmt: skip
def report(
    runs: tuple[Path, ...], formats: tuple[str, ...] | None, single_file: bool, images: int | None, out: Path | None,
    baseline: str | None,
) -> None:  # fmt: skip
    """Write the report of a finished or unfinished RUN again, from its folder alone.

    Several runs are put into one table where their protocols agree.
    """
    if images is not None and not single_file:
        raise click.UsageError("--images goes with --single-file.")
    show_report(runs, formats, out, single_file, images, baseline)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--run", type=click.Path(path_type=Path), help="Run whose models A and B are; else A and B are runs.")
def compare(a: str, b: str, run: Path | None) -> None:
    """Compare two models A and B of one run, or the models of two runs A and B, image by image.

    A model that was run at several temperatures is named with one: srflow-t0.8.
    """
    from srbench.console import show
    from srbench.reporting.compare import (
        compare_models,
        compare_runs,
        terminal_table,
        verdict_sentences,
        write_comparison,
    )

    measurements, comparisons = compare_models(run, a, b) if run else compare_runs(Path(a), Path(b))
    for comparison in comparisons:
        path = write_comparison(measurements, comparison)
        show(f"A = {comparison.labels[0]}, B = {comparison.labels[1]}")
        show(terminal_table(comparison))
        show(verdict_sentences(comparison))
        show(str(path))


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="[default: a free one]")
@click.option("--no-browser", is_flag=True, help="Only serve; open the address yourself.")
def view(run: Path, port: int, no_browser: bool) -> None:
    """Open the page of RUN in the browser, with its pictures. Served to this machine only; Ctrl-C ends it."""
    from srbench.reporting.view import view as view_run

    view_run(run, port=port, browser=not no_browser)


main.add_command(train)
main.add_command(export)


@main.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--preset", required=True, metavar="celeba-x8|df2k-x4|df2k-x8", help="Size of the network, or a TOML "
              "file; psnr-x4 for the RRDB that ESRGAN starts from.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Weights file to write, .safetensors.")
@click.option("--as", "model", metavar="rrdb|esrgan", help="Model, where several could have made the checkpoint.")
def convert(checkpoint: Path, preset: str, out: Path, model: str | None) -> None:
    """Turn an official CHECKPOINT of SRFlow, RRDB or ESRGAN into a weights file."""
    from srbench.console import say, show
    from srbench.conversion import convert as convert_checkpoint

    found = convert_checkpoint(checkpoint, preset, out, model)
    say(f"{checkpoint}: {found}, preset {preset}")
    show(f"{out}")


main.add_command(data)


@main.group()
def weights() -> None:
    """The released weights of SRFlow and ESRGAN: list, fetch, add."""


@weights.command("list")
def list_weights() -> None:
    """List the released weights, and which of them are here."""
    from srbench.console import show
    from srbench.weights.table import cached_path, released_weights

    for name, entry in released_weights().items():
        here = "here" if cached_path(name).is_file() else "not here"
        known = f"sha256 {entry.sha256[:12]}" if entry.sha256 else "sha256 unknown"
        facts = f"{entry.file}, addresses: {len(entry.addresses)}, {known}, {entry.licence}"
        show(f"{name:18}  {here:8}  {facts}, trained on {entry.trained_on}")


@weights.command("fetch")
@click.argument("name")
@click.option("--sha256", help="What the file has to have, where you know better than the table.")
def fetch_weights(name: str, sha256: str | None) -> None:
    """Download the released weights NAME, for use as MODEL:NAME."""
    from srbench.console import show
    from srbench.fetch import fetch

    show(f"{fetch(name, sha256)}")


@weights.command("add")
@click.argument("name")
@click.argument("source", metavar="FILE_OR_URL")
@click.option("--sha256", help="What the file has to have, where you know better than the table.")
def add_weights(name: str, source: str, sha256: str | None) -> None:
    """Take the released weights NAME from a file or an address that you know."""
    from srbench.console import show
    from srbench.fetch import add

    show(f"{add(name, source, sha256)}")


@main.command("list")
@click.argument("kind", type=click.Choice(["models", "metrics", "datasets", "suites", "trainers", "converters"]))
def list_command(kind: str) -> None:
    """List what is installed."""
    from srbench.console import show
    from srbench.registry import FAMILIES, describe, registered
    from srbench.suite import read_suite, suite_names

    if kind == "suites":
        for name in suite_names():
            show(f"{read_suite(name).label:16}  {read_suite(name).about}")
        return
    width = max(map(len, registered(kind)), default=0)
    for name in registered(kind):
        try:
            line = describe(kind, name).splitlines()[0]
        except SRBenchError as error:  # a broken plugin must not hide the others
            line = f"broken: {error}"
        show(f"{name:{width}}  {line}")
    for name in registered(FAMILIES) if kind == "metrics" else ():
        show(f"{name}:NAME  {describe(FAMILIES, name).splitlines()[0]}")


@main.command("show")
@click.argument("name")
def show_command(name: str) -> None:
    """Tell what is known of a model, metric, data set or suite."""
    from srbench.console import show
    from srbench.models import SCALES, ready_models
    from srbench.names import unknown
    from srbench.registry import KINDS, describe, load_dataset, load_metric, registered
    from srbench.suite import suite_names

    kinds = [kind for kind in KINDS if name in registered(kind)]
    if not kinds and name not in suite_names():
        every = {known for kind in KINDS for known in registered(kind)}
        raise SRBenchError(unknown("name", name, every | set(suite_names())))
    if name in suite_names():
        _show_suite(name)
    for kind in kinds:
        point = registered(kind)[name]
        show(f"{kind.removesuffix('s')} {name} ({point.value})\n\n{describe(kind, name)}\n")
        if kind == "metrics":
            show(_metric_sentence(load_metric(name)))
        if kind == "datasets":
            show(f"{len(load_dataset(name, SCALES[0]))} pictures")
        if kind == "models":
            for scale, model in ready_models(name).items():
                show(f"x{scale}: {_weights_sentence(model.weights)}")


def _show_suite(name: str) -> None:
    from srbench.console import show
    from srbench.suite import open_metrics, read_suite

    suite = read_suite(name)
    show(f"suite {suite.label}: {suite.about}\n")
    for metric in open_metrics(None, suite.metrics, suite.quantize):
        show(f"{metric.facts.signature}\n{_metric_sentence(metric.metric)}\n")


def _metric_sentence(metric: Metric) -> str:
    direction = "higher" if metric.higher_is_better else "lower"
    unit = f", in {metric.unit}" if metric.unit else ""
    return f"{metric.title}: {direction} is better{unit}. Protocol: {metric.protocol}."


def _weights_sentence(weights: WeightsInfo | None) -> str:
    if weights is None:
        return "no weights needed"
    count = "unknown" if weights.parameters is None else f"{weights.parameters:,}"
    facts = f"{count} parameters, {weights.licence}, trained on {weights.trained_on}"
    return f"{facts}, sha256 {weights.sha256}"


@main.command()
@click.pass_context
def doctor(context: click.Context) -> None:
    """Check the installation; exit 1 where something is missing."""
    from srbench.console import show
    from srbench.doctor import findings

    found = findings()
    for fine, name, value in found:
        show(f"{'ok     ' if fine else 'MISSING'}  {name}: {value}")
    if not all(fine for fine, _, _ in found):
        context.exit(1)
