"""Files of unknown origin: only tensors come out, every fault is one line, and no code runs."""

import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from srbench.weights.files import WeightsError, save_weights
from srbench.weights.metadata import WeightsMetadata
from srbench.weights.reading import read_tensors, read_weights

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.float16)}


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.pth"


def fault(path):
    with pytest.raises(WeightsError) as caught:
        read_tensors(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    return text


@pytest.mark.parametrize("modern", [True, False])
def test_tensors_in_float32(path, modern):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=modern)
    found = read_tensors(path)
    assert list(found) == ["a.weight", "b"]
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    assert torch.equal(found["a.weight"], TENSORS["a.weight"])


@pytest.mark.parametrize(
    "wrap", [lambda t: {"params": t}, lambda t: {"params_ema": t, "params": {"a": torch.zeros(1)}}]
)
def test_wrapped(path, wrap):
    torch.save(wrap(TENSORS), path)
    assert list(read_tensors(path)) == ["a.weight", "b"]


@pytest.mark.parametrize("modern", [True, False])
def test_a_malicious_pickle_is_refused_by_name(path, tmp_path, modern):
    trace = tmp_path / "ran"
    torch.save({"a": Malicious(trace)}, path, _use_new_zipfile_serialization=modern)
    assert f"would run code ({os.system.__module__}.system)" in fault(path)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_so_is_one_that_torch_did_not_write(path, tmp_path, protocol):
    trace = tmp_path / "ran"
    """torch names the code in a pickle of the protocols that it writes itself."""
    path.write_bytes(pickle.dumps({"a": Malicious(trace)}, protocol))
    said = [fault(path)]
    torch.save({"a": Malicious(trace)}, path, pickle_protocol=max(protocol, 2))
    said.append(fault(path))
    assert not trace.exists()
    if protocol in (2, 3):
        assert all(f"would run code ({os.system.__module__}.system)" in text for text in said)


def test_any_other_object_is_refused_by_name(path):
    torch.save({"a": torch.ones(1), "where": Path("x")}, path)
    assert "would run code (pathlib" in fault(path)


@pytest.mark.parametrize("modern", [True, False])
def test_a_truncated_file(path, modern):
    torch.save(TENSORS, path, _use_new_zipfile_serialization=modern)
    whole = path.read_bytes()
    for part in (len(whole) - 4, len(whole) // 2, 20, 1, 0):
        path.write_bytes(whole[:part])
        assert "truncated, or not a checkpoint" in fault(path)


def test_what_is_no_checkpoint(path, tmp_path):
    assert "no such weights file" in fault(path)
    assert "a folder, not a weights file" in fault(tmp_path)
    path.write_text("<html>404</html>")
    assert "not a checkpoint" in fault(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02.")
    assert "truncated, or not a checkpoint" in fault(path)
    itself = {}
    itself["model"] = itself
    for content in ({}, [torch.ones(1)], {"epoch": 3, "state": {"a": torch.ones(1)}}, torch.ones(2), itself):
        torch.save(content, path)
        assert "contains no named tensors" in fault(path)


@pytest.mark.parametrize(
    ("tensor", "says"),
    [
        (torch.eye(3).to_sparse(), "a is a tensor of layout torch.sparse_coo"),
        (torch.empty(3, device="meta"), "a is a meta tensor"),
        (torch.zeros(3, dtype=torch.complex64), "torch.complex64"),
        (torch.zeros(1).expand(10**7, 10**7), "a is larger ((10000000, 10000000)) than its data"),
    ],
    ids=["sparse", "meta", "complex", "expanded"],
)
def test_a_tensor_that_no_network_has(path, tensor, says):
    torch.save({"a": tensor}, path)
    assert says in fault(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_tensor_that_is_not_finite_is_named(path, value):
    torch.save(TENSORS | {"c.bias": torch.tensor([0, value]), "d": torch.tensor(value)}, path)
    assert "c.bias has values that are not finite" in fault(path)


def test_a_weights_file_has_metadata_and_a_checkpoint_has_none(path, tmp_path):
    torch.save(TENSORS, path)
    for absent, fault in (
        (path, "an official checkpoint; convert it to a weights file first"),
        (tmp_path / "absent.pth", "no such weights file"),
    ):
        with pytest.raises(WeightsError, match=fault):
            read_weights(absent)
    stated, path = WeightsMetadata("rrdb", "mini-x4"), path.with_name("net.SafeTensors")
    save_weights(path, TENSORS, stated.text())
    tensors, metadata = read_weights(path)
    assert metadata == stated
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {name: t.dtype for name, t in TENSORS.items()}
    assert read_tensors(path).keys() == TENSORS.keys()
