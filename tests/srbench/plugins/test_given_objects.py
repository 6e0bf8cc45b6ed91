"""Objects given to ``srbench.evaluate``: known by all that can be reached from them, and by what they read."""

from __future__ import annotations

import functools
import os
import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import srbench
from srbench.run_folder.folder import RunFolder

GAIN = 1.0
TABLE = {"gain": 1.0}


def by_global(lr):
    return GAIN * F.interpolate(lr, scale_factor=2)


def by_table(lr):
    return TABLE["gain"] * F.interpolate(lr, scale_factor=2)


def by_default(lr, gain=1.0):
    return gain * F.interpolate(lr, scale_factor=2)


def by_other_function(lr):
    return by_global(lr)


@torch.no_grad()
def by_decorated(lr):
    return GAIN * F.interpolate(lr, scale_factor=2)


def by_environment(lr):
    return float(os.environ["SRTEST_GAIN"]) * F.interpolate(lr, scale_factor=2)


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


class OfTensor(Model):
    def value(self):
        return self.tensor.item()


class OfPath(Model):
    def value(self):
        return float(self.path.read_text())


class OfSet(Model):
    def value(self):
        return len(self.names) / 2


class OfNested(Model):
    def value(self):
        return self.parts[0]["inner"].gain


class Slotted(Model):
    __slots__ = ("slot",)

    def value(self):
        return self.slot


class Property(Model):
    @property
    def doubled(self):
        return 1.0

    def value(self):
        return self.doubled


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


def network(change):
    made = Network()
    return made, lambda: change(made)


def attributes(kind, name, before, after):
    model = kind(**{name: before})
    return model, lambda: setattr(model, name, after)


def nested(inner):
    return OfNested(parts=[{"inner": inner}]), lambda: setattr(inner, "gain", 0.5)


def with_method(model):
    return model, lambda: setattr(model, "value", types.MethodType(lambda self: 0.5, model))


def partial(model):
    return model, lambda: model.keywords.update(gain=0.5)


def other_code(lr, gain=1.0):
    return 0.5 * gain * F.interpolate(lr, scale_factor=2)


CHANGES = {
    "a tensor": lambda: attributes(OfTensor, "tensor", torch.ones(1), torch.full((1,), 0.5)),
    "an array": lambda: attributes(OfTensor, "tensor", np.ones(1), np.full(1, 0.5)),
    "a number": lambda: attributes(Model, "gain", 1.0, 0.5),
    "a set": lambda: attributes(OfSet, "names", {"a", "b"}, {"a"}),
    "nested objects": lambda: nested(Model()),
    "a slot": lambda: attributes(Slotted, "slot", 1.0, 0.5),
    "a parameter": lambda: network(lambda made: made.weight.data.fill_(0.5)),
    "a buffer": lambda: network(lambda made: made.kept.fill_(0.5)),
    "a buffer that is not persistent": lambda: network(lambda made: made.dropped.fill_(0.5)),
    "a set of a module": lambda: network(lambda made: made.names.clear()),
    "a function of a module": lambda: network(lambda made: setattr(made, "act", torch.sqrt)),
    "a method of one object": lambda: with_method(Model()),
    "an argument": lambda: partial(functools.partial(by_default, gain=1.0)),
}


@pytest.fixture
def changes(photos, tmp_path):
    """True if a model is sampled again after a change, as it has to be: its numbers are those of a fresh folder."""

    def call(model, change):
        options = {"scale": 2, "metrics": ["psnr"], "limit": 1, "crop": 24}
        values, keys = [], []
        for out in ("run", "run", "fresh1"):
            found = srbench.evaluate({"m": model}, photos, out=tmp_path / out, **options)
            values.append(found.table["psnr"].tolist())
            keys.append([known.samples for known in RunFolder.read(tmp_path / out).known.values()])
        assert keys[0] == keys[1], "nothing changed, nothing is sampled again"
        change()
        after = srbench.evaluate({"m": model}, photos, out=tmp_path / "run", **options).table["psnr"].tolist()
        truth = srbench.evaluate({"m": model}, photos, out=tmp_path / "fresh2", **options).table["psnr"].tolist()
        assert after == truth != values[0]

    return call


@pytest.mark.parametrize("name", CHANGES)
def test_an_object_that_was_changed(changes, name):
    changes(*CHANGES[name]())


def test_a_file_behind_a_path(changes, tmp_path):
    path = tmp_path / "gain.txt"
    path.write_text("1.0")
    changes(OfPath(path=path), lambda: path.write_text("0.5"))


@pytest.mark.parametrize(
    ("model", "owner", "name", "value"),
    [
        (Model(), Model, "gain", 0.5),
        (Model(), Model, "value", lambda self: 0.5),
        (Property(), Property, "doubled", property(lambda self: 0.5)),
        (by_default, by_default, "__defaults__", (0.5,)),
        (by_default, by_default, "__code__", other_code.__code__),
    ],
    ids=["a class attribute", "a method of a class", "a property", "a default", "code"],
)
def test_a_class_or_function_that_was_changed(changes, monkeypatch, model, owner, name, value):
    changes(model, lambda: monkeypatch.setattr(owner, name, value))


@pytest.mark.parametrize("function", [by_global, by_other_function, by_decorated, lambda lr: by_global(lr)])
def test_a_global_of_a_function(changes, monkeypatch, function):
    changes(function, lambda: monkeypatch.setitem(globals(), "GAIN", 0.5))


def test_a_table_of_a_module(changes, monkeypatch):
    changes(by_table, lambda: monkeypatch.setitem(TABLE, "gain", 0.5))


def test_a_closure(changes):
    cell = {"it": 1.0}
    changes(closed(cell), lambda: cell.update(it=0.5))


def test_an_environment_variable(changes, monkeypatch):
    monkeypatch.setenv("SRTEST_GAIN", "1.0")
    changes(by_environment, lambda: monkeypatch.setenv("SRTEST_GAIN", "0.5"))


def test_a_model_that_changes_when_it_is_called_is_made_again(photos, tmp_path):
    class Counts(Model):
        def value(self):
            self.gain *= 0.9
            return self.gain

    with pytest.warns(
        UserWarning, match="Counts: cannot tell whether it changed .changes when it is called.; its outp"
    ):
        srbench.evaluate({"m": Counts()}, photos, scale=2, metrics=["psnr"], limit=1, crop=24, out=tmp_path / "run")
