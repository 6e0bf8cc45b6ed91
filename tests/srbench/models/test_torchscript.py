"""TorchScript files as models: scripted, traced, frozen and of half precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from record_runs import values_in
from torch import nn

from srbench.benchmark.bench_file import requested_runs
from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.interfaces import SRBenchError
from srbench.models import ModelError
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.models.third_party import is_torchscript
from srbench.plugins import PluginError
from srbench.verification.verify import verify

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Small(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        torch.manual_seed(scale)
        self.shuffled = scale
        self.convolution = nn.Conv2d(3, 3 * scale**2, 3, padding=1)

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return F.pixel_shuffle(self.convolution(lr), self.shuffled)


class Stating(Small):
    """States scale 3, whatever it does."""

    def __init__(self, scale: int) -> None:
        super().__init__(scale)
        self.scale = 3


class Random(Small):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return super().forward(lr) + torch.rand(1)


class Levels(Small):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return (255 * super().forward(lr)).to(torch.uint8)


class InPlace(Small):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return super().forward(lr.sub_(0.5))


class Pair(nn.Module):
    def forward(self, lr: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return lr, lr


class Fixed(nn.Module):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr.reshape(1, 3, 20, 20)


def traced(network: nn.Module) -> torch.jit.ScriptModule:
    return torch.jit.trace(network.eval(), torch.rand(1, 3, 20, 20), check_trace=False)


@pytest.mark.parametrize("make", [torch.jit.script, traced, lambda network: torch.jit.freeze(traced(network))])
def test_a_torchscript_file_is_a_model(tmp_path, make, device):
    network = Small(scale := 3).eval()
    make(network).save(path := tmp_path / "my net.pt")
    loaded = load_model(str(path), scale, device)
    lr = torch.rand(2, 3, 9, 14)
    with torch.no_grad():
        found, expected = loaded.model(lr.to(device)).cpu(), torch.cat([network(image[None]) for image in lr])
    torch.testing.assert_close(found, expected, atol=0 if device == "cpu" else 1e-3, rtol=0)
    assert ModelSpec.parse(str(path)).scale() == scale
    assert (loaded.label, loaded.weights.sha256) == ("my-net", sha256_file(path))
    assert loaded.weights.parameters in (sum(one.numel() for one in network.parameters()), None)
    with pytest.raises(PluginError, match=f"has scale {scale}, but scale 4 is requested; use scale {scale}"):
        load_model(str(path), 4, "cpu")
    make(Small(scale + 3).eval()).save(path)
    assert load_model(str(path), scale + 3, "cpu").digest != loaded.digest


def test_half_precision(tmp_path):
    torch.jit.script(Small(2).half().eval()).save(tmp_path / "half.pth")
    output = load_model(str(tmp_path / "half.pth"), 2, "cpu").model(torch.rand(1, 3, 8, 8))
    assert (output.dtype, output.shape) == (torch.float32, (1, 3, 16, 16))


def test_a_run_by_workers_with_costs_proves_itself(tmp_path, photos):
    torch.jit.script(Small(4).eval()).save(path := tmp_path / "net.pt")
    request = {"models": (f"mine={path}",), "data": str(photos), "limit": 2, "out": str(tmp_path / "run")}
    [spec] = requested_runs(None, request | {"metrics": ("psnr", "cost")})
    assert spec.scale == 4
    folder = run(spec, workers=2).folder
    [costs] = [values for (_, _, subject), values in values_in(folder).items() if not subject]
    assert costs["parameters"] == pytest.approx(1344 / 1e6)
    assert costs["multiply_adds"] == pytest.approx(27 * 48 * 64**2 / 1e9)
    assert costs["memory"] > 0
    assert costs["runtime"] > 0
    assert verify(folder, resample=2).holds


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        (Stating(2), "states scale 3, but its output is 2 times LR; correct it"),
        (Random(2), r"returns different outputs for the same image; call eval\(\) before saving it"),
        (Levels(2), r"returns torch\.uint8; it has to return floating point, with images in \[0, 1\]"),
        (Pair(), r"returns tuple; it has to return a single tensor \(n, 3, H, W\)"),
        (Fixed(), r"fails on LR of 64x64 \(.*\); export it for RGB images"),
        (nn.Conv2d(3, 1, 1), r"turns \(1, 3, 64, 64\) into \(1, 1, 64, 64\); it has to upscale"),
    ],
)
def test_what_is_no_model(tmp_path, network, fault):
    (torch.jit.script if isinstance(network, Stating | Pair) else traced)(network).save(tmp_path / "a.pt")
    with pytest.raises(ModelError, match=rf"a\.pt: {fault}") as caught:
        load_model(str(tmp_path / "a.pt"), 2, "cpu")
    assert "\n" not in str(caught.value)


def test_only_its_own_archives_are_torchscript(tmp_path):
    torch.save(nn.Conv2d(3, 3, 1).state_dict(), tmp_path / "weights.pt")
    (tmp_path / "text.pt").write_text("no archive")
    torch.jit.script(Small(2)).save(tmp_path / "script.ckpt")
    found = [is_torchscript(tmp_path / name) for name in ("weights.pt", "text.pt", "absent.pt", "script.ckpt")]
    assert found == [False, False, False, True]


def test_a_damaged_archive_is_an_error_of_one_line(tmp_path):
    pytest.importorskip("spandrel", reason="an archive that is not TorchScript's is read by spandrel")
    torch.jit.script(Small(2)).save(path := tmp_path / "a.pt")
    whole = path.read_bytes()
    for cut in (whole[:2000], whole[:-200] + b"x" * 100 + whole[-100:]):
        path.write_bytes(cut)
        with pytest.raises(SRBenchError, match=r"a\.pt: (damaged|truncated)") as caught:
            load_model(str(path), 2, "cpu")
        assert "\n" not in str(caught.value)


def test_a_module_may_change_its_input_in_place(tmp_path):
    torch.jit.trace(InPlace(4).eval(), torch.rand(1, 3, 20, 20), check_trace=False).save(tmp_path / "net.pt")
    network = load_model(f"{tmp_path / 'net.pt'}", 4, "cpu").model
    lr = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network(lr.clone()), InPlace(4).eval()(lr))
