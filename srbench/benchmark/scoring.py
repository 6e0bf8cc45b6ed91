"""Second stage of a run, values from images. Metrics see 8-bit images, so they can be measured at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.interfaces import ImagePair, Metric, MetricFacts, Model, SRBenchError
from srbench.metrics.cost import Making
from srbench.plugins.registry import LoadedMetric, call
from srbench.run_folder.folder import score_key
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value


def seen(facts: MetricFacts, images: Tensor) -> Tensor:
    """Outputs (n, 3, H, W), uint8 or float in [0, 1], as a metric sees them."""
    return images if images.is_floating_point() or facts.sees == "uint8" else images.float().div_(255)


def measure(metric: Metric, images: Tensor, pair: ImagePair) -> Value:
    """One metric of the outputs (n, 3, H, W), uint8 or float in [0, 1]: a value for each, or one for the set.

    Raises the metric's own SRBenchError, PluginError that names the image if it fails otherwise, and BenchmarkError if
    the value is NaN.
    """
    what = f"{pair.name}: {metric.facts.name}"
    value: Value = call(what, lambda: metric(seen(metric.facts, images), pair).double().tolist())
    if isinstance(value, list) and len(value) != len(images):
        raise BenchmarkError(f"{what} returned {len(value)} values for {len(images)} samples; fix it")
    if np.isnan(value).any():
        raise BenchmarkError(f"{what} is not defined for this image (NaN); leave one of them out")
    return value


def measure_model(loaded: LoadedMetric, model: Model, device: str, record: SampleRecord) -> Value:
    """A metric of the model behind a sample record, such as its cost; NaN if that cannot be known.

    Raises as ``measure``.
    """
    metric: Any = loaded.metric
    making = Making(model, record.temperature, device, record.seconds / len(record.outputs))
    return float(call(f"{record.image}: {loaded.facts.name}", metric.of, making))


def score(
    metric: MetricFacts,
    record: SampleRecord,
    measured: Callable[[], Value],
    invocation: int,
    tries: int,
    environment: str = "",
) -> ScoreRecord:
    """The record of a metric that ``measured`` computes for a sample record; an SRBenchError becomes a record too."""
    start = time.perf_counter()
    value, error = None, ""
    try:
        value = measured()
    except SRBenchError as fault:
        error = str(fault)
    return ScoreRecord(
        key=score_key(record, metric),
        image=record.image,
        invocation=invocation,
        tries=tries,
        error=error,
        model=record.model,
        temperature=record.temperature,
        metric=metric.name,
        signature=metric.signature,
        value=value,
        sample=record.key,
        seconds=round(time.perf_counter() - start, 4),
        environment=environment,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums of float32 depend on the number of threads, which differs between engines."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
