"""The training loop shared by all models, from the request to the weights file."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import compress
from pathlib import Path

import torch
from torch import Tensor

from srbench.files.atomic import write_whole
from srbench.images.io import encode_png
from srbench.machine.processes import STOPPING, Interrupted
from srbench.terminal.output import show
from srbench.training.accelerator import accelerator_on
from srbench.training.breakdown import PATIENCE, Breakdowns, breakdown
from srbench.training.config import TrainingConfig, TrainingPreset
from srbench.training.curves import curves
from srbench.training.dry_run import FEW, described, measured_cost, noise
from srbench.training.folder import BEST, State, TrainingFolder
from srbench.training.learner import Batch, Learner, moving_average
from srbench.training.patches import Patches
from srbench.training.request import TrainingRequest
from srbench.training.stopping import stop_requests
from srbench.training.validation import MAX_IMAGES, SIDE, BestValidation, Validation
from srbench.training.view import View
from srbench.weights.files import TRAINED
from srbench.weights.metadata import WeightsMetadata

CHECKPOINT_SECONDS = 120.0
"""Longest time between checkpoints, unless saving them would take more than CHECKPOINT_SHARE of the time."""
CHECKPOINT_SHARE = 0.02


class Training:
    """A training: build the networks with ``patches``, ``device`` and ``first_batch``, then call ``fit``.

    Raises TrainingError for unusable settings or data.
    """

    def __init__(self, model: str, scale: int, preset: TrainingPreset, request: TrainingRequest) -> None:
        self.config: TrainingConfig = preset.training
        self._preset = preset
        self._request = request
        self._accelerator, self.device = accelerator_on(request.device, request.log_with, request.out)
        self.config.check(self._accelerator.num_processes)
        self._model = model
        self._scale = scale
        if request.dry_run:
            self.config = replace(self.config, accumulate=1)
            return
        # The main process decodes the images and warns; the other processes read them from the cache.
        with self._accelerator.main_process_first(), warnings.catch_warnings():
            if not self._accelerator.is_main_process:
                warnings.simplefilter("ignore")
            self.patches = Patches(request.data, scale, self.config, request.lr)
            if request.validation is None:
                pairs = self.patches.hold_out(MAX_IMAGES, SIDE) or self.patches.centres(MAX_IMAGES, SIDE)
            else:
                pairs = Patches([request.validation], scale, self.config).centres(MAX_IMAGES, SIDE)
        self._validation = Validation(pairs, request.metrics, self.config.best)
        self._validation.require_working_metrics()
        self._folder = TrainingFolder(request.out)
        size = f"{self.config.steps} steps of {self.config.batch} patches of {self.config.patch} pixels"
        self._metadata = WeightsMetadata(
            model=model,
            scale=scale,
            preset=Path(request.preset).name.removesuffix(".toml"),
            licence="not stated",
            trained_on=f"{self.patches.origin}, {size}",
            data=self.patches.fingerprint,
        )

    def first_batch(self) -> Batch:
        """All patches of step 0, equal on all processes; a few patches of noise in a dry run."""
        if self._request.dry_run:
            return noise(FEW, self._scale, self.config, self.device)
        return self._on_device(0, 0, *self.patches.batch(0))

    def fit(
        self, learners: Sequence[Learner], start: str = "", before_step: Callable[[int], None] = lambda step: None
    ) -> Path:
        """Take all remaining steps; returns the weights file of the first learner's network.

        ``start`` is the SHA-256 of the initial weights. ``before_step`` is called with the number of every step. After
        a kill at any moment, the same call resumes from the last checkpoint. Raises Interrupted after SIGINT, SIGTERM
        or SIGHUP, once the step in progress is finished and saved; TrainingError after PATIENCE broken steps in a row,
        naming the layer, or if another process trains in the folder. A dry run only prints the cost and returns the
        path of the training folder.
        """
        if self._request.dry_run:
            self._show_cost(learners, before_step)
            return self._request.out
        config = self.config
        folder = self._folder
        accelerator = self._accelerator
        main = accelerator.is_main_process
        rank = accelerator.process_index

        # Everything that changes during the training and is saved in a checkpoint.
        breakdowns = Breakdowns()
        best = BestValidation()
        network = learners[0].network
        state: State = {"breakdowns": breakdowns, "best": best, "network": network}
        for learner in learners:
            state |= {f"{learner.name} optimizer": learner.optimizer}
        for learner in learners[1:]:
            state |= {learner.name: learner.network}
        average = moving_average(network, config.average)
        if average is not None:
            state["average"] = average
            network = average.module  # the network that is validated and saved

        with folder.writing() if main else nullcontext():
            with accelerator.main_process_first():
                folder.open(replace(self._metadata, start=start), self._preset, self._request)
            kept = folder.restore(state, config.steps)
            accelerator.wait_for_everyone()
            if main:
                folder.forget_after(kept)
                name = {"name": folder.path.resolve().name}
                trackers = {"tensorboard": {"purge_step": kept}, "wandb": name, "trackio": name}
                accelerator.init_trackers("srbench", init_kwargs=trackers)
            saved_at = time.monotonic()
            interval = CHECKPOINT_SECONDS
            with (
                stop_requests() as stop,
                View(config, kept, stop, enabled=main) as view,
                closing(self.patches.batches(kept, rank, accelerator.num_processes)) as batches,
            ):
                for step in range(kept, config.steps):
                    before_step(step)
                    lr, hr = next(batches)
                    batch = self._on_device(step, rank * len(hr), lr, hr)
                    values, broken = self._take_step(batch, learners, breakdowns)
                    if average is not None:
                        average.update_parameters(learners[0].network)
                    if breakdowns.in_a_row == PATIENCE:
                        raise breakdown(broken, batch.parts(config.accumulate)[0], kept)
                    done = step + 1
                    if main:
                        folder.losses.append(step, values)
                        view.show(done, values)
                        accelerator.log({f"training/{name}": value for name, value in values.items()}, step)
                        if done % config.validate_every == 0 or done == config.steps:
                            self._validate(done, network, best, view)

                    late = main and time.monotonic() - saved_at >= interval
                    stop_signal, late = self._agreed(stop.signal, late)
                    due = stop_signal or late or done % config.checkpoint_every == 0 or done == config.steps
                    if due and not breakdowns.in_a_row:
                        if main:
                            save_start = time.monotonic()
                            folder.save(state, done)
                            saved_at = time.monotonic()
                            interval = max(CHECKPOINT_SECONDS, (saved_at - save_start) / CHECKPOINT_SHARE)
                        kept = done
                    if stop_signal and done < config.steps:
                        accelerator.wait_for_everyone()
                        saved = f"the training is saved up to step {kept} of {config.steps}"
                        raise Interrupted(saved if kept else "no step is finished", stop_signal)
            if main:
                folder.save_weights(TRAINED, network, self._preset.storage, best.last)
                self._draw_curves()
                for tracker in accelerator.trackers:
                    tracker.finish()
            accelerator.wait_for_everyone()
        return folder.path / TRAINED

    def _show_cost(self, learners: Sequence[Learner], before_step: Callable[[int], None]) -> None:
        """Measure and print the cost of the last step, in which all parts of the networks are being trained."""
        config = self._preset.training
        before_step(config.steps - 1)
        breakdowns = Breakdowns()

        def take_step(patches: int) -> None:
            self._take_step(noise(patches, self._scale, config, self.device), learners, breakdowns)

        cost = measured_cost(take_step, learners, config)
        if self._accelerator.is_main_process:
            processes = self._accelerator.num_processes
            show(described(cost, self._model, self._request, config, self.device, processes))

    def _take_step(
        self, batch: Batch, learners: Sequence[Learner], breakdowns: Breakdowns
    ) -> tuple[dict[str, float], Learner]:
        """Update all networks; returns values for the log, and the first learner without an update (or the first)."""
        losses: dict[str, float] = {}
        norms: dict[str, float] = {}
        rate = self.config.learning_rate_at(batch.step)
        for learner in learners:
            for group in learner.optimizer.param_groups:
                group["lr"] = rate * learner.rate
            losses |= self._gradients(learner, batch)
            norm = float(self._accelerator.clip_grad_norm_(learner.parameters(), self.config.max_grad_norm))
            if math.isfinite(norm):
                learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)
            norms[learner.name] = norm
        skipped = [learner for learner in learners if not math.isfinite(norms[learner.name])]
        breakdowns.count(losses, skipped=bool(skipped))
        names = {f"gradient of {name}" if len(norms) > 1 else "gradient": norm for name, norm in norms.items()}
        return {**losses, **names, "learning_rate": rate}, (skipped or learners)[0]

    def _gradients(self, learner: Learner, batch: Batch) -> dict[str, float]:
        """Compute the gradient of the mean loss over the whole step; returns the means of the named values."""
        sums: dict[str, Tensor] = {}
        parts = batch.parts(self.config.accumulate)
        for part in parts:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                loss, named = learner.loss(part)
            self._accelerator.backward(loss / len(parts))
            for name, value in named.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(parts)
        means = torch.stack([*sums.values()])
        if self._accelerator.num_processes > 1:
            # A reduction is bit-identical on all processes, so their networks stay equal.
            means = self._accelerator.reduce(means, "mean")
            gradients = [p.grad for p in learner.parameters() if p.grad is not None]
            flat = self._accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
            shares = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, mean in zip(gradients, shares, strict=True):
                gradient.copy_(mean.view(gradient.shape))
        return dict(zip(sums, means.tolist(), strict=True))

    def _validate(self, done: int, network: torch.nn.Module, best: BestValidation, view: View) -> None:
        """Measure the network after ``done`` steps, and save its weights if they are the best so far."""
        metrics = self._validation.measure(network)
        if not metrics:
            return
        self._folder.metrics.append(done, metrics)
        grid = self._validation.grid(network)
        write_whole(self._folder.path / "validation.png", encode_png(grid))
        view.show(done, {f"validation {name}": value for name, value in metrics.items()})
        self._accelerator.log({f"validation/{name}": value for name, value in metrics.items()}, done)
        for tracker in self._accelerator.trackers:
            if hasattr(tracker, "log_images"):  # trackio accepts only numbers
                tracker.log_images({"validation": grid[None]}, done)
        if best.record(done, metrics, self._validation.best):
            self._folder.save_weights(BEST, network, self._preset.storage, best.metrics, best.step)
        self._draw_curves()

    def _draw_curves(self) -> None:
        if losses := self._folder.losses.read():
            image = curves(losses, self._folder.metrics.read(), self._validation.units)
            write_whole(self._folder.path / "loss.svg", image)

    def _agreed(self, stop: int, late: bool) -> tuple[int, bool]:
        """Agree among processes on the stop signal (0: none) and on whether the main process wants a checkpoint."""
        if self._accelerator.num_processes == 1:
            return stop, late
        own = torch.tensor([*(stop == number for number in STOPPING), late], dtype=torch.float32)
        *stops, late = (self._accelerator.reduce(own.to(self.device), "sum") > 0).tolist()
        return int(max(compress(STOPPING, stops), default=0)), late

    def _on_device(self, step: int, first: int, lr: Tensor, hr: Tensor) -> Batch:
        lr, hr = (images.to(self.device, non_blocking=True) for images in (lr, hr))
        return Batch(lr, hr, step, first, self.config.seed)
