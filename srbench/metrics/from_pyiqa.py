"""Every metric of pyiqa that measures one image. Imported only when asked for.

pyiqa:dists                                        with pyiqa's defaults
pyiqa:psnr+test_y_channel=true+color_space=ycbcr   with arguments of pyiqa's class

pyiqa's licence, PolyForm Noncommercial 1.0.0, is not that of srbench; many of its metrics load weights with licences of
their own.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import metadata
from traceback import walk_tb
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics import MetricError
from srbench.weights.download import OFFLINE
from srbench.words import one_line, unknown

OF_SETS = ("fid", "sfid", "fid_dinov2", "inception_score")
"""Metrics of sets of images."""
_PACKAGES = {"pkg_resources": "setuptools<81"}
"""Names to install for modules that have another one."""
_LONGEST_NAME = 100
"""Characters of a metric's name, at most."""


class PyIQA:
    """A metric of pyiqa: pyiqa:NAME, or pyiqa:NAME+ARGUMENT=VALUE. Direction and range are those that pyiqa states."""

    def __init__(self, variant: str, **typed: str | int) -> None:
        if variant in OF_SETS:
            raise MetricError(
                f"pyiqa:{variant} compares sets of images, not single ones; "
                "use srbench measure DIR --hr DIR --metrics fid,kid for two folders"
            )
        arguments = {name: _value(text) for name, text in sorted(typed.items())}
        self._metric = created(variant, arguments)
        self._with_hr = self._metric.metric_mode == "FR"
        version, licence = version_and_licence()
        words = [f"{name}={_word(value)}" for name, value in arguments.items()]
        self.facts = MetricFacts(
            name=_name(variant, words),
            title=f"{variant} ({', '.join(['pyiqa', *_short(arguments)])})",
            direction=-1 if self._metric.lower_better else 1,
            digits=4,
            signature="|".join(["RGB", f"pyiqa{version}", *words, "v1"]),
            needs=("HR",) if self._with_hr else (),
            protocol=(
                f"{variant} of pyiqa {version} with {' and '.join(words) or 'its defaults'}, 8-bit RGB "
                f"by {{quantize}} over 255, {'compared with HR' if self._with_hr else 'of the output alone'}, range "
                f"{self._metric.score_range} by pyiqa; licence of pyiqa: {licence}"
            ),
        )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64. Every sample is measured by itself."""
        references = (pair.hr[None],) if self._with_hr else ()
        with quiet():
            values = [self._metric(sample[None], *references).double().cpu() for sample in samples]
        return torch.stack([value.reshape(()) for value in values])


Value = str | int | float | bool
"""Value of an argument of pyiqa."""


def _value(text: str | int) -> Value:
    """An argument as it was typed -> ``true`` and ``false`` as bool, numbers as such, other text as it is."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _word(value: Value) -> str:
    """A value as it is typed."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(variant: str, words: list[str]) -> str:
    """Key in files, unique for a metric with its arguments."""
    name = "pyiqa_" + re.sub(r"\W", "_", "_".join([variant.replace("+", "_plus"), *words]))
    if not words or (len(name) <= _LONGEST_NAME and all(re.fullmatch(r"[\w=]+", one) for one in words)):
        return name
    digest = hashlib.sha256("|".join(words).encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME - 9]}_{digest}"


def _short(arguments: Mapping[str, Value]) -> list[str]:
    """Arguments in few words: values that are text, names of those that are true, the rest in full."""
    whole = {name: f"{name}={_word(value)}" for name, value in arguments.items()}
    return [
        value if isinstance(value, str) else name if value is True else whole[name] for name, value in arguments.items()
    ]


def created(variant: str, arguments: Mapping[str, Value] = MappingProxyType({})) -> Any:  # noqa: ANN401 - no types
    """Create a metric of pyiqa on the CPU. Raises MetricError that names what is missing, or which arguments it has."""
    with quiet():
        import pyiqa

        if variant not in pyiqa.list_models():
            raise MetricError(unknown("metric of pyiqa", variant, pyiqa.list_models()))
        try:
            metric = pyiqa.create_metric(variant, device="cpu", **arguments)
        except Exception as error:  # each of a hundred metrics has its own way to fail
            _refuse_unknown(variant, arguments)
            raise MetricError(f"pyiqa:{variant} cannot be loaded: {_remedy(error)}") from error
        _refuse_unknown(variant, arguments)  # many swallow what they do not know
        return metric


def _refuse_unknown(variant: str, arguments: Mapping[str, Value]) -> None:
    """Raise MetricError for an argument that a metric does not have. Its module was imported by pyiqa before."""
    allowed = _arguments_of(variant) if arguments else {}
    for name, value in arguments.items():
        if name not in allowed:
            raise MetricError(f"pyiqa:{variant} takes no argument {name}; it takes {', '.join(allowed) or 'none'}")
        if isinstance(allowed[name], bool) and not isinstance(value, bool):
            raise MetricError(f"pyiqa:{variant}: {name} is {_word(value)!r}; choose true or false")


def _arguments_of(variant: str) -> dict[str, object]:
    """Arguments of the class behind a metric, and of the function of that name to which it hands on all others."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    made_by: Any = ARCH_REGISTRY.get(DEFAULT_CONFIGS[variant]["metric_opts"]["type"])
    function: Any = getattr(sys.modules[made_by.__module__], made_by.__name__.lower(), None)
    own = inspect.signature(made_by).parameters.values()
    hands_on = inspect.isfunction(function) and any(one.kind is one.VAR_KEYWORD for one in own)
    further = inspect.signature(function).parameters.values() if hands_on else ()
    named = [one for one in (*own, *further) if one.kind is one.POSITIONAL_OR_KEYWORD and one.name not in ("x", "y")]
    return {one.name: one.default for one in named}


def version_and_licence() -> tuple[str, str]:
    """Version and licence of the installed package."""
    found = metadata("pyiqa")
    licence = next((found[field] for field in ("License-Expression", "License") if field in found), "unknown")
    return found["Version"], licence


def _remedy(error: BaseException) -> str:
    """The missing file and its place, found in the arguments of the downloading functions on the stack."""
    cause: BaseException | None = error
    while cause is not None:
        for frame, _ in reversed(list(walk_tb(cause.__traceback__))):
            known = frame.f_locals
            address, place = known.get("url"), known.get("cached_file") or known.get("download_target")
            if isinstance(address, str) and isinstance(place, str):
                return f"it needs {address}; put that file at {place}"
            repository = known.get("repo_id") or known.get("pretrained_model_name_or_path")
            if isinstance(repository, str):
                return f"it needs huggingface.co/{repository}; fetch that into its cache: hf download {repository}"
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            package = _PACKAGES.get(cause.name, cause.name)
            return f"it needs the Python module {cause.name}; install it: pip install '{package}'"
        cause = cause.__cause__ or cause.__context__
    return f"{type(error).__name__}: {one_line(error)[:200]}"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pyiqa, and forbid downloads if OFFLINE is set."""
    for logger in ("pyiqa", "huggingface_hub"):  # the latter tells of every attempt to reach its server
        logging.getLogger(logger).setLevel(logging.ERROR)
    offline = os.environ.get(OFFLINE, "0") not in ("", "0")
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        patch("socket.getaddrinfo", side_effect=OSError(f"{OFFLINE} is set")) if offline else contextlib.nullcontext(),
        patch("huggingface_hub.constants.HF_HUB_OFFLINE", True) if offline else contextlib.nullcontext(),
    ):
        warnings.simplefilter("ignore")
        yield
