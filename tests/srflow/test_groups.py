"""Samples decoded a few at a time, and one at a time where memory is short: the same samples."""

import weakref

import pytest
import torch
from flows import small_flow

from srflow import given
from srflow.layers import Squeeze


def draw(model, lr):
    return model.sample(lr, 11, temperature=0.8, generator=torch.Generator().manual_seed(1))


def short(samples, error):
    inverse = Squeeze.inverse

    def inverse_or_raise(layer, z, condition):
        if len(z) > samples:
            raise error
        return inverse(layer, z, condition)

    return inverse_or_raise


def test_samples_stay_what_they_are_where_memory_is_short(monkeypatch):
    model, lr = small_flow().double(), torch.rand(3, 6, 8, dtype=torch.float64)
    whole = draw(model, lr)
    monkeypatch.setattr(Squeeze, "inverse", short(2, torch.cuda.OutOfMemoryError("CUDA out of memory")))
    with pytest.warns(UserWarning, match="one at a time") as warned:
        torch.testing.assert_close(draw(model, lr), whole, rtol=0, atol=1e-10)
    assert len(warned) == 1


@pytest.mark.filterwarnings("ignore:out of memory")
def test_the_memory_of_a_failed_attempt_is_free_before_the_next(monkeypatch):
    inverse, failed, held = Squeeze.inverse, [], []

    def inverse_or_raise(layer, z, condition):
        if len(z) > 2:
            failed.append(weakref.ref(z))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        held.extend(each() is not None for each in failed)
        return inverse(layer, z, condition)

    monkeypatch.setattr(Squeeze, "inverse", inverse_or_raise)
    draw(small_flow(), torch.rand(3, 6, 8))
    assert failed
    assert not any(held)


@pytest.mark.filterwarnings("ignore:out of memory")
def test_where_memory_is_short_no_sample_waits_for_another(monkeypatch):
    """A device that lacks the memory for five need not hold five images either."""
    images, decoded = given.Given._images, []

    def noted(self, latents):
        found = images(self, latents)
        decoded.append(len(found))
        return found

    monkeypatch.setattr(given.Given, "_images", noted)
    monkeypatch.setattr(Squeeze, "inverse", short(2, torch.cuda.OutOfMemoryError("CUDA out of memory")))
    samples = small_flow().given(torch.rand(3, 6, 8)).samples(5)
    for number in range(1, 6):
        next(samples)
        assert decoded == number * [1]


@pytest.mark.filterwarnings("ignore:out of memory")
@pytest.mark.parametrize(
    ("samples", "error"),
    [(0, torch.cuda.OutOfMemoryError("CUDA out of memory")), (2, RuntimeError("a fault")), (2, OSError())],
)
def test_errors_that_fewer_samples_do_not_mend_are_raised(monkeypatch, samples, error):
    monkeypatch.setattr(Squeeze, "inverse", short(samples, error))
    with pytest.raises(type(error)):
        draw(small_flow(), torch.rand(3, 6, 8))


def test_samples_stay_what_they_are_in_groups_that_fit_the_caches(monkeypatch):
    model, lr = small_flow().double(), torch.rand(3, 6, 8, dtype=torch.float64)
    whole = draw(model, lr)
    monkeypatch.setattr(given, "CACHE_PIXELS", 200)
    torch.testing.assert_close(draw(model, lr), whole, rtol=0, atol=1e-10)
