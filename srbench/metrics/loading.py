"""Open metrics by the names that users type, and complete what tables need of them.

psnr, file.py:Name, package.module:Name     like all plug-ins
pyiqa:dists                                 a metric of a registered family
ratings.csv:mos                             a column of ratings by people, in a CSV file
psnr+channels=Y+border=4                    any of these with parameters
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from srbench.files.hashes import sha256_file, sha256_texts
from srbench.interfaces import (
    GROUPS,
    ImageMetric,
    MapInfo,
    MappedMetric,
    Metric,
    MetricInfo,
    ModelMetric,
    ModelPairMetric,
    Need,
    RowMetric,
    SetMetric,
    SRBenchError,
)
from srbench.metrics.arguments import typed
from srbench.plugins import PluginError
from srbench.plugins.code_digest import our_packages, package_digest, reachable, source_of
from srbench.plugins.identity import plugin_digest
from srbench.plugins.registry import Plugin, call, find_plugin, is_ours, registered

MOST_DIGITS = 12
"""Largest number of decimals of a printed metric."""
_PARAMETERS = "srbench.metrics.parameters"
"""Module through which our metrics read their packaged parameters, from a folder of the same name."""
_PYIQA = "srbench.metrics.from_pyiqa"
"""Module through which our metrics use networks of pyiqa, whose weights are known only when they are loaded."""
_RATINGS = "srbench.metrics.ratings:Ratings"
"""The metric behind FILE.csv:COLUMN."""
_LIKE_A_PATH = r"[/\\]|\.[A-Za-z]\w*$"
"""A separator or a suffix, in a parameter that is a path or has no type."""
FAMILIES = "metric_families"
"""Entry point group of classes that implement many metrics, such as ``pyiqa:dists``. The class takes the metric's name
as ``variant``, and all arguments that the user typed. Its static method ``variants()``, if it has one, lists the names;
it completes the message for a name without the family."""


@dataclass(frozen=True)
class LoadedMetric:
    """A metric of a run."""

    metric: Metric
    info: MetricInfo
    """The information on the metric, completed for the run."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """What the metric needs: of an image, groups of images, or a model."""
        if isinstance(self.metric, ModelMetric):
            return ("model",)
        groups: tuple[Need, ...] = ("groups",) if self.info.per == "group" else ()
        model: tuple[Need, ...] = ("model",) if isinstance(self.metric, ModelPairMetric) else ()
        return (*model, *self.metric.needs, *groups)

    @property
    def sees(self) -> str:
        """Input of the metric: ``returned`` for outputs before they are quantised, ``model`` if it runs the model,
        or ``nothing``.
        """
        if isinstance(self.metric, RowMetric):
            return "nothing"
        return "model" if isinstance(self.metric, ModelMetric | ModelPairMetric) else self.metric.sees

    @property
    def gpu(self) -> bool:
        """True if the metric can use a GPU for images."""
        return isinstance(self.metric, ImageMetric | SetMetric) and self.metric.gpu


def parse_metric(text: str) -> tuple[str, dict[str, str]]:
    """Split ``psnr+channels=Y+border=4`` into the name for ``find_plugin`` and the arguments of its class, as texts.

    Raises PluginError for an argument that is given twice.
    """
    match = re.fullmatch(r"(.+?)((?:\+\w+=[^+]+)*)", text)
    name, rest = (match[1], match[2]) if match else (text, "")
    pairs = [part.split("=", 1) for part in rest.split("+")[1:]]
    keys = [key for key, _ in pairs]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise PluginError(f"metric {text}: {twice} is given twice; give it once")
    parameters = dict(pairs)
    if column := re.fullmatch(r"(.+\.csv):(\w+)", name):
        return _RATINGS, {"file": column[1], "column": column[2], **parameters}
    return name, parameters


def open_metric(text: str, quantize: str = "floor", samples: int | None = None) -> LoadedMetric:
    """Create the metric that ``text`` names, for outputs quantised by ``quantize``.

    ``samples`` is the number of samples per image for the signature, None if unknown. Raises PluginError, or the
    metric's own SRBenchError for invalid parameters.
    """
    name, parameters = parse_metric(text)
    family, colon, variant = name.partition(":")
    is_variant = bool(colon) and family in registered(FAMILIES)
    plugin = find_plugin(FAMILIES, family) if is_variant else _find_metric(name)
    # a family checks the arguments of its metrics itself
    refused = [key for key in parameters if (key == "variant" if is_variant else not plugin.takes(key))]
    if refused:
        allowed = () if is_variant else plugin.arguments()
        advice = f"it takes {', '.join(allowed)}" if allowed else "leave it out"
        raise PluginError(f"metric {text}: {plugin.name} takes no parameter {refused[0]}; {advice}")
    arguments = typed(f"metric {text}", plugin.factory, parameters | ({"variant": variant} if is_variant else {}))
    metric: Metric = call(f"metric {text}", plugin.factory, **arguments)
    info = _checked_info(metric, f"metric {text}")
    digest = metric_digest(text, quantize)
    if digest is None:
        code = call(f"digest of metric {text}", plugin_digest, plugin.module, plugin.member, metric)
        sums = [sha256_file(file) for file in _files(arguments.values())]
        digest = sha256_texts(code, repr(sorted(arguments.items())), quantize, *sums)
    info = completed(metric, info, located(text), digest, quantize)
    return LoadedMetric(metric, info if samples is None else with_sample_count(info, str(samples)))


def described(text: str) -> LoadedMetric:
    """Create a metric for its description alone, without the digest, for which FID loads its network.
    Raises SRBenchError.
    """
    name, parameters = parse_metric(text)
    factory = _find_metric(name).factory
    metric: Metric = call(f"metric {text}", factory, **typed(f"metric {text}", factory, parameters))
    info = _checked_info(metric, f"metric {text}")
    return LoadedMetric(metric, completed(metric, info, located(text), "", "floor"))


def is_of_many(text: str) -> bool:
    """Return whether a metric measures many images or the model, not single images.
    Imports it, but does not create it.
    """
    name, _ = parse_metric(text)
    if name.partition(":")[0] in registered(FAMILIES):
        return False
    factory = _find_metric(name).factory
    return isinstance(factory, type) and issubclass(factory, SetMetric | ModelMetric)


def _find_metric(name: str) -> Plugin:
    """Import a metric by name. Raises PluginError, which says if a family has a metric of that name."""
    try:
        return find_plugin("metrics", name)
    except PluginError:
        if name in registered("metrics") or ":" in name or name.endswith(".py"):
            raise
        for family in registered(FAMILIES):
            if name in _variants(family):
                raise PluginError(f"unknown metric {name!r}; {family} has it: write {family}:{name}") from None
        raise


def _variants(family: str) -> Collection[str]:
    """Return the names of a family's metrics; none for a family that is broken or does not list them."""
    try:
        factory = find_plugin(FAMILIES, family).factory
        names: list[str] = call(f"metric family {family}", lambda: list(getattr(factory, "variants", list)()))
    except SRBenchError:  # a broken plug-in does not affect the rest
        return ()
    return names


def reopened(info: MetricInfo, quantize: str, samples: int) -> LoadedMetric:
    """Open a metric of a run again, under its name in the run. Raises as ``open_metric`` does."""
    loaded = open_metric(info.spec, quantize, samples)
    return replace(loaded, info=replace(loaded.info, name=info.name))


def located(text: str) -> str:
    """Make paths absolute: in ``file.py:Name``, and our metrics' parameters; any other name is returned unchanged."""
    name, parameters = parse_metric(text)
    # types are known once the metric is imported, which a report does without
    if is_ours("metrics", name) and any(Path(value).exists() for value in parameters.values()):
        for key, value in typed(f"metric {text}", find_plugin("metrics", name).factory, parameters).items():
            if isinstance(value, Path):
                text = text.replace(f"+{key}={parameters[key]}", f"+{key}={value}")
    match = re.match(r"(?:(?!\+\w+=).)+?\.(?:py|csv)(?=:|\+|$)", text)
    return text if match is None else f"{Path(match[0]).resolve()}{text[match.end() :]}"


def metric_digest(text: str, quantize: str) -> str | None:
    """Return the digest of a metric of this distribution without loading it; None for any other, and for one of pyiqa.

    The digest covers its code, its arguments (including the content of files) and the packaged parameters if its code
    reads any.
    """
    name, parameters = parse_metric(located(text))
    if name not in registered("metrics") or not is_ours("metrics", name):
        return None
    point = registered("metrics")[name]
    modules = reachable(point.module, source_of(point.module))[0]
    if _PYIQA in modules:
        return None
    source = modules.get(_PARAMETERS)
    files = [*_files(parameters.values()), *(sorted(source.with_suffix("").glob("*.safetensors")) if source else [])]
    sums = [sha256_file(file) for file in files]
    return sha256_texts(package_digest(point.module), point.attr, repr(sorted(parameters.items())), quantize, *sums)


def _files(values: Iterable[object]) -> list[Path]:
    """The files among the values of parameters, whose content counts; not one that is called Y, as a value is."""
    texts = [text for text in map(str, values) if re.search(_LIKE_A_PATH, text)]
    return [path for path in map(Path, texts) if path.is_file()]


_PER: dict[type, tuple[str, ...]] = {
    ImageMetric: ("sample", "image"),
    ModelPairMetric: ("image",),
    RowMetric: ("image",),
    SetMetric: ("group", "set"),
    ModelMetric: ("model",),
}
"""What the values of each kind of metric may belong to."""


def _checked_info(metric: Metric, what: str) -> MetricInfo:
    """Return the information on a metric. Raises PluginError for an object that is no metric,
    and for invalid information.
    """
    info = getattr(metric, "info", None)
    if not isinstance(metric, Metric):
        raise PluginError(
            f"{what}: make its class a subclass of ImageMetric, SetMetric, ModelMetric, ModelPairMetric or RowMetric "
            "of srbench.interfaces"
        )
    if not isinstance(info, MetricInfo):
        raise PluginError(f"{what} needs an attribute info (srbench.interfaces.MetricInfo)")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", info.name):
        raise PluginError(f"{what}: its name {info.name!r} may contain only letters, digits and _")
    if not (str(info.title).strip() and type(info.digits) is int and 0 <= info.digits <= MOST_DIGITS):
        raise PluginError(f"{what}: needs a title, and 0 to {MOST_DIGITS} digits after the point")
    is_map = isinstance(info.map, MapInfo) and isinstance(info.map.upper, int | float) and 0 < info.map.upper < math.inf
    if info.map is not None and not is_map:
        raise PluginError(f'{what}: its map is {info.map!r}; make it MapInfo(unit="...", upper=255)')
    if (info.map is not None) != isinstance(metric, MappedMetric):
        raise PluginError(
            f"{what}: map in its info goes with the base class MappedMetric and its method map; add what is missing, "
            "or drop both"
        )
    allowed = _PER[next(kind for kind in _PER if isinstance(metric, kind))]
    if isinstance(metric, ModelMetric):
        info = replace(info, per="model")
    elif isinstance(metric, ModelPairMetric | RowMetric):
        info = replace(info, per="image", any_samples=True, by_row=isinstance(metric, RowMetric))
    if info.per not in allowed:
        listed = " or ".join(f'"{per}"' for per in allowed)
        raise PluginError(f"{what}: per in its info is {info.per!r}; state {listed}")
    if info.group not in GROUPS or info.direction not in (-1, 0, 1):
        raise PluginError(f"{what}: its group must be one of {', '.join(GROUPS)}, and its direction -1, 0 or 1")
    return info


def completed(metric: Metric, info: MetricInfo, spec: str, digest: str, quantize: str) -> MetricInfo:
    """Complete the information on a metric for a run: the name as typed, the full signature and protocol.

    A signature is the name, the channels, the quantisation of the outputs that the metric sees (``floor``, ``round`` or
    ``float``), and the rest. If the metric states no signature, it has a digest of the code and the parameters instead.
    """
    name = info.name.upper().replace("_", "-")
    seen = {"returned": "float", "model": "", "nothing": ""}.get(LoadedMetric(metric, info).sees, quantize)
    if info.signature:
        first, *rest = info.signature.split("|")
        parts = [name, first, seen, *rest]
    else:
        own = "".join(f"+{key}={value}" for key, value in parse_metric(spec)[1].items())
        parts = [name, f"code {digest[:8]}{own}", "" if seen in ("float", "floor") else seen]
    protocol = info.protocol.replace("{quantize}", quantize)
    return replace(info, spec=spec, digest=digest, protocol=protocol, signature="|".join(filter(None, parts)))


def with_sample_count(info: MetricInfo, samples: str) -> MetricInfo:
    """Append the number of samples to the signature of a metric whose values depend on it."""
    depends = info.per in ("image", "group", "set") and not info.any_samples
    return replace(info, signature=f"{info.signature}|n{samples}") if depends else info


def is_third_party(metric: Metric) -> bool:
    """Return whether the class of a metric is not in this distribution: it may change its arguments in place."""
    return type(metric).__module__.partition(".")[0] not in our_packages()


def load_metric(text: str) -> Metric:
    """Create the metric that ``text`` names. Raises PluginError."""
    return open_metric(text).metric
