"""Results in the front matter of a model card on the Hugging Face Hub, the older form: ``model-index``.

The format is that of https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import math
from typing import Any

from srbench.reporting.exports.hf_eval import yaml_bytes
from srbench.reporting.exports.values import ExportedModel, ExportedRun, ExportedValue


def model_index(run: ExportedRun) -> dict[str, bytes]:
    """Contents by file name: the front matter of a card for every model and temperature."""
    return {
        f"{model.setting.folder}/{run.name}.md": b"---\n" + yaml_bytes(_index(run, model)) + b"---\n"
        for model in run.models
    }


def _index(run: ExportedRun, model: ExportedModel) -> dict[str, Any]:
    source = {} if run.url is None else {"source": {"name": f"srbench run {run.name}", "url": run.url}}
    result = {
        "task": {"type": "image-to-image", "name": f"Super-resolution {run.protocol.scale}x"},
        "dataset": {
            "type": run.dataset or run.protocol.dataset,
            "name": run.protocol.dataset,
            "args": run.settings(model) | {"run": run.name, "command": model.invocation.command},
        },
        "metrics": [_metric(value) for value in model.values],
        **source,
    }
    return {"model-index": [{"name": model.setting.label, "results": [result]}]}


def _metric(value: ExportedValue) -> dict[str, Any]:
    interval = {} if math.isnan(value.low) else {"interval95": [value.low, value.high]}
    return {
        "type": value.metric.name,
        "value": value.mean,
        "name": value.metric.title,
        "args": {"signature": value.metric.signature, **interval},
    }
