"""``srbench export MODEL --as onnx``: write a network as an ONNX file, for other programs or ``--models FILE.onnx``."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from srbench.files.atomic import write_new
from srbench.interfaces import StochasticSRModel
from srbench.models import ModelError
from srbench.models.loading import load_model, ready_models
from srbench.models.names import ModelSpec
from srbench.words import one_line

_OPSET = 17


def export_onnx(text: str, out: Path | None = None, scale: int | None = None) -> Path:
    """Write the network named ``text`` as an ONNX file with input (n, 3, h, w) in [0, 1], any h and w, float32.

    ``scale`` is optional if the weights state it. Returns the path: ``out``, by default ``MODEL-xSCALE.onnx`` in the
    current folder. The file states the licence of the weights. Raises ModelError for anything but a deterministic
    network, SRBenchError if the model cannot be loaded or ``out`` exists with other content.
    """
    scale = ModelSpec.parse(text).scale() if scale is None else scale
    loaded = next(iter(ready_models(text).values())) if scale is None else load_model(text, scale, "cpu")
    if not isinstance(loaded.model, nn.Module) or isinstance(loaded.model, StochasticSRModel):
        raise ModelError(f"{text}: only a network with one output can be exported to ONNX, such as rrdb or esrgan")
    if scale is None:
        raise ModelError(f"{text} does not state its scale; give --scale")
    try:
        import onnx
    except ImportError:
        raise ModelError(f"{text}: an ONNX file needs onnx; install it: pip install 'sr-bench[onnx]'") from None
    out = out or Path(f"{loaded.label}-x{scale}.onnx")
    with TemporaryDirectory() as folder:
        temporary = Path(folder) / "network.onnx"
        _write(loaded.model, temporary, text)
        graph = onnx.load(str(temporary))
        if weights := loaded.weights:
            properties = {
                "license": weights.licence,
                "trained_on": weights.trained_on,
                "weights_sha256": weights.sha256,
            }
            onnx.helper.set_model_props(graph, properties)
        onnx.save(graph, str(temporary))
        write_new(out, temporary.read_bytes())
    return out


def _write(network: nn.Module, path: Path, text: str) -> None:
    axes = {name: {0: "n", 2: height, 3: width} for name, height, width in (("lr", "h", "w"), ("sr", "H", "W"))}
    try:
        # With gradients enabled, networks avoid in-place operations, which a graph cannot express.
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (torch.zeros(1, 3, 32, 40),),
                str(path),
                input_names=["lr"],
                output_names=["sr"],
                dynamic_axes=axes,
                opset_version=_OPSET,
                dynamo=False,
            )
    except Exception as error:  # the exporter may raise anything for a third-party network
        raise ModelError(f"{text}: torch cannot export it to ONNX ({one_line(error)[:200]})") from error
