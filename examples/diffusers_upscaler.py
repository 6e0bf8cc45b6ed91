"""A diffusion upscaler: srbench run --models examples/diffusers_upscaler.py:Upscaler --scale 4 --limit 1 --samples 2.

Needs diffusers, which srbench does not install, and downloads the weights on first use.
"""

import torch


class Upscaler:
    """Stable Diffusion's x4 upscaler; only the generator makes its samples differ."""

    scale = 4

    def __init__(self) -> None:
        from diffusers import StableDiffusionUpscalePipeline

        self.pipeline = StableDiffusionUpscalePipeline.from_pretrained("stabilityai/stable-diffusion-x4-upscaler")
        self.pipeline.set_progress_bar_config(disable=True)

    def sample(self, lr: torch.Tensor, n: int, *, temperature: float, generator: torch.Generator) -> torch.Tensor:
        # Diffusion has no temperature. A CPU generator gives the same samples on any device.
        self.pipeline.to(lr.device)
        outputs = [
            self.pipeline("", image=2 * lr[None] - 1, generator=generator, output_type="pt").images for _ in range(n)
        ]
        return torch.cat(outputs)
