"""ncnn graphs that are written here: of a network that repeats pixels, every value is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from srbench.benchmark.bench_file import requested_runs
from srbench.benchmark.run import run
from srbench.files.hashes import sha256_file
from srbench.interfaces import ModelCall
from srbench.metrics.cost import Memory, MultiplyAdds, Runtime
from srbench.models import ModelError
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.loading import load_model
from srbench.models.names import ModelSpec
from srbench.reporting.writers.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.verification.verify import verify

pytest.importorskip("ncnn", reason="needs the extra ncnn: pip install 'sr-bench[ncnn]'")


def graph(path: Path, *layers: str) -> Path:
    """Write layers, each as ``type inputs > outputs parameters``, and no weights."""
    lines = []
    for number, layer in enumerate(layers):
        kind, *rest = layer.split()
        after = rest[rest.index(">") + 1 :]
        made = [word for word in after if "=" not in word]
        lines.append(" ".join([kind, f"layer{number}", str(rest.index(">")), str(len(made)), *rest]).replace(" >", ""))
    path.write_text("\n".join(["7767517", f"{len(lines)} 9", *lines]) + "\n")
    path.with_suffix(".bin").write_bytes(b"")
    return path


def network(path: Path, weight: torch.Tensor, scale: int, *before: str) -> Path:
    """Write a convolution of the input with ``weight``, (3 * scale**2, channels, k, k), and a pixel shuffle."""
    outputs, _, size, _ = weight.shape
    convolution = f"Convolution in0 > a 0={outputs} 1={size} 4={size // 2} 5=1 6={weight.numel()}"
    graph(path, "Input > in0", *before, convolution, f"PixelShuffle a > out0 0={scale}")
    bias = np.zeros(outputs, "<f4").tobytes()
    # Four zero bytes: float32 follows.
    path.with_suffix(".bin").write_bytes(bytes(4) + weight.numpy().astype("<f4").tobytes() + bias)
    return path


def repeated(path: Path, scale: int) -> Path:
    return network(path, torch.eye(3).repeat_interleave(scale**2, 0)[..., None, None], scale)


@pytest.mark.parametrize("scale", [2, 3])
def test_an_ncnn_graph_is_a_model(tmp_path, scale):
    path = repeated(tmp_path / "net.param", scale)
    loaded = load_model(f"mine={path}", scale, "cpu")
    for size in ((7, 5), (1, 1), (16, 33)):
        lr = torch.rand(2, 3, *size)
        assert torch.equal(loaded.model(lr), F.interpolate(lr, scale_factor=scale, mode="nearest"))
    assert (loaded.label, loaded.weights.sha256) == ("mine", sha256_file(path.with_suffix(".bin")))
    assert ModelSpec.parse(str(path)).scale() == scale


def test_an_ncnn_graph_computes_what_torch_does_also_in_tiles(tmp_path):
    weight = torch.randn(12, 3, 3, 3, generator=torch.Generator().manual_seed(0)) / 5
    model = load_model(str(network(tmp_path / "net.param", weight, 2)), 2, "cpu").model
    lr = torch.rand(1, 3, 50, 41)
    expected = F.pixel_shuffle(F.conv2d(lr, weight, padding=1), 2)
    torch.testing.assert_close(model(lr), expected, atol=1e-5, rtol=0)
    tiled = upscale(model, "a", lr[0], SamplingParameters(0, 1, 0, tile=16), "cpu").images
    torch.testing.assert_close(tiled, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("ending", ["param", "bin"])
def test_either_file_changes_the_digest(tmp_path, ending):
    path = repeated(tmp_path / "net.param", 2)
    before = load_model(str(path), 2, "cpu").digest
    assert load_model(str(path), 2, "cpu").digest == before
    with (tmp_path / f"net.{ending}").open("a") as file:
        file.write("\n")
    assert load_model(str(path), 2, "cpu").digest != before


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (
            lambda path: network(path, torch.ones(12, 1, 3, 3), 2),
            r"has an input of 1 channels; export it for RGB images, \(3, h, w\) in \[0, 1\]",
        ),
        (
            lambda path: graph(path, "Input > in0", "Input > in1", "BinaryOp in0 in1 > out0 0=0"),
            "has the inputs in0, in1 and the outputs out0; export it with a single input",
        ),
        (
            lambda path: graph(path, "Input > in0", "Split in0 > out0 out1"),
            "has the inputs in0 and the outputs out0, out1; export it with a single input",
        ),
        (
            lambda path: graph(path, "Input > in0", "Interp in0 > out0 0=1 1=1.5 2=1.5"),
            r"turns \(1, 3, 64, 64\) into \(1, 3, 96, 96\); it has to upscale by a whole number",
        ),
        (
            lambda path: graph(path, "Input > in0", "Reduction in0 > out0 0=3 1=1"),
            r"turns \(1, 3, 64, 64\) into \(1, 1\); it has to upscale by a whole number",
        ),
        (
            lambda path: graph(path, "Input > in0", "Unheard in0 > out0"),
            "this ncnn does not know its layers Unheard; upgrade ncnn",
        ),
        (
            lambda path: repeated(path, 2).with_suffix(".bin").write_bytes(bytes(40)),
            r"damaged, or net\.bin is of another graph; get another copy of both",
        ),
        (lambda path: repeated(path, 2).with_suffix(".bin").unlink(), r"has no weights; put net\.bin beside it"),
        (lambda path: graph(path).write_text("no graph"), "damaged, or not an ncnn graph in text"),
        (lambda path: graph(path).write_bytes(b"\xff\x00"), "damaged, or not an ncnn graph in text"),
    ],
)
def test_what_is_no_ncnn_model(tmp_path, make, fault):
    path = tmp_path / "net.param"
    make(path)
    with pytest.raises(ModelError, match=rf"net\.param: {fault}") as caught:
        load_model(str(path), 2, "cpu")
    assert "\n" not in str(caught.value)


def test_channels_are_counted_behind_layers_that_keep_them(tmp_path):
    """As in SPAN, which subtracts a mean before its first convolution."""
    path = network(tmp_path / "net.param", torch.ones(12, 1, 3, 3), 2)
    path.write_text(
        path.read_text().replace("1 1 in0 a", "1 1 b a").replace("\nConv", "\nBinaryOp c 1 1 in0 b 0=2 1=1 2=2\nConv")
    )
    path.write_text(path.read_text().replace("3 9", "4 9"))
    with pytest.raises(ModelError, match="has an input of 1 channels"):
        load_model(str(path), 2, "cpu")


def test_only_the_runtime_of_an_ncnn_graph_is_known(tmp_path):
    call = ModelCall(load_model(str(repeated(tmp_path / "net.param", 2)), 2, "cpu").model, None, "cpu")
    assert MultiplyAdds(out="16x16").measure(call) is None
    assert Memory(out="16x16").measure(call) is None
    assert Runtime(out="16x16").measure(call) > 0


def test_a_run_says_what_computed_it_and_holds(tmp_path, photos):
    import ncnn

    models = (str(repeated(tmp_path / "net.param", 4)), "bicubic")
    request = {"models": models, "data": str(photos), "metrics": ("psnr",), "limit": 1}
    [spec] = requested_runs(None, request | {"out": str(tmp_path / "run")})
    folder = RunFolder.read(run(spec).folder)
    text = write_report([folder.path], ["md"]).files[0].read_text()
    assert f"> ncnn {ncnn.__version__}, CPU, computed net.\n" in text
    assert "different environments" not in text
    assert verify(folder.path, resample="all").proven
