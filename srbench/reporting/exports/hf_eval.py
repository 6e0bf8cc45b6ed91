"""Evaluation results of a model repository on the Hugging Face Hub: ``.eval_results/*.yaml``.

The format is that of https://huggingface.co/docs/hub/eval-results: a list of values, each of a task of a dataset.
"""

from __future__ import annotations

from typing import Any

import yaml

from srbench.reporting.exports.values import ExportedModel, ExportedRun, ExportedValue


def hf_eval(run: ExportedRun) -> dict[str, bytes]:
    """Contents by file name: a folder for every model and temperature, to be copied into the model's repository.

    A task is named after scale and signature, so that numbers of unlike protocols are never on one leaderboard.
    """
    return {
        f"{model.setting.folder}/.eval_results/{run.name}.yaml": yaml_bytes(
            [_entry(run, model, value) for value in model.values]
        )
        for model in run.models
    }


def _entry(run: ExportedRun, model: ExportedModel, value: ExportedValue) -> dict[str, Any]:
    facts = {"signature": value.metric.signature} | run.settings(model)
    facts |= {"run": run.name, "command": model.invocation.command}
    source = {} if run.url is None else {"source": {"url": run.url, "name": f"srbench run {run.name}"}}
    return {
        "dataset": {"id": run.dataset or run.protocol.dataset, "task_id": run.task(value.metric)},
        "value": value.mean,
        "date": model.finished,
        **source,
        "notes": "; ".join(f"{name}: {text}" for name, text in facts.items()),
    }


def yaml_bytes(content: object) -> bytes:
    """YAML in which every number has all its digits, with the keys in their order."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text.encode()
