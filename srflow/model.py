"""SRFlow: a conditional normalizing flow over the HR images behind an LR image.

Lugmayr et al., "SRFlow: Learning the Super-Resolution Space with Normalizing Flow", ECCV 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from srbench.images.box import Box
from srbench.images.network_input import require_lr
from srbench.images.resize import downscale
from srbench.interfaces import TEMPERATURE, Weighted, WeightsInfo
from srbench.machine.precision import products
from srbench.weights.pretrained import PretrainedModel, load_pretrained
from srflow import editing
from srflow.checkpoints.convert import convert_srflow
from srflow.config import SRFlowConfig
from srflow.encoder import Encoder
from srflow.flow import ConditionalFlow
from srflow.frame import Frame
from srflow.given import Given


class SRFlow(nn.Module):
    """The conditional normalizing flow. Images are RGB in [0, 1]; latents are standard normal.

    ``model(lr)`` draws one HR image for every LR image of a batch, as other networks are called. ``given(lr)`` is the
    distribution of HR images; ``sample`` and the edits are shortcuts for a single LR image, ``bits_per_dimension`` is
    the loss.

    Examples:
        >>> model = SRFlow.from_pretrained(scale=8)
        >>> model(torch.rand(1, 3, 20, 20)).shape
        torch.Size([1, 3, 160, 160])
        >>> given = model.given(torch.rand(3, 20, 20))
        >>> given.sample(2, temperature=0.8, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 3, 160, 160])
    """

    weights: WeightsInfo
    """Provenance of the weights; set only if they come from a file."""

    def __init__(self, config: SRFlowConfig, flow: ConditionalFlow | None = None) -> None:
        """Build the network of ``config``; ``flow`` replaces the flow that the configuration describes."""
        super().__init__()
        self.config = config
        self.scale: int = config.encoder.scale
        self.encoder = Encoder(config.encoder, config.stacked)
        self.flow = ConditionalFlow.from_config(config) if flow is None else flow
        self.reversible = False
        """True to train without stored activations (``srflow.reversible``)."""

    @classmethod
    def from_preset(cls, name: str) -> SRFlow:
        """Build an untrained network of a preset's size. Raises ConfigError."""
        return cls(SRFlowConfig.from_preset(name))

    @classmethod
    def from_pretrained(cls, scale: int, weights: Path | None = None, name: str = "srflow") -> SRFlow:
        """Load the packaged network of this scale, a weights file or an official checkpoint.

        Args:
            scale: Upscaling factor; weights for 4 and 8 are packaged.
            weights: A weights file or an official checkpoint; None for the packaged weights.
            name: ``srflow``, or ``srflow-perceptual`` for the network after the second training stage.

        Raises:
            WeightsError: The file is damaged or has another scale, or no weights are packaged for this scale.
        """
        return load_pretrained(pretrained(name), scale, weights)

    @property
    def projected(self) -> bool:
        """True if samples are projected onto the images that downscale to LR."""
        return self.config.projected

    def given(self, lr: Tensor, *, gradients: bool = False) -> Given:
        """The distribution of HR images given LR.

        Args:
            lr: (3, h, w) in [0, 1], or a batch (b, 3, h, w).
            gradients: True for training; see ``Given``.

        Raises:
            ImageError: LR has another shape, is not floating point or, unless in training, far exceeds [0, 1].
        """
        require_lr(lr, values=not gradients, or_single=True)
        reversible = gradients and self.reversible
        return Given(self.encoder, self.flow, self.config, lr, gradients=gradients, reversible=reversible)

    def sample(
        self,
        lr: Tensor,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """Draw n HR images from ``given(lr)``.

        Args:
            lr: (3, h, w) in [0, 1].
            n: Number of samples.
            temperature: Factor on the standard deviation of the latents.
            generator: CPU generator for the latents; by default torch's own.
            tile: Side of the tiles in LR pixels; None decodes the whole image at once.

        Returns:
            (n, 3, s*h, s*w), not clamped.
        """
        return self.given(lr).sample(n, temperature=temperature, generator=generator, tile=tile)

    def samples(
        self,
        lr: Tensor,
        n: int = 1,
        *,
        temperature: float = TEMPERATURE,
        generator: torch.Generator | None = None,
        tile: int | None = None,
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> Iterator[Tensor]:
        """Yield the images of ``sample``, (3, s*h, s*w) each; see ``Given.samples``."""
        return self.given(lr).samples(n, temperature=temperature, generator=generator, tile=tile, progress=progress)

    def forward(self, lr: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one HR image for every LR image, at the temperature stated in the weights, else at TEMPERATURE.

        Args:
            lr: (b, 3, h, w) in [0, 1].
            generator: CPU generator for the latents; by default a new one seeded with 0, so that equal batches give
                equal images.

        Returns:
            (b, 3, s*h, s*w), not clamped, without gradients.

        Raises:
            ImageError: LR is not such a batch.
        """
        require_lr(lr, values=False)  # ``given`` looks at the values
        stated = self.weights.temperature if isinstance(self, Weighted) else None
        temperature = TEMPERATURE if stated is None else stated
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        return self.given(lr).sample(1, temperature=temperature, generator=generator)[0]

    def log_prob(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Log-density log p(hr | lr) in nats at temperature 1, (n,); see ``Given.log_prob``.

        Args:
            lr: (3, h, w) in [0, 1], or a batch (n, 3, h, w).
            hr: (n, 3, s*h, s*w).
        """
        return self.given(lr).log_prob(hr)

    def bits_per_dimension(self, lr: Tensor, hr: Tensor) -> Tensor:
        """Training loss: ``Given.bits_per_dimension`` with gradients, (b,).

        Args:
            lr: (b, 3, h, w) in [0, 1].
            hr: (b, 3, s*h, s*w).

        ``reversible`` makes its memory independent of the number of flow steps, at the cost of time.
        """
        return self.given(lr, gradients=True).bits_per_dimension(hr)

    @torch.no_grad()
    def initialize(self, lr: Tensor, hr: Tensor) -> None:
        """Initialise every ActNorm from a first batch, equal in all processes (Glow, section 3.1). Call once."""
        frame = Frame(lr, self.config)
        with products(lr.device, tf32=False):
            self.flow.initialize(frame.enter(hr)[0], self.encoder(frame.lr))

    @property
    def edit_grid(self) -> int:
        """Side, in HR pixels, of one location of the deepest latent; boxes have to be aligned to this grid."""
        return 1 << self.config.levels

    def transfer_style(self, hr: Tensor, lr: Tensor, source: Box, target: Box, *, temperature: float) -> Tensor:
        """Copy the texture at ``source`` to ``target`` in HR (3, s*h, s*w); see ``srflow.editing``."""
        return editing.transfer_style(self.given(lr), hr, source, target, temperature=temperature)

    def transfer_content(
        self, hr: Tensor, lr: Tensor, pasted: Tensor, mask: Tensor, *, temperature: float, generator: torch.Generator
    ) -> Tensor:
        """Give HR (3, s*h, s*w) the detail of ``pasted`` where the mask (s*h, s*w) is 1; see ``srflow.editing``."""
        given, given_pasted = self.given(lr), self.given(downscale(pasted, self.scale))
        return editing.transfer_content(
            given, hr, given_pasted, pasted, mask, temperature=temperature, generator=generator
        )

    def restore(self, hr: Tensor, lr: Tensor, *, temperature: float, generator: torch.Generator) -> Tensor:
        """Remove from HR (3, s*h, s*w) what samples do not have, such as noise; see ``srflow.editing``."""
        return editing.restore(self.given(lr), hr, temperature=temperature, generator=generator)


def pretrained(name: str) -> PretrainedModel[SRFlow]:
    """SRFlow as a model whose weights can be loaded, by the name in the weights:
    ``srflow`` or ``srflow-perceptual``.
    """
    return PretrainedModel(name, SRFlow, SRFlowConfig, convert_srflow, "srflow")
