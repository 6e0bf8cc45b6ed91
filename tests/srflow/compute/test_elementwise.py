import pytest
import torch

from srflow.compute.elementwise import sigmoid


@pytest.mark.parametrize("shape", [(1, 24, 85, 85), (2, 48, 43, 43), (5, 1, 183, 180), (1, 1, 3, 5)])
def test_sigmoid_has_the_bits_of_one_thread(shape):
    """torch's own differs at two to four numbers of these maps with three or four threads."""
    maps = torch.randn(shape[0], 2 * shape[1], *shape[2:], generator=torch.Generator().manual_seed(0))
    half = maps.chunk(2, 1)[1]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = torch.sigmoid(half)
        for threads in (1, 2, 3, 4, 7, 16):
            torch.set_num_threads(threads)
            with torch.no_grad():
                assert torch.equal(sigmoid(half), expected), threads
    finally:
        torch.set_num_threads(before)


def test_sigmoid_is_differentiable():
    maps = torch.randn(1, 2, 200, 200, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (gradient,) = torch.autograd.grad(sigmoid(maps).sum(), maps)
    assert torch.equal(gradient, torch.autograd.grad(torch.sigmoid(maps).sum(), maps)[0])
