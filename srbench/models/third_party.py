"""Networks of other projects, loaded from a single file.

    4x-anything.pth             weights of any architecture that spandrel knows; also .pt, .ckpt and .safetensors; needs
                                the extra ``zoo``
    4x-anything.pt              a TorchScript file written by ``torch.jit.save``, with any of these extensions; loading
                                it runs the code inside
    4x-anything.onnx            an ONNX graph; needs the extra ``onnx``, and on a GPU the package onnxruntime-gpu
    4x-anything.param           an ncnn graph, with its weights in 4x-anything.bin; needs the extra ``ncnn``

Scale, architecture and accepted image sizes are read from the file. Images are padded to an accepted size, and the
outputs are cropped accordingly.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from srbench.files.hashes import sha256_file
from srbench.interfaces import WeightsInfo
from srbench.models import NCNN, ONNX_RUNTIME, ModelError
from srbench.weights.files import is_safetensors, load_metadata, require_file, require_finite
from srbench.words import listed, one_line

ONNX, PARAM = ".onnx", ".param"
_SIDE = 64
"""Side of the LR image from which the scale of a network is determined."""
_LONGEST = 200
"""Largest number of characters that an error message quotes of another library's."""
_CPU = "CPUExecutionProvider"
_PROVIDERS = {"cuda": ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"})}
"""ONNX Runtime's execution providers for devices other than the CPU, with options: float32 in full, as on the CPU, and
no trials of convolutions against the clock, which are slow for every new size and may end differently every time."""
_NCNN_GRAPH = "7767517"
"""First line of an ncnn graph."""
_KEEP_CHANNELS = ("Input", "Split", "BinaryOp", "UnaryOp", "Scale", "Padding", "Interp")
"""Layers of ncnn whose outputs have the channels of their input."""
_NO_MEMORY = -100
"""What ncnn returns if it cannot allocate a blob."""


def load_file(path: Path, device: str = "cpu") -> SpandrelModel | TorchScriptModel | OnnxModel | NcnnModel:
    """Load the network in a file; ``device`` matters only for TorchScript and ONNX. Raises ModelError, WeightsError."""
    require_file(path)
    if is_torchscript(path):
        return TorchScriptModel(path, device)
    if path.suffix.lower() == PARAM:
        return NcnnModel(path)
    return OnnxModel(path, device) if path.suffix.lower() == ONNX else SpandrelModel(path)


def is_torchscript(path: Path) -> bool:
    """Return whether a file, with any extension, is an archive written by ``torch.jit.save``."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return False
    return "constants.pkl" in members and any(name.startswith("code/") for name in members)


class SpandrelModel(nn.Module):
    """Weights of an architecture that spandrel knows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.descriptor: Any = _described(path)
        self.network: nn.Module = self.descriptor.model
        self.scale: int = self.descriptor.scale
        require_finite(dict(self.network.named_parameters()), path)
        architecture = " ".join([self.descriptor.architecture.name, *self.descriptor.tags])
        stated = load_metadata(path) if is_safetensors(path) else {}
        licence = stated.get("license") or stated.get("modelspec.license")
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        self.weights = weights_info(path, f"architecture {architecture}", parameters, licence)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w) in [0, 1]."""
        return torch.cat([self.descriptor(image[None]) for image in lr])


def _described(path: Path) -> Any:  # noqa: ANN401 - the package is optional
    try:
        import spandrel
    except ImportError:
        raise ModelError(
            f"{path}: needs spandrel; install it: pip install 'sr-bench[zoo]', or also name the network's code: "
            f"net.py:Net:{path}"
        ) from None
    if is_safetensors(path) and (model := load_metadata(path).get("model")):
        raise ModelError(f"{path}: weights of srbench's model {model}; name them {model}:{path}")
    state_dict = _read_by_spandrel(path)
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(state_dict)
    except spandrel.UnsupportedModelError:
        raise ModelError(
            f"{path}: spandrel does not recognise its architecture; also name the network's code, net.py:Net:{path}, "
            "or save the network by torch.jit.script(model).save(FILE)"
        ) from None
    except Exception as error:  # the file is whole, but not of the size that spandrel expects of its architecture
        raise ModelError(
            f"{path}: spandrel recognises its architecture, but cannot load it ({_faults(error)}); also name the "
            f"network's code, net.py:Net:{path}"
        ) from None
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ModelError(f"{path}: {descriptor.architecture.name} is an inpainting model; name a model that upscales")
    if (descriptor.input_channels, descriptor.output_channels) != (3, 3):
        channels = f"{descriptor.input_channels} to {descriptor.output_channels}"
        raise ModelError(f"{path}: a network of {channels} channels; only RGB to RGB can be measured")
    return descriptor


def _read_by_spandrel(path: Path) -> Any:  # noqa: ANN401
    """Tensors of a file by name. Raises ModelError if the file is damaged or would run code."""
    import spandrel

    try:
        return spandrel.ModelLoader().load_state_dict_from_file(path)
    except Exception as error:  # on an arbitrary file the parser may raise anything
        if code := re.search(r"Global '(\S+)' is forbidden", str(error)):
            raise ModelError(
                f"{path}: contains {code[1]}, and loading that would run its code; save only the state_dict and also "
                "name the network's code, net.py:Net:FILE, or use torch.jit.script(model).save(FILE)"
            ) from None
        reason = shorten(one_line(error), _LONGEST)
        raise ModelError(f"{path}: damaged, or not a weights file ({reason}); get another copy of it") from None


def _faults(error: Exception) -> str:
    """The first fault that an error lists, whole, and the number of the others; torch writes a line for each tensor."""
    heading, *faults = [line.strip() for line in str(error).splitlines() if line.strip()] or [one_line(error)]
    return " ".join([heading, listed(faults, 1)]).strip()


class TorchScriptModel(nn.Module):
    """A network in a TorchScript file. Its scale is measured on an output; an attribute ``scale`` has to match."""

    def __init__(self, path: Path, device: str) -> None:
        super().__init__()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch deprecates TorchScript as a whole
                self.network: Any = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
        except Exception as error:  # on an arbitrary file the parser may raise anything
            reason = shorten(one_line(error), _LONGEST)
            raise ModelError(f"{path}: damaged, or saved by a different PyTorch ({reason}); save it again") from None
        parameters = dict(self.network.named_parameters())
        require_finite(parameters, path)
        self.dtype = next((tensor.dtype for tensor in parameters.values() if tensor.is_floating_point()), torch.float32)
        self.scale = _probed_scale(self, path, device=device)
        if (stated := getattr(self.network, "scale", self.scale)) != self.scale:
            raise ModelError(f"{path}: states scale {stated}, but its output is {self.scale} times LR; correct it")
        count = sum(parameter.numel() for parameter in parameters.values())
        # A frozen module has constants instead of parameters.
        self.weights = weights_info(path, "a TorchScript module", count or None)

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), computed image by image.

        Raises ModelError for an output that is not a floating-point tensor.
        """
        # TorchScript optimises a module at its second call, so outputs would depend on the number of earlier calls.
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            return torch.cat([_in_float32(self.network(image[None].to(self.dtype))) for image in lr])


class OutsideTorch:
    """A network that another library computes. Its outputs are on the CPU."""

    outside_torch = True  # so its multiply-adds and memory are unknown (``srbench.metrics.cost``)
    environment: dict[str, str]
    """What computes it, for the environment of its outputs: one of ``RUNTIMES``, with its version."""


class OnnxModel(OutsideTorch):
    """A network in an ONNX file: (n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), float32 or float16.

    It is computed by ONNX Runtime's execution provider for the device, or by that of the CPU if ONNX Runtime was
    installed without it or cannot load it.
    """

    def __init__(self, path: Path, device: str) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ModelError(f"{path}: needs onnxruntime; install it: pip install 'sr-bench[onnx]'") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            kind, _, number = device.partition(":")
            name, settings = _PROVIDERS.get(kind, (_CPU, {}))
            is_available = name != _CPU and name in onnxruntime.get_available_providers()
            provider = name, {"device_id": number or "0", **settings}
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=[provider, _CPU] if is_available else [_CPU]
            )
        except Exception as error:
            reason = shorten(one_line(error), _LONGEST)
            raise ModelError(f"{path}: damaged, or not an ONNX file ({reason}); get another copy of it") from None
        # Those that it could load: an available provider whose libraries are missing is left out without an error.
        provider_used = self.session.get_providers()[0]
        self.environment = {ONNX_RUNTIME: f"{onnxruntime.__version__}, {provider_used}"}
        self.input = _rgb_input(self.session, path)
        self.dtype = torch.float16 if "float16" in self.session.get_inputs()[0].type else torch.float32
        self.scale = _probed_scale(self._run, path)
        stated = self.session.get_modelmeta().custom_metadata_map
        self.weights = weights_info(path, "an ONNX graph", None, stated.get("license"))

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w)."""
        return torch.cat([self._run(image[None]) for image in lr])

    def _run(self, lr: Tensor) -> Tensor:
        (output, *_) = self.session.run(None, {self.input: lr.cpu().to(self.dtype).numpy()})
        return _in_float32(torch.from_numpy(output))


class NcnnModel(OutsideTorch):
    """A network in an ncnn graph with its weights: (n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w).

    It is computed on the CPU in float32, also if its weights are stored as float16.
    """

    def __init__(self, path: Path) -> None:
        try:
            import ncnn
        except ImportError:
            raise ModelError(f"{path}: needs ncnn; install it: pip install 'sr-bench[ncnn]'") from None
        weights = path.with_suffix(".bin")
        if not weights.is_file():
            raise ModelError(f"{path}: has no weights; put {weights.name} beside it")
        layers = _layers(path)
        if unknown := {layer[0] for layer in layers if ncnn.layer_to_index(layer[0]) < 0}:
            raise ModelError(f"{path}: this ncnn does not know its layers {', '.join(sorted(unknown))}; upgrade ncnn")
        self.matrix = ncnn.Mat
        self.net = ncnn.Net()
        self.net.opt.num_threads = torch.get_num_threads()
        for name in ("vulkan_compute", "fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(self.net.opt, f"use_{name}", False)
        if self.net.load_param(str(path)) or self.net.load_model(str(weights)):
            raise ModelError(f"{path}: damaged, or {weights.name} is of another graph; get another copy of both")
        inputs, outputs = self.net.input_names(), self.net.output_names()
        if len(inputs) != 1 or len(outputs) != 1:
            blobs = f"the inputs {', '.join(inputs)} and the outputs {', '.join(outputs)}"
            raise ModelError(
                f"{path}: has {blobs}; export it with a single input (3, h, w) in [0, 1] and a single output"
            )
        self.input, self.output = inputs[0], outputs[0]
        if (channels := _input_channels(layers)) != 3:
            raise ModelError(
                f"{path}: has an input of {channels} channels; export it for RGB images, (3, h, w) in [0, 1]"
            )
        self.environment = {NCNN: f"{ncnn.__version__}, CPU"}
        self.scale = _probed_scale(self._run, path)
        self.weights = weights_info(weights, "an ncnn graph", None)

    def __call__(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w)."""
        return torch.cat([self._run(image[None]) for image in lr])

    def _run(self, lr: Tensor) -> Tensor:
        with self.net.create_extractor() as extractor:
            # The clone has its channels aligned in memory as ncnn expects.
            extractor.input(self.input, self.matrix(lr[0].cpu().numpy()).clone())
            state, output = extractor.extract(self.output)
            if state == _NO_MEMORY:
                raise MemoryError
            if state:
                raise RuntimeError(f"ncnn returns {state}")
            return torch.from_numpy(np.array(output))[None]


def _layers(path: Path) -> list[list[str]]:
    """Layers of an ncnn graph: type, name, numbers of inputs and outputs, their names, parameters.
    Raises ModelError.
    """
    magic, *lines = path.read_text(errors="replace").splitlines() or [""]
    layers = [line.split() for line in lines[1:] if line.strip()]
    if magic.strip() != _NCNN_GRAPH or any(len(layer) < 4 or not "".join(layer[2:4]).isdigit() for layer in layers):
        raise ModelError(f"{path}: damaged, or not an ncnn graph in text; get another copy of it")
    return layers


def _input_channels(layers: list[list[str]]) -> int:
    """Channels of the input of an ncnn graph, by the weights of the first convolution that it enters; 3 if there is
    none.

    ncnn itself accepts any number, and computes nonsense.
    """
    images: set[str] = set()
    for kind, _, inputs, outputs, *rest in layers:
        read, made = rest[: int(inputs)], rest[int(inputs) : int(inputs) + int(outputs)]
        enters = kind == "Input" or not images.isdisjoint(read)
        if enters and kind == "Convolution":
            settings = dict(setting.split("=", 1) for setting in rest[int(inputs) + int(outputs) :] if "=" in setting)
            kernel = int(settings["1"]) * int(settings.get("11", settings["1"]))
            return int(settings["6"]) // (int(settings["0"]) * kernel)
        if enters and kind in _KEEP_CHANNELS:
            images.update(made)
    return 3


def weights_info(path: Path, kind: str, parameters: int | None, licence: str | None = None) -> WeightsInfo:
    """Provenance of a third-party weights file, which states at most its licence."""
    not_stated = "not stated in the file"
    return WeightsInfo(sha256_file(path), licence or not_stated, f"{not_stated}; {kind}", parameters)


def _rgb_input(session: Any, path: Path) -> str:  # noqa: ANN401
    """Name of the single input. Raises ModelError unless it accepts RGB images of any size, channels first."""
    inputs = session.get_inputs()
    shapes = ", ".join(f"{tensor.name} {tensor.type} {tensor.shape}" for tensor in inputs)
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in ("tensor(float)", "tensor(float16)"):
        raise ModelError(f"{path}: has the inputs {shapes}; export it with a single input (n, 3, h, w) in [0, 1]")
    if isinstance(inputs[0].shape[1], int) and inputs[0].shape[1] != 3:
        raise ModelError(f"{path}: has the input {shapes}; export it for RGB images, channels first: (n, 3, h, w)")
    if any(isinstance(side, int) for side in inputs[0].shape[2:]):
        raise ModelError(
            f"{path}: has the input {shapes}; export it for any size, with dynamic_axes of torch.onnx.export"
        )
    return str(inputs[0].name)


def _in_float32(output: object) -> Tensor:
    """Convert an output to float32. Raises ModelError unless it is a floating-point tensor:
    integers would be levels.
    """
    if not isinstance(output, Tensor):
        raise ModelError(f"returns {type(output).__name__}; it has to return a single tensor (n, 3, H, W)")
    if not output.is_floating_point():
        raise ModelError(f"returns {output.dtype}; it has to return floating point, with images in [0, 1]")
    return output.float()


def _probed_scale(network: Callable[[Tensor], Tensor], path: Path, device: str = "cpu") -> int:
    """Determine the scale of a network by running it on a grey image.

    Raises ModelError if it fails, does not upscale, or returns another output the second time.
    """
    try:
        with torch.no_grad():
            first, second = (network(torch.full((1, 3, _SIDE, _SIDE), 0.5, device=device)) for _ in range(2))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    except Exception as error:
        reason = f"fails on LR of {_SIDE}x{_SIDE} ({shorten(one_line(error), _LONGEST)})"
        raise ModelError(f"{path}: {reason}; export it for RGB images") from None
    shape = tuple(first.shape)
    scale: int = shape[-1] // _SIDE if shape else 0
    if scale < 1 or shape != (1, 3, scale * _SIDE, scale * _SIDE):
        raise ModelError(f"{path}: turns (1, 3, {_SIDE}, {_SIDE}) into {shape}; it has to upscale by a whole number")
    if not torch.equal(first, second):
        if first.isnan().any():
            raise ModelError(f"{path}: returns NaN for a grey image; check its weights, or export it in float32")
        raise ModelError(f"{path}: returns different outputs for the same image; call eval() before saving it")
    return scale
