"""Convolution before upscaling against the convolution after it."""

import pytest
import torch
import torch.nn.functional as F

from srbench.machine.usage import operation_counter
from srflow.compute import convolution
from srflow.compute.convolution import channels_last, convolve


def operands(scale):
    generator = torch.Generator().manual_seed(scale)
    shapes = [(2, 3, 4, 3), (4, 3, 3, 3), (2, 4, 4 * scale, 3 * scale)]
    x, weight, out = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return channels_last(x), weight, channels_last(out)


def taps(weight):
    return weight.permute(2, 3, 0, 1).flatten(0, 2)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_equals_the_convolution_of_the_upscaled(scale):
    x, weight, out = operands(scale)
    large = x.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    expected = out + F.conv2d(large, weight, padding=1)
    found = convolution.add_convolved_upscaled(out, x, taps(weight), scale)
    assert found.data_ptr() == out.data_ptr()
    torch.testing.assert_close(found, expected)


def test_gradients():
    scale = 2
    x, weight, out = (part.requires_grad_() for part in operands(scale))

    def function(out, x, weight):
        return convolution.add_convolved_upscaled(out.clone(), x, taps(weight), scale)

    assert torch.autograd.gradcheck(function, (out, x, weight))


def test_gradients_that_nobody_wants_are_not_computed():
    x, weight, out = operands(4)
    weight.requires_grad_()
    convolution.add_convolved_upscaled(out, x, taps(weight), 4).sum().backward()
    assert x.grad is None
    assert weight.grad is not None


def test_every_convolution_is_counted():
    """oneDNN's as torch's own: what a dry run of a training and the table of costs state."""
    counts = []
    for device in ("cpu", "meta"):
        with operation_counter() as counter, torch.no_grad():
            convolve(torch.zeros(1, 3, 8, 8, device=device), torch.zeros(5, 3, 3, 3, device=device))
        counts.append(counter.get_total_flops())
    assert counts == 2 * [2 * 5 * 3 * 9 * 64]
