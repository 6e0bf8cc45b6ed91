"""srbench measure OUTPUTS --hr HR --metrics psnr,examples/last_change.py:LastChange

How differently the last two frames of a clip change in outputs and in HR: a metric of groups of images.
"""

import torch

from srbench.interfaces import ImageSet, MetricInfo, SetMetric
from srbench.metrics.temporal import tlp


class LastChange(SetMetric):
    """tLP of the last two frames of a clip, whose frames come in natural order."""

    info = MetricInfo(
        name="last_change",
        title="last change",
        direction=-1,
        digits=3,
        per="group",
        any_samples=True,  # it looks at the first output of an image alone
        protocol="tLP of TecoGAN of the last two frames of a clip, first outputs, 8-bit RGB by {quantize}",
    )

    def __call__(self, outputs: ImageSet) -> float | None:
        last = outputs[-2:]
        if len(last) < 2:
            return None  # a dash: a single frame does not change
        sr = torch.stack([image.first for image in last])
        hr = torch.stack([image.pair.hr for image in last])
        return tlp(sr, hr, skipped=0)
