"""PSNR and SSIM: how far every pixel is from the true one."""

from __future__ import annotations

import torch
from torch import Tensor

from srbench.images import quantize_floor
from srbench.metrics.samples import quantised, require_side
from srbench.types import ImagePair


def decibels(pictures: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of uint8 (n, 3, h, w) to one picture (3, h, w) -> (n,) float64 in dB.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels; identical pictures give
    inf.
    """
    error = (pictures.cpu().to(torch.float64) - reference.cpu().to(torch.float64)).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(255**2 / error)


class PSNR:
    """Peak signal-to-noise ratio to the HR picture."""

    name = "psnr"
    title = "PSNR"
    higher_is_better = True
    unit = "dB"
    digits = 2
    protocol = (
        "uint8 RGB by floor, no crop, one mean squared error over all pixels and channels, peak 255; "
        "identical pictures: inf"
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in dB. Raises SampleError for unusable output."""
        return decibels(quantised(samples, pair), quantize_floor(pair.hr))


class SSIM:
    """Structural similarity to the HR picture.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, with the
    defaults of scikit-image, which are those of the official SRFlow test code.
    """

    name = "ssim"
    title = "SSIM"
    higher_is_better = True
    unit = ""
    digits = 3
    protocol = (
        "uint8 RGB by floor, scikit-image defaults: 7x7 uniform window, sample covariance, K1 .01, K2 .03, "
        "range 255, 3 border pixels left out, mean over channels"
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in -1..1. Raises SampleError below 7 pixels a side."""
        from skimage.metrics import structural_similarity

        require_side(pair, 7, self.title)
        hr = quantize_floor(pair.hr).permute(1, 2, 0).cpu().numpy()
        values = [
            structural_similarity(sample.permute(1, 2, 0).numpy(), hr, channel_axis=2, data_range=255)
            for sample in quantised(samples, pair).cpu()
        ]
        return torch.tensor(values, dtype=torch.float64)
