"""srbench export MODEL --as onnx: the file runs as the model does, by another program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from srbench.models.loading import load_model


def test_the_file_is_the_model(command, device):
    """Any size, and what the report says of weights."""
    pytest.importorskip("onnx", reason="needs the extra onnx")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    model, scale = "rrdb", 8
    found = command("export", model, "--scale", scale, "--as", "onnx", "--out", "a.onnx")
    assert (found.code, found.out) == (0, "a.onnx\n"), found.err
    ours, theirs = load_model(model, scale, "cpu"), load_model("a.onnx", scale, device)
    for size in ((17, 23), (32, 8)):
        lr = torch.rand(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(
                theirs.model(lr.to(device)).cpu(), ours.model(lr), atol=1e-4 if device == "cpu" else 1e-3, rtol=0
            )
    assert theirs.weights.licence == ours.weights.licence


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["bicubic", "--scale", "4"], "bicubic: only a network with one output can be exported to ONNX"),
        (["srflow"], "srflow: only a network with one output can be exported to ONNX"),
        (["rrdb"], "rrdb does not state its scale; give --scale"),
        (["rrdc", "--scale", "4"], "unknown model 'rrdc'; did you mean rrdb?"),
        (["rrdb", "--scale", "4"], "rrdb: an ONNX file needs onnx; install it: pip install"),
        (["rrdb", "--scale", "4", "--best"], "--best goes with --as weights"),
    ],
)
def test_what_cannot_be_exported(command, words, fault, monkeypatch):
    """It is refused before a package is asked for."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = command("export", *words, "--as", "onnx", "--out", "a.onnx")
    assert (found.code, len(found.err.splitlines())) == (2 if "--best" in words else 1, 1)
    assert fault in found.err
    assert not Path("a.onnx").exists()
