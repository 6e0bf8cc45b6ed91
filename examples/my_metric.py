"""Your own metric in srbench: srbench run --models bicubic --scale 4 --metrics psnr,examples/my_metric.py:MyMetric."""

from torch import Tensor

from srbench.interfaces import ImageMetric, ImagePair, MetricInfo


class MyMetric(ImageMetric):
    """Mean absolute error: samples (n, 3, H, W) in [0, 1] and their pair -> (n,), one value per sample."""

    info = MetricInfo(
        name="mae",
        title="MAE",
        direction=-1,  # lower is better
        unit="grey levels",
        protocol="uint8 RGB by {quantize}, no crop, mean absolute difference over all pixels and channels",
        signature="RGB|crop0|v1",
    )

    def __call__(self, samples: Tensor, pair: ImagePair) -> Tensor:
        return 255 * (samples - pair.hr).double().abs().mean(dim=(1, 2, 3))
