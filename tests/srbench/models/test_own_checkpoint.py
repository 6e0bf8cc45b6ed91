"""A network of one's own with its checkpoint, ``net.py:Net:mynet.pth``: wherever the tensors lie, or what to change."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
import torch
from builders import drawn
from safetensors.torch import save_file
from torch import nn

import srbench as package
from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.images.io import write_png
from srbench.interfaces import SRBenchError
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

SOURCE = '''
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(features, features, 3, padding=1), nn.ReLU())

    def forward(self, x):
        return x + self.body(x)


class EDSR(nn.Module):
    """Names of layers as in EDSR-PyTorch."""

    def __init__(self, scale, features=8, blocks=2):
        super().__init__()
        self.scale = scale
        self.head = nn.Sequential(nn.Conv2d(3, features, 3, padding=1))
        self.body = nn.Sequential(*(Block(features) for _ in range(blocks)))
        self.tail = nn.Sequential(nn.Conv2d(features, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, lr):
        return self.tail(self.body(self.head(lr)))


class SRResNet(nn.Module):
    """With statistics, and a count that is no floating point number."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.up = nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.PixelShuffle(2)

    def forward(self, lr):
        return self.up(self.bn1(self.conv1(lr)))


class Wrapped(nn.Module):
    """Its own names start as others' prefixes do."""

    scale = 2

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 12, 1), nn.PixelShuffle(2))

    def forward(self, lr):
        return self.model(lr)


class Half(EDSR):
    def __init__(self, scale, weights=None):
        super().__init__(scale)
        self.load_state_dict(torch.load(weights, weights_only=True)["mine"])


class Plain(EDSR): ...


def wide(scale):
    return EDSR(scale, features=16)


class Nearest:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=self.scale)
'''


@pytest.fixture
def net(tmp_path):
    """A file of networks."""
    path = tmp_path / "net.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def made(net):
    """made("EDSR", 2): a network of the file with random weights, in evaluation mode."""

    def call(name, *arguments, seed=0, **more):
        spec = importlib.util.spec_from_file_location("networks", net)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        torch.manual_seed(seed)
        network = getattr(module, name)(*arguments, **more)
        if hasattr(network, "bn1"):  # as if it had been trained
            network(torch.rand(4, 3, 8, 8))
        return network.eval()

    return call


def renamed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


LOADED = {
    "plain": lambda state: state,
    "half precision": lambda state: {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
    "DataParallel": lambda state: renamed(state, "module."),
    "compiled": lambda state: renamed(state, "module._orig_mod."),
    "BasicSR": lambda state: {"params": {"head": torch.zeros(1)}, "params_ema": state},
    "KAIR": lambda state: {"params": state},
    "with an optimiser": lambda state: {"epoch": 3, "optimizer": {"state": {}}, "model": renamed(state, "module.")},
    "nested": lambda state: {"model": {"state_dict": state, "epoch": 3}},
    "Lightning": lambda state: {
        "epoch": 3,
        "pytorch-lightning_version": "2.5",
        "hyper_parameters": {"features": 8},
        "state_dict": renamed(state, "net."),
    },
    "Lightning, another name": lambda state: {"state_dict": renamed(state, "model.")},
    "safetensors": lambda state: renamed(state, "module."),
}
"""Ways to save a state dict."""


@pytest.mark.parametrize(
    ("name", "way"),
    [
        *(("EDSR", way) for way in LOADED),
        *(("SRResNet", way) for way in ("half precision", "DataParallel")),
        *(("Wrapped", way) for way in ("plain", "DataParallel", "Lightning, another name")),
    ],
)
def test_checkpoints_are_loaded(net, made, tmp_path, way, name):
    network = made(name, 2) if name == "EDSR" else made(name)
    file = tmp_path / f"mynet.{'safetensors' if way == 'safetensors' else 'pth'}"
    (save_file if way == "safetensors" else torch.save)(LOADED[way](network.state_dict()), file)
    loaded = load_model(f"{net}:{name}:{file}", 2, "cpu")
    assert not loaded.model.training
    tolerance = 1e-2 if way == "half precision" else 0
    lr = torch.rand(1, 3, 9, 14)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(lr), network(lr), atol=tolerance, rtol=0)
    assert loaded.label == f"{name}-mynet"
    assert loaded.weights.sha256 == sha256_file(file)
    assert loaded.weights.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert f"architecture {name}" in loaded.weights.trained_on


def without(state, *names):
    return {name: tensor for name, tensor in state.items() if name not in names}


class Options:
    """A class of another project, in a checkpoint."""


REFUSED = {
    "a wrong width": (
        lambda made: made("EDSR", 2, features=16).state_dict(),
        r"mynet\.pth: 7 tensors do not fit the network: head\.0\.weight has shape \(16, 3, 3, 3\) instead of "
        r"\(8, 3, 3, 3\), .* and 4 more; if it was trained at another scale, choose that scale; "
        r"with other arguments, add a function that returns it, def make\(\): return EDSR\(\.\.\.\), and name the "
        r"function",
    ),
    "a missing layer": (
        lambda made: without(made("EDSR", 2).state_dict(), "tail.0.weight", "tail.0.bias"),
        r"2 tensors do not fit the network: missing tail\.0\.weight, tail\.0\.bias; if",
    ),
    "an extra layer": (
        lambda made: made("EDSR", 2, blocks=5).state_dict(),
        r"6 tensors do not fit the network: unexpected body\.2\.body\.0\.weight, body\.2\.body\.0\.bias, "
        r"body\.3\.body\.0\.weight and 3 more; if",
    ),
    "a loss beside it": (
        lambda made: {"state_dict": renamed(made("EDSR", 2).state_dict(), "net.") | {"loss.w": torch.zeros(1)}},
        r"unexpected net\.head\.0\.weight, ",
    ),
    "a class": (
        lambda made: {"state_dict": made("EDSR", 2).state_dict(), "hyper_parameters": Options()},
        r"would run code \(\S*\.Options\) when loaded, and only tensors are accepted; "
        r".*torch\.save\(network\.state_dict\(\), FILE",
    ),
    "a whole network": (lambda made: nn.Conv2d(3, 3, 1), r"would run code \(torch\.nn\.modules\.conv\.Conv2d\) when"),
    "another place": (
        lambda made: {"epoch": 3, "net_g": made("EDSR", 2).state_dict()},
        r"contains no named tensors, but epoch, net_g; save only the network's tensors: torch\.save\(",
    ),
}
"""Checkpoints that do not fit, and the line for each."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(net, made, tmp_path, name):
    make, says = REFUSED[name]
    torch.save(make(made), tmp_path / "mynet.pth")
    with pytest.raises(SRBenchError, match=says) as caught:
        load_model(f"{net}:EDSR:{tmp_path}/mynet.pth", 2, "cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).replace(str(tmp_path), "")) < 400


def test_code_that_loads_its_weights_gets_the_path(net, made, tmp_path):
    network = made("EDSR", 2)
    torch.save({"mine": network.state_dict()}, tmp_path / "mynet.pth")
    loaded = load_model(f"{net}:Half:{tmp_path}/mynet.pth", 2, "cpu")
    assert torch.equal(loaded.model.head[0].weight, network.head[0].weight)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{net}:EDSR:", r"no weights file after the colon; write \S+net\.py:EDSR or \S+net\.py:EDSR:FILE"),
        ("{net}:EDSR:absent.pth", r"absent\.pth: no such weights file; check the path in"),
        (
            "{net}:Nearest:{net}",
            r"the model Nearest takes no weights file; omit the file, make the model a torch\.nn\.Module",
        ),
        ("{net}:EDSRR:{net}", r"unknown class or function 'EDSRR'; did you mean EDSR\?"),
        ("{net}", r"net\.py defines .*; name one of them, as in (\S+):\w+, or with its checkpoint, \1:\w+:FILE\.pth"),
        ("{net}:EDSR:{net}", r"net\.py: truncated, or not a checkpoint"),
        (
            "{net}:EDSR+consistent",
            r"net\.py:EDSR: the network has random weights; name a checkpoint: \S+net\.py:EDSR:FILE\.pth",
        ),
    ],
)
def test_names_that_lead_on(net, text, says):
    with pytest.raises(SRBenchError, match=says):
        load_model(text.format(net=net), 2, "cpu")


def test_from_python(net, made, tmp_path):
    network = made("SRResNet")
    torch.save(network.state_dict(), tmp_path / "mynet.pth")
    model = package.load_model(f"{net}:SRResNet", weights=tmp_path / "mynet.pth")
    lr = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(model(lr), network(lr))
    assert ModelSpec.parse(f"{net}:SRResNet:{tmp_path}/mynet.pth").scale() == 2
    with pytest.raises(SRBenchError, match=r"load_model: scale is missing, .*; give scale=4, or add an attribute"):
        package.load_model(f"{net}:EDSR", weights=tmp_path / "mynet.pth")


@pytest.fixture
def asked(net, made, tmp_path):
    """A request of a network with its checkpoint on two images."""
    for seed, name in enumerate("ab"):
        write_png(tmp_path / "photos" / f"{name}.png", drawn(seed))
    torch.save(made("EDSR", 2).state_dict(), tmp_path / "mynet.pth")
    torch.save(made("EDSR", 2).state_dict(), tmp_path / "yours.pth")
    models = (f"mine={net}:EDSR:{tmp_path}/mynet.pth", f"yours={net}:Plain:{tmp_path}/yours.pth", "bicubic")
    photos = str(tmp_path / "photos")
    return RunSpec(models, 2, photos, metrics=("psnr",), out=str(tmp_path / "run"))


def digests(folder):
    return {(row.setting.model, row.image): row.sample.outputs for row in measurements_of(RunFolder.read(folder))}


def test_a_changed_checkpoint_is_measured_again(asked, made, tmp_path):
    first = digests(run(asked).folder)
    assert run(asked).sampled == 0
    torch.save(made("EDSR", 2, seed=1).state_dict(), tmp_path / "mynet.pth")
    second = run(asked)
    assert second.sampled == 2, "no other model of the file, with another checkpoint"
    assert verify(second.folder, resample=6).proven
    changed = {model for (model, image), outputs in digests(second.folder).items() if outputs != first[model, image]}
    assert changed == {"mine"}
    torch.save({"params": made("EDSR", 2, seed=1).state_dict()}, tmp_path / "mynet.pth")
    digest = load_model(asked.models[0], 2, "cpu").digest
    assert digest != RunFolder.read(second.folder).manifest.model("mine").digest, "the same tensors, other bytes"
    torch.save(made("EDSR", 2, seed=2).state_dict(), tmp_path / "other.pth")
    with pytest.raises(
        SRBenchError, match=r"mine stands for .*mynet.pth in it, not for .*other.pth; give another label"
    ):
        run(replace(asked, models=(asked.models[0].replace("mynet", "other"),)))
