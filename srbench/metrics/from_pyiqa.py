"""All metrics of pyiqa that measure single images. pyiqa is imported only when it is used.

pyiqa:dists                                        with pyiqa's defaults
pyiqa:psnr+test_y_channel=true+color_space=ycbcr   with arguments of pyiqa's class

pyiqa has a different licence than srbench, PolyForm Noncommercial 1.0.0, and the weights of many of its metrics have
their own licences.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from srbench.files.hashes import sha256_texts
from srbench.interfaces import ImageMetric, ImagePair, MetricInfo
from srbench.machine.precision import products
from srbench.metrics import MetricError
from srbench.weights.download import OFFLINE, is_offline
from srbench.words import one_line, unknown

OF_FOLDERS = ("fid", "sfid", "fid_dinov2", "inception_score")
"""Metrics of all images of a folder together."""
_PACKAGES = {"pkg_resources": "setuptools<81"}
"""Packages to install for modules of a different name."""
_LONGEST_NAME = 100
"""Largest number of characters of a metric's name."""


class PyIQA(ImageMetric):
    """A metric of pyiqa: pyiqa:NAME, or pyiqa:NAME+ARGUMENT=VALUE. pyiqa states its direction and range."""

    gpu = True

    def __init__(self, variant: str, **typed: str | int) -> None:
        if variant in OF_FOLDERS:
            raise MetricError(
                f"pyiqa:{variant} compares folders of images, not single ones; "
                "use srbench measure DIR --hr DIR --metrics fid,kid for two folders"
            )
        arguments = {name: _value(text) for name, text in sorted(typed.items())}
        self._metric = created(variant, arguments)
        self._with_hr = self._metric.metric_mode == "FR"
        version, licence = version_and_licence()
        words = [f"{name}={_word(value)}" for name, value in arguments.items()]
        self.needs = ("HR",) if self._with_hr else ()
        self.info = MetricInfo(
            name=_name(variant, words),
            title=f"{variant} ({', '.join(['pyiqa', *_short(arguments)])})",
            direction=-1 if self._metric.lower_better else 1,
            digits=4,
            signature="|".join(["RGB", f"pyiqa{version}", *words, "v1"]),
            protocol=(
                f"{variant} of pyiqa {version} with {' and '.join(words) or 'its defaults'}, 8-bit RGB "
                f"by {{quantize}} over 255, {'compared with HR' if self._with_hr else 'of the output alone'}, range "
                f"{self._metric.score_range} by pyiqa; licence of pyiqa: {licence}"
            ),
        )

    @staticmethod
    def variants() -> list[str]:
        """Names of the metrics of pyiqa that measure single images."""
        with quiet():
            import pyiqa

            return [name for name in pyiqa.list_models() if name not in OF_FOLDERS]

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """Measure (n, 3, H, W) samples one by one, on their device: (n,) float64 on the CPU."""
        self._metric.to(samples.device)
        with measuring(samples.device):
            values = [self._metric(*images).double().cpu() for images in self._copies(samples, pair)]
        return torch.stack([value.reshape(()) for value in values])

    def _copies(self, samples: Tensor, pair: ImagePair) -> Iterator[tuple[Tensor, ...]]:
        """Yield each sample, with HR if the metric compares with it, as copies that pyiqa may change."""
        for sample in samples:
            yield (sample[None].clone(), pair.hr[None].clone()) if self._with_hr else (sample[None].clone(),)


Value = str | int | float | bool
"""Value of an argument of pyiqa's class."""


def _value(text: str | int) -> Value:
    """Parse an argument: ``true`` and ``false`` to bool, numbers to numbers, other text unchanged."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _word(value: Value) -> str:
    """Format a value as the user types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(variant: str, words: list[str]) -> str:
    """Return a name that is unique for a metric with its arguments."""
    name = "pyiqa_" + re.sub(r"\W", "_", "_".join([variant.replace("+", "_plus"), *words]))
    if not words or (len(name) <= _LONGEST_NAME and all(re.fullmatch(r"[\w=]+", word) for word in words)):
        return name
    digest = sha256_texts("|".join(words))[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def _short(arguments: Mapping[str, Value]) -> list[str]:
    """Abbreviate arguments for a title: text by its value, ``true`` by its name, everything else in full."""
    whole = {name: f"{name}={_word(value)}" for name, value in arguments.items()}
    return [
        value if isinstance(value, str) else name if value is True else whole[name] for name, value in arguments.items()
    ]


def created(variant: str, arguments: Mapping[str, Value] = MappingProxyType({})) -> Any:  # noqa: ANN401 - no types
    """Create a metric of pyiqa on the CPU. Raises MetricError, which names a missing file or the valid arguments."""
    with quiet() as printed:
        import pyiqa

        if variant not in pyiqa.list_models():
            raise MetricError(unknown("metric of pyiqa", variant, pyiqa.list_models()))
        try:
            metric = pyiqa.create_metric(variant, device="cpu", **arguments)
        except Exception as error:  # a hundred metrics fail in many ways
            _refuse_unknown(variant, arguments)
            raise MetricError(f"pyiqa:{variant} cannot be loaded: {_reason(error, printed.getvalue())}") from error
        _refuse_unknown(variant, arguments)  # many metrics ignore unknown arguments
        return metric


def _refuse_unknown(variant: str, arguments: Mapping[str, Value]) -> None:
    """Raise MetricError for an argument that a metric does not take. pyiqa must have imported its module."""
    allowed = _arguments_of(variant) if arguments else {}
    for name, value in arguments.items():
        if name not in allowed:
            raise MetricError(f"pyiqa:{variant} takes no argument {name}; it takes {', '.join(allowed) or 'none'}")
        if isinstance(allowed[name], bool) and not isinstance(value, bool):
            raise MetricError(f"pyiqa:{variant}: {name} is {_word(value)!r}; choose true or false")


def _arguments_of(variant: str) -> dict[str, object]:
    """Return the arguments (and defaults) of a metric's class, and of the function to which it passes ``**kwargs``."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    made_by: Any = ARCH_REGISTRY.get(DEFAULT_CONFIGS[variant]["metric_opts"]["type"])
    function: Any = getattr(sys.modules[made_by.__module__], made_by.__name__.lower(), None)
    own = inspect.signature(made_by).parameters.values()
    passes_on = inspect.isfunction(function) and any(each.kind is each.VAR_KEYWORD for each in own)
    further = inspect.signature(function).parameters.values() if passes_on else ()
    named = (each for each in (*own, *further) if each.kind is each.POSITIONAL_OR_KEYWORD)
    return {each.name: each.default for each in named if each.name not in ("x", "y")}


def version_and_licence() -> tuple[str, str]:
    """Return version and licence of the installed pyiqa."""
    package = metadata("pyiqa")
    licence = next((package[field] for field in ("License-Expression", "License") if field in package), "unknown")
    return package["Version"], licence


def _reason(error: Exception, printed: str) -> str:
    """Describe the missing file and where to put it, if ``printed`` announces its download;
    else repeat pyiqa's message.
    """
    for address, path in re.findall(r'^Downloading: "(\S+)" to (.+)$', printed, re.MULTILINE):
        if not Path(path).exists():
            return f"it needs {address}; put that file at {path}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        package = _PACKAGES.get(error.name, error.name)
        return f"it needs the Python module {error.name}; install it: pip install '{package}'"
    return f"{type(error).__name__}: {one_line(error)[:200]}"


@contextlib.contextmanager
def measuring(device: torch.device) -> Iterator[None]:
    """Silence pyiqa and forbid TF32, which pyiqa's own call of ``flags`` would allow again in convolutions."""
    with quiet(), products(device, tf32=False), patch("torch.backends.cudnn.flags", _flags):
        yield


@contextlib.contextmanager
def _flags(**values: bool) -> Iterator[None]:
    """Set some of cuDNN's flags as torch's ``flags`` does, but leave alone those that allow TF32."""
    before = {name: getattr(torch.backends.cudnn, name) for name in values}
    for name, value in values.items():
        setattr(torch.backends.cudnn, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Collect what pyiqa prints instead of showing it, and forbid downloads if OFFLINE is set."""
    for logger in ("pyiqa", "huggingface_hub"):  # huggingface_hub logs every attempt to reach its server
        logging.getLogger(logger).setLevel(logging.ERROR)
    offline = is_offline()
    printed = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        patch("socket.getaddrinfo", side_effect=OSError(f"{OFFLINE} is set")) if offline else contextlib.nullcontext(),
        patch("huggingface_hub.constants.HF_HUB_OFFLINE", True) if offline else contextlib.nullcontext(),
    ):
        warnings.simplefilter("ignore")
        yield printed
