"""Objects given to ``srbench.evaluate``: known by the code of their class and by what they hold."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import srbench
from srbench.images.io import write_png
from srbench.models.loading import wrap_model
from srbench.models.precomputed import ResultFolder

TABLE = {"gain": 1.0}


def by_table(lr):
    return TABLE["gain"] * F.interpolate(lr, scale_factor=2)


def by_default(lr, gain=1.0):
    return gain * F.interpolate(lr, scale_factor=2)


class Model:
    scale = 2
    gain = 1.0

    def __init__(self, **attributes):
        for name, value in attributes.items():
            setattr(self, name, value)

    def __call__(self, lr):
        return self.value() * F.interpolate(lr, scale_factor=2)

    def value(self):
        return self.gain


class OfNested(Model):
    def value(self):
        return self.parts[0]["inner"].gain


class Network(torch.nn.Module):
    scale = 2

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.tensor(1.0))
        self.register_buffer("dropped", torch.tensor(1.0), persistent=False)
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.names = {"a", "b"}
        self.act = None

    def forward(self, lr):
        out = self.kept * self.dropped * self.weight * len(self.names) / 2 * F.interpolate(lr, scale_factor=2)
        return out if self.act is None else self.act(out)


def closed(gain):
    def inner(lr):
        return gain["it"] * F.interpolate(lr, scale_factor=2)

    return inner


def changed(kind, name, before, after):
    model = kind(**{name: before})
    return model, lambda: setattr(model, name, after)


def in_network(change):
    network = Network()
    return network, lambda: change(network)


def around(network):
    """A function that holds a network."""
    return lambda lr: torch.cat([network(image[None]) for image in lr]), lambda: network.kept.fill_(0.5)


inner, bound, gain = Model(), functools.partial(by_default, gain=1.0), {"it": 1.0}
CHANGES = {
    "a tensor": lambda: changed(Model, "gain", torch.ones(1), torch.full((1,), 0.5)),
    "an array": lambda: changed(Model, "gain", np.ones(1), np.full(1, 0.5)),
    "a number": lambda: changed(Model, "gain", 1.0, 0.5),
    "a set": lambda: changed(Model, "gain", {"a", "b"}, {"a"}),
    "an object in a list": lambda: (OfNested(parts=[{"inner": inner}]), lambda: setattr(inner, "gain", 0.5)),
    "a parameter": lambda: in_network(lambda network: network.weight.data.fill_(0.5)),
    "a buffer": lambda: in_network(lambda network: network.kept.fill_(0.5)),
    "a buffer that is not persistent": lambda: in_network(lambda network: network.dropped.fill_(0.5)),
    "a set of a module": lambda: in_network(lambda network: network.names.clear()),
    "a function of a module": lambda: in_network(lambda network: setattr(network, "act", torch.sqrt)),
    "a network in a function": lambda: around(Network()),
    "an argument": lambda: (bound, lambda: bound.keywords.update(gain=0.5)),
    "a variable around a function": lambda: (closed(gain), lambda: gain.update(it=0.5)),
    "a table that a function names": lambda: (by_table, lambda: TABLE.update(gain=0.5)),
    "a default": lambda: (by_default, lambda: setattr(by_default, "__defaults__", (0.5,))),
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test changes in this file is put back."""
    monkeypatch.setattr(by_default, "__defaults__", (1.0,))
    monkeypatch.setitem(TABLE, "gain", 1.0)


def digest(thing):
    return wrap_model(thing, 2, "cpu").digest


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_is_seen(name):
    model, change = CHANGES[name]()
    before = digest(model)
    assert digest(model) == before
    change()
    assert digest(model) != before


def test_the_text_of_digest_stands_for_all():
    class Stated(Model):
        def digest(self):
            return self.version

    first, second = Stated(version="1", gain=1.0), Stated(version="1", gain=0.5)
    assert digest(first) == digest(second) != digest(Stated(version="2", gain=1.0))


def test_results_made_elsewhere_have_digests_of_their_own(tmp_path):
    write_png(tmp_path / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    before = digest(ResultFolder(tmp_path, 2))
    write_png(tmp_path / "b.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert digest(ResultFolder(tmp_path, 2)) == before


def test_code_without_a_file_is_new_every_time():
    """As that of a notebook."""
    space = {"__name__": "__main__"}
    exec("def model(lr):\n    return lr", space)
    assert digest(space["model"]) != digest(space["model"])


def test_outputs_are_made_again_after_a_change_that_is_seen(photos, tmp_path):
    model = Network()
    options = {"scale": 2, "metrics": ["psnr"], "limit": 1, "crop": 24}

    def value(out):
        return srbench.evaluate({"m": model}, photos, out=tmp_path / out, **options).table["psnr"].tolist()

    before = value("run")
    assert value("run") == before
    model.weight.data.fill_(0.5)
    assert value("run") == value("fresh") != before
