"""Your own metric in srbench: srbench run --models bicubic --scale 4 --metrics psnr,examples/my_metric.py:MyMetric."""

from torch import Tensor

from srbench.images.io import quantize_floor
from srbench.interfaces import ImagePair


class MyMetric:
    """Mean absolute error: samples (n, 3, H, W) in [0, 1] and their pair -> (n,), one value per sample."""

    name = "mae"
    title = "MAE"
    higher_is_better = False
    unit = "grey levels"
    digits = 2
    protocol = "uint8 RGB by floor, no crop, mean absolute difference over all pixels and channels"
    signature = "RGB|floor|crop0|v1"

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        sr, hr = quantize_floor(samples).double(), quantize_floor(pair.hr).double()
        return (sr - hr).abs().mean(dim=(1, 2, 3))
