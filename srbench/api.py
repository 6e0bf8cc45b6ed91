"""The Python API: evaluate models, read the results, write the report, verify it."""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from torch import nn

from srbench.benchmark.bench_file import agreed_scale
from srbench.benchmark.checkpoints import stated_scale
from srbench.benchmark.dataset import open_dataset
from srbench.benchmark.opened import open_request
from srbench.benchmark.run import run, score_run
from srbench.data.datasets import scale_of_folders
from srbench.files.config import structure
from srbench.files.paths import occupied
from srbench.interfaces import Dataset, SRBenchError
from srbench.metrics.suite import read_suite
from srbench.models import LoadedModel
from srbench.models.inference import choose_device
from srbench.models.loading import load_model as load_by_name
from srbench.models.names import ModelSpec, require_label
from srbench.models.wrapped import move
from srbench.reporting.results import Runs, read_run
from srbench.reporting.tables.table import table_of_runs
from srbench.run_folder.limits import SAMPLES, SUITE
from srbench.run_folder.request import IMAGES, PHOTOS, RunSpec
from srbench.run_folder.values import COLUMNS
from srbench.terminal.progress import Progress, progress_of
from srbench.verification.findings import Findings
from srbench.verification.verify import verify as verify_run

if TYPE_CHECKING:
    import pandas as pd


P = ParamSpec("P")
R = TypeVar("R")


class EvaluationError(SRBenchError):
    """Raised for models or folders that cannot be evaluated."""


_OPTION = re.compile(r"(srbench [a-z]+ [^;,]*)|(?<![^\s(])--([a-z]+)(?: ([0-9]+|[A-Z]\S*|auto|cpu|groups)\b)?")
"""A command, or an option with its value, in a message."""


def _without_our_frames(function: Callable[P, R]) -> Callable[P, R]:
    """Raise the SRBenchErrors of a function without the frames in srbench: their one line says what is wrong.

    Options in it become arguments, which have the same names: ``--scale 4`` is ``scale=4``. The traceback of an
    exception in the user's own code, which caused the error, is kept.
    """

    def argument(found: re.Match[str]) -> str:
        command, option, value = found.groups()
        shown = f'"{value}"' if value and value.islower() else value
        return command or (f"{option}={shown}" if value else option)

    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except SRBenchError as error:
            error.args = (_OPTION.sub(argument, str(error)),)
            raise error.with_traceback(None) from error.__cause__

    return call


class Results(Runs):
    """Results of a run folder, returned by ``evaluate`` or opened with ``Results(folder)``.

    Examples:
        >>> results = evaluate(["bicubic"], "photos", scale=8, limit=1, metrics=["psnr"])
        >>> results.table.reset_index().to_dict("records")  # doctest: +ELLIPSIS
        [{'model': 'bicubic', 'temperature': nan, 'psnr': 22.58, ...}]
    """

    def __init__(
        self, folder: str | Path, failures: Sequence[str] = (), models: Mapping[str, LoadedModel] | None = None
    ) -> None:
        """Read a run folder. Raises SRBenchError if it is no run, is damaged or has no results."""
        self.folder = Path(folder)
        self.failures = tuple(failures)
        """One line per image or value that could not be read, sampled or measured."""
        self._opened = models or {}
        self._temporary: TemporaryDirectory[str] | None = None
        super().__init__([read_run(self.folder)])

    @property
    def table(self) -> pd.DataFrame:
        """One row per model and temperature: means over images, rounded as in the report, and their number ``n``.

        If the run averages over groups, means are over groups, and ``n`` is the number of groups. Means leave out
        non-finite values; ``intervals`` counts them. FID and KID, if measured, come last.
        """
        digits, means = {metric.name: metric.digits for metric in self.metrics}, self.intervals
        return means[[name for name in means if name == "n" or name in digits]].round(digits)

    @property
    def intervals(self) -> pd.DataFrame:
        """The unrounded table with 95 % intervals, in columns such as ``psnr_low`` and ``psnr_high``.

        ``not_finite`` counts the images with a non-finite value. Fewer than six images, or groups, give no interval.
        """
        import pandas as pd

        tested = [f"{each.name}{end}" for each in self.metrics if each.permits_test for end in ("", "_low", "_high")]
        others = [each.name for each in self.metrics if not each.permits_test]
        rows = [
            {"model": line.setting.model, "temperature": line.setting.temperature}
            | {name: line.numbers[name] for name in tested}
            | {"n": line.n, "not_finite": line.not_finite}
            | {name: line.numbers[name] for name in others}
            for line in table_of_runs(self).lines
        ]
        return pd.DataFrame(rows).astype({"temperature": float}).set_index(["model", "temperature"])

    @property
    def pairs(self) -> pd.DataFrame:
        """Every two models that a report compares, in every metric with a direction: a row per metric and pair.

        Columns: ``metric``, the names ``row`` and ``other`` as ``compare`` takes them, the mean ``difference`` (row
        minus other) with the 95 % interval ``low`` to ``high`` of these two alone, ``p``, adjusted for all pairs of
        models, and the number ``n`` of images, or of groups, that all models share.
        """
        import pandas as pd

        from srbench.reporting.tables.csv import PAIRS, pair_lines

        return pd.DataFrame(list(pair_lines(table_of_runs(self))), columns=PAIRS)

    @property
    def agreement(self) -> pd.DataFrame:
        """How often every metric orders two outputs of an image as people do: by votes, and by each column of ratings.

        Columns: ``people`` (``votes`` or the title of the ratings), ``metric``, the ``share`` of pairs, mean over
        images, with its 95 % interval ``low`` to ``high``, numbers of ``pairs`` and of ``units`` (images or groups),
        and the ``correlation`` of ranks: Kendall's of mean values and votes, Spearman's of all rated outputs.
        """
        import pandas as pd

        from srbench.reporting.sections.people import agreements_of, votes_of

        columns = ("share", "low", "high", "pairs", "units", "correlation")
        rows = [
            [agreements.people, row.metric.name, *(getattr(row, name) for name in columns)]
            for agreements in agreements_of(table_of_runs(self), votes_of(self))
            for row in agreements.rows
        ]
        return pd.DataFrame(rows, columns=["people", "metric", *columns])

    @property
    def rows(self) -> pd.DataFrame:
        """Every value, in columns model, temperature, image, sample, metric and value.

        ``sample`` is -1 for metrics that give one value for all samples of an image. FID and KID have the image "" and
        the sample -1.
        """
        import pandas as pd

        numbers = self.values.numbers(self.metrics)
        return pd.DataFrame(numbers, columns=COLUMNS).astype({"temperature": float, "value": float})

    @_without_our_frames
    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Compare two models image by image (``a`` minus ``b``), with one row per metric.

        Args:
            a: Label of a model, with its temperature if it was run at several: ``srflow-t0.8``.
            b: Label of another model, or of the same model at another temperature.

        Returns:
            Columns: the means ``a`` and ``b``, their ``difference`` with its 95 % interval ``low`` to ``high``, ``p``
            of the paired sign-flip test (reports adjust p for all pairs of their models), ``wins``, ``ties`` and
            ``losses`` of a, and the ``verdict``: a, b, "undecided" or, for a metric that permits none, "". All of them
            are over groups if the run averages over groups.

        Raises:
            ReportError: A label is unknown or ambiguous.
        """
        import pandas as pd

        from srbench.reporting.writers.compare import compare_models

        comparison = compare_models(self, a, b)
        rows = [
            {
                "metric": difference.metric.name,
                "a": difference.mean_a,
                "b": difference.mean_b,
                "difference": difference.mean,
            }
            | {name: getattr(difference, name) for name in ("low", "high", "p")}
            | dict(zip(("wins", "ties", "losses"), difference.outcomes, strict=True))
            | {"verdict": comparison.verdict(difference)}
            for difference in comparison.differences
        ]
        return pd.DataFrame(rows).set_index("metric")

    @_without_our_frames
    def report(
        self,
        folder: str | Path | None = None,
        formats: Sequence[str] = ("md", "html", "tex", "csv"),
        *,
        progress: Progress | bool = True,
    ) -> Path:
        """Write the report into the run folder, or into a copy of the whole run.

        Args:
            folder: New or empty folder. The run is copied there first, and can be resumed and verified there.
            formats: Any of md, html, tex and csv.
            progress: As in ``evaluate``.

        Returns:
            Path of the first file of the report, such as ``report.md``.

        Raises:
            EvaluationError: The folder is not empty.
            ReportError: A format is unknown, or none is given.
        """
        from srbench.reporting.writers.report import write_report

        target = self.folder if folder is None else Path(folder)
        if target.resolve() != self.folder.resolve():
            if occupied(target):
                raise EvaluationError(f"{target}: already exists; choose another folder")
            ignored = shutil.ignore_patterns(".lock", ".report.*")
            shutil.copytree(self.folder, target, dirs_exist_ok=True, ignore=ignored)
        with progress_of(progress) as shown:
            return write_report([target], tuple(formats), progress=shown).files[0]

    @_without_our_frames
    def score(self, *metrics: str, device: str = "auto", progress: Progress | bool = True, workers: int = 1) -> Results:
        """Add metrics, measured on the saved images; models run only for outputs that were not saved.

        Args:
            *metrics: Names as on the command line: ``ssim``, ``psnr+channels=Y``, ``pyiqa:gmsd``, ``file.py:Name``.
            device: As in ``evaluate``.
            progress: As in ``evaluate``.
            workers: As in ``evaluate``.

        Returns:
            Results with the new columns.

        Raises:
            SRBenchError: A metric is unknown.
        """
        with progress_of(progress) as shown:
            outcome = score_run(self.folder, metrics, device, shown, self._opened_on(device), workers)
        results = Results(self.folder, outcome.failures, self._opened)
        results._temporary = self._temporary
        return results

    def verify(
        self, *, resample: int | Literal["all"] = 0, device: str = "auto", progress: Progress | bool = True
    ) -> Findings:
        """Check records, images and report, and measure all saved images again: ``srbench verify`` from Python.

        Args:
            resample: Number of items to sample again, or "all".
            device: As in ``evaluate``.
            progress: As in ``evaluate``.

        Returns:
            Findings. ``verdict`` is the conclusion; ``text()`` and ``findings`` give the reasons. After
            ``resample="all"``, ``proven`` is True if every value was reproduced from its images, and every image from
            its model.
        """
        with progress_of(progress) as shown:
            opened = self._opened_on(device)
            return verify_run(self.folder, resample=resample, device=device, progress=shown, models=opened)

    def _opened_on(self, device: str) -> Mapping[str, LoadedModel]:
        """Return the models of ``evaluate``, moved to a device, which may be another than that of ``evaluate``."""
        for opened in self._opened.values():
            move(opened.model, choose_device(device))
        return self._opened

    def __repr__(self) -> str:
        lines = [setting.label for setting in self.manifest.settings]
        return f"Results({str(self.folder)!r}: {', '.join(lines)}; {self.manifest.extent})"

    def _repr_html_(self) -> str:
        """Show the summary, the table, a strip of the first image and the path in a notebook."""
        from srbench.reporting.writers.notebook import notebook_html

        return notebook_html(self, len(self.failures), temporary=self._temporary is not None)


@_without_our_frames
def evaluate(
    models: object,
    data: str | Path | Dataset | None = None,
    *,
    hr: str | Path | None = None,
    lr: str | Path | None = None,
    scale: int | None = None,
    temperature: float | Iterable[float] | None = None,
    samples: int | None = None,
    seed: int = 0,
    suite: str = SUITE,
    metrics: str | Iterable[str] | None = None,
    average: str = IMAGES,
    limit: int | None = None,
    crop: int | None = None,
    degrade: str | None = None,
    tile: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    progress: Progress | bool = True,
    workers: int = 1,
) -> Results:
    """Measure models on a dataset: ``srbench run`` from Python.

    Args:
        models: A model, a list of models, or a dictionary from labels to models. A model is a name as on the command
            line, any callable or ``nn.Module`` that maps (n, 3, h, w) in [0, 1] to (n, 3, s*h, s*w), or an object with
            ``sample`` (``srbench.interfaces``).
        data: Name of a dataset, folder of HR images, or ``srbench.interfaces.Dataset``; by default the packaged
            photographs, unless ``lr`` is given.
        hr: Folder of HR images, paired with ``lr`` by name, instead of ``data``. LR images may be called NAMEx4 or
            NAME_x4.
        lr: Folder of LR images, instead of ``data``. Without ``hr``, metrics that need HR are left out.
        scale: Upscaling factor; by default computed from the sizes of ``hr`` and ``lr``, else stated by the models.
        temperature: One or several temperatures, for models that sample; by default the temperature that is stated in
            each model's weights, else 0.8.
        samples: Samples per image, for models that sample; by default the number that the suite states, else 5.
        seed: Seed of all samples.
        suite: Name of a suite, or its TOML file.
        metrics: Names of metrics, instead of those of the suite.
        average: What means, intervals and tests are over: "images", or "groups", whose images are averaged first.
        limit: Use only the first ``limit`` images.
        crop: Use only the central ``crop`` x ``crop`` pixels of HR.
        degrade: Name of the degradation that makes LR from HR; by default MATLAB's bicubic.
        tile: Upscale in tiles of ``tile`` x ``tile`` LR pixels; by default whole images.
        device: cpu, cuda or mps; "auto" takes a GPU if there is one.
        out: Run folder; an existing run is resumed. By default a temporary folder, deleted with the results.
        progress: True for a bar in a terminal or notebook, False for none, or a function that is called with a
            ``srbench.terminal.progress.Step`` before every item.
        workers: Number of worker processes. Each has one thread, because the last bit of an output may depend on the
            number of threads. They must be able to import your models and datasets, and a script must call this
            function under ``if __name__ == "__main__"``.

    Returns:
        Results, whose ``failures`` name images and values that failed.

    Raises:
        SRBenchError: An argument is invalid, or nothing can be measured.

    Examples:
        >>> import torch
        >>> def nearest(lr):
        ...     return torch.nn.functional.interpolate(lr, scale_factor=8)
        >>> results = evaluate({"nearest": nearest}, "photos", scale=8, limit=1, metrics=["psnr"])
        >>> float(results.table["psnr"].iloc[0])
        21.64
    """
    if not isinstance(scale, int | None):
        raise EvaluationError(f"scale is {scale!r}; give the upscaling factor as an int, such as 4")
    if data is not None and (hr is not None or lr is not None):
        raise EvaluationError("data is given together with hr or lr; give either data, or hr and lr, or lr alone")
    if hr is not None and lr is None:
        raise EvaluationError("hr is given without lr; give both, or name the folder of HR images as data")
    data = PHOTOS if data is None and lr is None else data
    named = _named(models)
    if scale is None and hr is not None and lr is not None:
        scale = scale_of_folders(Path(hr), Path(lr))
    if scale is None:
        stated = {
            text: stated_scale(model) if isinstance(model, str) else _scale_of_object(model) for text, _, model in named
        }
        scale = agreed_scale(stated, "evaluate", "scale=4")
    temporary = TemporaryDirectory(prefix="srbench-") if out is None else None
    options = dict(
        models=tuple(text for text, _, _ in named),
        scale=scale,
        data=str(data) if isinstance(data, str | Path) else None,
        hr=None if hr is None else str(hr),
        lr=None if lr is None else str(lr),
        limit=limit,
        crop=crop,
        degrade=degrade,
        suite=suite,
        metrics=(metrics,) if isinstance(metrics, str) else None if metrics is None else tuple(metrics),
        average=average,
        temperature=None if temperature is None else _floats(temperature),
        samples=read_suite(suite).samples or SAMPLES if samples is None else samples,
        seed=seed,
        device=device,
        tile=tile,
        out=str(Path(temporary.name) / "run" if temporary else out),
    )
    spec = structure(options, RunSpec, "evaluate")
    objects = {text: (label, model) for text, label, model in named if not isinstance(model, str)}
    dataset = None if isinstance(data, str | Path) else data
    request = open_request(spec, open_dataset(spec, dataset), objects)
    new = [label for label, loaded in request.loaded_models.items() if not loaded.is_identified]
    if out is not None and new:
        warnings.warn(
            f"outputs of {', '.join(new)} are made again in every call, because changes of a function, of code without "
            "a file, or of an object that cannot be pickled cannot be detected; add a method digest() to keep them",
            stacklevel=3,  # the caller of the wrapped function
        )
    call = _call(spec, data) if objects or dataset is not None else None
    with progress_of(progress) as shown:
        outcome = run(request, shown, workers, command=call)
    if not outcome.usable:
        raise EvaluationError(f"nothing could be measured: {'; '.join(outcome.failures) or 'there are no images'}")
    results = Results(outcome.folder, outcome.failures, request.loaded_models)
    results._temporary = temporary
    return results


@_without_our_frames
def load_model(name: str, scale: int | None = None, device: str = "auto", *, weights: str | Path | None = None) -> Any:  # noqa: ANN401 - a model of any kind
    """Load a model, ready to run, by the name that the command line takes.

    Args:
        name: Name such as ``esrgan``, ``srflow:FILE.pth`` or ``file.py:Name``.
        scale: Upscaling factor; optional if the model states it.
        device: cpu, cuda or mps; "auto" takes a GPU if there is one.
        weights: Checkpoint of the model: ``load_model("net.py:Net", weights="net.pth")`` loads ``net.py:Net:net.pth``.

    Returns:
        A callable that maps (n, 3, h, w) in [0, 1] to (n, 3, s*h, s*w), or, for a model that samples, an object with
        ``sample(lr, n, *, temperature, generator)``.

    Raises:
        SRBenchError: The name is unknown, the weights do not fit, or no scale is known.

    Examples:
        >>> import torch
        >>> load_model("bicubic", scale=4)(torch.zeros(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])
    """
    text = name if weights is None else f"{name}:{weights}"
    scale = agreed_scale({text: ModelSpec.parse(text).scale()}, "load_model", "scale=4") if scale is None else scale
    return load_by_name(text, scale, choose_device(device)).model


def _named(models: object) -> list[tuple[str, str | None, object]]:
    """Return (name for the command line, label or None, model) for each of the models."""
    labelled: list[tuple[str | None, object]] = [(None, models)]
    if isinstance(models, Mapping):
        labelled = list(models.items())
    elif isinstance(models, Sequence) and not isinstance(models, str | nn.Module):
        labelled = [(None, model) for model in models]
    if not labelled:
        raise EvaluationError("no models; name at least one")
    named = []
    for label, model in labelled:
        name = model if isinstance(model, str) else getattr(model, "__qualname__", type(model).__qualname__)
        text = str(name) if label is None else f"{label}={name}"
        if label is not None and isinstance(model, str):
            require_label(str(label), text)
        named.append((text, label, model))
    return named


def _floats(values: float | Iterable[float]) -> tuple[float, ...]:
    return tuple(map(float, values if isinstance(values, Iterable) else (values,)))


def _scale_of_object(model: object) -> int | None:
    scale = getattr(model, "scale", None)
    return scale if type(scale) is int else None


def _call(spec: RunSpec, data: str | Path | Dataset | None) -> str:
    """Return the source text of the call, recorded if the run uses objects that no command line can name."""
    default = RunSpec(models=(), scale=0, data=None)
    words = [repr(list(spec.models))]
    if data is not None:
        text = repr(str(data)) if isinstance(data, str | Path) else f"<{type(data).__qualname__} {data.name}>"
        words.append(text)
    for name, value in asdict(replace(spec, models=(), data=None)).items():
        if value != getattr(default, name):
            words.append(f"{name}={list(value) if isinstance(value, tuple) else value!r}")
    return f"srbench.evaluate({', '.join(words)})"
