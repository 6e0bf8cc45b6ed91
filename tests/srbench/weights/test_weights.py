import struct

import pytest
import torch

from srbench.weights.files import WeightsError, load_weights, save_weights

METADATA = {"model": "rrdb", "scale": "4", "config": "{}"}


@pytest.fixture
def path(tmp_path):
    tensors = {"b.weight": torch.arange(6.0).reshape(2, 3).t(), "a": torch.ones(2, dtype=torch.float16)}
    save_weights(tmp_path / "new" / "w.safetensors", tensors, METADATA)
    return tmp_path / "new" / "w.safetensors"


def test_what_is_saved_is_loaded(path):
    tensors, metadata = load_weights(path)
    assert metadata == METADATA == load_weights(path)[1]
    assert torch.equal(tensors["b.weight"], torch.tensor([[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]))
    assert tensors["a"].dtype == torch.float16
    assert [file.name for file in path.parent.iterdir()] == ["w.safetensors"], "no temporary file stays"


def test_equal_weights_give_equal_bytes(path, tmp_path):
    tensors, metadata = load_weights(path)
    save_weights(tmp_path / "again", dict(reversed(tensors.items())), metadata)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def header(text):
    """A file of four bytes of data with a header."""
    return struct.pack("<Q", len(text)) + text + b"0000"


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[:50],
        lambda b: b"",
        lambda b: b"a text",
        lambda b: b"\x00" * 8 + b[8:],
        lambda b: struct.pack("<Q", 2**63) + b"{}",
        lambda b: header(b"{{{{{{{{"),
        lambda b: header(b'{"a":{"dtype":"F32","shape":[999999999999,999999],"data_offsets":[0,4]}}'),
        lambda b: header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}'),
    ],
    ids=[
        "one byte short",
        "in the header",
        "empty",
        "text",
        "no header",
        "endless header",
        "no JSON",
        "shape",
        "offsets",
    ],
)
def test_a_damaged_file_is_named(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"w\.safetensors: damaged, or not a safetensors file") as caught:
        load_weights(path)
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_not_finite_is_named(path):
    tensors, metadata = load_weights(path)
    save_weights(path, tensors | {"c": torch.tensor([0, torch.nan])}, metadata)
    with pytest.raises(WeightsError, match=r"w\.safetensors: .*c has values that are not finite"):
        load_weights(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such weights file"):
        load_weights(tmp_path / "absent")
    with pytest.raises(WeightsError, match="a folder, not a weights file"):
        load_weights(tmp_path)
