"""Numbers that are not finite are an error that names the layer, never an image."""

import pytest
import torch
import torch.nn.functional as F

from baselines.rrdb import RRDBConfig
from srbench.machine.numerics import NumericsError, finite
from srflow import SRFlow, SRFlowConfig

HR = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
LR = F.avg_pool2d(HR, 4)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = SRFlow(SRFlowConfig(RRDBConfig(4, 8, 4, 2), (0, 1), steps=3, width=8))
    model.initialize(LR, HR)
    return model.eval()


def ways(model, lr=LR):
    """All that a model can be asked for."""
    shapes, generator = model.flow.latent_shapes(32, 32), torch.Generator().manual_seed(0)
    latents = [0.8 * torch.randn((2, *shape), generator=generator) for shape in shapes]
    return {
        "encode": lambda: [*(found := model.given(lr).encode(HR))[0], found[1]],
        "log_prob": lambda: [model.given(lr).log_prob(HR)],
        "nll": lambda: [model.given(lr).bits_per_dimension(HR)],
        "decode": lambda: [model.given(lr).decode(latents)],
        "sample": lambda: [model.sample(lr[0], 2, temperature=1.2, generator=torch.Generator())],
        "sample in tiles": lambda: [model.sample(lr[0], 2, temperature=1.2, generator=torch.Generator(), tile=4)],
    }


FORWARD, INVERSE = ("encode", "log_prob", "nll"), ("decode", "sample", "sample in tiles")


def faults(model, names, lr=LR):
    """What each of these ways says."""
    for name in names:
        with pytest.raises(NumericsError) as caught:
            ways(model, lr)[name]()
        assert "\n" not in str(caught.value)
        yield str(caught.value)


def set_values(tensor, value):
    with torch.no_grad():
        tensor.fill_(value)


@pytest.mark.parametrize(
    ("parameter", "value", "names", "layer"),
    [
        ("flow.levels.1.transitions.1.norm.log_scale", -100.0, INVERSE, "flow.levels.1.transitions.1;"),
        ("flow.levels.2.steps.1.coupling.network.last.log_scale", 50.0, FORWARD + INVERSE, "steps.1.coupling"),
        ("flow.levels.0.split.prior.bias", 300.0, INVERSE, "flow.levels.0.split;"),
        ("encoder.body.1.2.convs.3.weight", 3e38, FORWARD + INVERSE, "encoder.body.1.2"),
    ],
)
def test_the_layer_is_named(model, parameter, value, names, layer):
    """Whether its constants were kept before or not."""
    set_values(model.get_parameter(parameter), value)
    for _ in range(2):
        assert all(f"first in {layer}" in fault or f".{layer}" in fault for fault in faults(model, names))


def test_the_layer_is_named_whichever_thread_it_runs_in(model):
    set_values(model.flow.levels[1].steps[1].coupling.network.last.log_scale, 50.0)
    torch.set_num_threads(2)
    try:
        with torch.no_grad():
            assert all("first in flow.levels.1.steps.1.coupling" in fault for fault in faults(model, ["sample"]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_given_is_named_before_any_layer(model, value):
    lr = LR.clone()
    lr[0, 0, 0, 0] = value
    assert all("lr has values that are not finite" in fault for fault in faults(model, FORWARD + INVERSE, lr))
    set_values(model.flow.levels[1].steps[0].mixing.norm.bias, value)
    assert all("first in flow.levels.1.steps.0.mixing.norm.bias" in fault for fault in faults(model, FORWARD + INVERSE))


def test_a_singular_matrix(model):
    with torch.no_grad():
        model.flow.levels[1].steps[2].mixing.weight[0] = 0
    assert all("first in flow.levels.1.steps.2.mixing;" in fault for fault in faults(model, FORWARD))
    for fault in faults(model, INVERSE):
        assert fault.startswith("flow.levels.1.steps.2.mixing holds a singular matrix")


@pytest.mark.parametrize("least", [1e-3, 1e-12, 1e-44])
def test_a_nearly_singular_matrix(model, least):
    """Finite numbers, or an error that names it."""
    mix = model.flow.levels[2].steps[0].mixing
    with torch.no_grad():
        left, values, right = torch.linalg.svd(mix.weight.double())
        values[-1] = least
        mix.weight.copy_(left * values @ right)
    said = []
    for way in ways(model).values():
        try:
            assert all(result.isfinite().all() for result in way())
        except NumericsError as error:
            said.append(str(error))
    assert least < 1e-3 or not said
    assert all("flow.levels.2.steps.0" in line for line in said)


@pytest.mark.parametrize("constant", ["one channel", "one image"])
def test_initialised_on_constant_channels(constant):
    torch.manual_seed(0)
    model = SRFlow(SRFlowConfig(RRDBConfig(4, 8, 4, 2), (0, 1), steps=8, width=8))
    flat = HR.clone()
    flat[{"one channel": (slice(None), 2), "one image": 0}[constant]] = 0.3
    model.initialize(F.avg_pool2d(flat, 4), flat)
    model.eval()
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    for lr in (LR, F.avg_pool2d(flat, 4)):
        for name, way in ways(model, lr).items():
            assert all(result.isfinite().all() for result in way()), name


def test_a_fine_result_is_computed_once(model):
    calls = []

    def compute():
        calls.append(model.sample(LR[0], 1, temperature=0.8, generator=torch.Generator()))
        return calls[-1:]

    assert finite(model, compute, compute) == calls
    assert len(calls) == 1


def test_training_passes_over_a_loss_that_is_not_finite(model):
    """It skips such a step (``fit`` counts them) instead of ending."""
    set_values(model.flow.levels[0].steps[0].mixing.norm.log_scale, 100.0)
    assert not model.bits_per_dimension(LR, HR).isfinite().any()
