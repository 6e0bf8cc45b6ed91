"""A step of every model on a GPU: without TF32 (or with it) from its first product to its last, and without waiting."""

import threading

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode

from srbench.machine import precision
from srbench.training import config, loop

ATEN = torch.ops.aten
PRODUCTS = (
    *(ATEN.convolution.default, ATEN.convolution_backward.default),
    *(ATEN.mm.default, ATEN.addmm.default, ATEN.bmm.default, ATEN.baddbmm.default),
)
"""The operations that TF32 would round."""
READING = (
    ATEN._local_scalar_dense.default,
    ATEN._linalg_check_errors.default,
    ATEN.equal.default,
    ATEN.nonzero.default,
)
"""Operations whose results the CPU waits for; ``tests/placement/training.py`` knows more, and what lies on the GPU."""
REVERSIBLE = ("reversible=true", "encoder_freeze=0.0")


def allows_tf32():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


class Noting(TorchDispatchMode):
    """The operations of a thread that matter: products, with what was allowed in them, and reading."""

    def __init__(self, products, reading, thread):
        super().__init__()
        self.products, self.reading, self.thread = products, reading, thread

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            self.products.add((self.thread, func.__name__, allows_tf32()))
        elif func in READING:
            self.reading.append(str(func))
        return func(*args, **(kwargs or {}))


TF32 = ("training.precision=tf32",)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        *(("rrdb", ()), ("esrgan", ()), ("rectified-flow", ())),
        *(("srflow", ()), ("srflow", REVERSIBLE), ("srflow-perceptual", ())),
        *(("rrdb", TF32), ("srflow", (*REVERSIBLE, *TF32))),
    ],
)
def test_all_products_of_a_step_have_its_precision_and_none_is_waited_for(
    trainings, model, changes, monkeypatch, tmp_path
):
    """With the CPU in the part of the GPU, whose backward pass autograd takes in a thread of its own."""
    products, reading = set(), []
    take_step, backward = loop.take_step, Accelerator.backward

    def noted_step(*arguments):
        with Noting(products, reading, "of the step"):
            return take_step(*arguments)

    def backward_elsewhere(self, loss):
        def noted():
            with Noting(products, reading, "of autograd"):
                backward(self, loss)

        thread = threading.Thread(target=noted, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "the backward pass waits for the step, which waits for it"

    for module in (precision, config):
        monkeypatch.setattr(module, "TF32_DEVICE", "cpu")
    monkeypatch.setattr(loop, "take_step", noted_step)
    monkeypatch.setattr(Accelerator, "backward", backward_elsewhere)
    before = allows_tf32()
    trainings.train(model, tmp_path / "out", "training.steps=2", "training.ema_decay=0.0", *changes)
    assert {thread for thread, *_ in products} == {"of the step", "of autograd"}
    assert {settings for *_, settings in products} == {(changes[-1:] == TF32,) * 2}
    assert reading == []
    assert allows_tf32() == before
    assert True in before, "torch allows it in convolutions"
