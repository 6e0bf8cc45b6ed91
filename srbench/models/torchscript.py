"""TorchScript files, made by ``torch.jit.save``: a network with its code, which runs as the code of a .py file would.

The scale is the module's attribute ``scale``, or that of its output for a small LR image.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from srbench.interfaces import WeightsInfo
from srbench.models import ModelError
from srbench.models.scale_probe import probe_image, probed_scale
from srbench.system.file_names import one_line
from srbench.weights.files import require_finite, sha256_file


def is_torchscript(path: Path) -> bool:
    """True for an archive of ``torch.jit.save``, whatever its ending; a missing file is none."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:
        return False
    return "constants.pkl" in inside and any(name.startswith("code/") for name in inside)


class TorchScriptModel(nn.Module):
    """The network in a TorchScript file: (n, 3, h, w) in [0, 1] in, (n, 3, s*h, s*w) out."""

    def __init__(self, path: Path, device: str) -> None:
        super().__init__()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as a whole
                self.network: Any = torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]
        except Exception as error:  # a parser may raise anything for the bytes of a foreign file
            reason = one_line(error)[:200]
            raise ModelError(f"{path}: damaged, or of another PyTorch ({reason}); save it again") from None
        parameters = dict(self.network.named_parameters())
        require_finite(parameters, path)
        self.dtype = next((one.dtype for one in parameters.values() if one.is_floating_point()), torch.float32)
        self.scale = probed_scale(self, path, device=device)
        if (stated := getattr(self.network, "scale", self.scale)) != self.scale:
            raise ModelError(f"{path}: states scale {stated}, and its output is {self.scale} times LR; correct it")
        lr = probe_image(device=device)
        with torch.no_grad():
            if not torch.equal(self(lr), self(lr)):
                raise ModelError(f"{path}: gives another output for the same image again; call eval() before saving it")
        self.weights = WeightsInfo(
            sha256=sha256_file(path),
            licence="not stated in the file",
            trained_on="not stated in the file; a TorchScript module",
            parameters=sum(one.numel() for one in parameters.values()) or None,  # a frozen module has constants instead
        )

    def forward(self, lr: Tensor) -> Tensor:
        """(n, 3, h, w) in [0, 1] -> (n, 3, s*h, s*w), one image after another.

        Nothing is optimised at the second call, so an output does not depend on how many came before. Raises ModelError
        for an output that is no tensor.
        """
        with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
            outputs = [self.network(image[None].to(self.dtype)) for image in lr]
        if not all(isinstance(one, Tensor) for one in outputs):
            raise ModelError(f"returns {type(outputs[0]).__name__}; it has to return one tensor (n, 3, H, W)")
        return torch.cat(outputs).float()
