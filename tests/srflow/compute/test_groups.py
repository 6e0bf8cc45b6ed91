"""Samples decoded a few at a time, and fewer where memory is short: the same samples."""

import pytest
import torch
from flows import small_flow

from srflow.compute import groups
from srflow.compute.groups import in_cache, in_groups
from srflow.layers import Squeeze


def test_as_many_samples_at_a_time_as_the_caches_hold(monkeypatch):
    monkeypatch.setattr(groups, "CACHE_PIXELS", 50)
    sizes, x = [], torch.arange(5.0)[:, None, None, None].expand(5, 3, 4, 6)

    def function(samples):
        sizes.append(len(samples))
        return -samples

    assert torch.equal(in_cache(function, x), -x)
    assert sizes == [2, 2, 1]


def test_as_many_as_the_memory_holds():
    latents, tried = [torch.randn(23, 2), torch.randn(23, 3)], []

    def decode(drawn):
        tried.append(len(drawn[0]))
        if len(drawn[0]) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return torch.cat(drawn, 1)

    with pytest.warns(UserWarning, match="out of memory") as said:
        found = in_groups(decode, latents, 10)
    assert torch.equal(found, torch.cat(latents, 1))
    assert tried == [10, 5, *[2, 2, 1] * 4, 2, 1]
    assert [str(one.message) for one in said] == [
        "out of memory: samples are decoded 5 at a time",
        "out of memory: samples are decoded 2 at a time",
    ]


@pytest.mark.filterwarnings("ignore:out of memory")
@pytest.mark.parametrize(
    "error", [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("a fault"), OSError()]
)
def test_what_no_smaller_group_helps_is_raised(error):
    def decode(drawn):
        raise error

    with pytest.raises(type(error)):
        in_groups(decode, [torch.zeros(3, 2)], 2)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_samples_of_a_flow_stay_what_they_are(monkeypatch):
    """On a device that holds the maps of two samples."""
    model = small_flow()
    lr, inverse = torch.rand(3, 6, 8), Squeeze.inverse

    def sample():
        return model.sample(lr, 11, temperature=0.8, generator=torch.Generator().manual_seed(1))

    def short(layer, z, condition):
        if len(z) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return inverse(layer, z, condition)

    whole = sample()
    monkeypatch.setattr(Squeeze, "inverse", short)
    with pytest.warns(UserWarning, match="2 at a time"):
        assert torch.equal(sample(), whole)
