"""Networks of other projects from a file: random weights of small architectures, and ONNX graphs of our own RRDB."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig, RRDBNet
from srbench.benchmark import BenchmarkError
from srbench.benchmark.bench_file import requested_runs
from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.interfaces import ModelCall, SRBenchError
from srbench.metrics.cost import Memory, MultiplyAdds, Runtime
from srbench.models import ModelError
from srbench.models import third_party as foreign
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec, external_data, with_absolute_paths
from srbench.models.third_party import OnnxModel, load_file
from srbench.plugins import PluginError
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.verification.verify import verify
from srbench.weights.files import save_weights

needs_spandrel = pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason="needs the extra zoo: pip install 'sr-bench[zoo]'"
)
needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None,
    reason="needs the extra onnx, and onnx to export with: pip install 'sr-bench[onnx]' onnx",
)


CONVOLUTION = nn.Conv2d(3, 3, 1)


class WithoutScale(nn.Module):
    """Numbers of another size come out than went in."""

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr[..., :-1]


class Mean(nn.Module):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return lr.mean()


class Repeated(nn.Module):
    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return F.interpolate(lr, scale_factor=self.scale, mode="nearest")


class Random(Repeated):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return super().forward(lr + torch.rand_like(lr))


class Broken(Repeated):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return super().forward((lr - 1).sqrt())


class Levels(Repeated):
    def forward(self, lr: torch.Tensor) -> torch.Tensor:
        return super().forward(255 * lr).to(torch.uint8)


def compact(path: Path, scale: int, channels: int = 3) -> nn.Module:
    """Random weights of a small network for real-time upscaling, saved as BasicSR saves them."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(scale)
    network = Compact(num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=2, upscale=scale)
    torch.save({"params_ema": network.state_dict()}, path)
    return network.eval()


def exported(network: nn.Module, path: Path, sizes: tuple[int, int], *, fixed: bool = False, channels: int = 3) -> Path:
    axes = {} if fixed else {"lr": {0: "n", 2: "h", 3: "w"}, "hr": {0: "n", 2: "H", 3: "W"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.rand(1, channels, *sizes),),
            str(path),
            dynamo=False,
            input_names=["lr"],
            output_names=["hr"],
            dynamic_axes=axes,
        )
    return path


@needs_spandrel
@pytest.mark.parametrize("scale", [3, 4])
def test_a_checkpoint_of_another_project_is_a_model(tmp_path, scale, device):
    path = tmp_path / f"{scale}x-any thing.pth"
    network = compact(path, scale)
    loaded = load_model(str(path), scale, device)
    lr = torch.rand(2, 3, 9, 14)
    with torch.no_grad():
        found, expected = loaded.model(lr.to(device)).cpu(), network(lr).clamp(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-6 if device == "cpu" else 1e-3, rtol=0)
    assert loaded.label == f"{scale}x-any-thing"
    assert loaded.weights.sha256 == sha256_file(path)
    assert loaded.weights.parameters == sum(one.numel() for one in network.parameters())
    assert loaded.weights.licence == "not stated in the file"
    assert "RealESRGAN Compact" in loaded.weights.trained_on
    assert ModelSpec.parse(str(path)).scale() == scale


@needs_spandrel
def test_safetensors_say_their_licence(tmp_path):
    network = compact(tmp_path / "a.pth", 4)
    save_weights(tmp_path / "a.safetensors", network.state_dict(), {"license": "CC-BY-4.0"})
    lr = torch.rand(1, 3, 8, 8)
    one, other = (load_model(str(tmp_path / f"a.{ending}"), 4, "cpu") for ending in ("pth", "safetensors"))
    assert torch.equal(one.model(lr), other.model(lr))
    assert other.weights.licence == "CC-BY-4.0"
    assert one.digest != other.digest, "another file"


@needs_spandrel
def test_an_image_is_padded_to_what_the_architecture_takes(tmp_path):
    """SwinIR attends within windows of 8x8: 13x21 pixels are extended by reflection, and the output cut."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    size = {"upscale": 4, "img_size": 16, "window_size": 8, "depths": [2], "embed_dim": 12, "num_heads": [2]}
    network = SwinIR(**size, mlp_ratio=2, upsampler="pixelshuffledirect").eval()
    torch.save(network.state_dict(), tmp_path / "swin.pth")
    model = load_model(str(tmp_path / "swin.pth"), 4, "cpu").model
    lr = torch.rand(1, 3, 13, 21)
    with torch.no_grad():
        whole = network(F.pad(lr, (0, 3, 0, 3), mode="reflect"))
    torch.testing.assert_close(model(lr), whole[..., :52, :84].clamp(0, 1), atol=1e-6, rtol=0)
    assert model(torch.rand(1, 3, 3, 2)).shape == (1, 3, 12, 8), "smaller than a window"


@needs_spandrel
def test_a_run_with_weights_alone(tmp_path, photos):
    """No --scale, no class, no configuration; and the run proves itself."""
    compact(tmp_path / "4x-a.pth", 4)
    models = (str(tmp_path / "4x-a.pth"), f"second={tmp_path / '4x-a.pth'}+consistent", "bicubic")
    request = {"models": models, "data": str(photos), "limit": 1, "metrics": ("psnr", "lr_psnr")}
    [spec] = requested_runs(None, request | {"out": str(tmp_path / "run")})
    assert spec.scale == 4
    folder = run(spec).folder
    rows = {row.setting.model: row.values for row in measurements_of(RunFolder.read(folder))}
    assert set(rows) == {"4x-a", "second", "bicubic"}
    assert rows["second"]["lr_psnr"][0] > rows["4x-a"]["lr_psnr"][0]
    assert verify(folder, resample=3).holds
    compact(tmp_path / "2x-b.pth", 2)
    with pytest.raises(BenchmarkError, match="several scales"):
        requested_runs(None, {"models": (models[0], str(tmp_path / "2x-b.pth"))})


def saved(content: object, *, modern: bool = True) -> Callable[[Path], None]:
    """Save an object; not ``modern``: as PyTorch wrote files before 1.6."""
    return lambda path: torch.save(content, path, _use_new_zipfile_serialization=modern)


def _infinite(path: Path) -> None:
    network = compact(path, 4)
    state = network.state_dict()
    state["body.0.bias"][0] = torch.inf
    torch.save(state, path)


@needs_spandrel
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda path: path.write_bytes(b"no weights"), "damaged, or not a weights file"),
        (
            saved({"some.weight": torch.zeros(3)}),
            r"spandrel does not recognise its architecture; also name the network's code, net\.py:Net:\S+net\.pth",
        ),
        (
            saved({"epoch": 3, "model": CONVOLUTION.state_dict()}),
            r"not recognise its architecture; also name .* or save the network by torch\.jit\.script",
        ),
        (
            saved(CONVOLUTION),
            "contains torch.nn.modules.conv.Conv2d, and loading that would run its code; save only the state",
        ),
        (
            saved({"options": argparse.Namespace(), "model": CONVOLUTION.state_dict()}),
            "contains argparse.Namespace, .* save only the state_dict and also name the network's code",
        ),
        (lambda path: compact(path, 4, channels=1), "a network of 1 to 1 channels; only RGB"),
        (_infinite, "body.0.bias has values that are not finite"),
        (lambda path: compact(path, 2), "has scale 2, but scale 4 is requested; use scale 2"),
        (lambda path: None, "no such weights file"),
    ],
)
def test_what_is_no_network(tmp_path, make, fault):
    path = tmp_path / "net.pth"
    make(path)
    with pytest.raises(SRBenchError, match=fault) as caught:
        load_model(str(path), 4, "cpu")
    assert "\n" not in str(caught.value)


@needs_spandrel
def test_an_architecture_of_another_size_is_not_called_damaged(tmp_path):
    """spandrel knows RRDB with a growth of 32 channels alone, and names a tensor of every layer that does not fit."""
    config = RRDBConfig(4, features=16, growth=8, blocks=1)
    theirs = zip(rrdb_shapes(config), RRDBNet(config).state_dict().values(), strict=True)
    torch.save(dict(theirs), tmp_path / "growth8.pth")
    with pytest.raises(ModelError) as caught:
        load_file(tmp_path / "growth8.pth")
    message = str(caught.value)
    assert "RDB1.conv1.0.weight: copying a param with shape torch.Size([8, 16, 3, 3]) from checkpoint" in message
    assert "the shape in current model is torch.Size([32, 16, 3, 3]). and " in message
    assert message.endswith(f"more); also name the network's code, net.py:Net:{tmp_path / 'growth8.pth'}")
    assert "damaged" not in message
    assert "copy of it" not in message


@needs_spandrel
def test_our_own_weights_are_named_with_their_model():
    path = Path(foreign.__file__).parents[2] / "baselines/weights/rrdb-mini-x4.safetensors"
    with pytest.raises(ModelError, match=f"name them rrdb:{path}"):
        load_file(path)


@pytest.mark.parametrize(
    ("text", "name", "weights"),
    [
        ("x@4.pth", "x@4.pth", ""),
        ("dir/a.ONNX", "dir/a.ONNX", ""),
        ("my=4x.safetensors+consistent", "4x.safetensors", ""),
        ("x=a/net.py:Net:a.pth+consistent", "a/net.py:Net", "a.pth"),
        ("mine.nets:Net:a.ckpt", "mine.nets:Net", "a.ckpt"),
        ("a:b/net.py:Net", "a:b/net.py:Net", ""),
        ("rrdb:a.safetensors", "rrdb", "a.safetensors"),
        ("esrgan@0.7:a.pth", "esrgan", "a.pth"),
        ("net.py:Net:outputs/lr=1e-3/net.pth", "net.py:Net", "outputs/lr=1e-3/net.pth"),
        ("srflow:lr=1e-3.pth", "srflow", "lr=1e-3.pth"),
        ("outputs/lr=1e-3/net.pth+bf16", "outputs/lr=1e-3/net.pth", ""),
        ("x=outputs/lr=1e-3/net.pth", "outputs/lr=1e-3/net.pth", ""),
    ],
)
def test_names(text, name, weights):
    spec = ModelSpec.parse(text)
    assert (spec.name, spec.weights) == (name, weights)
    assert (spec.kind == "network") == (weights == "" and ".py" not in name)


def test_a_colon_in_the_name_of_a_file_separates_no_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b.pth").touch()
    assert with_absolute_paths("a:b.pth") == f"{tmp_path}/a:b.pth"


def test_an_equals_sign_in_the_name_of_a_file_is_no_label(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("lr=1e-3.pth", "lr=1e-3.pth+bf16"):
        assert (ModelSpec.parse(text).typed_label, ModelSpec.parse(text).name) == ("lr", "1e-3.pth"), "no such file"
    (tmp_path / "lr=1e-3.pth").touch()
    for text in ("lr=1e-3.pth", "lr=1e-3.pth+bf16"):
        spec = ModelSpec.parse(text)
        assert (spec.typed_label, spec.name) == ("", "lr=1e-3.pth")
        assert with_absolute_paths(text) == f"{tmp_path}/lr=1e-3.pth{spec.suffix}"
        assert ModelSpec.parse(with_absolute_paths(text)).label == spec.label == f"lr-1e-3{spec.suffix}"


@pytest.mark.parametrize(
    ("file", "package", "extra"),
    [
        ("a.pth", "spandrel", "zoo"),
        ("a.onnx", "onnxruntime", "onnx"),
        ("a.onnx", "onnx", "onnx"),
        ("a.param", "ncnn", "ncnn"),
    ],
)
def test_a_missing_extra_is_named(tmp_path, monkeypatch, file, package, extra):
    (tmp_path / file).write_bytes(b"")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=rf"needs (onnx|{package}); install it: pip install 'sr-bench\[{extra}\]'"):
        load_model(str(tmp_path / file), 4, "cpu")


@needs_onnx
@pytest.mark.parametrize("length", [11, 200])
def test_weights_beside_an_onnx_graph_are_found(tmp_path, length):
    """Those that the graph names, in any order of protobuf's fields."""
    import onnx

    name = f"{'a' * (length - 5)}.data"
    tensor = onnx.TensorProto(name="w", data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=name)
    tensor.external_data.add(key="offset", value="0")
    graph = onnx.ModelProto(graph=onnx.GraphProto(initializer=[tensor])).SerializeToString()
    key, value = b"\n\x08location", b"\x12" + onnx.StringStringEntryProto(value=name).SerializeToString()[1:]
    assert key + value in graph
    (tmp_path / "a.onnx").write_bytes(graph)
    (tmp_path / "b.onnx").write_bytes(graph.replace(key + value, value + key))
    (tmp_path / "c.onnx").write_bytes(b"damaged")
    for file in (name, "other.data"):
        (tmp_path / file).touch()
    assert external_data(tmp_path / "a.onnx") == external_data(tmp_path / "b.onnx") == [tmp_path / name]
    assert external_data(tmp_path / "c.onnx") == external_data(tmp_path / name) == []


@needs_onnx
def test_an_onnx_graph_of_rrdb_is_rrdb(tmp_path, photos):
    """Any size, and every value of the table."""
    rrdb = load_model("rrdb", 4, "cpu").model
    path = exported(rrdb, tmp_path / "4x-rrdb.onnx", (16, 20))
    loaded = load_model(str(path), 4, "cpu")
    lr = torch.rand(2, 3, 17, 23)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(lr), rrdb(lr), atol=1e-4, rtol=0)
    assert (loaded.label, loaded.weights.sha256, loaded.weights.parameters) == ("4x-rrdb", sha256_file(path), None)
    request = {"models": ("rrdb", str(path)), "data": str(photos), "metrics": ("psnr",), "limit": 1}
    [spec] = requested_runs(None, request | {"out": str(tmp_path / "run")})
    assert spec.scale == 4
    rows = {row.setting.model: row.values for row in measurements_of(RunFolder.read(run(spec).folder))}
    assert rows["4x-rrdb"]["psnr"] == pytest.approx(rows["rrdb"]["psnr"], abs=1e-3)
    assert verify(tmp_path / "run", resample=1).holds


@needs_onnx
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_the_scale_is_that_of_the_output(tmp_path, scale):
    model = OnnxModel(exported(Repeated(scale), tmp_path / "a.onnx", (24, 32)), "cpu")
    assert model.scale == scale
    for size in ((24, 32), (10, 70), (65, 40), (1, 1)):
        lr = torch.rand(1, 3, *size)
        assert torch.equal(model(lr), Repeated(scale)(lr))


@needs_onnx
@pytest.mark.parametrize("suffix", ["", "+consistent"])
def test_only_the_runtime_of_an_onnx_file_is_known(tmp_path, suffix):
    """Its outputs pass through torch, but torch does not compute them."""
    path = exported(Repeated(2), tmp_path / "net.onnx", (8, 8))
    call = ModelCall(load_model(f"{path}{suffix}", 2, "cpu").model, None, "cpu")
    assert MultiplyAdds(out="16x16").measure(call) is None
    assert Memory(out="16x16").measure(call) is None
    assert Runtime(out="16x16").measure(call) > 0


@needs_onnx
def test_half_precision(tmp_path):
    model = OnnxModel(exported(Repeated(2).half(), tmp_path / "a.onnx", (8, 8)).rename(tmp_path / "b.onnx"), "cpu")
    lr = torch.rand(1, 3, 8, 8)
    assert torch.equal(model(lr), Repeated(2)(lr)), "the graph has no numbers of its own"


@needs_onnx
def test_what_is_no_onnx_model(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="damaged, or not an ONNX file"):
        load_file(tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="it has to upscale"):
        load_file(exported(WithoutScale(), tmp_path / "b.onnx", (8, 8)))
    with pytest.raises(ModelError, match=r"b\.onnx: turns \(1, 3, 64, 64\) into \(\); it has to upscale"):
        load_file(exported(Mean(), tmp_path / "b.onnx", (8, 8)))
    with pytest.raises(ModelError, match=r"e\.onnx: has the input .*\[1, 3, 8, 8\]; export it for any size"):
        load_file(exported(Repeated(2), tmp_path / "e.onnx", (8, 8), fixed=True))
    for network, fault in (
        (Random(2), r"f\.onnx: returns different outputs for the same image; call eval\(\) before saving it"),
        (Broken(2), r"f\.onnx: returns NaN for a grey image; check its weights, or export it in float32"),
        (Levels(2), r"f\.onnx: returns torch\.uint8; it has to return floating point, with images in \[0, 1\]"),
    ):
        with pytest.raises(ModelError, match=fault):
            load_file(exported(network, tmp_path / "f.onnx", (8, 8)))
    with pytest.raises(ModelError, match="RGB images, channels first"):
        load_file(exported(Repeated(2), tmp_path / "c.onnx", (8, 8), channels=1))
    exported(Repeated(2), tmp_path / "d.onnx", (8, 8))
    with pytest.raises(PluginError, match="has scale 2, but scale 4 is requested; use scale 2"):
        load_model(str(tmp_path / "d.onnx"), 4, "cpu")


CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class Runtime9:
    """Stands in for ONNX Runtime 9.0: a session repeats pixels, and its brightness depends on what computes it."""

    __version__ = "9.0"
    SessionOptions = SimpleNamespace

    def __init__(self, available: list[str], loadable: list[str]) -> None:
        self.available, self.loadable = available, loadable
        self.asked: list[object] = []
        self.gains = {CUDA: 0.9, CPU: 1.0}

    def get_available_providers(self) -> list[str]:
        return self.available

    def InferenceSession(self, path: str, options: object, providers: list[object]) -> SimpleNamespace:  # noqa: N802
        self.asked = providers
        named = [each if isinstance(each, str) else each[0] for each in providers]
        used = [name for name in named if name in self.loadable]
        gain = self.gains[used[0]]

        def run(outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            return [gain * inputs["lr"].repeat(4, axis=2).repeat(4, axis=3)]

        return SimpleNamespace(
            run=run,
            get_providers=lambda: used,
            get_inputs=lambda: [SimpleNamespace(name="lr", shape=["n", 3, "h", "w"], type="tensor(float)")],
            get_modelmeta=lambda: SimpleNamespace(custom_metadata_map={}),
        )


@pytest.fixture
def runtime(monkeypatch, tmp_path):
    """Installs a stand-in for ONNX Runtime, with the file ``net.onnx`` for it."""
    (tmp_path / "net.onnx").write_bytes(b"a graph")

    def install(available, loadable):
        fake = Runtime9(available, loadable)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    return install


@pytest.mark.parametrize(
    ("device", "available", "loadable", "asked", "used"),
    [
        ("cuda", [CUDA, CPU], [CUDA, CPU], [CUDA, CPU], CUDA),
        ("cuda:1", [CUDA, CPU], [CUDA, CPU], [CUDA, CPU], CUDA),
        ("cuda", [CPU], [CPU], [CPU], CPU),
        ("cuda", [CUDA, CPU], [CPU], [CUDA, CPU], CPU),
        ("cpu", [CUDA, CPU], [CUDA, CPU], [CPU], CPU),
        ("mps", ["CoreMLExecutionProvider", CPU], [CPU], [CPU], CPU),
    ],
    ids=[
        "on a GPU",
        "on another GPU",
        "installed without CUDA",
        "without CUDA's libraries",
        "on the CPU",
        "on another device",
    ],
)
def test_an_onnx_file_runs_on_the_device_of_the_command(runtime, tmp_path, device, available, loadable, asked, used):
    fake = runtime(available, loadable)
    model = load_file(tmp_path / "net.onnx", device)
    assert [each if isinstance(each, str) else each[0] for each in fake.asked] == asked
    assert model.environment == {"ONNX Runtime": f"9.0, {used}"}
    if CUDA in asked:
        assert fake.asked[0][1]["use_tf32"] == "0", "float32 in full, as on the CPU"
        assert fake.asked[0][1]["device_id"] == ("1" if device == "cuda:1" else "0")
    lr = torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(model(lr), Repeated(4)(lr) * (0.9 if used == CUDA else 1))


def test_records_and_report_say_what_computed_an_onnx_file(runtime, tmp_path, photos, monkeypatch):
    """Also within +consistent; the records of other models do not."""
    monkeypatch.setitem(foreign._PROVIDERS, "cpu", foreign._PROVIDERS["cuda"])
    runtime([CUDA, CPU], [CUDA, CPU])
    net = tmp_path / "net.onnx"
    models = (str(net), f"near={net}+consistent", "bicubic")
    request = {"models": models, "data": str(photos), "metrics": ("psnr",), "limit": 2, "scale": 4}
    [spec] = requested_runs(None, request | {"out": str(tmp_path / "run")})
    folder = RunFolder.read(run(spec).folder)
    environments = {row.setting.model: folder.environments[row.sample.environment] for row in measurements_of(folder)}
    said = {model: record.facts.get("ONNX Runtime") for model, record in environments.items()}
    assert said == {"net": f"9.0, {CUDA}", "near": f"9.0, {CUDA}", "bicubic": None}
    text = write_report([folder.path], ["md"]).files[0].read_text()
    assert f"> ONNX Runtime 9.0, {CUDA}, computed net and near.\n" in text
    assert "different environments" not in text
    assert verify(folder.path, resample="all").proven


def test_an_onnx_file_on_another_provider_contradicts_nothing(runtime, tmp_path, photos, monkeypatch):
    """Its outputs may differ by more than rounding; on the same provider, the same difference is a contradiction."""
    monkeypatch.setitem(foreign._PROVIDERS, "cpu", foreign._PROVIDERS["cuda"])
    fake = runtime([CUDA, CPU], [CUDA, CPU])
    request = {"models": (str(tmp_path / "net.onnx"),), "data": str(photos), "metrics": ("psnr",), "limit": 1}
    [spec] = requested_runs(None, request | {"scale": 4, "out": str(tmp_path / "run")})
    folder = run(spec).folder
    fake.loadable = [CPU]
    found = verify(folder, resample="all")
    assert (found.holds, found.proven) == (True, False)
    assert "not-sampled" in found.text()
    fake.loadable, fake.gains[CUDA] = [CUDA, CPU], 0.5
    assert not verify(folder, resample="all").holds
