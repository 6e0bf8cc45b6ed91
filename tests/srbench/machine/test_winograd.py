"""Winograd's matrices against the plain sum, in float64."""

import pytest
import torch

from srbench.machine.winograd import winograd_matrices


@pytest.mark.parametrize(("outputs", "taps"), [(1, 2), (2, 3), (4, 3), (3, 5), (4, 5)])
def test_the_products_sum_to_the_outputs(outputs, taps):
    points = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)[: outputs + taps - 2]
    of_pixels, of_taps, sums = winograd_matrices(points, outputs, taps)
    pixels, weights = torch.randn(outputs + taps - 1, dtype=torch.float64), torch.randn(taps, dtype=torch.float64)
    wanted = pixels.unfold(0, taps, 1) @ weights
    torch.testing.assert_close(sums @ ((of_pixels @ pixels) * (of_taps @ weights)), wanted)
