"""Our SRFlow against numbers of the official implementation (tests/golden/srflow)."""

import json
import math

import pytest
import torch
from official import GOLDEN, checkpoint, load_official
from safetensors.torch import load_file

from baselines.convert import rrdb_from_official
from baselines.rrdb import RRDBConfig, RRDBNet
from srflow import SRFlow


class Case:
    def __init__(self, name):
        folder = GOLDEN / name
        self.meta = json.loads((folder / "meta.json").read_text())
        self.weights = checkpoint(name)
        self.io, self.trace, self.start = (
            load_file(folder / f"{part}.safetensors") for part in ("io", "trace", "actnorm_init")
        )
        self.model = load_official(self.weights, blocks=tuple(self.meta["blocks"]))
        self.latents = len(self.model.flow.latent_shapes(32, 32))


@pytest.fixture(scope="module", params=["x4_tiny", "x8_tiny"])
def case(request):
    return Case(request.param)


def close(ours, theirs, tolerance):
    return (ours.detach() - theirs).abs().max().item() <= tolerance


def test_size_is_read_from_the_checkpoint(case):
    config = case.model.config
    assert (config.encoder.scale, config.steps, config.levels) == tuple(case.meta[k] for k in ("scale", "K", "L"))
    assert (config.encoder.features, config.encoder.growth, config.encoder.blocks) == (64, 32, 2)
    assert (config.width, config.transitions, config.encoder.long_skip) == (64, 2, "trunk")


def test_encode(case):
    latents, log_det = case.model.given(case.io["lr"]).encode(case.io["gt"])
    for i, latent in enumerate(latents):
        assert close(latent, case.io[f"enc.eps.{i}"], 2e-5)
    # The official log-determinant carries the log-density of the latents that leave at a split.
    leaving = sum(-0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1) for z in latents[:-1])
    assert torch.allclose(log_det + leaving, case.io["enc.logdet"], rtol=1e-5, atol=0)


def test_nll(case):
    # Bits per dimension here, bits per pixel there.
    assert close(3 * case.model.given(case.io["lr"]).bits_per_dimension(case.io["gt"]), case.io["enc.nll"], 1e-5)
    noisy = case.io["gt"] + (case.io["u"] - 0.5) / 32
    ours = 3 * case.model.given(case.io["lr"]).bits_per_dimension(noisy)
    assert close(ours, case.io["enc.noisy_nll"], 1e-5)
    # The official quantisation term is counted once a pixel, five bits.
    assert close(ours + 5, case.io["enc.noise_official_nll"], 1e-4)


def test_decode(case):
    given = [case.io[f"eps.{i}"] for i in range(case.latents)]
    zero = [torch.zeros_like(latent) for latent in given]
    encoded = [case.io[f"enc.eps.{i}"] for i in range(case.latents)]
    for latents, name in [
        (zero, "sr_zero"),
        ([*zero[:-1], case.io["z"]], "sr_z_eps0"),
        (given, "sr_epses"),
        (encoded, "sr_roundtrip"),
    ]:
        assert close(case.model.given(case.io["lr"]).decode(latents), case.io[f"dec.{name}"], 5e-6), name


def test_encoder_features(case):
    features = case.model.encoder(case.io["lr"][:1])
    for level, found in enumerate(features, 1):
        theirs = case.io[f"cond.level{level}"]
        assert close(found.own, theirs[:, :64], 5e-6)
        nearest = torch.nn.functional.interpolate(found.stacked, theirs.shape[-2:])
        assert close(nearest, theirs[:, 64:], 5e-6)


def test_every_layer(case):
    """Each layer's output, and the log-determinant up to it, in the flat order of the official list."""
    total = torch.zeros(2)
    features = case.model.encoder(case.io["lr"])
    x, index = case.io["gt"], 0
    for level, own in zip(case.model.flow.levels, features, strict=True):
        transitions = [[layer] for layer in level.transitions]
        steps = [step.layers() for step in level.steps]
        for layers in [[level.squeeze], *transitions, *steps]:
            for layer in layers:
                x, log_det = layer(x, layer.condition(own))
                total = total + log_det
            assert close(x[:1], case.trace[f"layer.{index:02}.out"], 2e-5), index
            assert torch.allclose(total, case.trace[f"layer.{index:02}.logdet"], rtol=1e-5, atol=2e-3), index
            index += 1
        if level.latent_channels:
            x, log_det = level.split(x)
            x, (latent,) = level.factor_out(x)
            total = total + log_det - 0.5 * (latent.square() + math.log(2 * math.pi)).flatten(1).sum(1)
            assert torch.allclose(total, case.trace[f"layer.{index:02}.logdet"], rtol=1e-5, atol=2e-3), index
            assert close(x[:1], case.trace[f"layer.{index:02}.out"], 2e-5)
            index += 1
    assert f"layer.{index:02}.out" not in case.trace


def test_gradients(case):
    case.model.zero_grad()
    (3 * case.model.given(case.io["lr"], gradients=True).bits_per_dimension(case.io["gt"])).mean().backward()
    flow = case.model.flow.levels[0]
    for ours, name in [
        (case.model.encoder.conv_first.weight, "RRDB.conv_first.weight"),
        (case.model.encoder.conv_up[0].bias, "RRDB.upconv1.bias"),
        (flow.transitions[0].norm.log_scale, "flowUpsamplerNet.layers.1.actnorm.logs"),
        (flow.transitions[0].weight, "flowUpsamplerNet.layers.1.invconv.weight"),
        (flow.steps[0].injector.network.mix.weight, "flowUpsamplerNet.layers.3.affine.fFeatures.2.weight"),
        (
            flow.steps[0].injector.network.norm_first.bias,
            "flowUpsamplerNet.layers.3.affine.fFeatures.0.actnorm.bias",
        ),
    ]:
        theirs = case.io[f"grad.{name}"].view_as(ours)
        assert torch.allclose(ours.grad, theirs, rtol=1e-4, atol=2e-4 * theirs.abs().max().item()), name
    theirs = case.io["grad.flowUpsamplerNet.layers.3.affine.fAffine.4.logs"].flatten()
    ours = flow.steps[0].coupling.network.last.log_scale.grad
    assert torch.allclose(ours, torch.cat([theirs[0::2], theirs[1::2]]), rtol=1e-4, atol=1e-4)


def test_actnorm_initialisation(case):
    model = load_official(case.weights, blocks=tuple(case.meta["blocks"]))
    for module in model.modules():
        if hasattr(module, "log_scale") and module.log_scale.dim() == 3:
            torch.nn.init.zeros_(module.bias)
            torch.nn.init.zeros_(module.log_scale)
    model.initialize(case.io["lr"], case.io["gt"])
    initialised = {name: case.start.get(name, tensor) for name, tensor in case.weights.items()}
    expected = load_official(initialised, blocks=tuple(case.meta["blocks"])).state_dict()
    for name, value in model.state_dict().items():
        assert close(value, expected[name], 5e-4), name


def test_full_rrdb(case):
    """The whole encoder network, including the layers that the flow leaves out."""
    official = {k.removeprefix("RRDB."): v for k, v in case.weights.items() if k.startswith("RRDB.")}
    network = RRDBNet(RRDBConfig(case.meta["scale"], 64, 32, 2, long_skip="trunk"))
    network.load_state_dict(rrdb_from_official(official, network.config))
    assert close(network(case.io["lr"]), case.io["rrdb.out"], 1e-6)


@pytest.mark.parametrize(
    ("preset", "official"),
    [("celeba-x8", 40_030_531), ("df2k-x4", 39_541_811), ("df2k-x8", 50_821_891)],
)
def test_full_size_presets_have_the_official_number_of_parameters(preset, official):
    """Less what no official image depends on: the unused top prior, the topmost upconv, HRconv and conv_last."""
    with torch.device("meta"):
        model = SRFlow.from_preset(preset)
    unused = 96 * 320 * 9 + 96 + 2 * (64 * 64 * 9 + 64) + 64 * 3 * 9 + 3
    assert sum(parameter.numel() for parameter in model.parameters()) == official - unused
