"""Aggregate results in the format of Every Eval Ever, version 0.3: one JSON file per model and temperature.

The format is that of https://github.com/evaleval/every_eval_ever, ``schemas/eval.schema.json``.
"""

from __future__ import annotations

import hashlib
import json
import math
from datetime import datetime
from typing import Any
from uuid import UUID

from srbench.reporting import ReportError
from srbench.reporting.exports.values import ExportedModel, ExportedRun, ExportedValue, slug
from srbench.run_folder.statistics import LEVEL, RESAMPLES

VERSION = "0.3.0"
_UNKNOWN = "unknown"
"""Word of the format for what is not known."""


def every_eval_ever(run: ExportedRun) -> dict[str, bytes]:
    """Contents by file name, such as ``data/srbench-photos/unknown/srflow-t0.8/UUID.json``; equal runs, equal bytes.

    Metrics of which neither higher nor lower is better are left out: the format has no word for them.
    """
    files = {}
    for model in run.models:
        name = slug(model.setting.folder)
        text = json.dumps(_log(run, model, name), indent=1, ensure_ascii=False, allow_nan=False)
        identity = UUID(bytes=hashlib.sha256(text.encode()).digest()[:16], version=4)
        files[f"data/srbench-{slug(run.protocol.dataset)}/{_UNKNOWN}/{name}/{identity}.json"] = f"{text}\n".encode()
    return files


def _log(run: ExportedRun, model: ExportedModel, name: str) -> dict[str, Any]:
    time = _seconds(model.finished)
    source = {"source_organization_url": run.url} if run.url else {}
    weights, stated = model.facts.weights, {}
    if weights is not None:
        stated = {"weights sha256": weights.sha256, "licence": weights.licence, "trained on": weights.trained_on}
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{run.name}/{_UNKNOWN}/{name}/{time}",
        "evaluation_timestamp": time,
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_name": f"srbench run {run.name}",
            "source_type": "evaluation_run",
            "source_organization_name": _UNKNOWN,
            **source,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "srbench", "version": model.invocation.software.get("sr-bench", _UNKNOWN)},
        "model_info": {
            "name": model.setting.label,
            "id": f"{_UNKNOWN}/{name}",
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": _UNKNOWN,
                "name in the command": model.facts.spec,
                "sha256": model.facts.digest,
                **stated,
            },
        },
        "evaluation_results": [_result(run, model, value) for value in model.values if value.metric.direction],
    }


def _result(run: ExportedRun, model: ExportedModel, value: ExportedValue) -> dict[str, Any]:
    metric, settings = value.metric, run.settings(model)
    temperature = model.setting.temperature
    data = {"source_type": "hf_dataset", "hf_repo": run.dataset} if run.dataset else {"source_type": "other"}
    described = {name: settings[name] for name in ("images", "LR", "data sha256")}
    return {
        "evaluation_result_id": f"{run.task(metric)}/{model.setting.folder}",
        "evaluation_name": f"srbench.{run.task(metric)}",
        "source_data": {"dataset_name": run.protocol.dataset, **data, "additional_details": described},
        "evaluation_timestamp": _seconds(model.finished),
        "metric_config": {
            "evaluation_description": metric.protocol,
            "metric_id": f"srbench.{metric.name}",
            "metric_name": metric.title,
            "metric_kind": metric.name,
            **({"metric_unit": metric.unit} if metric.unit else {}),
            "metric_parameters": {"signature": metric.signature},
            "lower_is_better": metric.direction < 0,
            "score_type": "continuous",
            "min_score": "-Infinity",  # a metric states no bounds
            "max_score": "Infinity",
        },
        "score_details": {"score": value.mean, "uncertainty": _uncertainty(value, run.images)},
        "generation_config": {
            "generation_args": {
                **({} if temperature is None else {"temperature": temperature}),
                "execution_command": model.invocation.command,
            },
            "additional_details": settings | {"device": model.invocation.device},
        },
    }


def _uncertainty(value: ExportedValue, images: int) -> dict[str, Any]:
    if math.isnan(value.low):
        return {"num_samples": images}
    interval = {"lower": value.low, "upper": value.high, "confidence_level": LEVEL}
    return {
        "confidence_interval": interval | {"method": "BCa bootstrap over images"},
        "num_samples": images,
        "num_bootstrap_samples": RESAMPLES,
    }


def _seconds(time: str) -> str:
    """Seconds since 1970 of a time in ISO 8601. Raises ReportError for any other text."""
    try:
        return str(int(datetime.fromisoformat(time).timestamp()))
    except ValueError:
        raise ReportError(
            f"{time!r} in the manifest is not a time; srbench verify says what else was changed"
        ) from None
