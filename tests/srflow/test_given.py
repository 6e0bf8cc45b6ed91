"""The distribution given an LR image: one or a batch, in threads, in inference mode, and with layers of one's own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from flows import pair, seeded, small_flow

from srbench.images.resize import downscale
from srbench.machine.numerics import NumericsError


def test_the_documented_use_makes_no_graph():
    """Gradients of trained weights, LR or HR exist only if they are asked for."""
    model, (hr, lr) = small_flow(consistency="residual").double(), pair(4, 4, 6)
    assert all(parameter.requires_grad for parameter in model.parameters())
    given = model.given(lr.requires_grad_())
    latents, log_det = given.encode(hr.requires_grad_())
    sample = model.given(lr[0]).sample(generator=seeded())
    plain = [*latents, log_det, given.decode(latents), given.log_prob(hr), given.bits_per_dimension(hr), sample]
    assert not any(result.requires_grad for result in plain)
    asked = model.given(lr, gradients=True)
    assert all(
        result.requires_grad for result in (*asked.encode(hr)[0], asked.decode(latents), asked.bits_per_dimension(hr))
    )


def test_a_broken_result_is_an_error_but_not_in_training():
    model, (hr, lr) = small_flow(), pair(4, 4, 6, dtype=torch.float32)
    torch.nn.init.constant_(model.flow.levels[1].transitions[0].norm.log_scale, 100)
    with pytest.raises(NumericsError, match=r"first in flow\.levels\.1\.transitions"):
        model.given(lr).encode(hr)
    assert not model.bits_per_dimension(lr, hr).isfinite().any()


def test_a_batch_draws_for_each_of_its_images():
    model = small_flow(consistency="residual").double()
    _, lr = pair(4, 4, 6, batch=2)
    drawn = model.given(lr).sample(3, temperature=0.8, generator=seeded())
    assert drawn.shape == (3, 2, 3, 16, 24)
    torch.testing.assert_close(downscale(drawn, 4), lr.expand(3, -1, -1, -1, -1), rtol=0, atol=0.02)
    generator, shapes = seeded(), model.flow.latent_shapes(16, 24)
    latents = [[0.8 * torch.randn((2, *shape), generator=generator).double() for shape in shapes] for _ in range(3)]
    alone = [model.given(image).decode([z[i : i + 1] for z in latents[2]]) for i, image in enumerate(lr)]
    given = model.given(lr)
    torch.testing.assert_close(drawn[2], given.project(torch.cat(alone)))


def test_samples_do_not_depend_on_the_default_dtype():
    """Another model of the process may have set it."""
    model, (_, lr) = small_flow(), pair(4, 4, 6, dtype=torch.float32)
    expected = model.given(lr).sample(2, temperature=0.8, generator=seeded())
    torch.set_default_dtype(torch.float64)
    try:
        found = model.given(lr).sample(2, temperature=0.8, generator=seeded())
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(found, expected)


def test_the_work_on_lr_is_done_once():
    model, calls = small_flow(), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    hr, lr = pair(4, 4, 4, dtype=torch.float32)
    with torch.no_grad():
        given = model.given(lr[0])
        for temperature in (0.0, 0.8):
            given.sample(2, temperature=temperature, generator=seeded())
        given.bits_per_dimension(hr)
    assert len(calls) == 1


def test_gradients_reach_latents_lr_and_weights():
    model = small_flow(consistency="residual").double()
    _, lr = pair(4, 4, 4, batch=1)
    lr.requires_grad_()
    given = model.given(lr, gradients=True)
    latents = [torch.randn(1, *shape).double().requires_grad_() for shape in model.flow.latent_shapes(16, 16)]
    given.decode(latents).square().sum().backward()
    assert lr.grad.abs().sum() > 0
    assert all(z.grad.abs().sum() > 0 for z in latents)
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())


def test_two_distributions_in_four_threads():
    """Samples of two LR images, drawn in four threads at once, are those of a single thread."""
    model = small_flow(consistency="residual")
    images = [pair(4, 6, 5, dtype=torch.float32)[1][i] for i in range(2)]
    with torch.no_grad():
        shared = [model.given(lr) for lr in images]

    def draw(item):
        which, seed, own = item
        drawn = model.given(images[which]) if own else shared[which]
        return drawn.sample(1, temperature=0.8, generator=seeded(seed))

    work = [(which, seed, seed % 2 == 0) for seed in range(4) for which in range(2)]
    with ThreadPoolExecutor(4, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found = list(pool.map(draw, work))
    for item, image in zip(work, found, strict=True):
        torch.testing.assert_close(image, draw(item), rtol=0, atol=1e-5)


def test_built_and_sampled_in_inference_mode():
    hr, lr = pair(4, 5, 4, dtype=torch.float32)
    with torch.inference_mode():
        model = small_flow(consistency="residual")
        given = model.given(lr[0])
        drawn = [given.sample(3, temperature=0.8, generator=seeded()) for _ in range(2)]
        likely = given.bits_per_dimension(hr)
    expected = small_flow(consistency="residual")
    torch.testing.assert_close(drawn[0], expected.sample(lr[0], 3, temperature=0.8, generator=seeded()))
    assert torch.equal(*drawn)
    torch.testing.assert_close(likely, expected.given(lr[:1].expand_as(lr)).bits_per_dimension(hr).detach())
    with torch.inference_mode():
        sampled = expected.sample(lr[0], 3, temperature=0.8, generator=seeded())
    torch.testing.assert_close(expected.sample(lr[0], 3, temperature=0.8, generator=seeded()), sampled.clone())
    expected.bits_per_dimension(lr, hr).mean().backward()
