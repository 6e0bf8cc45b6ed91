"""``srbench run --dry-run``: the work left, with the memory and disk space that it needs at most. No model runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from srbench.benchmark.checkpoints import require_memory, weights_bytes
from srbench.benchmark.opened import open_request
from srbench.benchmark.plan import Plan, planned_run
from srbench.data.datasets import has_hr
from srbench.images.io import largest_png
from srbench.models.inference import choose_device
from srbench.run_folder.folder import check_folder
from srbench.run_folder.location import folder_of
from srbench.run_folder.request import RunSpec
from srbench.words import amount, number_of


def estimate(spec: RunSpec) -> Iterator[str]:
    """Yield lines that state the items requested, the items left, and the disk space that they take at most.

    Writes nothing. Raises SRBenchError if the run could not start.
    """
    request = open_request(spec)
    path = folder_of(spec, request.joint_labels, request.manifest())
    check_folder(path)
    plan = planned_run(request, path)
    require_memory(plan.sampled_checkpoints(but=request.loaded_models), choose_device(spec.device))
    yield f"folder: {path}{'' if path.exists() else ' (new)'}"
    yield (
        f"The command asks for {number_of(len(request.settings), 'setting')} on "
        f"{number_of(len(request.images), 'image')}: {number_of(request.items, 'item')}."
    )
    if checkpoints := [model for model in request.models.values() if model.checkpoint]:
        memory = amount(sum(map(weights_bytes, checkpoints)), "B")
        yield f"weights of {number_of(len(checkpoints), 'checkpoint')}: {memory} of memory, in each process"
    yield from (f"cannot be loaded: {fault}" for fault in request.faults)
    yield from (f"cannot be read: {task.fault}" for task in plan.tasks if task.fault)
    to_sample = Counter(item.setting for task in plan.tasks for item in task.items if item.key)
    to_measure = sum(not item.key for task in plan.tasks for item in task.items)
    of_many = plan.metrics_of_many
    lacking = {(task.setting, task.metric.title) for task in plan.tasks_of_many}
    lacking |= {(setting, metric.title) for setting in to_sample for metric in of_many}
    if not plan.tasks and not lacking:
        yield "Nothing is left to do."
        return
    yield f"Left: {to_sample.total()} to sample and measure, {to_measure} sampled but not fully measured."
    yield from (f"  {setting.folder}: {number_of(count, 'image')}" for setting, count in to_sample.items())
    if lacking:
        titles = [metric.title for metric in of_many if metric.title in {title for _, title in lacking}]
        yield f"  {', '.join(titles)} of {number_of(len({setting for setting, _ in lacking}), 'setting')}"
    if to_sample:
        size = _most_bytes(plan)
        unknown = f"unknown, as {request.dataset.name} states no sizes of images"
        yield f"disk space: {unknown if size is None else 'at most ' + amount(size, 'B')}, without the report"


def _most_bytes(plan: Plan) -> float | None:
    """Return the largest size of the images to save, from the sizes that their headers state;
    None if a size is unknown.
    """
    protocol, total = plan.folder.manifest.protocol, 0.0
    for task in plan.tasks:
        pixels = plan.pixels(task.image)
        if pixels is None:
            return None
        outputs = sum(min(plan.outputs(item), protocol.kept) for item in task.items if item.key)
        hr = task.pair is None and plan.request is not None and has_hr(plan.request.dataset)
        total += (outputs + hr) * largest_png(pixels)
        total += (task.pair is None) * largest_png(pixels // protocol.scale**2)
    return total
