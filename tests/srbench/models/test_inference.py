import sys

import pytest
import torch

from srbench.interfaces import ImagePair, SRBenchError
from srbench.models import ModelError
from srbench.models.inference import SamplingParameters, choose_device, iterate_samples, upscale
from srbench.models.loading import load_model

PAIR = ImagePair("a", torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 20, 28))
DRAW = SamplingParameters(temperature=0.5, samples=3, seed=11)


@pytest.fixture
def output(models):
    def call(name, pair=PAIR, draw=DRAW):
        return upscale(load_model(f"{models}:{name}", 4, "cpu").model, pair.name, pair.lr, draw, "cpu")

    return call


def test_a_model_with_one_answer(output):
    found = output("Nearest")
    assert torch.equal(found.images[0, :, ::4, ::4], PAIR.lr)
    assert found.images.shape == (1, 3, 20, 28)
    assert not found.images.requires_grad
    assert found.seconds > 0
    assert found.peak_memory_mb > 50, "a process with torch in it is larger"


def test_samples_depend_on_the_seed_and_on_nothing_else(output):
    first = output("Noisy").images
    torch.manual_seed(99)
    assert torch.equal(output("Noisy").images, first)
    assert not torch.equal(output("Noisy", draw=SamplingParameters(0.5, 3, 12)).images, first)
    assert first.shape == (3, 3, 20, 28)
    assert output("Noisy", draw=SamplingParameters(0.0, 2, 11)).images.std(0).max() == 0


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("WrongSize", r"a: the result has shape \(1, 3, 5, 7\); it must be \(n, 3, 20, 28\), 4 times LR"),
        ("TooFew", "a: the model returned 2 samples, not 3"),
        ("Raises", r"^a: the model failed: RuntimeError: no memory for this \(models\.py line \d+\)$"),
    ],
)
def test_a_result_that_is_none(output, name, fault):
    with pytest.raises(ModelError, match=fault):
        output(name)


def small(largest):
    """A model that upscales LR images of at most so many pixels."""

    class Small:
        scale = 4

        def __call__(self, lr):
            if lr[0, 0].numel() > largest:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nOf 8.")
            return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)

    return Small()


def test_too_little_memory_and_what_to_do():
    lr = torch.rand(3, 100, 64)

    def says(model, lr=lr, tile=None):
        with pytest.raises(ModelError) as caught:
            upscale(model, "a", lr, SamplingParameters(0.5, 3, 11, tile), "cpu")
        return str(caught.value)

    said = "a: the model ran out of memory (cpu, LR of 64x100); upscale in smaller tiles (--tile 50)"
    assert says(small(66 * 64 - 1)) == said
    assert says(small(66 * 64 - 1), tile=50) == (
        "a: the model ran out of memory (cpu, LR of 64x100 in tiles of 50); upscale in smaller tiles (--tile 25)"
    )
    found = upscale(small(66 * 64 - 1), "a", lr, SamplingParameters(0.5, 3, 11, 25), "cpu").images
    assert torch.equal(found[0, :, ::4, ::4], lr)
    assert says(small(0), tile=16).endswith(
        "(cpu, LR of 64x100 in tiles of 16); use smaller images (--crop), or another --device"
    )

    class Stochastic:
        scale = 4

        def sample(self, lr, n, *, temperature, generator):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    assert says(Stochastic()).endswith("; draw fewer samples (--samples), or use smaller images (--crop)")


def test_numbers_that_are_not_finite(output):
    flat = ImagePair("flat", torch.ones(3, 5, 7), PAIR.hr)
    with pytest.raises(ModelError, match="flat: 1680 of 1680 values of the result are not finite"):
        output("NotFinite", flat)
    assert output("NotFinite").images.isfinite().all()


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda lr: 255 * up(lr), r"a: the result has levels of 0 to 255; images are in \[0, 1\]: divide it by 255$"),
        (
            lambda lr: up(lr) + torch.zeros(1, device="meta"),
            r"create its tensors on the device of LR \(register_buffer, or",
        ),
        (
            lambda lr: up(lr.unfold(3, 8, 8).flatten(3) + torch.zeros_like(lr)),
            r"; it takes LR of 64x64, but not of 7x5: pad LR inside the model and crop the output$",
        ),
        (
            lambda lr: up(lr.reshape(1, 3, 8, -1, 7)),
            r"RuntimeError: shape '\[1, 3, 8, -1, 7\]' is invalid for input of size 105 \(\S+ line \d+\)$",
        ),
        (
            lambda lr: torch.nn.functional.conv2d(lr, torch.ones(3, 4, 3, 3)),
            r"expected input\[1, 3, 5, 7\] to have 4 channels, but got 3 channels instead \(\S+ line \d+\)$",
        ),
        (lambda lr: up(lr)[0], r"the result has shape \(3, 20, 28\); it must be \(n, 3, 20, 28\), 4 times LR"),
        (lambda lr: up(lr).byte(), r"the result is torch\.uint8; it must be floating point"),
        (lambda lr: {"sr": up(lr)}, r"the result is dict; it must be a tensor \(n, 3, H, W\)"),
    ],
)
def test_the_common_faults_of_a_network_of_ones_own(make, fault):
    make.scale = 4
    with pytest.raises(ModelError, match=fault) as caught:
        upscale(make, "a", PAIR.lr, DRAW, "cpu")
    assert "\n" not in str(caught.value)


def up(lr):
    return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


def test_samples_with_levels_of_0_to_255_are_refused():
    class Sampler:
        scale = 4

        def sample(self, lr, n, *, temperature, generator):
            return 255 * up(lr).repeat(n, 1, 1, 1)

        def samples(self, lr, n, *, temperature, generator, tile, progress):
            yield from self.sample(lr, n, temperature=temperature, generator=generator)

    fault = r"a: the result has levels of 0 to 255; images are in \[0, 1\]: divide it by 255$"
    with pytest.raises(ModelError, match=fault):
        upscale(Sampler(), "a", PAIR.lr, DRAW, "cpu")
    with pytest.raises(ModelError, match=fault):
        next(iterate_samples(Sampler(), "a", PAIR.lr, DRAW, "cpu", lambda share: None))


class Graded:
    """A network with weights, whose samples are made when they are asked for."""

    scale = 4

    def __init__(self):
        self.gain = torch.nn.Parameter(torch.tensor(0.5))
        self.with_gradients = []

    def sample(self, lr, n, *, temperature, generator):
        self.with_gradients.append(torch.is_grad_enabled())
        return self.gain * up(lr).repeat(n, 1, 1, 1)

    def samples(self, lr, n, *, temperature, generator, tile, progress):
        for _ in range(n):
            yield self.sample(lr, 1, temperature=temperature, generator=generator)[0]


class AtOnce(Graded):
    """Its samples are made before the first is asked for."""

    def samples(self, lr, n, *, temperature, generator, tile, progress):
        return iter(self.sample(lr, n, temperature=temperature, generator=generator))


@pytest.mark.parametrize(("model", "calls"), [(Graded(), 3), (AtOnce(), 1)])
def test_samples_one_by_one_hold_no_graph(model, calls):
    for image in iterate_samples(model, "a", PAIR.lr, DRAW, "cpu", lambda share: None):
        assert not image.requires_grad
        assert torch.is_grad_enabled(), "the mode of the caller is as before"
    assert model.with_gradients == [False] * calls


def test_a_model_that_calls_sys_exit_has_failed_and_ctrl_c_passes():
    def leaves(lr):
        sys.exit(0)

    def interrupted(lr):
        raise KeyboardInterrupt

    leaves.scale = interrupted.scale = 4
    line = leaves.__code__.co_firstlineno + 1
    with pytest.raises(ModelError, match=rf"a: the model failed: SystemExit: 0 \(test_inference\.py line {line}\)$"):
        upscale(leaves, "a", PAIR.lr, DRAW, "cpu")
    with pytest.raises(KeyboardInterrupt):
        upscale(interrupted, "a", PAIR.lr, DRAW, "cpu")


def test_an_output_that_ran_away_is_measured():
    """Far beyond an image in places, or everywhere."""
    for factor in (3, 1e5):
        model = lambda lr, factor=factor: factor * up(lr)  # noqa: E731
        model.scale = 4
        assert upscale(model, "a", PAIR.lr, DRAW, "cpu").images.max() > 1


def test_precomputed_results_are_read():
    class Results:
        scale = 4

        def read(self, name):
            if name != "a":
                raise SRBenchError("missing")
            return torch.full((2, 3, 20, 28), 0.25, dtype=torch.float64)

        def digest(self, name):
            return name

    images = upscale(Results(), "a", PAIR.lr, DRAW, "cpu").images
    assert (len(images), images.dtype) == (2, torch.float32)
    with pytest.raises(SRBenchError, match=r"^b: missing$"):
        upscale(Results(), "b", PAIR.lr, DRAW, "cpu")


def test_a_single_gpu_is_a_device(monkeypatch):
    """On a machine with two."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device(name) for name in ("auto", "cuda", "cuda:1", "cpu")] == ["cuda", "cuda", "cuda:1", "cpu"]
    with pytest.raises(
        ModelError, match="device cuda:2 is not available here; use --device auto or cuda, cuda:0, cuda:1"
    ):
        choose_device("cuda:2")


def test_devices():
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda", "mps")
    absent = [
        name
        for name, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not there
    ]
    for name in absent:
        with pytest.raises(ModelError, match=f"device {name} is not available here"):
            choose_device(name)
    with pytest.raises(ModelError, match="device cuda:7 is not available here"):
        choose_device("cuda:7")
