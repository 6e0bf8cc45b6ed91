"""A denoiser at scale 1: srbench run --models noisy=bicubic,examples/denoise.py:Median --degrade examples/noise.toml.

Any model of scale 1 runs in the same way: deblurring, faces of 512 x 512, JPEG artefacts.
"""

import torch
from torch.nn import functional as F


class Median(torch.nn.Module):
    """The median of 3 x 3 pixels, channel by channel: (n, 3, h, w) in [0, 1] -> the same size."""

    scale = 1

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        padded = F.pad(noisy, (1, 1, 1, 1), mode="reflect")
        neighbours = padded.unfold(2, 3, 1).unfold(3, 3, 1)
        return neighbours.flatten(-2).median(dim=-1).values
