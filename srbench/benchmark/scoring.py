"""Second stage of a run: values from images. A metric sees 8-bit images, so it can be measured at any time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from srbench.benchmark import BenchmarkError
from srbench.interfaces import ImagePair, Metric, MetricFacts, SRBenchError
from srbench.metrics.cost import Making
from srbench.models.inference import Model
from srbench.plugins.registry import LoadedMetric
from srbench.run_folder.folder import score_key
from srbench.run_folder.records import SampleRecord, ScoreRecord, Value


def measure(metric: Metric, images: Tensor, pair: ImagePair) -> Value:
    """One metric of the outputs (n, 3, H, W), uint8 or float in [0, 1]: one value each, or one of the set.

    Raises BenchmarkError, naming the image, where the metric fails or the value is NaN, or the
    metric's own SRBenchError.
    """
    is_ready = images.is_floating_point() or getattr(metric, "sees_uint8", False)
    samples = images if is_ready else images.float().div_(255)
    try:
        found = metric(samples, pair).double().tolist()
    except SRBenchError:
        raise
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{pair.name}: {metric.name} failed: {type(error).__name__}: {reason}") from error
    value: Value = found
    numbers = value if isinstance(value, list) else [value]
    if isinstance(value, list) and len(value) != len(images):
        raise BenchmarkError(f"{pair.name}: {metric.name} gave {len(value)} values for {len(images)} samples; fix it")
    if any(map(math.isnan, numbers)):
        raise BenchmarkError(f"{pair.name}: {metric.name} is not defined for this image (NaN); leave one of them out")
    return value


def score(
    loaded: LoadedMetric, images: Tensor, pair: ImagePair, record: SampleRecord, invocation: int, tries: int
) -> ScoreRecord:
    """The record of one metric of the outputs behind a sample record; an error becomes a record too."""
    return _scored(loaded, lambda: measure(loaded.metric, images, pair), record, invocation, tries)


def score_model(
    loaded: LoadedMetric, model: Callable[[], Model], device: str, record: SampleRecord, invocation: int, tries: int
) -> ScoreRecord:
    """The same of a metric that is of the model behind the outputs; NaN where it cannot be known."""

    def measured() -> Value:
        making = Making(model(), record.temperature, device, record.seconds / len(record.outputs))
        metric: Any = loaded.metric
        try:
            return float(metric.of(making))
        except SRBenchError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())
            raise BenchmarkError(
                f"{record.image}: {loaded.facts.name} failed: {type(error).__name__}: {reason}"
            ) from error

    return _scored(loaded, measured, record, invocation, tries)


def _scored(
    loaded: LoadedMetric, measured: Callable[[], Value], record: SampleRecord, invocation: int, tries: int
) -> ScoreRecord:
    start = time.perf_counter()
    value, error = None, ""
    try:
        value = measured()
    except SRBenchError as fault:
        error = str(fault)
    seconds = round(time.perf_counter() - start, 4)
    return _record(loaded.facts, record, value, error, invocation, tries, seconds)


def failed_score(facts: MetricFacts, record: SampleRecord, error: str, invocation: int, tries: int) -> ScoreRecord:
    """The record of a metric that gave no value of the outputs behind a sample record."""
    return _record(facts, record, None, error, invocation, tries, 0.0)


def _record(
    facts: MetricFacts, of: SampleRecord, value: Value | None, error: str, invocation: int, tries: int, seconds: float
) -> ScoreRecord:
    return ScoreRecord(
        key=score_key(of, facts),
        image=of.image,
        invocation=invocation,
        tries=tries,
        error=error,
        model=of.model,
        temperature=of.temperature,
        metric=facts.name,
        signature=facts.signature,
        value=value,
        sample=of.key,
        seconds=seconds,
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: sums of float32 depend on their number, which engines may have otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
