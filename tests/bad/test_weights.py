"""Weights files and checkpoints whose contents nobody would have written, wherever some are read."""

from __future__ import annotations

import json
import struct
import zipfile

import pytest
import torch
from builders import PACKAGED
from safetensors.torch import save_file

from srbench.weights.files import load_weights

CHANGES = {
    "steps": ({"steps": 10**9}, "steps is 1000000000; it has to be 1 to 10000"),
    "many": ({"steps": 9999}, r"state steps = 9999, but it holds only \d+ tensors"),
    "deep": (
        {"encoder": {"scale": 8, "features": 32, "growth": 16, "blocks": 10**12}},
        r"blocks is 10{12}; it has to be 1 to 10000",
    ),
    "wider": (
        {"encoder": {"scale": 8, "features": 9999, "growth": 9999, "blocks": 6}},
        r"encoder\.conv_first\.weight has shape \(32, 3, 3, 3\) instead of \(9999, 3, 3, 3\)",
    ),
    "key": ({"stepz": 3}, "unknown key 'stepz'; did you mean steps"),
    "text": ({"steps": "16"}, "steps: expected int, got str"),
}
TEXTS = {
    "json": ({"config": "{"}, "config .* is not JSON"),
    "nested": ({"config": "[" * 100_000}, "config .* is not JSON"),
    "digits": ({"scale": "9" * 5000}, "scale .* is not JSON"),
    "nameless": ({"model": None}, "model: missing"),
    "scale": ({"scale": "-8"}, "weights for scale -8, but scale 8 is requested"),
}
HEADERS = {
    "empty": b"",
    "length": struct.pack("<Q", 2**63) + b"{}",
    "no json": struct.pack("<Q", 8) + b"{{{{{{{{",
    "shape": struct.pack("<Q", 73)
    + b'{"a":{"dtype":"F32","shape":[999999999999,999999],"data_offsets":[0,4]}} '
    + b"0000",
    "offsets": struct.pack("<Q", 61) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}       ' + b"0000",
}
BIG = torch.zeros(1).expand(10**7, 10**7)
CHECKPOINTS = {
    "sparse": ({"a": torch.eye(3).to_sparse()}, r"a is a tensor of layout torch\.sparse_coo"),
    "meta": ({"a": torch.empty(3, device="meta")}, r"a is a meta tensor"),
    "complex": ({"a": torch.zeros(3, dtype=torch.complex64)}, r"a is a tensor of .* torch\.complex64"),
    "expanded": ({"a": BIG}, r"a is larger \(\(10000000, 10000000\)\) than its data"),
    "number": ({"a": 3}, "contains no named tensors"),
    "other": ({"a": torch.zeros(3)}, "not a checkpoint of"),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """All of them, by their names."""
    folder = tmp_path_factory.mktemp("weights")
    tensors, text = load_weights(PACKAGED["srflow"])
    for name, (change, _) in CHANGES.items():
        config = json.dumps(json.loads(text["config"]) | change)
        save_file(tensors, folder / f"{name}.safetensors", text | {"config": config})
    for name, (change, _) in TEXTS.items():
        changed = {key: value for key, value in (text | change).items() if value is not None}
        save_file(tensors, folder / f"{name}.safetensors", changed)
    for name, content in HEADERS.items():
        (folder / f"{name}-header.safetensors").write_bytes(content)
    for name, (content, _) in CHECKPOINTS.items():
        torch.save(content, folder / f"{name}.pth")
    with zipfile.ZipFile(folder / "zip.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    for name, (model, share) in {"half": ("srflow", 0.5), "header": ("rrdb", 0.001)}.items():
        content = PACKAGED[model].read_bytes()
        (folder / f"{name}.safetensors").write_bytes(content[: int(len(content) * share)])
    tensors, text = load_weights(PACKAGED["rrdb"])
    del tensors["conv_last.bias"]
    save_file(tensors, folder / "lacking.safetensors", text)
    return folder


@pytest.mark.parametrize(
    ("models", "scale", "says"),
    [
        (
            "rrdb",
            3,
            r"no rrdb weights are packaged for scale 3; use --scale 4 or 8, or name weights of that scale: rrdb:FILE$",
        ),
        (
            "srflow:{srflow}",
            4,
            r"srflow-mini-x8\.safetensors: weights for scale 8, but scale 4 is requested; use scale 8, or weights for scale 4",
        ),
        ("srflow:{rrdb}", 8, r"weights of rrdb, not of srflow; choose weights of srflow"),
        ("srflow:{folder}/half.safetensors", 8, r"half\.safetensors: damaged, or not a safetensors .*; replace it"),
        ("rrdb:{folder}/header.safetensors", 8, r"header\.safetensors: damaged, or not a safetensors .*; replace it"),
        ("rrdb:{folder}/lacking.safetensors", 8, r"1 tensor does not fit the network: missing conv_last\.bias"),
        ("rrdb:{rrdb},srflow:{srflow}x", 8, r"srflow-mini-x8\.safetensorsx: no such weights file; check the path"),
        ("rrdb,rrdb:{rrdb},rrdb-mini-x8=bicubic", 8, r"the label rrdb-mini-x8 is taken by rrdb:"),
    ],
)
def test_weights_that_do_not_fit(refused, weights, tmp_path, models, scale, says):
    models = models.format(folder=weights, **PACKAGED)
    found = refused(f"run --models {models} --scale {scale} --limit 2 --out {{here}}/run", says)
    assert len(found.output.splitlines()) == 1
    assert not (tmp_path / "run").exists(), "nothing is begun that cannot be finished"


@pytest.mark.parametrize("name", [*CHANGES, *TEXTS])
def test_metadata(refused, weights, name):
    """The network that a file asks for is not built before it is known to fit."""
    command = f"run --models srflow:{weights}/{name}.safetensors --scale 8 --data {{bad}}/fine --out {{here}}/run"
    refused(command, rf"{name}\.safetensors.*({(CHANGES | TEXTS)[name][1]})")


@pytest.mark.parametrize("name", HEADERS)
def test_header(refused, weights, name):
    command = f"upscale {{bad}}/fine --models 'srflow:{weights}/{name}-header.safetensors' --scale 8 --out {{here}}/up"
    refused(command, rf"{name}-header\.safetensors: damaged, or not a safetensors file")


@pytest.mark.parametrize("name", [*CHECKPOINTS, "zip"])
def test_checkpoint(refused, weights, name):
    says = CHECKPOINTS[name][1] if name in CHECKPOINTS else "truncated, or not a checkpoint"
    refused(f"convert {weights}/{name}.pth --preset df2k-x4 --out {{here}}/out.safetensors", says)


@pytest.mark.parametrize(
    "command",
    ["run --models srflow:FILE --scale 4 --data {bad}/fine --out {here}/run", "weights add srflow-df2k-x4 FILE"],
    ids=["run", "add"],
)
def test_checkpoint_elsewhere(refused, weights, command):
    refused(command.replace("FILE", f"{weights}/meta.pth"), r"a is a meta tensor|meta\.pth: ")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("convert {bad}/pipe.pth --preset df2k-x4 --out {here}/out.safetensors", r"pipe\.pth: "),
        ("convert {bad} --preset df2k-x4 --out {here}/out.safetensors", r"a folder, not a checkpoint"),
        (
            "run --models srflow:{bad}/pipe.safetensors --scale 8 --data {bad}/fine --out {here}/run",
            r"pipe\.safetensors: no such weights file",
        ),
        ("run --models {bad}/pipe.pth --scale 8 --data {bad}/fine --out {here}/run", r"pipe\.pth: "),
        (
            "train srflow --preset mini-x8 --data {bad}/fine --start {bad}/pipe.safetensors --out {here}/t",
            r"a pipe|patch",
        ),
        ("weights add srflow-df2k-x4 {bad}/pipe.pth", r"is not a file; check the path"),
        ("weights add nothing {bad}/absent.pth", r"unknown weights 'nothing'"),
        ("weights add srflow-df2k-x4 http://[::1", r"http://\[::1 "),
        ("weights add srflow-df2k-x4 http://127.0.0.1:port/file", r"failed"),
        ("weights add srflow-df2k-x4 'http://127.0.0.1:1/a b'", r"failed"),
        ("weights add srflow-df2k-x4 http://\u2603..example/a", r"failed"),
        ("weights add srflow-df2k-x4 file:///etc/passwd", r"is not a URL"),
    ],
)
def test_files_and_addresses(refused, command, says):
    refused(command, says)
