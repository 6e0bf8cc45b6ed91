"""Training without stored activations: the same loss and gradients as training with them, in less memory."""

import weakref

import pytest
import torch
import torch.nn.functional as F
from flows import small_flow
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def build(scale, steps):
    return small_flow(scale, steps=steps).double().train()


def gradients(model, reversible):
    model.reversible = reversible
    generator = torch.Generator().manual_seed(1)
    hr = torch.rand((2, 3, 8 * model.scale, 4 * model.scale), generator=generator, dtype=torch.float64)
    model.zero_grad(set_to_none=True)
    loss = model.bits_per_dimension(F.avg_pool2d(hr, model.scale), hr)
    loss.mean().backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("scale", [4, 8])
def test_loss_and_gradients_are_those_of_ordinary_training(scale):
    model = build(scale, 3)
    loss, expected = gradients(model, reversible=False)
    again, found = gradients(model, reversible=True)
    torch.testing.assert_close(again, loss, rtol=1e-12, atol=1e-12)
    assert all(gradient is not None for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-7, atol=1e-9, msg=name)


def test_loss_and_gradients_in_bfloat16_are_near():
    """The backward pass computes in the precision of the forward pass; weights and gradients stay in float32."""
    model = small_flow(8, steps=3).train()
    exact = flat_gradients(model)
    for reversible in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            half = flat_gradients(model, reversible)
        assert half.dtype == torch.float32
        assert not torch.equal(half, exact)
        assert F.cosine_similarity(half, exact, dim=0) > 0.999


def flat_gradients(model, reversible=False):
    model.reversible = reversible
    generator = torch.Generator().manual_seed(1)
    hr = torch.rand((2, 3, 64, 64), generator=generator)
    model.zero_grad(set_to_none=True)
    loss = model.bits_per_dimension(F.avg_pool2d(hr, 8), hr).mean()
    with torch.autocast("cpu", enabled=False):  # a training leaves autocast before the backward pass
        loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_a_frozen_encoder_stays_without_gradients():
    model = build(4, 2)
    model.encoder.requires_grad_(False)
    model.flow.levels[0].steps[0].mixing.weight.requires_grad_(False)
    _, expected = gradients(model, reversible=False)
    _, found = gradients(model, reversible=True)
    for name, gradient in expected.items():
        assert (found[name] is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(found[name], gradient, rtol=1e-7, atol=1e-9)


class LiveBytes(TorchDispatchMode):
    """The peak of the bytes of live tensors that operations made."""

    def __init__(self):
        super().__init__()
        self.storages, self.peak = weakref.WeakSet(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.storages.update(x.untyped_storage() for x in tree_leaves(result) if isinstance(x, torch.Tensor))
        self.peak = max(self.peak, sum(storage.nbytes() for storage in self.storages))
        return result


def peak(steps, reversible):
    """Peak bytes of a loss and its backward pass, without the gradients of parameters."""
    model = build(8, steps)
    model.reversible = reversible
    hr = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    lr = F.avg_pool2d(hr, 8)
    with LiveBytes() as live:
        model.bits_per_dimension(lr, hr).mean().backward()
    return live.peak - sum(parameter.nbytes for parameter in model.parameters())


def test_the_peak_of_both_passes_does_not_grow_with_the_steps():
    """The backward pass included, in which steps are undone: within 10 % from 3 to 12 steps a level."""
    peaks = [peak(steps, reversible=True) for steps in (3, 12)]
    assert max(peaks) < 1.1 * min(peaks)
    assert peak(12, reversible=False) > 5 * max(peaks)
