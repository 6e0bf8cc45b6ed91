"""TF32 on a GPU for the conditions and for nothing else: where it is allowed, and the error it makes."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from official import GOLDEN, checkpoint, load_official
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from srbench.machine import precision
from srbench.machine.environment import environment
from srbench.machine.precision import products
from srflow import encoder, features, flow, layers, tiled_decode

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def allowed():
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("tf32", [True, False])
def test_settings_hold_inside_only(tf32):
    before = allowed()
    with products(GPU, tf32=tf32):
        assert allowed() == (tf32, tf32)
        with products(CPU, tf32=not tf32):
            assert allowed() == (tf32, tf32)
    assert allowed() == before
    with pytest.raises(ZeroDivisionError), products(GPU, tf32=tf32):
        _ = 1 / 0
    assert allowed() == before


@pytest.mark.parametrize("tf32", [True, False])
def test_the_outer_context_decides(tf32):
    with products(GPU, tf32=tf32):
        for inner in (tf32, not tf32):
            with products(GPU, tf32=inner):
                assert allowed() == (tf32, tf32)
            assert allowed() == (tf32, tf32)


class Other:
    """A context open in another thread, from ``is_open`` until ``leave``."""

    def __init__(self, tf32):
        self.is_open, self._leave = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._stay, args=[tf32], daemon=True)
        self._thread.start()

    def _stay(self, tf32):
        with products(GPU, tf32=tf32):
            self.settings = allowed()
            self.is_open.set()
            self._leave.wait(30)

    def leave(self):
        self._leave.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_threads_that_agree_are_inside_at_once():
    before = allowed()
    with products(GPU, tf32=False):
        other = Other(tf32=False)
        assert other.is_open.wait(30)
    assert allowed() == (False, False), "restored by the last"
    other.leave()
    assert allowed() == before


def test_a_thread_that_differs_waits_until_all_are_outside():
    before = allowed()
    exact = [Other(tf32=False) for _ in range(2)]
    assert all(other.is_open.wait(30) for other in exact)
    rounding = Other(tf32=True)
    for other in exact:
        assert not rounding.is_open.wait(0.1)
        assert allowed() == (False, False)
        other.leave()
    assert rounding.is_open.wait(30)
    assert allowed() == rounding.settings == (True, True)
    rounding.leave()
    assert allowed() == before


WORKS = {
    "sample": lambda case: case.model.sample(case.lr[0], generator=torch.Generator().manual_seed(0)),
    "tiles": lambda case: case.model.sample(case.lr[0], generator=torch.Generator().manual_seed(0), tile=4),
    "encode": lambda case: case.model.given(case.lr).encode(case.hr),
    "train": lambda case: case.model.nll(case.hr, case.lr).sum().backward(),
}


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("case", ["x4_tiny"], indirect=True)
def test_two_threads_leave_the_settings_as_they_were(case, work, monkeypatch):
    """On one model, with the CPU in the part of the GPU: the encoder in TF32, the flow never, and none after.

    Conditions are in TF32 too, except in reversible training, whose backward pass computes them again within the flow.
    """
    monkeypatch.setattr(precision, "ROUNDING", "cpu")
    before, found = allowed(), set()

    def noting(what, function):
        def noted(*arguments):
            found.add((what, allowed()))
            time.sleep(1e-4)  # for the other thread
            found.add((what, allowed()))
            return function(*arguments)

        return noted

    for owner, name, what in (
        (encoder.Encoder, "upscale", "encoder"),
        (features.FeatureConvolution, "convolve", "condition"),
        (layers, "_mix", "flow"),
        (layers.Split, "_normal", "flow"),
    ):
        monkeypatch.setattr(owner, name, noting(what, getattr(owner, name)))
    case.model.reversible = True
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(WORKS[work], case) for _ in range(4)]:
            each.result()
    conditions = work != "train"
    assert found == {("encoder", (True, True)), ("condition", (conditions,) * 2), ("flow", (False, False))}
    assert allowed() == before


def rounded(x):
    """To the 10 bits of mantissa that TF32 keeps, ties away from zero."""
    return ((x.detach().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class TF32(TorchFunctionMode):
    """Products with rounded factors, as tensor cores make them, wherever ``precision.products`` says so."""

    def __init__(self, monkeypatch, everywhere=False):
        super().__init__()
        self.rounding, self.everywhere, self.counts = everywhere, everywhere, {True: 0, False: 0}
        for module in (encoder, flow, tiled_decode):
            monkeypatch.setattr(module, "products", self.products)

    @contextmanager
    def products(self, device, *, tf32):
        before, self.rounding = self.rounding, tf32 or self.everywhere
        yield
        self.rounding = before

    def __torch_function__(self, func, types, args=(), kwargs=None):
        places = {F.conv2d: (0, 1), F.linear: (0, 1), torch.baddbmm: (1, 2)}.get(func)
        if places:
            self.counts[self.rounding] += 1
            if self.rounding:
                args = [rounded(value) if place in places else value for place, value in enumerate(args)]
        return func(*args, **(kwargs or {}))


class Case:
    def __init__(self, name):
        folder = GOLDEN / name
        blocks = json.loads((folder / "meta.json").read_text())["blocks"]
        self.model = load_official(checkpoint(name), blocks=tuple(blocks))
        io = load_file(folder / "io.safetensors")
        self.lr, self.hr, self.drawn = io["lr"], io["gt"], io["dec.sr_epses"]
        self.latents = [io[f"eps.{i}"] for i in range(len(self.model.flow.latent_shapes(32, 32)))]

    @torch.no_grad()
    def errors(self):
        """Of the latents' image, and of an image encoded and decoded: largest differences."""
        made = self.model.given(self.lr).decode(self.latents)
        again = self.model.given(self.lr).decode(self.model.given(self.lr).encode(self.hr)[0])
        return (made - self.drawn).abs().max().item(), (again - self.hr).abs().max().item()


@pytest.fixture(params=["x4_tiny", "x8_tiny"])
def case(request):
    return Case(request.param)


def test_the_error_of_rounded_conditions(case, monkeypatch):
    """Less than a quarter of an 8-bit step; the flow's own products are not rounded, and so it stays invertible."""
    with TF32(monkeypatch) as mode:
        made, round_trip = case.errors()
    assert mode.counts[True] > 0
    assert mode.counts[False] > 0
    assert 1e-6 < made < 1 / 255 / 4
    assert round_trip < 5e-6
    with TF32(monkeypatch, everywhere=True):
        _, round_trip_of_all = case.errors()
    assert round_trip_of_all > 20 * round_trip, "why the flow itself is left in float32"


def test_the_error_on_a_gpu(case, device):
    case.model, case.lr, case.hr, case.drawn = (x.to(device) for x in (case.model, case.lr, case.hr, case.drawn))
    case.latents = [z.to(device) for z in case.latents]
    before = allowed()
    made, round_trip = case.errors()
    assert made < 1 / 255 / 4
    assert round_trip < 1e-4
    assert allowed() == before
    generator = torch.Generator().manual_seed(0)
    assert case.model.sample(case.lr[0], 2, temperature=0.9, generator=generator).isfinite().all()


def test_facts_by_the_newer_names(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    matrices = torch.backends.cuda.matmul
    before, matrices.fp32_precision = matrices.fp32_precision, "tf32"
    try:
        assert environment("cuda")["TF32 in products"] == "True"
        matrices.fp32_precision = "ieee"
        assert environment("cuda")["TF32 in products"] == "False"
    finally:
        matrices.fp32_precision = before


def test_settings_by_the_newer_names():
    matrices = torch.backends.cuda.matmul
    before, matrices.fp32_precision = matrices.fp32_precision, "tf32"
    try:
        with products(GPU, tf32=False):
            assert matrices.fp32_precision == "ieee"
        assert matrices.fp32_precision == "tf32"
    finally:
        matrices.fp32_precision = before
