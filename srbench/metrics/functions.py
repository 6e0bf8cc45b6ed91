"""The eight default metrics, CRPS and LPIPS energy as functions: ``psnr(sr, hr, channels="Y", border=4)``.

Arguments: ``sr`` is one image (3, H, W) or a batch (n, 3, H, W), RGB: uint8, or floating point in [0, 1] that is
clamped and floored to uint8, as a run saves it. ``hr`` and ``lr`` are one image for all, or n, one each. Tensors and
arrays are taken. Options are those of the metric's class, such as ``channels`` of ``srbench run --metrics
psnr+channels=Y``.

Results: a float for one image; for a batch (n,) float64, a tensor on the CPU or an array, like the argument. They are
the values of the table.

Errors: MetricError for an argument that is no image or too small, sizes that do not fit, and a value that an option
does not take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair
from srbench.metrics import MetricError
from srbench.metrics.arguments import typed
from srbench.metrics.consistency import LRPSNR
from srbench.metrics.distribution import CRPS, LPIPSEnergy
from srbench.metrics.diversity import deviation
from srbench.metrics.lpips_network import Net
from srbench.metrics.naturalness import BRISQUE, NIQE, PIQUE
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.pixel import PSNR, SSIM, Channels, Colour, Window
from srbench.metrics.proper_scores import require_eight_bits
from srbench.metrics.samples import EightBitMetric, as_uint8
from srbench.words import size_of

Images = Tensor | NDArray[Any]
"""(3, H, W) or (n, 3, H, W), RGB: uint8 in 0..255, or float16, bfloat16, float32 or float64 in [0, 1]."""
Values = float | Tensor | NDArray[np.float64]
"""A float for one image; for a batch (n,) float64, a tensor on the CPU or an array, like the argument."""

_DTYPES = (torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64)
_ARRAYS = (np.uint8, np.float16, np.float32, np.float64)


def psnr(
    sr: Images, hr: Images, *, channels: Channels = "RGB", border: int = 0, round: bool = True, colour: Colour = "bt601"
) -> Values:
    """Peak signal-to-noise ratio to the HR image in dB; ``inf`` for identical images.

    10 log10(255^2 / MSE) with one mean squared error over all pixels and channels: scikit-image's
    ``peak_signal_noise_ratio``, as in the test code of SRFlow (Lugmayr et al., 2020). Papers of classic SR use
    ``channels="Y"`` and a ``border`` of as many pixels as the scale.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import psnr
        >>> hr = np.full((3, 32, 32), 100, dtype=np.uint8)
        >>> psnr(hr + 1, hr) == psnr(hr + 1, hr, border=4)
        True
        >>> psnr(np.stack([hr + 1, hr + 2, hr]), hr).round(2)
        array([48.13, 42.11,   inf])
    """
    return _measured(PSNR, sr, hr=hr, channels=channels, border=border, round=round, colour=colour)


def ssim(
    sr: Images,
    hr: Images,
    *,
    channels: Channels = "RGB",
    border: int = 0,
    window: Window = "uniform7",
    round: bool = True,
    colour: Colour = "bt601",
    negative: Literal["kept", "zero"] = "kept",
) -> Values:
    """Structural similarity to the HR image, in -1..1; 1 for identical images.

    Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004, eq. 13, mean over
    channels, for images of at least 7 pixels a side. By default with scikit-image's uniform window of 7x7 pixels;
    papers of classic SR use ``channels="Y"``, ``window="gaussian11"`` and a ``border`` of as many pixels as the scale.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import ssim
        >>> hr = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
        >>> round(ssim(hr // 2, hr), 4)
        0.6399
        >>> round(ssim(hr // 2, hr, channels="Y", border=4, window="gaussian11"), 4)
        0.6896
    """
    return _measured(
        SSIM, sr, hr=hr, channels=channels, border=border, window=window, round=round, colour=colour, negative=negative
    )


def lpips(sr: Images, hr: Images, *, net: Net = "alex", trunk: Path | None = None) -> Values:
    """Learned perceptual image patch similarity to the HR image, 0 and up; 0 for identical images.

    Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", 2018, eq. 1: version 0.1,
    spatial mean, for images of at least 64 pixels a side, computed in float32 on the device of ``sr``. The weights of
    AlexNet are packaged; ``net`` vgg or squeeze takes torchvision's, or the file ``trunk``. Features of a single HR
    image are computed once for the batch.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import lpips
        >>> hr = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
        >>> lpips(hr, hr)
        0.0
        >>> round(lpips(hr // 2, hr), 2)
        0.09
    """
    return _measured(LPIPS, sr, hr=hr, net=net, trunk=trunk)


def lr_psnr(sr: Images, lr: Images) -> Values:
    """PSNR in dB between the downscaled image and the LR image; ``inf`` if they are equal.

    Downscaling is MATLAB's antialiased bicubic ``imresize``, rounded to uint8 after each of its two passes (Keys, 1981;
    ``srbench.images.resize``), halves to even, as in the test code of SRFlow (Lugmayr et al., 2020). MATLAB itself
    rounds halves up, so HR reaches 64 dB or more to an LR image made by MATLAB. The scale is H / h = W / w, which must
    be an integer of at least 2.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import lr_psnr
        >>> lr = np.full((3, 8, 8), 100, dtype=np.uint8)
        >>> round(lr_psnr(np.full((3, 32, 32), 101, dtype=np.uint8), lr), 4)
        48.1308
    """
    return _measured(LRPSNR, sr, lr=lr)


def niqe(sr: Images) -> Values:
    """Natural image quality evaluator: distance from the statistics of undistorted photographs, 0 and up.

    Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013, eq. 10, with the model of
    the authors' (LIVE) release, for images of at least 96 pixels a side; docs/protocols.md has the steps. An image with
    fewer than two blocks of texture is a MetricError.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import niqe
        >>> noise = np.random.default_rng(0).integers(0, 256, (3, 96, 192), dtype=np.uint8)
        >>> round(niqe(noise), 2)
        38.89
    """
    return _measured(NIQE, sr)


def brisque(sr: Images) -> Values:
    """Blind/referenceless image spatial quality evaluator: predicted opinion score, about 0..100, not clipped.

    Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", 2012, with the support
    vectors of the authors' (LIVE) release, for images of at least 64 pixels a side that have more than a single colour;
    docs/protocols.md has the steps.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import brisque
        >>> noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
        >>> round(brisque(noise), 1)
        90.9
    """
    return _measured(BRISQUE, sr)


def pique(sr: Images) -> Values:
    """Perception-based image quality evaluator: how distorted the active blocks are, in 0..100 (MATLAB: ``piqe``).

    Venkatanath et al., "Blind image quality evaluation using perception based features", 2015, for images of at least
    16 pixels a side; docs/protocols.md has the steps. An image without active blocks scores 100.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import pique
        >>> pique(np.full((3, 32, 32), 128, dtype=np.uint8))
        100.0
    """
    return _measured(PIQUE, sr)


def sigma(samples: Images) -> float:
    """Spread of the samples of an image: standard deviation of pixels in grey levels (0..255), 0 for one sample.

    The divisor is n - 1, and the mean is taken over pixels and channels, as in the test code of HCFlow (Liang et al.,
    2021). ``samples`` (n, 3, H, W) are neither clamped nor rounded. Values are only comparable for equal n.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import sigma
        >>> samples = np.zeros((2, 3, 32, 32), dtype=np.uint8)
        >>> samples[1] = 10
        >>> round(sigma(samples), 4)  # 10 / sqrt(2)
        7.0711
    """
    tensor = image_tensor(samples, "samples")
    return deviation(tensor.to(torch.float32) / 255 if tensor.dtype == torch.uint8 else tensor).item()


def crps(samples: Images, hr: Images) -> float:
    """Fair continuous ranked probability score of the samples of an image in grey levels; lower is better.

    mean_i |x_i - y| - 1/(2n(n-1)) sum_ij |x_i - x_j| over samples x of HR y, mean over pixels and channels: lowest in
    expectation for samples from the distribution of HR (Gneiting and Raftery, 2007, section 4.2), and comparable
    between numbers of samples (Ferro, "Fair scores for ensemble forecasts", 2014). The mean absolute error for one
    sample. ``samples`` are (n, 3, H, W), ``hr`` is one image.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import crps
        >>> hr = np.full((3, 32, 32), 100, dtype=np.uint8)
        >>> crps(np.stack([hr + 6, hr - 2]), hr)  # (6 + 2) / 2 - 8 / 2
        0.0
        >>> crps(np.stack([hr + 6, hr + 2]), hr)  # (6 + 2) / 2 - 4 / 2
        2.0
    """
    return _of_samples(CRPS(), samples, hr)


def lpips_energy(samples: Images, hr: Images) -> float:
    """Fair energy score of the samples of an image in the features of LPIPS; lower is better.

    As ``crps``, with the square root of LPIPS (0.1, AlexNet) in place of the absolute difference, which is a Euclidean
    distance of weighted features (Gneiting and Raftery, 2007, section 4.3). The square root of LPIPS for one sample.
    ``samples`` are (n, 3, H, W) of at least 64 pixels a side, ``hr`` is one image.

    Examples:
        >>> import numpy as np
        >>> from srbench.metrics import lpips, lpips_energy
        >>> hr = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
        >>> round(lpips_energy(np.stack([hr // 2, hr // 2]), hr), 2)  # equal samples have no spread
        0.31
        >>> lpips_energy(hr // 2, hr) == lpips(hr // 2, hr) ** 0.5
        True
    """
    return _of_samples(LPIPSEnergy(), samples, hr)


def _of_samples(metric: EightBitMetric, samples: Images, hr: Images) -> float:
    """Measure all samples of one image. Raises MetricError."""
    images, references = (as_uint8(image_tensor(each, name)) for each, name in ((samples, "samples"), (hr, "hr")))
    require_eight_bits(images, references[0] if len(references) == 1 else references)
    return metric(images, ImagePair("samples", references[0], references[0])).item()


def image_tensor(images: Images, name: str) -> Tensor:
    """Convert images to a tensor (n, 3, H, W) of the same values. Raises MetricError, which names the argument."""
    if not isinstance(images, Tensor | np.ndarray):
        raise MetricError(
            f"{name} is of type {type(images).__name__}; only torch.Tensor and numpy.ndarray can be measured, "
            "convert it with numpy.asarray"
        )
    if images.dtype not in (_DTYPES if isinstance(images, Tensor) else _ARRAYS):
        raise MetricError(
            f"{name} has dtype {str(images.dtype).removeprefix('torch.')}; allowed are uint8 in 0..255 and float16, "
            "bfloat16 (torch), float32, float64 in [0, 1], convert it to one of them"
        )
    shape = tuple(images.shape)
    if len(shape) not in (3, 4) or shape[-3] != 3 or 0 in shape:
        advice = "give it three channels and no empty dimension"
        if len(shape) in (3, 4) and shape[-1] == 3 and 0 not in shape:
            method = "permute" if isinstance(images, Tensor) else "transpose"
            advice = f"use {name}.{method}({'2, 0, 1' if len(shape) == 3 else '0, 3, 1, 2'})"
        raise MetricError(f"{name} has shape {shape}; images are (3, H, W) or (n, 3, H, W), {advice}")
    if isinstance(images, np.ndarray):  # copies read-only memory and negative strides, which torch cannot share
        tensor = torch.from_numpy(np.require(images, requirements=["C", "W"]))
    else:
        tensor = images.detach()
    if tensor.dtype != torch.uint8:
        _require_range(tensor, name)
    return tensor if tensor.ndim == 4 else tensor[None]


def _require_range(tensor: Tensor, name: str) -> None:
    finite = tensor.isfinite()
    if not finite.all():
        share = 1 - finite.double().mean().item()
        raise MetricError(
            f"{name}: {share:.2%} of the values are NaN or infinite; only finite numbers can be measured, "
            "look for the division or the overflow that made them"
        )
    mean = tensor.mean(dtype=torch.float64).item()
    if abs(mean) > 2:  # far beyond [0, 1], even for outputs that overshoot
        raise MetricError(
            f"{name} has a mean of {mean:.4g}; floating-point images lie in [0, 1], divide it by 255 or pass uint8"
        )


def _measured(
    made_by: type[EightBitMetric], sr: Images, *, hr: Images | None = None, lr: Images | None = None, **options: object
) -> Values:
    """Measure images, alone or against HR or LR images (one for all images, or one each). Raises MetricError."""
    metric = made_by(**typed(made_by.__name__, made_by, options))
    if "scale" in metric.needs:
        raise MetricError("two images do not state their scale; give border as a number of pixels")
    images = as_uint8(image_tensor(sr, "sr"))
    name, given = ("hr", hr) if lr is None else ("lr", lr)
    references = images[:1] if given is None else as_uint8(image_tensor(given, name))
    if len(references) not in (1, len(images)):
        raise MetricError(
            f"sr has {len(images)} images and {name} has {len(references)}; "
            f"give one {name} (3, H, W) for all, or one for each image of sr"
        )
    if lr is None and images.shape[-2:] != references.shape[-2:]:
        sizes = [size_of(each.shape) for each in (images, references)]
        raise MetricError(f"sr is {sizes[0]} and hr is {sizes[1]}; both must have the same size, crop or resize one")
    groups = torch.split(images, len(images) // len(references))
    pairs = [ImagePair("sr", image) if lr is not None else ImagePair("sr", image, image) for image in references]
    values = torch.cat([metric(group, pair) for group, pair in zip(groups, pairs, strict=True)])
    if sr.ndim == 3:
        return values.item()
    return values.numpy() if isinstance(sr, np.ndarray) else values
