"""Objects given to ``srbench.evaluate``: known by the code of their class and by what they hold."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import warnings
from threading import Lock
from types import ModuleType

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


class OfTable(Model):
    def value(self):
        return TABLE["gain"]


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


class Scripted(torch.nn.Module):
    """TorchScript cannot be pickled."""

    scale = 2

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.network = torch.jit.script(torch.nn.ReLU())


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


def holding(value):
    network = Network()
    network.act = value
    return network


def local():
    class Local(Model): ...

    return Local()


inner, bound = Model(), functools.partial(by_default, gain=1.0)
SEEN = {
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
    "another function of a module": lambda: in_network(lambda network: setattr(network, "act", F.relu)),
    "a lambda of a module": lambda: in_network(lambda network: setattr(network, "act", lambda image: image)),
    "an argument": lambda: (bound, lambda: bound.keywords.update(gain=0.5)),
}
NEW_EVERY_TIME = {
    "a function": lambda: by_table,
    "a function with a default": lambda: by_default,
    "a function with variables around it": lambda: closed({"it": 1.0}),
    "a lambda": lambda: lambda lr: F.interpolate(lr, scale_factor=2),
    "a module with a function with variables around it": lambda: holding(closed({"it": 1.0})),
    "a class of a function": local,
    "a thread's lock": lambda: Model(lock=Lock()),
    "a generator": lambda: Model(gains=iter(gain for gain in (1.0,))),
    "a sparse tensor": lambda: Model(table=torch.eye(2).to_sparse()),
    "a TorchScript module": Scripted,
}
NOT_SEEN = {
    "a table that a method names": lambda: (OfTable(), lambda: TABLE.update(gain=0.5)),
    "a value of the class": lambda: (Model(), lambda: setattr(Model, "gain", 0.5)),
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test changes in this file is put back."""
    monkeypatch.setattr(Model, "gain", 1.0)
    monkeypatch.setitem(TABLE, "gain", 1.0)


def digest(thing):
    return wrap_model(thing, 2, "cpu").digest


@pytest.mark.parametrize("name", SEEN)
def test_a_change_that_is_seen(name):
    model, change = SEEN[name]()
    before = digest(model)
    assert digest(model) == before
    change()
    assert digest(model) != before


@pytest.mark.parametrize("name", NEW_EVERY_TIME)
def test_what_counts_as_new_every_time(name):
    model = NEW_EVERY_TIME[name]()
    assert digest(model) != digest(model)


@pytest.mark.parametrize("name", NOT_SEEN)
def test_a_change_that_is_not_seen(name):
    model, change = NOT_SEEN[name]()
    before, output = digest(model), model(torch.ones(1, 3, 2, 2))
    change()
    assert digest(model) == before
    assert not torch.equal(model(torch.ones(1, 3, 2, 2)), output)


def test_a_digest_is_the_same_in_another_process():
    """Python's order of a set of texts is another one in every process."""
    code = (
        "from fractions import Fraction; from srbench.plugins.identity import object_digest; print("
        "object_digest({'names': {'a', 'b', 'c', 'd'}, 'ratio': Fraction(1, 3)}))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(set(found)) == 1
    assert len(found[0]) > 60


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
    notebook = ModuleType("srtest_notebook")
    exec("class Net:\n    def __call__(self, lr):\n        return lr", vars(notebook))
    sys.modules["srtest_notebook"] = notebook
    model = notebook.Net()
    assert digest(model) != digest(model)
    del sys.modules["srtest_notebook"]


def test_a_run_that_is_kept_says_once_what_counts_as_new(photos, tmp_path):
    models = {"named": by_table, "lambda": lambda lr: by_table(lr), "network": Network()}
    options = {"scale": 2, "metrics": ["psnr"], "limit": 1, "crop": 24}
    with pytest.warns(UserWarning, match=r"^outputs of named, lambda are made again in every call, because") as said:
        srbench.evaluate(models, photos, out=tmp_path / "run", **options)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "outputs of")
        srbench.evaluate(models, photos, **options)
        srbench.evaluate({"network": Network()}, photos, out=tmp_path / "other", **options)


def test_outputs_are_made_again_after_a_change_that_is_seen(photos, tmp_path):
    model = Network()
    options = {"scale": 2, "metrics": ["psnr"], "limit": 1, "crop": 24}

    def value(out):
        return srbench.evaluate({"m": model}, photos, out=tmp_path / out, **options).table["psnr"].tolist()

    before = value("run")
    assert value("run") == before
    model.weight.data.fill_(0.5)
    assert value("run") == value("fresh") != before
