"""Commands that run, score and verify benchmarks. Imports that load torch are inside them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from srbench.cli import completion, options
from srbench.cli.reporting import (
    end_of_claims,
    folders_of_runs,
    reading,
    report_cell,
    show_outcome,
    show_report,
    written_report,
)
from srbench.interfaces import TEMPERATURE, SRBenchError
from srbench.run_folder.limits import AVERAGES, SAMPLES, SUITE
from srbench.terminal.output import say, show
from srbench.terminal.progress import shown_progress
from srbench.words import number_of

if TYPE_CHECKING:
    from srbench.benchmark.engines import WorkerCount
    from srbench.machine.launchers import Rank


ADVANCED = ("--degrade", "--seed", "--tile", "--workers", "--engine", "--shard", "--again", "--claims")
"""Options of ``run`` that its help lists last."""


def _write_template(context: click.Context, option: click.Parameter, file: Path | None) -> None:
    """Write the template of BENCH.TOML and end the command. Raises SRBenchError for an existing file."""
    if file is None:
        return
    from importlib.resources import files

    from srbench.files.atomic import write_whole

    if file.exists():
        raise SRBenchError(f"{file}: already exists; name another file")
    write_whole(file, (files("srbench.benchmark") / "bench.toml").read_bytes())
    show(f"{file}: edit it, then srbench run {file}")
    context.exit()


def _bench_file(named: Sequence[Path], models: Sequence[str]) -> Path | None:
    """Return the BENCH.TOML that the arguments name, if any.

    Raises click.UsageError for several, and for models, which belong behind those of ``--models``.
    """
    if not named:
        return None
    from srbench.models.names import NETWORKS
    from srbench.plugins.registry import registered

    texts = [text for path in named for text in str(path).split(",")]
    codes = [re.split("[:@+]", text.rpartition("=")[2])[0] for text in texts]
    if all(code in registered("models") or Path(code).suffix in (".py", *NETWORKS) for code in codes):
        raise click.UsageError(
            f"{named[0]} is no BENCH.TOML; to measure models, write --models {','.join([*models, *texts])}."
        )
    if len(named) > 1:
        raise click.UsageError(f"{named[0]} and {named[1]}: give one BENCH.TOML, and separate several names by commas.")
    return named[0]


def _take_rank(workers: WorkerCount) -> Rank:
    """Return the rank that a launcher gave this process, and take the GPU of that number, unless workers take all.

    Raises click.UsageError if no launcher did.
    """
    from srbench.machine.launchers import launched_rank
    from srbench.machine.processes import may_have_gpu

    try:
        rank = launched_rank(os.environ)
    except ValueError as error:
        raise click.UsageError(f"--shard {options.FROM_LAUNCHER}: {error}.") from None
    if workers != "gpus" and may_have_gpu():
        from srbench.benchmark.engines import take_gpu

        take_gpu(rank.on_machine)
    return rank


@click.command(
    cls=options.LongCommand,
    advanced=ADVANCED,
    epilog=options.examples(
        "srbench run --models bicubic,rrdb,esrgan,srflow --scale 8",
        "srbench run --models bicubic,my_net.py:Net --scale 4 --data photographs",
    ),
)
@click.argument("bench", nargs=-1, type=options.PATH, metavar="[BENCH.TOML]")
@options.models(
    help="Models to measure: NAME (srbench list models), NAME:WEIGHTS, LABEL=DIR of precomputed "
    "outputs, FILE.pth, FILE.pt, FILE.onnx, FILE.param, file.py:Name, file.py:Name:CHECKPOINT or package.module:Name. "
    "A quoted pattern of files, 'file.py:Name:net_*.pth', names all checkpoints of a training. Append +8steps for "
    "another number of steps per sample, +bf16 to compute in half precision, +consistent to project outputs onto the "
    "LR image. [required, here or in BENCH.TOML]"
)
@click.option(
    "--scale",
    type=options.SCALES,
    metavar="S,...",
    help=(
        "Upscaling factors; 1 for restoration, such as denoising. [default: from the sizes of --hr and --lr, else "
        "from the models' weights]"
    ),
)
@click.option(
    "--data",
    type=options.data,
    shell_complete=completion.DATASETS,
    metavar="NAME|DIR,...",
    help="Datasets (srbench list datasets), or folders of HR images, from which LR is made. [default: photos]",
)
@click.option(
    "--hr",
    metavar="DIR",
    shell_complete=completion.FILES,
    help="Folder of HR images, paired with --lr by file name, instead of --data.",
)
@click.option(
    "--lr",
    metavar="DIR",
    shell_complete=completion.FILES,
    help="Folder of LR images, instead of --data. Without --hr, metrics that need HR are left out.",
)
@click.option("--limit", type=options.COUNT, metavar="N", help="Use only the first N images. [default: all]")
@click.option(
    "--crop",
    type=options.COUNT,
    metavar="PX",
    help="Use only the central PX x PX pixels of HR. [default: whole images]",
)
@options.names(
    "--degrade",
    metavar="NAME|FILE,...",
    shell_complete=completion.DEGRADATIONS,
    help=(
        "How LR is made from HR (srbench list degradations); NAME+seed=1 takes other random numbers. [default: bicubic]"
    ),
)
@options.names(
    "--suite",
    metavar="NAME|FILE,...",
    shell_complete=completion.SUITES,
    help=f"Protocol: which metrics, computed how (srbench list suites). [default: {SUITE}]",
)
@options.metrics(
    help="Metrics instead of the suite's, which still says how they are computed: NAME (srbench list metrics), "
    "pyiqa:NAME or file.py:Name; fid and kid, beside other metrics, compare all outputs with all HR images. [default: "
    "the suite's]"
)
@options.average
@options.temperatures(
    help="Temperatures of models that sample: 0 gives the smoothest output, 1 the most varied. "
    f"[default: the one stated in each model's weights, else {TEMPERATURE:g}]"
)
@options.samples(help=f"Samples per image, of models that sample. [default: {SAMPLES}]")
@options.seed(help="Random seed: equal seeds give equal samples. [default: 0]")
@options.device(default=None, help="Device to run on; auto takes a GPU if there is one. [default: auto]")
@options.tile()
@click.option(
    "--out",
    metavar="DIR",
    shell_complete=completion.FILES,
    help="Run folder. [default: runs/DATE-MODELS-xSCALE, or runs/DATE-matrix]",
)
@options.workers
@options.engine
@click.option(
    "--shard",
    type=options.shard,
    metavar="I/N|env",
    shell_complete=completion.words(options.FROM_LAUNCHER),
    help="Measure part I of N of the images, with an --out folder for each part; env: the part of this process of "
    "torchrun or srun, in OUT/I-of-N. srbench merge joins the parts. [default: all images]",
)
@options.names(
    "--again",
    shell_complete=completion.LABELS,
    help="Labels of models to run again. [default: sample only what the run folder lacks]",
)
@options.file(
    "--claims",
    help="TOML file of published values; prints below the table which of them are reproduced, and under which protocol "
    "(docs/explain.md). [default: none]",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done, and the disk space it takes at most.")
@click.option(
    "--write-template",
    type=options.PATH,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=_write_template,
    help="Write a BENCH.TOML with all options, to edit, and exit.",
)
def run(
    bench: tuple[Path, ...],
    workers: WorkerCount,
    engine: str | None,
    claims: Path | None,
    dry_run: bool,
    **values: Any,  # noqa: ANN401 - click's
) -> None:
    """Measure models on images and write a report.

    Options come from BENCH.TOML, the command line, or both. If interrupted, rerun the same command
    to resume. A run folder can be extended with more models, temperatures, metrics or images.

    Several datasets, scales, suites or degradations make a run folder for every combination, and one table of them
    all. For a look at folders of outputs, without a run folder, there is srbench measure.
    """
    file = _bench_file(bench, values["models"] or ())
    named = ", ".join(values["models"] or map(str, bench))
    with shown_progress(f"opening {named}" if named else "") as progress:
        from srbench.benchmark.bench_file import requested_runs
        from srbench.benchmark.dataset import same_name_as_a_folder

        rank = _take_rank(workers) if values["shard"] == options.FROM_LAUNCHER else None
        if rank is not None:
            values["shard"] = f"{rank.number + 1}/{rank.world}"
        specs = requested_runs(file, {name: value for name, value in values.items() if value is not None})
        if rank is not None:
            part = values["shard"].replace("/", "-of-")
            specs = [replace(spec, out=str(Path(str(spec.out)) / part)) for spec in specs]
        for data in dict.fromkeys(spec.data for spec in specs):
            if message := same_name_as_a_folder(data):
                say(message)
        published = None
        if claims is not None:
            from srbench.explaining.claims import read_claims

            if len(specs) > 1 or values["shard"] is not None:
                raise click.UsageError("--claims goes with a single run, without --shard.")
            published = read_claims(claims, specs[0].metrics, specs[0].suite)
        if dry_run:
            from srbench.benchmark.estimate import estimate
            from srbench.benchmark.matrix import estimate_matrix

            for line in estimate(specs[0]) if len(specs) == 1 else estimate_matrix(specs):
                show(line)
            return
        if len(specs) == 1:
            from srbench.benchmark.run import run as run_spec

            outcome = run_spec(specs[0], progress, workers, engine)
        else:
            from srbench.benchmark.matrix import run_matrix

            report_finished = partial(report_cell, shard=values["shard"])
            outcome = run_matrix(specs, progress, workers, engine, report_finished)
        written = None
        if outcome.usable and values["shard"] is None:
            written = written_report([outcome.folder], progress, runs_code=True)
        judgement, verdicts = None, []
        if written is not None and published is not None:
            from srbench.reporting.writers.claims import claim_lines, judged_run

            processes = workers if isinstance(workers, int) else None
            judgement = judged_run(published, outcome.folder, progress, processes, specs[0].device)
            verdicts = claim_lines(judgement)
    show_outcome(outcome, written, values["shard"], verdicts, has_protocols=True)
    if judgement is not None:
        end_of_claims(judgement)


@click.command(epilog=options.examples("srbench score runs/mine --metrics niqe,psnr+channels=Y"))
@click.argument("folder", metavar="RUN|DIR", type=options.PATH)
@options.metrics(required=True, help="Metrics to add: NAME (srbench list metrics), pyiqa:NAME or file.py:Name.")
@options.device(
    help="Device of learned metrics, and of models for outputs that were not saved; auto takes a GPU if there is one."
)
@options.workers
@options.engine
def score(folder: Path, metrics: tuple[str, ...], device: str, workers: WorkerCount, engine: str | None) -> None:
    """Add metrics to a run, or to a folder of runs.

    They are measured on the saved images; models run again only for outputs that were not saved.
    """
    with shown_progress(f"reading {folder}") as progress:
        from srbench.benchmark.matrix import score_runs
        from srbench.benchmark.run import score_run
        from srbench.run_folder.location import is_folder_of_runs

        if is_folder_of_runs(folder):
            outcome = score_runs(folder, metrics, device, progress, workers, engine, report_cell)
        else:
            outcome = score_run(folder, metrics, device, progress, workers=workers, engine=engine)
        written = written_report([outcome.folder], progress, runs_code=True) if outcome.usable else None
    show_outcome(outcome, written)


@click.command(epilog=options.examples("srbench verify runs/mine", "srbench verify runs/mine --resample all"))
@click.argument("folder", metavar="RUN|DIR", type=options.PATH)
@click.option(
    "--resample",
    default="0",
    type=options.resampled,
    metavar="K|all",
    shell_complete=completion.words("all"),
    help="Also run the models again, for K items or all, and compare their outputs.",
)
@click.option(
    "--allow-unverified",
    is_flag=True,
    help="Exit with 0 if something could not be verified, as long as nothing is contradicted.",
)
@click.option(
    "--format",
    "form",
    default="text",
    metavar="text|json",
    type=options.Choice(["text", "json"]),
    help="Format of the findings; json lists all of them.",
)
@options.device(help="Device of learned metrics and for --resample; auto takes a GPU if there is one.")
def verify(folder: Path, resample: int | Literal["all"], allow_unverified: bool, form: str, device: str) -> None:
    """Check that a run's files, values and report are genuine.

    Compares records and images with their hashes, the manifest with requests and code, pairs with the dataset, and the
    report with the records, and measures the saved images again. The result is saved in verified.json.

    Of a DIR, all runs below it are checked, then DIR/report, which gets their new verdicts.

    Exit codes: 0 if the run is verified, at least from its files, 1 if anything is contradicted, 3 if something is
    missing or could not be verified.
    docs/verify.md lists all findings.
    """
    import json
    from collections import Counter

    with shown_progress(f"reading {folder}"):
        from srbench.reporting.writers.leaderboard import renew
        from srbench.run_folder.location import is_folder_of_runs, runs_below
        from srbench.run_folder.verified import VERDICTS, read_verified
        from srbench.verification.findings import EXIT_CODES, write_verified
        from srbench.verification.verify import verify as verify_run
        from srbench.verification.verify import verify_leaderboard

        is_folder = is_folder_of_runs(folder)
        runs = runs_below(folder) if is_folder else [folder]
        leaderboard = verify_leaderboard(folder) if is_folder else None  # before the verdicts that it shows change
    checks = []
    damaged = []
    for run_folder in runs:
        try:
            with shown_progress(f"reading {run_folder}") as progress:
                findings = verify_run(run_folder, resample=resample, device=device, progress=progress)
        except SRBenchError as error:
            if not is_folder:
                raise
            damaged.append(str(error))
            continue
        try:
            write_verified(findings)
        except OSError as error:
            say(f"{run_folder}: cannot save verified.json ({error.strerror})")
        if form == "text":
            show(findings.text())
        checks.append(findings)
    if leaderboard is not None and leaderboard.has_report:
        # An earlier check that sampled more stands, and the report shows it.
        verdicts = Counter((read_verified(findings.folder) or findings).verdict for findings in checks)
        counts = [*((verdict, verdicts[verdict]) for verdict in reversed(VERDICTS)), ("damaged", len(damaged))]
        leaderboard.runs = {verdict: count for verdict, count in counts if count}
        if form == "text":
            show(leaderboard.text())
        checks.append(leaderboard)
        if not leaderboard.findings:
            try:
                with shown_progress(f"reading {folder}") as progress:
                    renew(folder, progress)
            except SRBenchError as error:
                say(f"{leaderboard.folder} keeps its earlier verdicts: {error}")
    if form == "json":
        facts = [findings.as_json() for findings in checks]
        show(json.dumps(facts if is_folder else facts[0], indent=1))
    if damaged:
        raise SRBenchError("; ".join(damaged))
    codes = {findings.exit_code for findings in checks}
    if allow_unverified:
        codes.discard(EXIT_CODES["unverified"])
    raise click.exceptions.Exit(min(codes - {0}, default=0))


@click.command(epilog=options.examples("srbench merge runs/part1 runs/part2 --out runs/all"))
@click.argument("folders", metavar="RUN|DIR...", type=options.PATH, nargs=-1, required=True)
@options.folder("--out", help="New folder. [default: runs/DATE-merged]")
def merge(folders: tuple[Path, ...], out: Path | None) -> None:
    """Merge runs of one protocol, such as shards.

    Copies them into a new run folder and writes its report. Of several DIRs, the runs of equal names are merged, such
    as the shards of several datasets.
    """
    from datetime import date

    are_folders = bool(folders_of_runs(folders))
    out = out or Path("runs") / f"{date.today().isoformat()}-merged"
    with shown_progress(reading(folders)) as progress:
        from srbench.reporting.writers.report import write_report
        from srbench.run_folder.merge import merge as merge_runs

        if are_folders:
            from srbench.benchmark.matrix import merge_folders

            for run_folder in merge_folders(folders, out):
                write_report([run_folder])
        else:
            merge_runs(folders, out)
        written = written_report([out], progress)
    show_report(written)


@click.command(
    epilog=options.examples(
        "srbench measure outputs --hr HR --metrics psnr,ssim,lpips",
        "srbench measure esrgan=outputs/gan srflow=outputs/flow --hr HR --format csv",
    )
)
@click.argument("folders", metavar="[LABEL=]DIR...", nargs=-1, required=True, shell_complete=completion.FILES)
@options.folder(
    "--hr",
    help="Folder of HR images, paired by file name; outputs may be called NAMEx4 or NAME_x4. Without it, metrics "
    "that need HR are left out.",
)
@options.folder("--lr", help="Folder of LR images, paired by file name. Without it, metrics that need LR are left out.")
@click.option(
    "--scale",
    type=options.COUNT,
    metavar="S",
    help="Upscaling factor, for protocols that crop borders of that width. [default: from the sizes of --lr]",
)
@options.suite(default=SUITE, help="Protocol: which metrics, computed how (srbench list suites).")
@options.metrics(
    help="Metrics instead of the suite's, which still says how they are computed: NAME (srbench list metrics), "
    "pyiqa:NAME or file.py:Name; fid and kid compare all images of DIR with all of --hr. [default: the suite's, as far "
    "as the given images permit]"
)
@options.file(
    "--claims",
    help="TOML file of published values; prints which of them are reproduced, and under which protocol. "
    "docs/explain.md has an example.",
)
@click.option(
    "--format",
    "form",
    default="table",
    metavar="table|csv|json|md|tex",
    help="Format of the result.",
    type=options.Choice(["table", "csv", "json", "md", "tex"]),
)
@options.average
@options.device(help="Device of learned metrics; auto takes a GPU if there is one.")
@options.measuring_workers(
    help="Worker processes, one thread each. [default: one per core, at most 8 and one per 2 megapixels of outputs; "
    "if a metric runs on a GPU, at most one per 2 GB of its free memory]"
)
@click.pass_context
def measure(
    context: click.Context,
    folders: tuple[str, ...],
    hr: Path | None,
    lr: Path | None,
    scale: int | None,
    suite: str,
    metrics: tuple[str, ...] | None,
    claims: Path | None,
    form: str,
    average: str | None,
    device: str,
    workers: int | None,
) -> None:
    """Measure folders of images, with or without HR images.

    Prints one row per image (with --average groups, one row per group) and the mean; for several DIRs, one row per
    DIR, with intervals and paired tests. Samples of an image are called NAME_sample0.png, NAME_sample1.png and so on.
    Nothing is written; srbench run --models LABEL=DIR keeps what can be published and verified.
    """
    if claims is not None and form not in ("table", "json"):
        raise click.UsageError("--claims is printed with --format table or json.")
    with shown_progress(reading(folders)) as progress:
        from srbench.benchmark.measure import labelled, measure_folders
        from srbench.explaining.claims import judged, measured_row, read_claims
        from srbench.reporting.writers.claims import claim_lines
        from srbench.run_folder.protocol import protocol_line

        by_label = labelled(folders)
        published = None if claims is None else read_claims(claims, metrics, suite)
        measured = measure_folders(
            by_label,
            hr,
            lr,
            names=metrics,
            progress=progress,
            suite=suite,
            workers=workers,
            scale=scale,
            device=device,
            average=average or AVERAGES[0],
        )
        settings = measured.values.settings
        judgement = None
        if published is not None:
            values, images = measured.values, len(measured.values.images[settings[0]])
            rows = {
                setting.label: measured_row(
                    values,
                    setting,
                    measured.metrics[setting],
                    by_label[setting.label],
                    images,
                    len(measured.failures[setting]),
                )
                for setting in settings
            }
            data = {"images": images} | ({} if scale is None else {"scale": scale})
            judgement = judged(published, rows, data, hr, lr, scale, progress, workers, device)
    if form == "json":
        import json

        from srbench.run_folder.records import to_json

        facts = {setting.label: measured.as_json(setting) for setting in settings}
        if judgement:
            for label in facts:
                own = [result for result in judgement.results if result.row in (label, "")]
                facts[label]["claims"] = [result.as_json() for result in own]
        shown = to_json(facts if len(facts) > 1 else facts[settings[0].label])
        show(json.dumps(shown, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        from srbench.reporting.writers.measured import measured_text

        for text in measured_text(measured, form, None if hr is None else hr.resolve().name):
            show(text)
    if form == "table" and measured.metrics[settings[0]]:
        show(protocol_line(measured.suite, measured.metrics[settings[0]], measured.values.units))
    if judgement and form == "table":
        for line in claim_lines(judgement):
            show(line)
    if failures := sum(map(len, measured.failures.values())):
        click.echo(f"srbench: {number_of(failures, 'result')} could not be measured, see above", err=True)
        context.exit(1)
    if judgement is not None:
        end_of_claims(judgement)
