"""No TF32 on a GPU, where torch allows it in convolutions:
who opens the context, and the error that TF32 would make."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from official import GOLDEN, checkpoint, load_official
from safetensors.torch import load_file
from torch.overrides import TorchFunctionMode

from baselines.rrdb import RRDBNet
from srbench.benchmark.scorer import measure_model
from srbench.editing.edit import Editor
from srbench.interfaces import ImagePair
from srbench.machine import precision
from srbench.machine.precision import products
from srbench.metrics.cost import Runtime
from srbench.models.inference import SamplingParameters, upscale
from srbench.training.validation import _upscaled
from srflow import layers

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


def test_a_thread_that_differs_does_not_wait():
    """As autograd's, which computes a layer again for a step that forbids TF32: it would wait for ever."""
    before = allowed()
    with products(GPU, tf32=False):
        rounding = Other(tf32=True)
        assert rounding.is_open.wait(30)
        assert allowed() == rounding.settings == (False, False), "the first context decides"
    assert allowed() == (False, False), "until the last is closed"
    rounding.leave()
    assert allowed() == before


class Flat:
    """An editor that is no SRFlow."""

    def __init__(self, case):
        self.network = rrdb(case)

    def restore(self, hr, lr, *, temperature, generator):
        with torch.no_grad():
            return self.network(lr[None])[0]


def edited(case):
    editor = Editor("flat", 4, "cpu")
    editor.model = Flat(case)
    editor.restore(ImagePair("a", case.lr[0], case.hr[0]), 0.8, 0)


WORKS = {
    "sample": lambda case: case.model.sample(case.lr[0], generator=torch.Generator().manual_seed(0)),
    "tiles": lambda case: case.model.sample(case.lr[0], generator=torch.Generator().manual_seed(0), tile=4),
    "encode": lambda case: case.model.given(case.lr).encode(case.hr),
    "initialize": lambda case: case.model.initialize(case.lr, case.hr),
    "upscale": lambda case: upscale(rrdb(case), "a", case.lr[0], SamplingParameters(0, 1, 0), "cpu"),
    "edit": edited,
    "runtime": lambda case: measure_model(Runtime(lr="8x8"), rrdb(case), None, "cpu"),
    "validate": lambda case: _upscaled(rrdb(case), ImagePair("a", case.lr[0], case.hr[0]), 0),
}


def rrdb(case):
    """A network that opens no context of its own."""
    return RRDBNet(case.model.config.encoder).eval()


@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize("case", ["x4_tiny"], indirect=True)
def test_nothing_is_computed_in_tf32(case, work, monkeypatch):
    """In two threads at once, with the CPU in the part of the GPU; the settings are then what they were."""
    monkeypatch.setattr(precision, "TF32_DEVICE", "cpu")
    before, found = allowed(), set()

    def noting(function):
        def noted(*arguments, **named):
            found.add((function.__name__, allowed()))
            time.sleep(1e-4)  # for the other thread
            found.add((function.__name__, allowed()))
            return function(*arguments, **named)

        return noted

    for owner, name in ((F, "conv2d"), (torch.nn.Conv2d, "forward"), (layers, "_mix")):
        monkeypatch.setattr(owner, name, noting(getattr(owner, name)))
    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(WORKS[work], case) for _ in range(4)]:
            each.result()
    assert "forward" in {name for name, _ in found}
    assert {settings for _, settings in found} == {(False, False)}
    assert allowed() == before
    assert True in before, "torch allows it in convolutions"


def rounded(x):
    """To the 10 bits of mantissa that TF32 keeps, ties away from zero."""
    return ((x.detach().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


class TF32(TorchFunctionMode):
    """Products with rounded factors, as tensor cores make them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        places = {F.conv2d: (0, 1), F.linear: (0, 1), torch.baddbmm: (1, 2)}.get(func, ())
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


def test_the_error_of_tf32(case):
    """Why SRFlow is computed without: the couplings amplify it, and what was encoded is not decoded."""
    _, round_trip = case.errors()
    assert round_trip < 5e-6
    with TF32():
        made, round_trip_of_tf32 = case.errors()
    assert made > 1e-4
    assert round_trip_of_tf32 > 20 * round_trip


def test_the_error_on_a_gpu(case, device):
    case.model, case.lr, case.hr, case.drawn = (x.to(device) for x in (case.model, case.lr, case.hr, case.drawn))
    case.latents = [z.to(device) for z in case.latents]
    before = allowed()
    made, round_trip = case.errors()
    assert made < 1e-4
    assert round_trip < 1e-4
    assert allowed() == before
    generator = torch.Generator().manual_seed(0)
    assert case.model.sample(case.lr[0], 2, temperature=0.9, generator=generator).isfinite().all()


def test_settings_by_the_newer_names():
    matrices = torch.backends.cuda.matmul
    before, matrices.fp32_precision = matrices.fp32_precision, "tf32"
    try:
        with products(GPU, tf32=False):
            assert matrices.fp32_precision == "ieee"
        assert matrices.fp32_precision == "tf32"
    finally:
        matrices.fp32_precision = before
