"""Images that downscale to LR: the pseudo-inverse is one, the projection leaves what downscaling hides."""

import pytest
import torch

from srbench.images import ImageError
from srbench.images import lr_projection as consistent
from srbench.images.lr_projection import (
    BACK_PROJECTIONS,
    make_consistent,
    project,
    upscale_consistently,
)
from srbench.images.resize import downscale, upscale
from srbench.metrics.loading import load_metric
from srbench.plugins.registry import load_dataset


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def back_projected(lr, scale):
    """D+ lr by its definition, one upscaling and one downscaling a step."""
    hr = upscale(lr, scale)
    for _ in range(BACK_PROJECTIONS):
        hr = hr + upscale(lr - downscale(hr, scale), scale)
    return hr


@pytest.fixture(params=["matrices", "resized"])
def way(request, monkeypatch):
    """Small images are resized by products with matrices, large ones as all others are."""
    if request.param == "resized":
        monkeypatch.setattr(consistent, "SMALL", 0)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(
    ("scale", "size"), [(1, (2, 3)), (2, (1, 1)), (2, (31, 40)), (3, (9, 6)), (4, (4, 1)), (4, (13, 7)), (8, (1, 5))]
)
def test_it_is_the_back_projection(scale, size):
    """In float64 to rounding, and so in float32."""
    lr, hr = images(2, 3, *size), images(4, 1, 3, scale * size[0], scale * size[1])
    upscaled, made = back_projected(lr, scale), hr + back_projected(lr - downscale(hr, scale), scale)
    torch.testing.assert_close(upscale_consistently(lr, scale), upscaled, rtol=0, atol=1e-12)
    torch.testing.assert_close(project(hr, lr, scale), made, rtol=0, atol=1e-12)
    given = upscale_consistently(lr.float(), scale), project(hr.float(), lr.float(), scale)
    bound = 1e-5 if scale == 3 else 1e-6  # in float32, torch's resizing rounds the scale itself
    for found, expected in zip(given, (upscaled, made), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=bound)


def test_long_images_are_resized_alike():
    """One on either side of the limit, and one whose sides lie on both."""
    for size in [(consistent.SMALL, 3), (consistent.SMALL + 1, 3), (3, consistent.SMALL + 1)]:
        lr, hr = images(1, *size), images(1, 2 * size[0], 2 * size[1])
        torch.testing.assert_close(upscale_consistently(lr, 2), back_projected(lr, 2), rtol=0, atol=1e-12)
        expected = hr + back_projected(lr - downscale(hr, 2), 2)
        torch.testing.assert_close(project(hr, lr, 2), expected, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("way")
def test_gradients():
    lr, hr = images(2, 3, 4).requires_grad_(), images(2, 6, 8).requires_grad_()
    assert torch.autograd.gradcheck(lambda lr: upscale_consistently(lr, 2), (lr,))
    assert torch.autograd.gradcheck(lambda hr, lr: project(hr, lr, 2), (hr, lr))
    assert torch.autograd.gradcheck(lambda hr, lr: make_consistent(hr, lr, 2), (hr, lr))


def test_what_is_kept_serves_every_type_and_mode():
    """Computed first in inference mode and for another type, it serves differentiation and float64 all the same."""
    lr = images(3, 11, 6)
    expected = back_projected(lr, 4)
    consistent._gain.cache_clear()
    consistent._spread.cache_clear()
    with torch.inference_mode():
        assert upscale_consistently(lr.float(), 4).is_inference()
        torch.testing.assert_close(upscale_consistently(lr, 4), expected, rtol=0, atol=1e-12)
    wanting = lr.float().requires_grad_()
    upscale_consistently(wanting, 4).square().sum().backward()
    (gradient,) = torch.autograd.grad(back_projected(lr.requires_grad_(), 4).square().sum(), lr)
    torch.testing.assert_close(wanting.grad.double(), gradient, rtol=1e-5, atol=1e-4)


def test_another_device_gets_constants_of_its_own():
    """Shapes only: no other device is at hand."""
    lr = images(1, 3, 5, 4)
    upscale_consistently(lr, 2)
    assert upscale_consistently(lr.to("meta"), 2).device.type == "meta"
    assert make_consistent(images(2, 3, 10, 8).to("meta"), lr.to("meta"), 2).shape == (2, 3, 10, 8)
    assert upscale_consistently(lr, 2).isfinite().all()


@pytest.mark.parametrize("scale", [4, 8])
def test_a_gpu_gives_the_same(scale, device):
    lr, hr = images(2, 3, 7, 10).float(), images(2, 3, 7 * scale, 10 * scale).float()
    found = make_consistent(hr.to(device), lr.to(device), scale).cpu()
    torch.testing.assert_close(found, make_consistent(hr, lr, scale), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rounded_once(dtype):
    lr, hr = images(3, 6, 5).to(dtype), images(3, 24, 20).to(dtype)
    assert torch.equal(upscale_consistently(lr, 4), upscale_consistently(lr.float(), 4).to(dtype))
    assert torch.equal(make_consistent(hr, lr, 4), make_consistent(hr.float(), lr.float(), 4).to(dtype))


@pytest.mark.usefixtures("way")
def test_autocast_rounds_nothing():
    lr, hr = images(1, 3, 6, 5).float(), images(1, 3, 24, 20).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = make_consistent(hr, lr, 4)
    assert torch.equal(found, make_consistent(hr, lr, 4))


@pytest.mark.parametrize("scale", [4, 8])
def test_clipping_takes_little_from_lr(scale):
    """White and black areas under texture: what is cut off there after one projection is an error of LR by levels."""
    lr = torch.cat([torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), images(1, 3, 8, 8)], -1).double()
    lr = downscale(upscale_consistently(lr, scale).clamp(0, 1), scale)
    texture = 0.2 * (images(2, 3, 8 * scale, 24 * scale) - 0.5)
    error = lambda hr: 255 * (downscale(hr.clamp(0, 1), scale) - lr).square().mean().sqrt().item()  # noqa: E731
    once = project(upscale(lr, scale) + texture, lr, scale)
    made = make_consistent(upscale(lr, scale) + texture, lr, scale)
    assert error(once) > 2
    assert error(made) < 0.25 * error(once)
    assert (made - project(made, lr, scale)).abs().max() < 1e-2


@pytest.mark.parametrize("scale", [4, 8])
def test_photographs_get_what_the_rounding_allows(scale):
    """Clamped and cut to 8 bits, a upscaled photograph downscales back at 50 dB, bicubic upscaled at 36 to 40."""
    pair = load_dataset("photos", scale).read("dog")
    lr_psnr = load_metric("lr_psnr")
    bicubic, consistent = (upscale(pair.lr, scale) for upscale in (upscale, upscale_consistently))
    assert lr_psnr(consistent[None], pair).item() > 49
    assert lr_psnr(consistent[None], pair).item() > lr_psnr(bicubic[None], pair).item() + 8


def test_sides_have_to_fit():
    with pytest.raises(ImageError, match="crop it"):
        make_consistent(images(1, 3, 9, 8), images(1, 3, 2, 2), 4)
    with pytest.raises(ImageError, match="crop it"):
        make_consistent(images(1, 3, 0, 8), images(1, 3, 0, 2), 4)
