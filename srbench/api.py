"""srbench from Python: evaluate models, look at the results, write the report, prove it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import nn

from srbench.benchmark.request import Bench, RunSpec, add_model, checked, open_dataset
from srbench.benchmark.run import run_bench, score_run
from srbench.benchmark.verify import Findings
from srbench.benchmark.verify import verify as verify_run
from srbench.interfaces import Dataset, Progress, SRBenchError, silent
from srbench.metrics.suite import DEFAULT, open_metrics, read_suite
from srbench.models.inference import choose_device
from srbench.models.loading import LoadedModel, wrap_model
from srbench.models.loading import load_model as load_by_name
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest, setting_label
from srbench.run_folder.results import ResultTable, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from srbench.reporting.compare import Comparison


class EvaluationError(SRBenchError):
    """Models or a folder that nothing can be evaluated with."""


class Results:
    """A run folder that can be looked at: what ``evaluate`` returns, and ``Results(folder)`` opens again.

    >>> results = evaluate(["bicubic"], "photos", scale=8, limit=1, metrics=["psnr"])
    >>> results.table.round(2).reset_index().to_dict("records")  # doctest: +ELLIPSIS
    [{'model': 'bicubic', 'temperature': nan, 'psnr': 22.58, ...}]
    """

    def __init__(
        self, folder: str | Path, failures: Sequence[str] = (), models: Mapping[str, LoadedModel] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.failures = tuple(failures)
        """One line for everything that could not be read, sampled or measured."""
        self._run = RunFolder.read(self.folder)
        self._models = models or {}
        self._temporary: TemporaryDirectory[str] | None = None

    @property
    def manifest(self) -> Manifest:
        """Protocol, models, metrics and machines behind the values."""
        return self._run.manifest

    @property
    def table(self) -> pd.DataFrame:
        """One line per model and temperature: means over images, 95 % intervals, number of images ``n``."""
        return self._values().summary()

    @property
    def rows(self) -> pd.DataFrame:
        """Every value: columns model, temperature, image, sample (-1 for a value of the set), metric, value."""
        return self._values().values

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """Model ``a`` minus model ``b``, image by image: a line per metric.

        A model that was run at several temperatures is named with one: ``srflow-t0.8``. Columns: the means ``a`` and
        ``b``, their ``difference`` with its 95 % interval ``low`` to ``high``, ``p`` of the paired permutation test,
        ``p_holm`` corrected for all pairs of rows of the table, ``effect`` and the ``smallest`` difference that so many
        images could have shown, ``wins``, ``ties``, ``losses`` of a, and the ``verdict``: a, b or "undecided".
        Raises ReportError for a name that is not there or means several.
        """
        import pandas as pd

        comparison = self._compared(a, b)
        lines = [
            {
                "metric": found.metric.name,
                "a": found.mean_a,
                "b": found.mean_b,
                "difference": found.mean,
                "low": found.low,
                "high": found.high,
                "p": found.p,
                "p_holm": found.p_holm,
                "effect": found.effect,
                "smallest": found.smallest,
                **dict(zip(("wins", "ties", "losses"), found.outcomes, strict=True)),
                "verdict": comparison.verdict(found),
            }
            for found in comparison.differences
        ]
        return pd.DataFrame(lines).set_index("metric")

    def report(self, folder: str | Path | None = None, formats: Sequence[str] = ("md", "html", "tex", "csv")) -> Path:
        """Write the report into the run's folder; returns its first file, such as ``report.md``.

        With a ``folder``, the whole run is copied there before, so that it can be resumed, scored and verified.
        Raises EvaluationError where something is there already.
        """
        from srbench.reporting.report import write_report

        target = self.folder if folder is None else self._copied(Path(folder))
        return write_report([target], tuple(formats)).files[0]

    def score(self, *metrics: str, device: str = "auto", progress: Progress = silent, workers: int = 1) -> Results:
        """Add metrics, by name, from the kept images; models run only where images were not kept, or not all.

        ``workers`` processes share the work, as in ``evaluate``.
        Returns results with the new columns. Raises SRBenchError for an unknown metric.
        """
        outcome = score_run(self.folder, metrics, device, progress, self._models, workers)
        return self._again(outcome.failures)

    def verify(self, *, resample: int = 0, device: str = "auto", progress: Progress = silent) -> Findings:
        """Hash all files and measure all kept images again, as ``srbench verify`` does; sample some items again.

        ``verify().proven`` says whether all is as the table has it, ``text()`` what is not.
        """
        return verify_run(self.folder, resample=resample, device=device, progress=progress, models=self._models)

    def __repr__(self) -> str:
        lines = [setting_label(one.model, one.temperature) for one in self.manifest.settings]
        return f"Results({str(self.folder)!r}: {', '.join(lines)}; {len(self.manifest.scope)} images)"

    def _values(self) -> ResultTable:
        return ResultTable.from_rows(rows_of(self._run), tuple(metric.name for metric in self.manifest.metrics))

    def _compared(self, a: str, b: str) -> Comparison:
        from srbench.reporting.compare import compare_models

        _, [comparison] = compare_models(self.folder, a, b)
        return comparison

    def _copied(self, target: Path) -> Path:
        if target.resolve() == self.folder.resolve():
            return self.folder
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise EvaluationError(f"{target}: already exists; choose another folder")
        shutil.copytree(self.folder, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock", ".owner.json"))
        return target

    def _again(self, failures: Sequence[str]) -> Results:
        results = Results(self.folder, failures, self._models)
        results._temporary = self._temporary
        return results


def evaluate(
    models: object, data: str | Path | Dataset = "photos", *, scale: int,
    temperature: float | Iterable[float] = 0.8, samples: int | None = None, seed: int = 0,
    suite: str = DEFAULT, metrics: str | Iterable[str] | None = None,
    limit: int | None = None, crop: int | None = None, degrade: str | None = None, tile: int | None = None,
    device: str = "auto",
    out: str | Path | None = None, progress: Progress = silent, workers: int = 1,
) -> Results:  # fmt: skip
    """Measure models on a dataset: what ``srbench run`` does, without printing anything.

    ``models`` is a list of names as on the command line and of objects of your own, or a dictionary that gives them
    labels. An object is any callable or ``nn.Module`` that maps (n, 3, h, w) in [0, 1] to (n, 3, s*h, s*w), or one
    with ``sample`` that draws (``srbench.interfaces``). ``data`` is the name of a dataset, a folder of HR images, or an
    object (``srbench.interfaces.Dataset``); ``suite`` is the name of a protocol, or a TOML file; ``metrics`` are names.
    ``samples`` are those of the suite, else 5. ``limit`` takes the first images only, ``crop`` their centres (in HR
    pixels), ``degrade`` names how LR is made from HR, ``tile`` upscales in tiles of this side (in LR pixels).
    ``workers`` processes of one thread each share the work (of more threads the last bit of an output may be another):
    models and datasets of your own have to be importable by them then, and a script calls this under
    ``if __name__ == "__main__"``.
    Without ``out`` the run folder is temporary and goes with the results; with it, a folder that is there is resumed.
    Images or values that fail are named in ``results.failures``; raises SRBenchError where nothing can be measured.

    >>> import torch
    >>> def nearest(lr):
    ...     return torch.nn.functional.interpolate(lr, scale_factor=8)
    >>> results = evaluate({"nearest": nearest}, "photos", scale=8, limit=1, metrics=["psnr"])
    >>> float(results.table["psnr"].round(2).iloc[0])
    21.64
    """
    temporary = TemporaryDirectory(prefix="srbench-") if out is None else None
    named = _named(models)
    spec = RunSpec(
        models=tuple(_text(label, thing) for label, thing in named),
        scale=scale, data=str(data) if isinstance(data, str | Path) else None, limit=limit, crop=crop,
        degrade=degrade, suite=suite,
        metrics=(metrics,) if isinstance(metrics, str) else None if metrics is None else tuple(metrics),
        temperatures=tuple(map(float, temperature if isinstance(temperature, Iterable) else (temperature,))),
        samples=read_suite(suite).samples or 5 if samples is None else samples, seed=seed, device=device, tile=tile,
        out=str(Path(temporary.name) / "run" if temporary else out),
    )  # fmt: skip
    bench = _opened(checked(spec, "evaluate"), named, data)
    foreign = not isinstance(data, str | Path) or not all(isinstance(thing, str) for _, thing in named)
    outcome = run_bench(bench, progress, _call(spec, data) if foreign else None, workers)
    if not outcome.usable:
        raise EvaluationError(f"nothing could be measured: {'; '.join(outcome.failures) or 'there are no images'}")
    results = Results(outcome.folder, outcome.failures, bench.models)
    results._temporary = temporary
    return results


def load_model(name: str, scale: int, device: str = "auto") -> Any:  # noqa: ANN401 - a model of any kind
    """The model that a name of the command line stands for, ready to run.

    One with a single output maps (n, 3, h, w) in [0, 1] to (n, 3, s*h, s*w); one that samples has
    ``sample(lr, n, *, temperature, generator)``. Raises SRBenchError for an unknown name.

    >>> import torch
    >>> load_model("bicubic", scale=4)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 3, 32, 32])
    """
    return load_by_name(name, scale, choose_device(device)).model


def _named(models: object) -> list[tuple[str | None, object]]:
    """Models with their labels, where they were given one. A single model need not be in a list."""
    if isinstance(models, Mapping):
        named = list(models.items())
    elif isinstance(models, Sequence) and not isinstance(models, str | nn.Module):
        named = [(None, thing) for thing in models]
    else:
        named = [(None, models)]
    if not named:
        raise EvaluationError("no models; name at least one")
    return named


def _text(label: str | None, thing: object) -> str:
    """A model as the command line has it; an object by the name of its function or class."""
    name = thing if isinstance(thing, str) else getattr(thing, "__qualname__", type(thing).__qualname__)
    return str(name) if label is None else f"{label}={name}"


def _opened(spec: RunSpec, named: Sequence[tuple[str | None, object]], data: str | Path | Dataset) -> Bench:
    device = choose_device(spec.device)
    dataset = open_dataset(spec) if isinstance(data, str | Path) else open_dataset(spec, data)
    suite = read_suite(spec.suite)
    bench = Bench(
        spec, device, dataset, suite, {}, open_metrics(spec.metrics, suite.columns, suite.quantize, suite.optional)
    )
    for label, thing in named:
        if isinstance(thing, str):
            loaded = load_by_name(thing if label is None else f"{label}={thing}", spec.scale, device)
        else:
            loaded = wrap_model(thing, spec.scale, device, label)
        add_model(bench.models, loaded)
    return bench


def _call(spec: RunSpec, data: str | Path | Dataset) -> str:
    """The call that made a run, for its record where no command line could: models and data are objects."""
    metrics = None if spec.metrics is None else list(spec.metrics)
    given = {
        "scale": spec.scale, "temperature": list(spec.temperatures), "samples": spec.samples, "seed": spec.seed,
        "suite": None if spec.suite == DEFAULT else spec.suite, "metrics": metrics, "limit": spec.limit,
        "crop": spec.crop, "degrade": spec.degrade, "tile": spec.tile, "out": spec.out,
    }  # fmt: skip
    named = str(data) if isinstance(data, str | Path) else f"<{type(data).__qualname__} {data.name}>"
    options = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
    return f"srbench.evaluate({list(spec.models)!r}, {named!r}, {options})"
