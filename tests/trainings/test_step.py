"""A step of every model is without TF32 from its first product to its last, in whatever thread its backward pass runs."""

import threading

import pytest
import torch
from accelerate import Accelerator
from torch.utils._python_dispatch import TorchDispatchMode

from srbench.machine import precision
from srbench.machine.precision import allows_tf32
from srbench.training import loop

ATEN = torch.ops.aten
PRODUCTS = (
    *(ATEN.convolution.default, ATEN.convolution_backward.default),
    *(ATEN.mm.default, ATEN.addmm.default, ATEN.bmm.default, ATEN.baddbmm.default),
)
"""The operations that TF32 would round."""
REVERSIBLE = ("reversible=true", "frozen=0.0")


class Settings(TorchDispatchMode):
    """What was allowed in the products of a thread: TF32 in convolutions, and in matrix products."""

    found: set[tuple[str, str, bool, bool]]

    def __init__(self, found, thread):
        super().__init__()
        self.found, self.thread = found, thread

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            self.found.add((self.thread, func.__name__, *allows_tf32()))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("model", "changes"),
    [("rrdb", ()), ("esrgan", ()), ("srflow", ()), ("srflow", REVERSIBLE), ("srflow-perceptual", ())],
)
def test_no_product_of_a_step_is_rounded(trainings, model, changes, monkeypatch, tmp_path):
    """With the CPU in the part of the GPU, whose backward pass autograd takes in a thread of its own."""
    found = set()
    take_step, backward = loop.take_step, Accelerator.backward

    def noted_step(*arguments):
        with Settings(found, "of the step"):
            return take_step(*arguments)

    def backward_elsewhere(self, loss):
        def noted():
            with Settings(found, "of autograd"):
                backward(self, loss)

        thread = threading.Thread(target=noted, daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), "the backward pass waits for the step, which waits for it"

    monkeypatch.setattr(precision, "ROUNDING", "cpu")
    monkeypatch.setattr(loop, "take_step", noted_step)
    monkeypatch.setattr(Accelerator, "backward", backward_elsewhere)
    before = allows_tf32()
    trainings.train(model, tmp_path / "out", "training.steps=2", *changes)
    assert {thread for thread, *_ in found} == {"of the step", "of autograd"}
    assert [product for product in found if True in product] == []
    assert allows_tf32() == before
    assert True in before, "torch allows it in convolutions"
