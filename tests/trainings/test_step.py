"""A step of every model on a GPU: without TF32 from its first product to its last, and waiting for nothing on the way."""

import threading
import tomllib
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from flows import seeded, small_flow
from small_presets import PRESETS
from torch.utils._python_dispatch import TorchDispatchMode

from srbench.machine import precision
from srbench.machine.precision import allows_tf32
from srbench.training import loop
from srbench.training.config import TrainingConfig
from srbench.training.learner import Batch, Learner, adam
from srbench.training.step import TrainingState

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
REVERSIBLE = ("reversible=true", "frozen=0.0")


class Noting(TorchDispatchMode):
    """The operations of a thread that matter: products, with what was allowed in them, and reading."""

    def __init__(self, products, reading, thread):
        super().__init__()
        self.products, self.reading, self.thread = products, reading, thread

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            self.products.add((self.thread, func.__name__, *allows_tf32()))
        elif func in READING:
            self.reading.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("model", "changes"),
    [("rrdb", ()), ("esrgan", ()), ("srflow", ()), ("srflow", REVERSIBLE), ("srflow-perceptual", ())],
)
def test_no_product_of_a_step_is_rounded_and_none_is_waited_for(trainings, model, changes, monkeypatch, tmp_path):
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

    monkeypatch.setattr(precision, "ROUNDING", "cpu")
    monkeypatch.setattr(loop, "take_step", noted_step)
    monkeypatch.setattr(Accelerator, "backward", backward_elsewhere)
    before = allows_tf32()
    trainings.train(model, tmp_path / "out", "training.steps=2", "training.average=0.0", *changes)
    assert {thread for thread, *_ in products} == {"of the step", "of autograd"}
    assert [product for product in products if True in product] == []
    assert reading == []
    assert allows_tf32() == before
    assert True in before, "torch allows it in convolutions"


def step_on(device, *, reversible):
    """Bits per dimension and gradient norm of the first step of a small flow."""
    settings = tomllib.loads(PRESETS["srflow"])["training"]
    config = TrainingConfig(**settings | {"milestones": (0.5,), "max_grad_norm": 1.0})
    model = small_flow().to(device).train()
    model.reversible = reversible

    def loss(batch):
        nll = model.nll(batch.hr, batch.lr).mean()
        return nll, {"bits_per_dim": nll}

    lr, hr = (torch.rand(2, 3, side, side, generator=seeded(side)).to(device) for side in (8, 32))
    state = TrainingState([Learner("network", model, adam([model.parameters()], config), loss)], None)
    accelerator = SimpleNamespace(
        num_processes=1, backward=lambda loss: loss.backward(), clip_grad_norm_=torch.nn.utils.clip_grad_norm_
    )
    values, _ = loop.take_step(Batch(lr, hr, step=0, first=0, seed=0), state, config, accelerator)
    return values["bits_per_dim"], values["gradient"]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("reversible", [False, True])
def test_a_step_is_the_same_reversible_or_not_and_on_a_gpu(reversible, device):
    bits, gradient = step_on("cpu", reversible=False)
    assert step_on(device, reversible=reversible) == (pytest.approx(bits, rel=1e-4), pytest.approx(gradient, rel=1e-3))
