"""SRFlow from outside: shapes, units, sizes, temperatures, gradients, and where its numbers come from."""

import json
import math
import tomllib
from dataclasses import asdict, replace
from importlib.resources import files

import numpy as np
import pytest
import torch
from flows import CONFIG, pair, seeded, small_flow

from baselines.pretrained import load_rrdb
from srbench.files.config import ConfigError
from srbench.images import ImageError
from srbench.interfaces import StochasticSRModel, Weighted
from srbench.weights.files import WeightsError, save_weights
from srflow import SRFlow
from srflow.pretrained import load_srflow


@pytest.mark.parametrize("bound", [None, 3.0])
def test_the_bound_of_the_splits_is_the_configurations(bound):
    """At 8x two levels split; asked for a log-deviation of 50, a bounded split stays at its bound."""
    model = small_flow(8, log_deviation_bound=bound).double()
    hr, lr = pair(8, 2, 2, batch=1)
    for depth, level in enumerate(list(model.flow.levels)[:2], 1):
        split, half = level.split, level.split.prior.bias.shape[0] // 2
        for parameter in split.prior.parameters():
            torch.nn.init.zeros_(parameter)
        _, at_zero = model.given(lr).encode(hr)
        with torch.no_grad():
            split.prior.bias[half:] = 50.0
        _, at_most = model.given(lr).encode(hr)
        values = half * hr[0, 0].numel() // 4**depth
        assert (at_zero - at_most).item() == pytest.approx(values * (bound or 50.0), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_latents_are_drawn_finest_first(temperature):
    """Sample after sample, from the generator alone, as standard normal numbers times the temperature."""
    model, (_, lr) = small_flow(8), pair(8, 4, 2, dtype=torch.float32)
    generator = seeded(11)
    shapes = [(1, 6, 16, 8), (1, 12, 8, 4), (1, 192, 2, 1)]
    samples = [[temperature * torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2)]
    latents = [torch.cat(level) for level in zip(*samples, strict=True)]
    drawn = model.sample(lr[0], 2, temperature=temperature, generator=seeded(11))
    with torch.no_grad():
        assert torch.equal(drawn, model.given(lr[:1]).decode(latents))
    before = torch.random.get_rng_state()
    model.sample(lr[0], 2, temperature=temperature, generator=seeded(11))
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator is left alone"


@pytest.mark.parametrize(
    ("lr", "fault"),
    [
        (torch.rand(3, 4, 4), r"LR has shape \(3, 4, 4\); it must be \(n, 3, h, w\), and lr\[None\] is a batch of one"),
        (torch.rand(1, 4, 4, 3), r"LR has shape \(1, 4, 4, 3\); it must be \(n, 3, h, w\)"),
        (255 * torch.rand(1, 3, 4, 4), r"LR has levels of 0 to 255; images are in \[0, 1\]: divide it by 255"),
        (torch.ones(1, 3, 4, 4, dtype=torch.uint8), r"LR is torch\.uint8; it must be floating point, with images in"),
    ],
    ids=["no batch", "channels last", "levels", "uint8"],
)
def test_images_that_are_no_lr_are_refused(lr, fault):
    for network in SRFlow.from_pretrained(8), load_rrdb(8):
        with pytest.raises(ImageError, match=fault):
            network(lr)


def test_the_distribution_of_no_lr_is_refused():
    """One image and a batch are accepted; a training does not look at the values, for which a GPU would wait."""
    model, lr = small_flow(8), 255 * torch.rand(3, 4, 4)
    for images, fault in (lr, "levels of 0 to 255"), (lr[:2], r"LR has shape \(2, 4, 4\); it must be \(3, h, w\) or"):
        with pytest.raises(ImageError, match=fault):
            model.sample(images)
    model.given(lr, gradients=True)


def test_called_as_a_network_it_draws_one_sample_of_each_image(tmp_path):
    """At .8, or at the temperature that the weights state; without a generator, from one seeded with 0."""
    model, (_, lr) = small_flow(8), pair(8, 4, 2, dtype=torch.float32)
    stated = load_srflow(8, write(tmp_path / "w.safetensors", model, temperature="0.0"))
    before = torch.random.get_rng_state()
    for network, temperature in ((model, 0.8), (stated, 0.0)):
        [expected] = network.given(lr).sample(1, temperature=temperature, generator=seeded(3))
        assert torch.equal(network(lr, generator=seeded(3)), expected)
        assert torch.equal(network(lr), network(lr, generator=seeded(0)))
        assert expected.shape == (2, 3, 32, 16)
        assert not network(lr).requires_grad
    assert torch.equal(torch.random.get_rng_state(), before), "torch's own generator is left alone"
    with pytest.raises(TypeError):
        model(lr, lr)


def test_relative_temperatures():
    """Each latent has its own share of the temperature, also in stripes; the density does not change."""
    model, (hr, lr) = small_flow(8, relative_temperatures=(0.25, 1.0, 1.5)), pair(8, 4, 2, dtype=torch.float32)
    generator = seeded(11)
    shapes = {0.25: (1, 6, 16, 8), 1.0: (1, 12, 8, 4), 1.5: (1, 192, 2, 1)}
    latents = [0.5 * factor * torch.randn(shape, generator=generator) for factor, shape in shapes.items()]
    drawn = model.sample(lr[0], 1, temperature=0.5, generator=seeded(11))
    with torch.no_grad():
        torch.testing.assert_close(drawn, model.given(lr[:1]).decode(latents))
        assert torch.equal(model.given(lr).bits_per_dimension(hr), small_flow(8).given(lr).bits_per_dimension(hr))
    tiled = model.sample(lr[0], 1, temperature=0.5, generator=seeded(11), tile=16)
    torch.testing.assert_close(tiled, drawn)
    with pytest.raises(ValueError, match="1 relative_temperatures; give one for each of the 3 latents"):
        replace(model.config, relative_temperatures=(1.0,))


@pytest.mark.parametrize(("height", "width"), [(2, 4), (3, 2), (4, 7), (5, 3)])
def test_lr_images_of_any_size(height, width):
    """An odd side is extended by the pixel before the last, in LR and in HR; of the result that part is cut off."""
    model = small_flow().double()
    hr, lr = pair(4, height, width)
    down, right = height % 2, width % 2
    padding = lambda times: ((0, 0), (0, 0), (0, times * down), (0, times * right))  # noqa: E731
    larger_hr, larger_lr = (
        torch.from_numpy(np.pad(images.numpy(), padding(times), mode="reflect")) for images, times in ((hr, 4), (lr, 1))
    )
    assert all(side % 2 == 0 for side in larger_lr.shape[-2:])
    latents, log_det = model.given(lr).encode(hr)
    expected, expected_log_det = model.given(larger_lr).encode(larger_hr)
    torch.testing.assert_close(latents, expected)
    torch.testing.assert_close(log_det, expected_log_det)
    drawn = model.sample(lr[0], 2, temperature=0.8, generator=seeded())
    whole = model.sample(larger_lr[0], 2, temperature=0.8, generator=seeded())
    torch.testing.assert_close(drawn, whole[..., : 4 * height, : 4 * width])
    per_value = -model.given(lr).log_prob(hr) / (math.log(2) * larger_hr[0].numel())
    torch.testing.assert_close(model.given(lr).bits_per_dimension(hr), per_value)


@pytest.mark.parametrize("size", [(1, 4), (3, 1), (1, 1)])
def test_lr_images_of_one_row_or_column(size):
    """Nothing is there to reflect, so the one row is repeated: as if the LR image had two equal ones."""
    model = small_flow().double()
    hr, lr = pair(4, *size)
    doubled = np.pad(lr.numpy(), ((0, 0), (0, 0), *((0, side % 2) for side in size)), mode="edge")
    if size == (3, 1):
        doubled[:, :, 3] = doubled[:, :, 1]  # the height has something to reflect
    latents, _ = model.given(lr).encode(hr)
    torch.testing.assert_close(model.given(lr).decode(latents), hr, rtol=0, atol=1e-9)
    drawn = model.sample(lr[0], 2, temperature=0.8, generator=seeded())
    whole = model.sample(torch.from_numpy(doubled)[0], 2, temperature=0.8, generator=seeded())
    torch.testing.assert_close(drawn, whole[..., : 4 * size[0], : 4 * size[1]])


@pytest.mark.parametrize("scale", [4, 8])
def test_an_initialised_flow_draws_finite_images(scale):
    """Before any training, in float32, cold and hotter than anyone draws."""
    torch.manual_seed(scale)
    model = SRFlow(replace(CONFIG, encoder=replace(CONFIG.encoder, scale=scale), steps=8))
    hr, lr = pair(scale, 8, 8, batch=4, dtype=torch.float32)
    model.initialize(lr, hr)
    assert model.given(lr).bits_per_dimension(hr).isfinite().all()
    for temperature in (0.0, 0.8, 1.2):
        drawn = model.eval().sample(lr[0], 4, temperature=temperature, generator=seeded())
        assert drawn.isfinite().all()
        assert drawn.abs().max() < 50
        spread = drawn.std(0, correction=0).mean().item()
        assert (spread < 1e-6) == (temperature == 0)


def test_gradients_reach_every_number_of_flow_and_encoder():
    model = small_flow().train()
    hr, lr = pair(4, 4, 4, dtype=torch.float32)
    model.bits_per_dimension(lr, hr).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ["mini-x4", "mini-x8"])
def test_from_preset(name):
    model = SRFlow.from_preset(name)
    written = tomllib.loads((files("srflow") / "presets" / f"{name}.toml").read_text())["network"]
    assert model.scale == written["encoder"]["scale"] == int(name[-1])
    assert (model.config.steps, model.config.width) == (written["steps"], written["width"])
    assert model.config.scale_floor == model.flow.levels[0].steps[0].coupling.network.floor == written["scale_floor"]
    assert not isinstance(model, Weighted), "no weights, no claim of any"
    zeros = [parameter for key, parameter in model.flow.named_parameters() if key.endswith("network.last.weight")]
    assert len(zeros) == 2 * model.config.steps * model.config.levels
    assert all(parameter.abs().max() == 0 for parameter in zeros)


def write(path, network, **changes):
    """A weights file as a training writes it."""
    facts = {
        "model": "srflow",
        "scale": str(network.scale),
        "preset": "tiny",
        "config": json.dumps(asdict(network.config)),
        "licence": "CC0-1.0",
        "trained_on": "nothing, 0 steps",
    }
    save_weights(path, network.state_dict(), facts | changes)
    return path


def test_loaded_it_is_the_same_model(tmp_path):
    model, (_, lr) = small_flow(8, seed=2), pair(8, 4, 4, dtype=torch.float32)
    loaded = load_srflow(8, write(tmp_path / "w.safetensors", model))
    assert isinstance(loaded, StochasticSRModel)
    assert isinstance(loaded, Weighted)
    assert (loaded.config, loaded.scale, loaded.training) == (model.config, 8, False)
    assert not (drawn := loaded.sample(lr[0], 3, generator=seeded())).requires_grad
    assert (drawn.shape, drawn.dtype) == ((3, 3, 32, 32), torch.float32)
    draws = [m.sample(lr[0], 2, temperature=0.9, generator=seeded(4)) for m in (loaded, model)]
    assert torch.equal(*draws)
    assert (loaded.weights.licence, loaded.weights.trained_on) == ("CC0-1.0", "nothing, 0 steps")
    assert loaded.weights.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_from_pretrained(tmp_path):
    path = write(tmp_path / "w.safetensors", small_flow(4, seed=2))
    for given in (None, path):
        ours, entry = SRFlow.from_pretrained(scale=4, weights=given), load_srflow(4, given)
        assert type(ours) is SRFlow
        assert ours.weights == entry.weights
        assert all(torch.equal(tensor, entry.state_dict()[name]) for name, tensor in ours.state_dict().items())
    with pytest.raises(WeightsError, match=r"no srflow weights are packaged for scale 2; use --scale 4 or 8"):
        SRFlow.from_pretrained(scale=2)


def test_stored_as_float16_it_runs_as_float32(tmp_path):
    model, (hr, lr) = small_flow(4), pair(4, 4, 4, dtype=torch.float32)
    path = write(tmp_path / "half.safetensors", small_flow(4).half())
    loaded = load_srflow(4, path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(
        loaded.given(lr).bits_per_dimension(hr), model.given(lr).bits_per_dimension(hr), rtol=0, atol=0.02
    )
    assert path.stat().st_size < write(tmp_path / "single.safetensors", model).stat().st_size * 0.6


def lacking(path, name):
    model = small_flow()
    state = model.state_dict()
    del state[name]
    model.state_dict = lambda: state
    return write(path, model)


ENCODER = asdict(CONFIG)["encoder"]


@pytest.mark.parametrize(
    ("make", "error", "fault"),
    [
        (
            lambda p: write(p, small_flow(8)),
            WeightsError,
            r"weights for scale 8, but scale 4 is requested; use scale 8, or weights for scale 4",
        ),
        (lambda p: write(p, small_flow(), model="rrdb"), WeightsError, r"weights of rrdb, not of srflow"),
        (
            lambda p: write(p, small_flow(), config=json.dumps(asdict(replace(CONFIG, width=4)))),
            WeightsError,
            r"tensors do not fit the network: .*has shape",
        ),
        (
            lambda p: write(p, small_flow(), config=json.dumps(asdict(CONFIG) | {"colour": 3})),
            ConfigError,
            r"unknown key 'colour'",
        ),
        *(
            (lambda p, size=size: write(p, small_flow(), config=json.dumps(asdict(CONFIG) | size)), error, fault)
            for size, error, fault in (
                ({"steps": 10**9}, ConfigError, r"steps is 1000000000; it has to be 1 to 10000"),
                ({"steps": 9999}, WeightsError, r"state steps = 9999, but it holds only \d+ tensors"),
                ({"encoder": ENCODER | {"blocks": 10**12}}, ConfigError, r"blocks is 10{12}; it has to be 1 to 10000"),
                ({"encoder": ENCODER | {"features": 9999, "growth": 9999}}, WeightsError, r"has shape"),
            )
        ),
        (
            lambda p: lacking(p, "encoder.conv_body.bias"),
            WeightsError,
            r"1 tensor does not fit the network: missing encoder\.conv_body\.bias",
        ),
    ],
    ids=["scale", "model", "size", "config", "billion steps", "many steps", "deep", "wide", "lacking"],
)
def test_files_that_do_not_serve(tmp_path, make, error, fault):
    """The network that a file asks for is not built before it is known to fit."""
    path = tmp_path / "w.safetensors"
    make(path)
    with pytest.raises(error, match=fault) as refused:
        load_srflow(4, path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
