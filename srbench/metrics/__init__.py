"""The eight columns of the table: a function of images each, and a class each, found by entry points.

The functions take torch tensors or numpy arrays, (3, H, W) or (n, 3, H, W), uint8 or floating point in [0, 1], and give
the values of the table: a float for one image, (n,) float64 for a batch. docs/protocols.md says what they mean.
"""

from srbench.metrics.consistency import lr_psnr
from srbench.metrics.diversity import sigma
from srbench.metrics.naturalness import brisque, niqe, pique
from srbench.metrics.perceptual import lpips
from srbench.metrics.pixel import psnr, ssim

__all__ = ["brisque", "lpips", "lr_psnr", "niqe", "pique", "psnr", "sigma", "ssim"]
