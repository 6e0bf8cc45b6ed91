"""Everything with a name: its line in ``srbench list``, and what ``srbench show`` says of it.

Only the commands that need this module import it. Imports that load torch are inside the functions.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from srbench.data.benchmark_sets.table import benchmark_sets, find_set, is_downloaded, set_folder
from srbench.data.datasets import has_hr
from srbench.files.config import preset_names
from srbench.interfaces import Metric, ModelMetric, SRBenchError
from srbench.metrics.loading import FAMILIES, described, located, metric_digest, open_metric, parse_metric
from srbench.metrics.suite import open_metrics, read_suite, suite_names
from srbench.models.names import ModelSpec
from srbench.plugins import PluginError
from srbench.plugins.registry import docstring_of, find_plugin, is_ours, load_dataset, registered
from srbench.run_folder.limits import SAMPLES
from srbench.weights.files import load_metadata, packaged_weights, parameter_count
from srbench.weights.metadata import read_metadata
from srbench.weights.table import cached_path, find_released, released_weights
from srbench.words import number_of

if TYPE_CHECKING:
    from srbench.interfaces import MetricInfo

Row = tuple[str, ...]
"""Cells of a line of ``srbench list``."""
Detail = tuple[str, str]
"""Name and value of a line of ``srbench show``."""


@dataclass(frozen=True)
class Kind:
    """Names of one kind."""

    title: str
    """Singular, as ``srbench show`` prints it."""
    group: str
    """KIND of ``srbench list`` that lists the names."""
    names: Callable[[], Collection[str]]
    rows: Callable[[], Iterable[Row]]
    """Yields the lines of the list, in the order of the names."""
    details: Callable[[str], Iterator[Detail]]
    """Yields what is shown of a name. Raises SRBenchError for a broken plug-in or file."""


def weights_of(model: str) -> dict[int, Path]:
    """Return the packaged weights files of a registered model, by scale. The model is not imported."""
    package = registered("models")[model].module.partition(".")[0]
    return {scale: path for (name, scale), path in packaged_weights(package).items() if name == model}


def kind_of_plugin(text: str) -> Kind:
    """Return the kind of a model or metric that is named by its code, such as ``file.py:Name``, or has other weights.

    Imports it. Raises PluginError if that fails.
    """
    model, metric = CATALOGUE[:2]
    if text.partition(":")[0] in registered(FAMILIES):
        return metric
    factory = find_plugin("models", ModelSpec.parse(parse_metric(text)[0]).name).factory
    return metric if isinstance(factory, type) and issubclass(factory, Metric) else model


def _about(group: str, name: str) -> str:
    """Return the first sentence of a plug-in's docstring, or why the plug-in is broken."""
    try:
        text = docstring_of(group, name)
    except SRBenchError as error:
        return f"broken: {error}"
    return " ".join(text.partition("\n\n")[0].replace("``", "").split()).partition(". ")[0].removesuffix(".")


def _models() -> Iterator[Row]:
    """Yield name, scales, parameters and licence of the packaged weights, and description of every model."""
    for name in registered("models"):
        try:
            paths = weights_of(name)
            licences = {read_metadata(load_metadata(path), path).licence or "unknown" for path in paths.values()}
            sizes = ", ".join(f"{parameter_count(path) / 1e6:.1f} M" for path in paths.values())
        except SRBenchError as error:  # a broken plug-in must not hide the working plug-ins
            yield name, "", "", "", f"broken: {error}"
            continue
        scales = ", ".join(f"{scale}x" for scale in paths)
        parameters = f"{sizes} parameters" if paths else "no weights"
        yield name, scales, parameters, ", ".join(sorted(licences)), _about("models", name)


def _model_details(name: str) -> Iterator[Detail]:
    from srbench.editing.edit import EditableSRModel
    from srbench.interfaces import StochasticSRModel
    from srbench.models.loading import ready_models

    code = ModelSpec.parse(name).name
    yield "about", _about("models", code)
    yield "code", registered("models")[code].value if code in registered("models") else code
    try:
        ready = ready_models(name)
    except SRBenchError as error:
        yield "needs weights", str(error)
        return
    model = next(iter(ready.values())).model
    yield "scales", ", ".join(f"{scale}x" for scale in ready)
    yield "outputs", "samples, at a temperature" if isinstance(model, StochasticSRModel) else "one"
    yield "edits", "yes, with srbench edit and explore" if isinstance(model, EditableSRModel) else "no"
    for scale, loaded in ready.items():
        if (weights := loaded.weights) is not None:
            count = "unknown number of" if weights.parameters is None else f"{weights.parameters:,}"
            yield f"{scale}x", f"{count} parameters, licence {weights.licence}"
            yield "", f"trained on {weights.trained_on}"
            yield "", f"sha256 {weights.sha256}"
            if weights.temperature is not None:
                yield "", f"temperature {weights.temperature:g}, chosen on validation images"
    yield "use", f"srbench run --models {name} --scale {max(ready)}"


def _metrics() -> Iterator[Row]:
    for group, pattern in (("metrics", "{}"), (FAMILIES, "{}:NAME")):
        for name in registered(group):
            yield pattern.format(name), _about(group, name)


def _metric_details(name: str) -> Iterator[Detail]:
    from srbench.metrics.pyiqa_variants import weights_origin

    is_variant = name.partition(":")[0] in registered(FAMILIES)
    if not is_variant:
        yield "about", _about("metrics", parse_metric(name)[0])
    loaded = open_metric(name) if is_variant else described(name)
    metric = loaded.info
    inputs = {"model": "the model", "returned": "outputs as returned", "nothing": "the file alone"}
    needs = [need for need in loaded.needs if need not in ("samples", "groups", "model")]
    per = {
        "sample": "one per sample",
        "image": "one per image, of all its samples",
        "group": "one per group of images, such as a clip",
        "set": "one of all images",
        "model": "one per model",
    }
    yield "title", metric.title
    yield "direction", _direction(metric)
    yield "unit", metric.unit or "none"
    yield "digits", str(metric.digits)
    yield "measures", metric.group
    yield "looks at", ", ".join([inputs.get(loaded.sees, "8-bit outputs"), *needs])
    yield "values", per[metric.per] + (", two or more" if "samples" in loaded.needs else "")
    yield "protocol", metric.protocol
    yield "signature", metric.signature
    yield "code", registered("metrics")[name].value if name in registered("metrics") else located(name)
    if is_ours("metrics", name) and metric_digest(name, "floor") is None:  # a network of pyiqa
        yield "weights", weights_origin("fid")
        yield "fetch", f"srbench weights fetch --metrics {name}"
    uses = [f"srbench run --metrics {name}", f"srbench score RUN --metrics {name}"]
    if not isinstance(loaded.metric, ModelMetric):
        folders = "".join(f" --{need.lower()} DIR" for need in ("HR", "LR") if need in needs)
        uses.insert(1, f"srbench measure DIR{folders} --metrics {name}")
    yield "use", "; ".join(uses)


def _direction(metric: MetricInfo) -> str:
    return ("neither higher nor lower", "higher", "lower")[metric.direction] + " is better"


def _datasets() -> Iterator[Row]:
    """Yield name, state, contents and check (both empty), and description of every registered dataset."""
    for name in registered("datasets"):
        yield name, "installed", "", "", _about("datasets", name)


def _dataset_details(name: str) -> Iterator[Detail]:
    from srbench.models.loading import SCALES

    dataset = load_dataset(name, SCALES[0])
    yield "about", _about("datasets", name)
    yield "images", f"{len(dataset)}{'' if has_hr(dataset) else ', without HR'}"
    yield "names", ", ".join(dataset)
    yield "code", registered("datasets")[name].value
    yield "use", f"srbench run --data {name}"


def _sets() -> Iterator[Row]:
    """Yield name, state, contents, check, and source with licence of every benchmark set."""
    for name, entry in benchmark_sets().items():
        count = len(entry.addresses)
        source = number_of(count, "address", "addresses") if count else f"by hand from {entry.page}"
        state = "downloaded" if is_downloaded(name) else "not downloaded"
        yield name, state, entry.contents, f"checked by {entry.known_by}", f"{source}; licence: {entry.licence}"


def _set_details(name: str) -> Iterator[Detail]:
    entry = find_set(name)
    yield "title", entry.title
    yield "contents", entry.contents
    if entry.scale:
        yield "scale", f"{entry.scale}x"
    yield "checked by", entry.known_by
    yield "licence", entry.licence
    yield "downloaded", f"yes, {set_folder(name)}" if is_downloaded(name) else f"no; srbench data fetch {name}"
    yield "page", entry.page
    for address in entry.addresses:
        yield "address", address
    yield "use", f"srbench run --data {name}"


def _suites() -> Iterator[Row]:
    for suite in map(read_suite, suite_names()):
        yield suite.label, suite.about


def _suite_details(name: str) -> Iterator[Detail]:
    from srbench.metrics.pyiqa_variants import weights_origin

    suite = read_suite(name)
    yield "version", str(suite.version)
    yield "about", suite.about
    yield "outputs", f"8 bits, by {suite.quantize}"
    yield "samples", f"{suite.samples or SAMPLES} per image"
    by_pyiqa = [column for column in suite.columns if column.startswith("pyiqa:")]
    rest = tuple(column for column in suite.metrics if column not in by_pyiqa)
    for metric in open_metrics(None, rest, suite.quantize, optional=rest):
        unit = f", in {metric.info.unit}" if metric.info.unit else ""
        yield metric.info.title, f"{_direction(metric.info)}{unit}; {metric.info.signature}"
    if suite.optional:
        yield "optional", ", ".join(suite.optional)
    for column in by_pyiqa:
        origin = weights_origin(column.removeprefix("pyiqa:"))
        yield "weights" if column == by_pyiqa[0] else "", f"{column} {origin}"
    if by_pyiqa:
        yield "fetch", f"srbench weights fetch --suite {name}"
    yield "use", f"srbench run --suite {name}"


def degradation_names() -> list[str]:
    """Return the names of the packaged degradations, sorted."""
    return preset_names(files("srbench.data.degradations"))  # the function of its module would load torch


def _degradations() -> Iterator[Row]:
    from srbench.data.degradations.read import read_degradation

    for degradation in map(read_degradation, degradation_names()):
        yield degradation.name, degradation.about, degradation.words


def _degradation_details(name: str) -> Iterator[Detail]:
    from srbench.data.degradations.read import read_degradation

    degradation = read_degradation(name)
    yield "about", degradation.about
    yield "steps", degradation.words
    yield "use", f"srbench run --degrade {name}"


def preset_files() -> Iterator[tuple[str, str, str]]:
    """Yield model, name and TOML text of every registered preset.

    The packages of presets are not imported, because they load torch. Raises PluginError if one is not installed.
    """
    for model, point in registered("presets").items():
        package, *inner = point.module.split(".")
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise PluginError(f"presets {model} ({point.value}): no package {package} is installed")
        folder = Path(spec.submodule_search_locations[0], *inner)
        for name in preset_names(folder):
            yield model, name, (folder / f"{name}.toml").read_text(encoding="utf-8")


def _first_comment(text: str) -> str:
    return text.splitlines()[0].removeprefix("# ")


def _numbers(table: dict[str, object]) -> Iterator[str]:
    """Yield the values of a table and its inner tables, with their keys."""
    for key, value in table.items():
        yield from _numbers(value) if isinstance(value, dict) else [f"{key} {value}"]


def _presets() -> Iterator[Row]:
    """Yield model, name, steps and first comment line of every preset."""
    for model, name, text in preset_files():
        yield model, name, f"{tomllib.loads(text)['training']['steps']:,} steps", _first_comment(text)


def _preset_details(name: str) -> Iterator[Detail]:
    for model, text in [(model, text) for model, preset, text in preset_files() if preset == name]:
        preset = tomllib.loads(text)
        training = preset["training"]
        patches = f"{training['batch']} patches of {training['patch']} HR pixels"
        yield "model", model
        yield "about", _first_comment(text)
        starts = f"that of the weights it starts from, by default those of {preset.get('start')}"
        yield "network", ", ".join(_numbers(preset["network"])) if "network" in preset else starts
        yield "training", f"{training['steps']:,} steps of {patches}"
        yield "best by", training["select_by"]
        yield "use", f"srbench train {model} --preset {name} --data DIR"


def _weights() -> Iterator[Row]:
    """Yield name, state, file, addresses, and licence with training data of all released weights."""
    for name, entry in released_weights().items():
        state = "downloaded" if cached_path(name).is_file() else "not downloaded"
        source = number_of(len(entry.addresses), "address", "addresses")
        yield name, state, entry.file, source, f"licence: {entry.licence}; trained on {entry.trained_on}"


def _weights_details(name: str) -> Iterator[Detail]:
    entry, path = find_released(name), cached_path(name)
    yield "model", f"{entry.model}, preset {entry.preset}"
    yield "file", entry.file
    yield "licence", entry.licence
    yield "trained on", entry.trained_on
    yield "sha256", entry.sha256 or "unknown"
    yield "downloaded", f"yes, {path}" if path.is_file() else f"no; srbench weights fetch {name}"
    for address in entry.addresses:
        yield "address", address
    yield "use", f"srbench run --models {entry.model}:{name}"


CATALOGUE = (
    Kind("model", "models", lambda: registered("models"), _models, _model_details),
    Kind("metric", "metrics", lambda: registered("metrics"), _metrics, _metric_details),
    Kind("dataset", "datasets", lambda: registered("datasets"), _datasets, _dataset_details),
    Kind("benchmark set", "datasets", benchmark_sets, _sets, _set_details),
    Kind("suite", "suites", suite_names, _suites, _suite_details),
    Kind("degradation", "degradations", degradation_names, _degradations, _degradation_details),
    Kind("preset", "presets", lambda: {name for _, name, _ in preset_files()}, _presets, _preset_details),
    Kind("weights", "weights", released_weights, _weights, _weights_details),
)
"""All kinds, in the order of the lists."""
