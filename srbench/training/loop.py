"""The training loop of all models, from the request to the weights file (docs/architecture.md, Training)."""

from __future__ import annotations

import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from srbench.images.io import write_png
from srbench.interfaces import TrainingRequest
from srbench.machine.processes import Interrupted
from srbench.training.breakdown import PATIENCE, Breakdowns, breakdown
from srbench.training.config import TrainingConfig, TrainingPreset
from srbench.training.curves import write_curves
from srbench.training.folder import BEST, State, TrainingFolder
from srbench.training.learner import Batch, Learner, moving_average
from srbench.training.patches import Patches
from srbench.training.stopping import Clock, Request, stop_requests
from srbench.training.validation import MOST, SIDE, Best, Validation
from srbench.training.view import View
from srbench.weights.files import TRAINED
from srbench.weights.metadata import WeightsMetadata


class Training:
    """A training: ``patches``, ``device`` and ``first_batch`` serve to build the networks, ``fit`` trains them.

    Raises TrainingError for unusable settings or data.
    """

    def __init__(self, model: str, scale: int, preset: TrainingPreset, request: TrainingRequest) -> None:
        self._model, self._scale, self._preset, self._request = model, scale, preset, request
        self.config: TrainingConfig = preset.training
        self._accelerator = Accelerator(cpu=request.device == "cpu")
        self.config.check(self._accelerator.num_processes)
        self.device: torch.device = self._accelerator.device
        # The main process decodes the images and warns; the others find them decoded.
        with self._accelerator.main_process_first(), warnings.catch_warnings():
            if not self._accelerator.is_main_process:
                warnings.simplefilter("ignore")
            self.patches = Patches(request.data, scale, self.config, request.lr)
            if request.validation is None:
                pairs = self.patches.hold_out(MOST, SIDE) or self.patches.centres(MOST, SIDE)
            else:
                pairs = Patches([request.validation], scale, self.config).centres(MOST, SIDE)
            self._validation = Validation(pairs, request.metrics)
        if request.metrics:
            self._validation.metric(self.config.best)  # an unknown one is an error now, not at the first validation
        self._folder = TrainingFolder(request.out)

    def first_batch(self) -> Batch:
        """All patches of step 0, the same on every process."""
        return self._on_device(*self.patches.batch(0), step=0, first=0)

    def fit(
        self, learners: Sequence[Learner], start: str = "", before_step: Callable[[int], None] = lambda step: None
    ) -> Path:
        """Take all remaining steps; returns the weights file of the first learner's network.

        ``start`` is the SHA-256 of the initial weights. ``before_step`` is called with every step. After a kill at any
        moment, the same call resumes from the last checkpoint.
        Raises Interrupted after SIGINT or SIGTERM, when the step in progress is finished and saved; TrainingError that
        names the layer after PATIENCE broken steps in a row, and if another process trains in the folder.
        """
        with self._folder.writing() if self._accelerator.is_main_process else nullcontext():
            return self._fit(learners, start, before_step)

    def _fit(self, learners: Sequence[Learner], start: str, before_step: Callable[[int], None]) -> Path:
        main = self._accelerator.is_main_process
        with self._accelerator.main_process_first():
            self._folder.open(self._metadata(start), self._preset, self._request)
        breakdowns, best = Breakdowns(), Best()
        average = moving_average(learners[0].network, self.config.average)
        result = learners[0].network if average is None else average.module
        state: State = {"breakdowns": breakdowns, "best": best, **_state(learners, average)}
        kept = self._folder.restore(state, self.config.steps)
        self._accelerator.wait_for_everyone()
        if main:
            self._folder.forget_after(kept)
        clock = Clock()
        with stop_requests() as request, self._shown(kept, request) as view:
            for batch in self._batches(kept):
                before_step(batch.step)
                values, broken = self._take_step(batch, learners, breakdowns)
                if average is not None:
                    average.update_parameters(learners[0].network)
                if breakdowns.in_a_row == PATIENCE:
                    raise breakdown(broken, batch.parts(self.config.accumulate)[0], kept)
                done = batch.step + 1
                if view is not None:
                    self._see(batch.step, values, result, best, view)
                stop, late = self._agreed(request.signal, main and clock.due())
                if (stop or late or self._due(done, self.config.checkpoint_every)) and not breakdowns.in_a_row:
                    if main:
                        with clock.saving():
                            self._folder.save(state, done)
                    kept = done
                if stop and done < self.config.steps:
                    self._accelerator.wait_for_everyone()
                    step = f"step {kept} of {self.config.steps}"
                    raise Interrupted(f"the training is saved up to {step}" if kept else "no step is finished", stop)
        if main:
            self._folder.save_weights(TRAINED, result, self._preset.storage, best.last)
            write_curves(self._folder.path, self._validation.units)
        self._accelerator.wait_for_everyone()
        return self._folder.path / TRAINED

    def _take_step(
        self, batch: Batch, learners: Sequence[Learner], breakdowns: Breakdowns
    ) -> tuple[dict[str, float], Learner]:
        """Let all learners step; returns values for the journal, and the first learner that could not step."""
        losses: dict[str, float] = {}
        norms: dict[str, float] = {}
        rate = self.config.learning_rate_at(batch.step)
        for learner in learners:
            for group in learner.optimizer.param_groups:
                group["lr"] = rate * learner.rate
            losses |= self._gradients(learner, batch)
            parameters = learner.parameters()
            norm = float(self._accelerator.clip_grad_norm_(parameters, self.config.max_grad_norm))
            if math.isfinite(norm):
                learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)
            norms[learner.name] = norm
        skipped = [learner for learner in learners if not math.isfinite(norms[learner.name])]
        breakdowns.count(losses, skipped=bool(skipped))
        names = {f"gradient of {name}" if len(norms) > 1 else "gradient": norm for name, norm in norms.items()}
        return {**losses, **names, "learning_rate": rate}, (skipped or learners)[0]

    def _gradients(self, learner: Learner, batch: Batch) -> dict[str, float]:
        """Compute the gradient of the mean loss of the whole step; returns the means of the named values."""
        sums: dict[str, Tensor] = {}
        parts = batch.parts(self.config.accumulate)
        for part in parts:
            loss, named = learner.loss(part)
            self._accelerator.backward(loss / len(parts))
            for name, value in named.items():
                sums[name] = sums.get(name, 0) + value.detach() / len(parts)
        means = torch.stack([*sums.values()])
        if self._accelerator.num_processes > 1:
            # Bit-identical on all processes, so that their networks stay equal.
            means = self._accelerator.reduce(means, "mean")
            gradients = [p.grad for p in learner.parameters() if p.grad is not None]
            flat = self._accelerator.reduce(torch.cat([gradient.flatten() for gradient in gradients]), "mean")
            shares = torch.split(flat, [gradient.numel() for gradient in gradients])
            for gradient, mean in zip(gradients, shares, strict=True):
                gradient.copy_(mean.view(gradient.shape))
        return dict(zip(sums, means.tolist(), strict=True))

    def _batches(self, start: int) -> Iterator[Batch]:
        rank, world = self._accelerator.process_index, self._accelerator.num_processes
        with closing(self.patches.batches(start, rank, world)) as drawn:
            for step, (lr, hr) in enumerate(islice(drawn, self.config.steps - start), start):
                yield self._on_device(lr, hr, step=step, first=rank * len(hr))

    def _on_device(self, lr: Tensor, hr: Tensor, *, step: int, first: int) -> Batch:
        lr, hr = (images.to(self.device, non_blocking=True) for images in (lr, hr))
        return Batch(lr, hr, step, first, self.config.seed)

    def _shown(self, start: int, request: Request) -> AbstractContextManager[View | None]:
        if not self._accelerator.is_main_process:
            return nullcontext()
        board = self._folder.path / "tensorboard" if self._request.tensorboard else None
        return closing(View(self.config, start, self.device.type, board, request))

    def _agreed(self, stop: int, late: bool) -> tuple[int, bool]:
        """The signal that asked any process to stop, or 0, and whether the main process wants a checkpoint."""
        if self._accelerator.num_processes == 1:
            return stop, late
        asked = torch.tensor([stop == signal.SIGINT, stop == signal.SIGTERM, late], dtype=torch.float32)
        interrupt, terminate, late = (self._accelerator.reduce(asked.to(self.device), "sum") > 0).tolist()
        return int(signal.SIGTERM) if terminate else int(signal.SIGINT) if interrupt else 0, late

    def _due(self, done: int, every: int) -> bool:
        return done % every == 0 or done == self.config.steps

    def _see(self, step: int, values: dict[str, float], network: torch.nn.Module, best: Best, view: View) -> None:
        self._folder.losses.append(step, values)
        view.step(step, values)
        if self._due(step + 1, self.config.validate_every):
            self._validate(step + 1, network, best, view)

    def _validate(self, done: int, network: torch.nn.Module, best: Best, view: View) -> None:
        metrics = self._validation.measure(network, self.device)
        if not metrics:
            return
        self._folder.metrics.append(done, metrics)
        grid = self._validation.grid(network, self.device)
        write_png(self._folder.path / "validation.png", grid)
        view.validated(done, metrics, grid)
        if best.see(done, metrics, self._validation.metric(self.config.best)):
            self._folder.save_weights(BEST, network, self._preset.storage, best.metrics, best.step)
        write_curves(self._folder.path, self._validation.units)

    def _metadata(self, start: str) -> WeightsMetadata:
        size = f"{self.config.steps} steps of {self.config.batch} patches of {self.config.patch} pixels"
        return WeightsMetadata(
            model=self._model,
            scale=self._scale,
            preset=Path(self._request.preset).name.removesuffix(".toml"),
            licence="not stated",
            trained_on=f"{self.patches.origin}, {size}",
            data=self.patches.fingerprint,
            start=start,
        )


def _state(learners: Sequence[Learner], average: torch.nn.Module | None) -> State:
    state: State = {} if average is None else {"average": average}
    for learner in learners:
        state |= {learner.name: learner.network, f"{learner.name} optimizer": learner.optimizer}
    return state
