"""Every metric of pyiqa that measures one image: ``pyiqa:dists``, ``pyiqa:musiq``. Imported only when asked for.

pyiqa's licence, PolyForm Noncommercial 1.0.0, is not that of srbench; many of its metrics load weights with licences of
their own.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from importlib.metadata import metadata
from traceback import walk_tb
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from srbench.interfaces import ImagePair, MetricFacts
from srbench.metrics import MetricError
from srbench.system.file_names import one_line, unknown
from srbench.weights.download import OFFLINE
from srbench.weights.files import parameters_sha256

OF_SETS = ("fid", "sfid", "fid_dinov2", "inception_score")
"""Metrics of sets of images."""
_PACKAGES = {"pkg_resources": "setuptools<81"}
"""Names to install for modules that have another one."""


class PyIQA:
    """A metric of pyiqa with its defaults: pyiqa:NAME. Direction and range are those that pyiqa states."""

    def __init__(self, variant: str) -> None:
        if variant in OF_SETS:
            raise MetricError(
                f"pyiqa:{variant} compares sets of images, and a column is of single ones; "
                "srbench measure DIR --ref DIR --metrics fid,kid compares two folders"
            )
        self._metric = created(variant)
        self._with_hr = self._metric.metric_mode == "FR"
        version, licence = version_and_licence()
        self.facts = MetricFacts(
            name="pyiqa_" + re.sub(r"\W", "_", variant.replace("+", "_plus")), title=f"{variant} (pyiqa)",
            direction=-1 if self._metric.lower_better else 1, digits=4,
            signature=f"RGB|pyiqa{version}|v1", needs=("HR",) if self._with_hr else (),
            fingerprint=parameters_sha256(self._metric),
            protocol=(
                f"{variant} of pyiqa {version} with its defaults, 8-bit RGB by {{quantize}} over 255, "
                f"{'compared with HR' if self._with_hr else 'of the output alone'}, range "
                f"{self._metric.score_range} by pyiqa; licence of pyiqa: {licence}"
            ),
        )  # fmt: skip

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64. Every sample is measured by itself."""
        references = (pair.hr[None],) if self._with_hr else ()
        with quiet():
            values = [self._metric(sample[None], *references).double().cpu() for sample in samples]
        return torch.stack([value.reshape(()) for value in values])


def created(variant: str) -> Any:  # noqa: ANN401 - of a package without types
    """Create a metric of pyiqa on the CPU. Raises MetricError that names what is missing."""
    with quiet():
        import pyiqa

        if variant not in pyiqa.list_models():
            raise MetricError(unknown("metric of pyiqa", variant, pyiqa.list_models()))
        try:
            return pyiqa.create_metric(variant, device="cpu")
        except Exception as error:  # each of a hundred metrics has its own way to fail
            raise MetricError(f"pyiqa:{variant} cannot be loaded: {_remedy(error)}") from error


def version_and_licence() -> tuple[str, str]:
    """Version and licence of the installed package."""
    found = metadata("pyiqa")
    return found["Version"], found["License-Expression"] or found["License"] or "unknown"


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
