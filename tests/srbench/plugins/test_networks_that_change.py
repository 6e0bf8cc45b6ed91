"""Networks of other projects whose files change between two commands: a table has the numbers of a fresh folder."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from record_runs import values_that_count

import srbench
from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.models.third_party import load_file
from srbench.run_folder.request import RunSpec
from srbench.weights.files import save_weights

PLUGIN = """
from pathlib import Path

import onnxruntime
import torch


class Net:
    def __init__(self, scale):
        self.scale, self.session = scale, onnxruntime.InferenceSession(str(Path(__file__).parent / "net.onnx"))

    def __call__(self, lr):
        return torch.cat([torch.from_numpy(self.session.run(None, {"lr": one[None].numpy()})[0]) for one in lr])


def loaded(scale):
    import spandrel

    return spandrel.ModelLoader().load_from_file(Path(__file__).parent / "net.pth")
"""


def weights(path, gain):
    """Random weights of a small network of BasicSR, times a gain."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(0)
    state = Compact(num_feat=4, num_conv=1, upscale=2).state_dict()
    state = {name: gain * value for name, value in state.items()}
    save_weights(path, state, {}) if path.suffix == ".safetensors" else torch.save({"params": state}, path)


def graph(path, gain, external=""):
    """A network that repeats pixels and multiplies them by a gain, which may be in a file of its own."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    sides = {"lr": ["n", 3, "h", "w"], "hr": ["n", 3, "H", "W"]}
    lr, hr = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sides.items())
    numbers = {"gain": torch.full((1, 3, 1, 1), gain), "scales": torch.tensor([1.0, 1, 2, 2])}
    nodes = [
        helper.make_node("Resize", ["lr", "", "scales"], ["up"], mode="nearest"),
        helper.make_node("Mul", ["up", "gain"], ["hr"]),
    ]
    made = helper.make_graph(
        nodes, "net", [lr], [hr], [numpy_helper.from_array(one.numpy(), name) for name, one in numbers.items()]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if external:
        tensor, file = model.graph.initializer[0], path.parent / external
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(tensor.raw_data)
        onnx.external_data_helper.set_external_data(tensor, external)
        tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())


def network(name, make, **options):
    package = "spandrel" if make is weights else "onnx"
    missing = [one for one in {package, package.replace("onnx", "onnxruntime")} if not importlib.util.find_spec(one)]
    reason = f"needs the extra {'zoo' if make is weights else 'onnx'}: pip install 'sr-bench[zoo,onnx]'"
    marks = pytest.mark.skipif(bool(missing), reason=reason)
    return pytest.param(
        name, lambda path, gain: make(path, gain, **options), marks=marks, id=" ".join([name, *options.values()])
    )


NETWORKS = [
    network("net.pth", weights),
    network("net.safetensors", weights),
    network("net.onnx", graph),
    network("net.onnx", graph, external="net.bin"),
    network("net.onnx", graph, external="numbers/net.bin"),
]


@pytest.fixture
def place(tmp_path, draw_image):
    for seed in range(2):
        write_png(tmp_path / "photos" / f"{'ab'[seed]}.png", draw_image(seed, 24, 28))
    (tmp_path / "my.py").write_text(PLUGIN)
    return tmp_path


def by_path(place, name, limit, out):
    spec = RunSpec((f"m={place / name}",), 2, data=str(place / "photos"), limit=limit, metrics=("psnr",), out=str(out))
    return run(spec).sampled


def by_plugin(place, name, limit, out):
    by_path(place, f"my.py:{'loaded' if name == 'net.pth' else 'Net'}", limit, out)


def as_object(place, name, limit, out):
    """Evaluate the object that srbench makes of the file."""
    srbench.evaluate({"m": load_file(place / name)}, place / "photos", scale=2, limit=limit, metrics="psnr", out=out)


def as_foreign_object(place, name, limit, out):
    """Evaluate an object of spandrel's, or a function that calls one of ONNX Runtime's."""
    if name == "net.onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(place / name))

        def model(lr):
            return torch.from_numpy(session.run(None, {"lr": lr.numpy()})[0])
    else:
        import spandrel

        model = spandrel.ModelLoader().load_from_file(place / name)
    srbench.evaluate({"m": model}, place / "photos", scale=2, limit=limit, metrics="psnr", out=out)


@pytest.mark.parametrize("command", [by_path, by_plugin, as_object, as_foreign_object])
@pytest.mark.parametrize(("name", "make"), NETWORKS)
@pytest.mark.filterwarnings("ignore:.*cannot tell whether it changed")
def test_a_file_that_was_written_over(place, name, make, command):
    if command is by_plugin and name == "net.safetensors":
        name = "net.pth"
    path = place / name
    make(path, 1.0)
    command(place, name, 1, place / "run")
    before = values_that_count(place / "run")
    make(path, 0.9)
    command(place, name, 2, place / "run")
    command(place, name, 2, place / "fresh")
    truth = values_that_count(place / "fresh")
    assert len(truth) == 2
    assert truth["m", None, "a", "psnr"] != before["m", None, "a", "psnr"], "the change is one"
    assert values_that_count(place / "run") == truth


@pytest.mark.parametrize(("name", "make"), NETWORKS)
def test_a_file_that_is_the_same(place, name, make):
    make(place / name, 1.0)
    assert by_path(place, name, 1, place / "run") == 1
    make(place / name, 1.0)
    assert by_path(place, name, 2, place / "run") == 1, "the other image alone"
