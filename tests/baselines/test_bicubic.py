import torch

from baselines.bicubic import Bicubic
from srbench.images.io import quantize_floor
from srbench.images.resize import upscale_uint8


def test_bicubic_is_matlabs_resize_of_eight_bits():
    lr = torch.randint(0, 256, (2, 3, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    out = Bicubic(4)(lr.float() / 255)
    assert out.shape == (2, 3, 24, 20)
    assert torch.equal(quantize_floor(out), upscale_uint8(lr, 4))


def test_a_constant_image_stays():
    assert torch.equal(Bicubic(8)(torch.full((1, 3, 4, 4), 0.6)), torch.full((1, 3, 32, 32), 0.6))
