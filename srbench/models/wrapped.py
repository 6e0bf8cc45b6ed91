"""A model within another: the base of models whose calls are changed, in precision or in their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from srbench.images.lr_projection import make_consistent
from srbench.interfaces import StochasticSRModel, TiledSRModel, Weighted


def network_of(model: Any) -> Any:  # noqa: ANN401 - a model of any kind
    """Return the innermost model of a wrapped model, or the model itself."""
    return model.network if isinstance(model, Wrapped) else model


def move(model: object, device: str) -> None:
    """Move the network of a model to a device, if it is one of torch's."""
    network = network_of(model)
    if isinstance(network, nn.Module):
        network.to(device)


class Wrapped:
    """A model of a stated scale; a subclass changes its calls.

    It samples, samples in tiles, and states the provenance of its weights, if the model within does.
    """

    def __init__(self, model: Any, scale: int) -> None:  # noqa: ANN401 - any callable
        self.scale = scale
        self.network: Any = network_of(model)
        """The innermost model, which is moved to the device."""
        self._model = model
        if isinstance(model, StochasticSRModel):
            self.sample = self._sample
        if isinstance(model, TiledSRModel):
            self.samples = self._samples
        if isinstance(model, Weighted):
            self.weights = model.weights

    def call_inner(self, upscale: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        """Return ``upscale(lr)``, a call of the model within; a subclass changes it."""
        return upscale(lr)

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), not clamped."""
        return self.call_inner(self._model, lr)

    def _sample(self, lr: Tensor, n: int, *, temperature: float, generator: torch.Generator) -> Tensor:
        """See ``StochasticSRModel.sample``."""

        def upscale(lr: Tensor) -> Tensor:
            samples: Tensor = self._model.sample(lr, n, temperature=temperature, generator=generator)
            return samples

        return self.call_inner(upscale, lr)

    def _samples(
        self,
        lr: Tensor,
        n: int,
        *,
        temperature: float,
        generator: torch.Generator,
        tile: int | None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Iterator[Tensor]:
        """See ``TiledSRModel.samples``."""
        samples = self._model.samples(lr, n, temperature=temperature, generator=generator, tile=tile, progress=progress)
        for _ in range(n):
            image = self.call_inner(lambda lr: next(samples), lr)
            yield image
            del image


class Consistent(Wrapped):
    """A model whose outputs or samples are made consistent with LR."""

    def call_inner(self, upscale: Callable[[Tensor], Tensor], lr: Tensor) -> Tensor:
        """Project what ``upscale`` returns onto the images that downscale to LR."""
        return make_consistent(upscale(lr.clone()).to(lr.device), lr, self.scale)
