"""The training loop shared by all models, from the request to the weights file."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate.utils import broadcast, broadcast_object_list
from msgspec import to_builtins
from torch import Tensor

from srbench.files.config import structure
from srbench.interfaces import TEMPERATURE
from srbench.machine.processes import STOPPING, Interrupted
from srbench.machine.trackers import PROJECT, settings_of
from srbench.training import TrainingError
from srbench.training.accelerator import accelerator_on
from srbench.training.breakdown import PATIENCE, breakdown
from srbench.training.config import TrainingConfig, TrainingPreset
from srbench.training.dry_run import show_cost
from srbench.training.folder import BEST, NUMBERED, TrainingFolder
from srbench.training.learner import Batch, Learner, moving_average
from srbench.training.patches import Patches
from srbench.training.request import TrainingRequest
from srbench.training.start import Start, find_start, load_start
from srbench.training.step import TrainingState, take_step
from srbench.training.stopping import stop_requests
from srbench.training.validation import MAX_IMAGES, SIDE, Validation
from srbench.training.view import View
from srbench.weights.files import CHECKPOINT, TRAINED, is_training_checkpoint
from srbench.weights.metadata import WeightsMetadata, read_training
from srbench.weights.pretrained import Network, PretrainedModel
from srbench.weights.training_images import from_text, images_of, to_text
from srbench.words import one_line

Result = TypeVar("Result")

CHECKPOINT_SECONDS = 120.0
"""Longest time between checkpoints, unless saving them would take more than CHECKPOINT_FRACTION of the time."""
CHECKPOINT_FRACTION = 0.02


class Training:
    """A training: build the networks with ``start``, ``device`` and ``first_batch``, then call ``fit``.

    A validation draws ``samples`` of a stochastic network at ``temperature``, which the weights then state; without it,
    at TEMPERATURE. Raises TrainingError for unusable settings or data.
    """

    def __init__(
        self,
        model: str,
        scale: int,
        preset: TrainingPreset,
        request: TrainingRequest,
        *,
        temperature: float | None = None,
        samples: int = 1,
    ) -> None:
        self.config: TrainingConfig = preset.training
        self._model = model
        self._scale = scale
        self._preset = preset
        self._request = request
        self._temperature = temperature
        self._samples = samples
        self._accelerator, self.device = accelerator_on(request.device, request.log_with, request.out)
        self.config.check(self._accelerator.num_processes, scale)
        self.config.check_precision(self.device.type)
        self._folder = TrainingFolder(request.out)

    @cached_property
    def _images(self) -> tuple[Patches, Validation]:
        """The images. The main process decodes them and warns; the other processes read them from the cache."""
        request = self._request
        with self._accelerator.main_process_first(), warnings.catch_warnings():
            if not self._accelerator.is_main_process:
                warnings.simplefilter("ignore")
            patches = Patches(request.data, self._scale, self.config, request.lr)
            if request.validation is None:
                pairs = patches.hold_out(MAX_IMAGES, SIDE) or patches.centres(MAX_IMAGES, SIDE)
            else:
                pairs = Patches([request.validation], self._scale, self.config).centres(MAX_IMAGES, SIDE)
        temperature = TEMPERATURE if self._temperature is None else self._temperature
        validation = Validation(
            pairs, request.metrics, self.config.select_by, temperature=temperature, samples=self._samples
        )
        self._in_main_process(validation.require_working_metrics)
        return patches, validation

    def start(
        self,
        kind: type[Network],
        config: object,
        sources: Mapping[PretrainedModel[Any], str],
        default: str = "",
        *,
        free: Collection[str] = (),
        adapts: bool = False,
    ) -> tuple[Network, Start]:
        """Build the network to train, of class ``kind`` and size ``config``, with its initial weights.

        ``sources`` are the models that it may start from, each with the submodule that their weights fill (``""``: the
        whole network). The weights are those of ``--start`` or else the installed ones named ``default``; without
        either, or if the latter are of another size, they are random. The fields ``free`` of the size may differ from
        the weights'. A network that ``adapts`` has the size of its weights, and needs some, except in a dry run. A
        resumed training gets a network of its own size. Raises TrainingError, WeightsError.
        """
        request = self._request
        path = find_start(request.start, default, sources, self._scale)
        self._request = replace(request, start=request.start and path)
        torch.manual_seed(self.config.seed)
        if not request.dry_run and is_training_checkpoint(request.out / CHECKPOINT):
            metadata, began = read_training(request.out)
            if metadata.model == self._model:  # else the folder is refused
                size = structure(metadata.config or {}, type(config), "size of the network")
                start = Start(began["start_model"], metadata.start or "", from_text(metadata.images), is_resumed=True)
                return kind(size).to(self.device), start
        if path is None and adapts and not request.dry_run:
            name = next(iter(sources)).name
            raise TrainingError(
                f"{self._model} starts from weights of {name}, and none of its preset's are installed; name them with "
                f"--start: srbench train {name} makes them, srbench list weights shows released ones"
            )
        if path is None:
            return kind(config).to(self.device), Start()
        model, initial = load_start(path, sources, None if "scale" in free else self._scale)
        network = kind(initial.config if adapts else config).to(self.device)
        part = network.get_submodule(sources[model])
        ours, theirs = vars(part.config), vars(initial.config)
        if any(ours[name] != theirs[name] for name in ours if name not in free):
            if request.start is None:
                return network, Start()
            raise TrainingError(
                f"the preset's network is {part.config}, but {path} holds {initial.config}; name other weights with "
                "--start, or change the preset"
            )
        own, tensors = part.state_dict(), initial.state_dict()
        part.load_state_dict({name: tensors.get(name, value) for name, value in own.items()})
        return network, Start(model.name, initial.weights.sha256, initial.training_images)

    def first_batch(self) -> Batch:
        """All patches of step 0, equal on all processes."""
        patches, _ = self._images
        return self._on_device(0, 0, *patches.batch(0))

    def fit(
        self, learners: Sequence[Learner], start: Start, before_step: Callable[[int], None] = lambda step: None
    ) -> Path:
        """Take all remaining steps; returns the weights file of the first learner's network.

        ``before_step`` is called with the number of every step. After a kill at any moment, the same call resumes from
        the last checkpoint. Raises Interrupted after SIGINT, SIGTERM or SIGHUP, once the step in progress is finished
        and saved; TrainingError after PATIENCE broken steps in a row or a broken last step, naming the layer, or if
        another process trains in the folder; and the error of a validation, of which the same call repeats the last. A
        dry run only prints the cost and returns the path of the training folder.
        """
        state = TrainingState(learners, moving_average(learners[0].network, self.config.ema_decay))
        if self._request.dry_run:
            before_step(self.config.steps - 1)  # all parts of the networks are trained
            show_cost(self._model, self._scale, self._request, self._preset, state, self._accelerator, self.device)
            return self._request.out
        patches, validation = self._images
        with self._folder.writing() if self._accelerator.is_main_process else nullcontext():
            done = self._set_up(state, patches, start)
            self._train(done, state, patches, validation, before_step)
            self._finish(state, validation)
        return self._folder.path / TRAINED

    def _set_up(self, state: TrainingState, patches: Patches, start: Start) -> int:
        """Begin the training or restore its checkpoint, equally in all processes; returns the number of steps done."""
        config = self.config
        accelerator = self._accelerator
        preset = self._request.preset
        size = f"{config.steps} steps of {config.batch} patches of {config.patch} pixels"
        metadata = WeightsMetadata(
            model=self._model,
            scale=self._scale,
            preset=None if isinstance(preset, Mapping) else Path(preset).name.removesuffix(".toml"),
            licence="not stated",
            trained_on=f"{patches.origin}, {size}",
            temperature=self._temperature,
            data=patches.fingerprint,
            images=to_text(images_of(patches.images.values(), start.images)),
            config=to_builtins(state.network.config),
        )
        with accelerator.main_process_first():
            self._folder.open(metadata, self._preset, self._request, start, patches.images)
        done = self._folder.restore(state.parts(), config.steps)
        if accelerator.num_processes > 1:
            steps = accelerator.gather(torch.tensor([done], device=self.device)).tolist()
            if len({*steps}) > 1:
                raise TrainingError(
                    f"{self._folder.path}: the processes have checkpoints of different steps ({steps}); choose an "
                    "--out that they share"
                )
            for learner in state.learners:
                for tensor in learner.network.state_dict().values():
                    tensor.copy_(broadcast(tensor.contiguous()))
        if accelerator.is_main_process:
            self._folder.forget_after(done)
            accelerator.init_trackers(PROJECT, init_kwargs=settings_of(self._folder.path.resolve().name, done))
        return done

    def _train(
        self,
        start: int,
        state: TrainingState,
        patches: Patches,
        validation: Validation,
        before_step: Callable[[int], None],
    ) -> None:
        """Take the steps from ``start`` on; from 0 on, validate the initial weights first."""
        config = self.config
        accelerator = self._accelerator
        main = accelerator.is_main_process
        rank = accelerator.process_index
        kept = start
        saved_at = time.monotonic()
        interval = CHECKPOINT_SECONDS
        validated, numbered = config.validated_steps, {*config.numbered_steps}
        with (
            stop_requests() as stop,
            View(config, start, stop, str(self.device), enabled=main) as view,
            closing(patches.batches(start, rank, accelerator.num_processes)) as batches,
        ):
            if start == 0:
                initial = self._in_main_process(partial(self._validate, 0, state, validation))
                view.show(0, initial or {})
            for step in range(start, config.steps):
                before_step(step)
                lr, hr = next(batches)
                batch = self._on_device(step, rank * len(hr), lr, hr)
                values, broken = take_step(batch, state, config, accelerator)
                done = step + 1
                in_a_row = state.breakdowns.in_a_row
                if in_a_row == PATIENCE or (in_a_row and done == config.steps):
                    raise breakdown(broken, batch.parts(config.grad_accumulation)[0], in_a_row, kept, config)
                if main:
                    self._folder.losses.append(step, values)
                    view.show(done, values)
                    accelerator.log({f"training/{name}": value for name, value in values.items()}, step)
                if done in numbered and not in_a_row:  # before the checkpoint, from which a resumed training goes on
                    name, stored = NUMBERED.format(done), self._preset.storage
                    self._in_main_process(partial(self._folder.save_weights, name, state.network, stored, {}, done))
                if done in validated:
                    try:
                        metrics = self._in_main_process(partial(self._validate, done, state, validation))
                    except Exception:  # else the same command would repeat the steps, and fail again
                        if main and not in_a_row:
                            self._folder.save(state.parts(), done)
                        raise
                    if metrics is not None:
                        view.show(done, metrics)
                late = main and time.monotonic() - saved_at >= interval
                stop_signal, late = self._agreed(stop.signal, late)
                due = stop_signal or late or done % config.checkpoint_every == 0 or done == config.steps
                if due and not in_a_row:
                    save_start = time.monotonic()
                    self._in_main_process(partial(self._folder.save, state.parts(), done))
                    saved_at = time.monotonic()
                    interval = max(CHECKPOINT_SECONDS, (saved_at - save_start) / CHECKPOINT_FRACTION)
                    kept = done
                if stop_signal and done < config.steps:
                    self._in_main_process(partial(self._folder.draw_curves, validation.units))
                    accelerator.wait_for_everyone()
                    saved = f"the training is saved up to step {kept} of {config.steps}"
                    raise Interrupted(saved if kept else "no step is finished", stop_signal)

    def _finish(self, state: TrainingState, validation: Validation) -> None:
        """Write the weights file."""

        def write() -> None:
            steps = self.config.steps
            if state.best.step < steps:  # this validation failed, and the same command follows
                self._folder.metrics.cut(steps)
                self._validate(steps, state, validation)
            self._folder.save_weights(TRAINED, state.network, self._preset.storage, state.best.last)
            for tracker in self._accelerator.trackers:
                tracker.finish()

        self._in_main_process(write)

    def _in_main_process(self, work: Callable[[], Result]) -> Result | None:
        """Return what ``work`` returns in the main process, None in the others, which wait for it.

        Its exception is raised in the main process, and TrainingError in the others.
        """
        result, failure = None, None
        if self._accelerator.is_main_process:
            try:
                result = work()
            except Exception as error:
                failure = error
        [reason] = broadcast_object_list([failure and one_line(failure)])
        if failure is not None:
            raise failure
        if reason is not None:
            raise TrainingError(f"the first process failed: {reason}")
        return result

    def _validate(self, done: int, state: TrainingState, validation: Validation) -> dict[str, float]:
        """Measure the network after ``done`` steps, and save its weights if they are the best so far.

        The initial weights, ``done`` = 0, are never the best: the training did not make them. Returns the metrics by
        the names under which they are shown.
        """
        metrics = validation.measure(state.network)
        state.best.step = done
        grid = validation.grid(state.network)
        self._folder.add_validation(done, metrics, grid, validation.units)
        if done and metrics and state.best.record(metrics, validation.best):
            self._folder.save_weights(BEST, state.network, self._preset.storage, metrics, done)
        self._accelerator.log({f"validation/{name}": value for name, value in metrics.items()}, done)
        for tracker in self._accelerator.trackers:
            if hasattr(tracker, "log_images"):  # trackio and MLflow accept only numbers
                tracker.log_images({"validation": grid[None]}, done)
        return {f"validation {name}": value for name, value in metrics.items()}

    def _agreed(self, stop: int, late: bool) -> tuple[int, bool]:
        """Agree among processes on the stop signal (0: none) and on whether the main process wants a checkpoint."""
        if self._accelerator.num_processes == 1:
            return stop, late
        flags = torch.tensor([*(stop == number for number in STOPPING), late], dtype=torch.float32)
        *stops, late = (self._accelerator.reduce(flags.to(self.device), "sum") > 0).tolist()
        return int(max(compress(STOPPING, stops), default=0)), late

    def _on_device(self, step: int, first: int, lr: Tensor, hr: Tensor) -> Batch:
        if self.device.type == "cuda":  # from other memory, the copy would wait for the GPU
            lr, hr = lr.pin_memory(), hr.pin_memory()
        lr, hr = (images.to(self.device, non_blocking=True) for images in (lr, hr))
        return Batch(lr, hr, step, first, self.config.seed)
