"""Kept constants: never seen, never stale. A sample is the same as if everything were computed anew."""

import copy
import io
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


def test_two_names_are_two_constants(doubled):
    with torch.no_grad():
        thrice = doubled.constant("thrice", lambda: 3 * doubled.weight)
        assert twice(doubled).tolist() == [2, 4]
        assert doubled.constant("thrice", lambda: None) is thrice


def in_place(module):
    with torch.no_grad():
        module.weight.add_(1)


def by_index(module):
    with torch.no_grad():
        module.weight[0] = 9


def by_loading(module):
    module.load_state_dict({"weight": torch.tensor([3.0, 4.0]), "other": torch.tensor([5.0])})


def by_assignment(module):
    module.load_state_dict({"weight": torch.tensor([3.0, 4.0]), "other": torch.tensor([5.0])}, assign=True)


def by_another_parameter(module):
    kept = module.weight  # alive, so that the new one cannot take its address
    module.weight = nn.Parameter(torch.tensor([6.0, 7.0]))
    assert kept is not module.weight


def by_an_optimizer(module):
    module.weight.grad = torch.ones(2)
    torch.optim.SGD([module.weight], 0.5).step()


def by_moving(module):
    module.double()


def through_data_and_eval(module):
    module.weight.data += 1
    module.eval()


CHANGES = [
    in_place,
    by_index,
    by_loading,
    by_assignment,
    by_another_parameter,
    by_an_optimizer,
    by_moving,
    through_data_and_eval,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_source_is_noticed(doubled, change):
    twice(doubled)
    change(doubled)
    found = twice(doubled)
    assert doubled.computed == 2
    assert found.dtype == doubled.weight.dtype
    assert torch.equal(found, 2 * doubled.weight.detach())
    assert twice(doubled) is found, "and the new value is kept in turn"


def test_every_parameter_counts_those_of_parts_too():
    whole = Doubled().eval()
    whole.part = Doubled().eval()

    def total():
        with torch.no_grad():
            return whole.constant("total", lambda: sum(parameter.sum() for parameter in whole.parameters()))

    assert total() == 16
    for parameter in whole.parameters():
        before = total()
        with torch.no_grad():
            parameter[0] += 1
        assert total() == before + 1
    whole.part = Doubled().eval()
    assert total() == 8 + 8 + 2


def test_train_of_the_whole_reaches_every_part():
    model = nn.Sequential(Doubled(), nn.Sequential(Doubled())).eval()
    parts = [module for module in model.modules() if isinstance(module, Doubled)]
    for part in parts:
        twice(part)
        part.weight.data += 1
    model.eval()
    assert [twice(part).tolist() for part in parts] == [[4, 6], [4, 6]]


def test_nothing_of_it_is_saved(doubled):
    fresh = Doubled()
    twice(doubled)
    assert doubled.state_dict().keys() == fresh.state_dict().keys() == {"weight", "other"}
    assert not list(doubled.buffers())
    used, unused = io.BytesIO(), io.BytesIO()
    torch.save(doubled.state_dict(), used)
    torch.save(fresh.state_dict(), unused)
    assert used.getvalue() == unused.getvalue()


def pickled(module):
    return pickle.loads(pickle.dumps(module))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_copies_are_independent(doubled, copied):
    twice(doubled)
    other = copied(doubled)
    assert torch.equal(twice(other), twice(doubled))
    with torch.no_grad():
        other.weight.add_(1)
    assert twice(other).tolist() == [4, 6]
    assert twice(doubled).tolist() == [2, 4]
    with torch.no_grad():
        doubled.weight.mul_(10)
    assert twice(other).tolist() == [4, 6]
    assert twice(doubled).tolist() == [20, 40]


def image(height=4, width=6):
    return torch.rand((3, height, width), generator=torch.Generator().manual_seed(height))


def draw(model, lr=None):
    return model.sample(image() if lr is None else lr, 2, temperature=0.8, generator=torch.Generator().manual_seed(1))


def kept(model):
    return sum(len(module._kept) for module in model.modules() if isinstance(module, CachedConstants))


def test_a_sample_with_kept_constants_is_the_sample_without():
    model = small_flow(steps=3)
    assert kept(model) == 0
    first = draw(model)
    assert kept(model) > 20
    assert torch.equal(draw(model), first)
    torch.testing.assert_close(draw(model.train()), first)
    assert kept(model) == 0


def test_every_parameter_of_the_flow_is_watched():
    """Whatever is changed in place, the next sample is that of a model that never sampled before."""
    model, fresh, lr = small_flow(steps=3), small_flow(steps=3), image(2, 2)
    copies = dict(fresh.named_parameters())
    draw(model, lr)
    for name, parameter in model.flow.named_parameters(prefix="flow"):
        with torch.no_grad():
            parameter.mul_(1.01).add_(0.002)
        copies[name].data.copy_(parameter)
        assert torch.equal(draw(model, lr), draw(fresh.eval(), lr)), name


def test_images_of_several_sizes_in_turn():
    small, large = image(2, 2), image(8, 8)
    model = small_flow(steps=3)
    expected = [draw(small_flow(steps=3), lr) for lr in (small, large)]
    for _ in range(2):
        assert all(torch.equal(draw(model, lr), wanted) for lr, wanted in zip((small, large), expected, strict=True))


@pytest.mark.parametrize("channels", [4, 12, 48])
def test_moved_to_another_precision_and_back(channels):
    """Rounded on the way. The tensor may come to lie where it was before, and counts no change."""
    layer, x = ChannelMixing(channels).eval(), torch.rand(1, channels, 2, 2)
    for _ in range(5):
        with torch.no_grad():
            layer.weight.normal_()
            layer.inverse(x)
            layer.to(torch.bfloat16).to(torch.float32)
            fresh = ChannelMixing(channels).eval()
            fresh.load_state_dict(layer.state_dict())
            assert torch.equal(layer.inverse(x), fresh.inverse(x))


def test_nothing_is_kept_of_parameters_made_in_inference_mode():
    """torch does not count their changes."""
    with torch.inference_mode():
        doubled = Doubled().eval()
        assert doubled.twice().tolist() == [2, 4]
        doubled.weight.add_(1)
        assert doubled.twice().tolist() == [4, 6]
