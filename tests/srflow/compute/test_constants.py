"""Kept constants: never seen, never stale. A sample is the same as if everything were computed anew."""

import copy
import pickle

import pytest
import torch
from flows import small_flow
from torch import nn

from srflow.compute.constants import CachedConstants
from srflow.layers import ChannelMixing


class Doubled(CachedConstants):
    """Twice its weight, and how often that was computed."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.other = nn.Parameter(torch.tensor([5.0]))
        self.computed = 0

    def _twice(self):
        self.computed += 1
        return 2 * self.weight

    def twice(self):
        return self.constant("twice", self._twice)


@pytest.fixture
def doubled():
    return Doubled().eval()


@torch.no_grad()
def twice(module):
    return module.twice()


def test_kept_in_use(doubled):
    first = twice(doubled)
    assert twice(doubled) is first
    with torch.inference_mode():
        assert doubled.twice() is first
    assert doubled.computed == 1
    assert first.tolist() == [2, 4]


def test_never_kept_in_training(doubled):
    doubled.train()
    twice(doubled)
    twice(doubled)
    assert doubled.computed == 2
    doubled.eval()
    twice(doubled)
    assert doubled.computed == 3, "nor left over from training"


def test_never_kept_with_gradients(doubled):
    for _ in range(2):
        doubled.twice().sum().backward()
    assert doubled.weight.grad.tolist() == [4, 4]
    assert doubled.computed == 2
    assert not twice(doubled).requires_grad
    assert doubled.twice().requires_grad, "what is kept carries no gradient and is not given out for one"


def test_a_fused_optimiser_leaves_nothing_stale(doubled):
    """Its changes are not counted by torch, but there is always a pass with gradients before them."""
    optimizer = torch.optim.Adam(doubled.parameters(), 1.0, fused=True)
    for _ in range(2):
        twice(doubled)
        doubled.twice().sum().backward()
        optimizer.step()
        assert torch.equal(twice(doubled), 2 * doubled.weight.detach())


def in_place(module):
    with torch.no_grad():
        module.weight.add_(1)


def by_loading(module):
    module.load_state_dict({"weight": torch.tensor([3.0, 4.0]), "other": torch.tensor([5.0])})


def by_another_parameter(module):
    kept = module.weight  # alive, so that the new one cannot take its address
    module.weight = nn.Parameter(torch.tensor([6.0, 7.0]))
    assert kept is not module.weight


def by_moving(module):
    module.double()


def through_data_and_eval(module):
    module.weight.data += 1
    module.eval()


@pytest.mark.parametrize(
    "change",
    [in_place, by_loading, by_another_parameter, by_moving, through_data_and_eval],
    ids=lambda change: change.__name__,
)
def test_a_changed_source_is_noticed(doubled, change):
    twice(doubled)
    change(doubled)
    found = twice(doubled)
    assert doubled.computed == 2
    assert found.dtype == doubled.weight.dtype
    assert torch.equal(found, 2 * doubled.weight.detach())
    assert twice(doubled) is found, "and the new value is kept in turn"


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_are_independent_and_nothing_kept_is_copied(doubled, copied):
    twice(doubled)
    other = copied(doubled)
    assert other._cache == {}
    in_place(other)
    assert twice(other).tolist() == [4, 6]
    assert twice(doubled).tolist() == [2, 4]
    assert doubled.state_dict().keys() == {"weight", "other"}


def image(height=4, width=6):
    return torch.rand((3, height, width), generator=torch.Generator().manual_seed(height))


def draw(model, lr=None):
    return model.sample(image() if lr is None else lr, 2, temperature=0.8, generator=torch.Generator().manual_seed(1))


def test_a_sample_with_kept_constants_is_the_sample_without():
    model = small_flow()
    first = draw(model)
    assert sum(len(module._cache) for module in model.modules() if isinstance(module, CachedConstants)) > 10
    assert torch.equal(draw(model), first)
    torch.testing.assert_close(draw(model.train()), first)


def test_the_modules_are_walked_once(monkeypatch):
    """Not a hundred times a sample."""
    model = small_flow()
    first = draw(model)
    monkeypatch.setattr(CachedConstants, "modules", None)
    monkeypatch.setattr(CachedConstants, "parameters", None)
    assert torch.equal(draw(model), first)


@pytest.mark.slow
def test_a_flow_compiles_as_a_whole():
    model = small_flow(steps=1)
    given = model.given(image()[None])
    latents, _ = given.encode(torch.rand(1, 3, 16, 24))
    with torch.no_grad():
        decode = torch.compile(lambda z: model.flow.decode(z, given._conditions), backend="eager", fullgraph=True)
        torch.testing.assert_close(decode(latents), model.flow.decode(latents, given._conditions))


def test_every_parameter_of_the_flow_is_watched():
    """Whatever is changed in place, the next sample is that of a model that never sampled before."""
    model, fresh, lr = small_flow(2, steps=1), small_flow(2, steps=1), image(2, 2)
    copies = dict(fresh.named_parameters())
    draw(model, lr)
    for name, parameter in model.flow.named_parameters(prefix="flow"):
        with torch.no_grad():
            parameter.mul_(1.01).add_(0.002)
        copies[name].data.copy_(parameter)
        assert torch.equal(draw(model, lr), draw(fresh.eval(), lr)), name


def test_moved_to_another_precision_and_back():
    """Rounded on the way. The tensor may come to lie where it was before, and counts no change."""
    layer, x = ChannelMixing(12).eval(), torch.rand(1, 12, 2, 2)
    for _ in range(5):
        with torch.no_grad():
            layer.weight.normal_()
            layer.inverse(x)
            layer.to(torch.bfloat16).to(torch.float32)
            fresh = ChannelMixing(12).eval()
            fresh.load_state_dict(layer.state_dict())
            assert torch.equal(layer.inverse(x), fresh.inverse(x))


def test_nothing_is_kept_of_parameters_made_in_inference_mode():
    """torch does not count their changes."""
    with torch.inference_mode():
        doubled = Doubled().eval()
        assert doubled.twice().tolist() == [2, 4]
        doubled.weight.add_(1)
        assert doubled.twice().tolist() == [4, 6]
