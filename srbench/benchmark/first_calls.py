"""First calls of models and metrics of others that are new to a folder: what they read belongs to their digests."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch

from srbench.benchmark import BenchmarkError
from srbench.benchmark.request import Bench
from srbench.benchmark.sampling import kept_pair, read_pair
from srbench.benchmark.scoring import measure, one_thread
from srbench.images.io import quantize_floor
from srbench.images.resize import upscale as upscale_bicubic
from srbench.interfaces import Evidence, ImagePair, SRBenchError
from srbench.models.inference import Draw, upscale
from srbench.models.loading import LoadedModel
from srbench.plugins.identity import FAILED, Identity, digest_of
from srbench.plugins.registry import LoadedMetric, with_evidence
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest

SIDE = 48
"""Longest side in LR pixels of the image of a first call."""
TRIED = 3
"""Number of images that are tried."""
Pairs = Callable[[], Iterator[ImagePair]]


def identified(bench: Bench, known: Manifest | None) -> Bench:
    """A request whose models and metrics have complete digests, those of others by a first call if it is needed."""

    def pairs() -> Iterator[ImagePair]:
        for image in bench.images[:TRIED]:
            with suppress(SRBenchError):
                yield read_pair(bench.dataset, image)

    evidence = [one.evidence for one in known.models if one.evidence] if known else []
    models = {label: _model(one, evidence, pairs, bench) for label, one in bench.models.items()}
    return replace(bench, models=models, metrics=identified_metrics(bench.metrics, known, pairs, bench.spec.scale))


def identified_metrics(
    metrics: Sequence[LoadedMetric], known: Manifest | None, pairs: Pairs, scale: int
) -> tuple[LoadedMetric, ...]:
    """Metrics with complete digests, those of others by a first call if it is needed."""
    evidence = {one.name: one.evidence for one in known.metrics} if known else {}
    return tuple(_metric(one, evidence.get(one.facts.name), pairs, scale) for one in metrics)


def kept_pairs(folder: RunFolder) -> Iterator[ImagePair]:
    """The first pairs that a run folder has kept."""
    pairs = (kept_pair(folder, image) for image in folder.manifest.images)
    return islice((pair for pair in pairs if pair is not None), TRIED)


def _model(loaded: LoadedModel, known: Sequence[Evidence], pairs: Pairs, bench: Bench) -> LoadedModel:
    if loaded.identity is None:
        return loaded
    draw = Draw(max(bench.spec.temperature), 1, 0)
    found = next(filter(None, (loaded.identity.confirmed(one, strict=True) for one in known)), None)

    def call(pair: ImagePair) -> None:
        upscale(loaded.model, pair.name, pair.lr, draw, bench.device)

    evidence = found or _called(loaded.identity, pairs, call, bench.spec.scale)
    _warn(loaded.spec, evidence, "outputs")
    return replace(loaded, evidence=evidence, digest=digest_of(evidence))


def _metric(loaded: LoadedMetric, known: Evidence | None, pairs: Pairs, scale: int) -> LoadedMetric:
    if loaded.identity is None:
        return loaded

    def call(pair: ImagePair) -> None:
        if loaded.facts.sees == "model":
            raise BenchmarkError("it looks at a model, not at images")
        image = pair.hr if pair.has_hr else upscale_bicubic(pair.lr, scale)
        images = [image] if loaded.facts.per == "sample" else [image, image.flip(-1)]
        with one_thread():
            measure(loaded.metric, quantize_floor(torch.stack(images)), pair)

    evidence = loaded.identity.confirmed(known, strict=True) or _called(loaded.identity, pairs, call, scale)
    _warn(loaded.facts.spec, evidence, "values")
    return replace(loaded, facts=with_evidence(loaded.facts, evidence, digest_of(evidence)))


def _called(identity: Identity, pairs: Pairs, call: Callable[[ImagePair], object], scale: int) -> Evidence:
    """Evidence after a call with the first pair that does not fail, if possible a small part of it."""
    with _generators_kept():
        return identity.called(partial(call, part) for pair in pairs() for part in (_corner(pair, scale), pair))


def _corner(pair: ImagePair, scale: int) -> ImagePair:
    lr, side = pair.lr[:, :SIDE, :SIDE].contiguous(), SIDE * scale
    return replace(pair, lr=lr, hr=pair.hr[:, :side, :side].contiguous()) if pair.has_hr else replace(pair, lr=lr)


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Put the global generators back, from which a model may sample against the rules."""
    python, numpy = random.getstate(), np.random.get_state()
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(gpus):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _warn(spec: str, evidence: Evidence, made: str) -> None:
    if evidence.unknown not in ("", FAILED):
        text = f"cannot tell whether it changed ({evidence.unknown}); its {made} are computed again every time"
        warnings.warn(f"{spec}: {text}; give it a method digest()", stacklevel=2)
