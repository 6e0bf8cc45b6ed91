"""LR-PSNR: does the result, shrunk again, give the picture the model was shown?"""

from __future__ import annotations

from torch import Tensor

from srbench.images import quantize_floor
from srbench.metrics.pixel import decibels
from srbench.metrics.samples import SampleError, quantised
from srbench.resize import downscale_uint8
from srbench.types import ImagePair


class LRPSNR:
    """Peak signal-to-noise ratio of the shrunk result to the LR picture."""

    name = "lr_psnr"
    title = "LR-PSNR"
    higher_is_better = True
    unit = "dB"
    digits = 2
    protocol = (
        "uint8 RGB by floor, shrunk by MATLAB's antialiased bicubic, rounded to uint8 after each of its "
        "two passes, PSNR to the uint8 LR picture"
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        """(n, 3, H, W) and the pair -> (n,) float64 in dB; inf where the LR picture is met exactly.

        Raises SampleError for output that is no picture and for an HR size that is no whole multiple of the
        LR size.
        """
        (height, width), large = pair.lr.shape[-2:], pair.hr.shape[-2:]
        scale = large[0] // height
        if large != (scale * height, scale * width):
            raise SampleError(
                f"{pair.name}: HR {large[0]}x{large[1]} is no whole multiple of LR {height}x{width}; "
                "crop the HR picture to the scale times the LR size"
            )
        return decibels(downscale_uint8(quantised(samples, pair).cpu(), scale), quantize_floor(pair.lr))
