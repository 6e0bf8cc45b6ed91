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
        vars(self).update(attributes)

    def __call__(self, lr):
        return self.gain * by_table(lr)


class Stated(Model):
    def digest(self):
        return self.version


class Network(torch.nn.Module):
    scale = 2

    def __init__(self, act=None):
        super().__init__()
        self.register_buffer("kept", torch.tensor(1.0))
        self.register_buffer("dropped", torch.tensor(1.0), persistent=False)
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.names = {"a", "b"}
        self.act = act

    def forward(self, lr):
        return self.weight * F.interpolate(lr, scale_factor=2)


class Scripted(torch.nn.Module):
    """TorchScript cannot be pickled."""

    scale = 2

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.network = torch.jit.script(torch.nn.ReLU())


def closed(gain):
    return lambda lr: gain["it"] * F.interpolate(lr, scale_factor=2)


def local():
    class Local(Model): ...

    return Local()


def of_notebook():
    """Code without a file."""
    sys.modules["srtest_notebook"] = notebook = ModuleType("srtest_notebook")
    exec("class Net:\n    def __call__(self, lr):\n        return lr", vars(notebook))
    return notebook.Net()


SEEN = {
    "a tensor": (lambda: Model(gain=torch.ones(1)), lambda model: setattr(model, "gain", torch.full((1,), 0.5))),
    "an array": (lambda: Model(gain=np.ones(1)), lambda model: setattr(model, "gain", np.full(1, 0.5))),
    "a number": (lambda: Model(gain=1.0), lambda model: setattr(model, "gain", 0.5)),
    "a set": (lambda: Model(gain={"a", "b"}), lambda model: model.gain.remove("b")),
    "an object in a list": (
        lambda: Model(parts=[{"inner": Model()}]),
        lambda model: setattr(model.parts[0]["inner"], "gain", 0.5),
    ),
    "a parameter": (Network, lambda network: network.weight.data.fill_(0.5)),
    "a buffer": (Network, lambda network: network.kept.fill_(0.5)),
    "a buffer that is not persistent": (Network, lambda network: network.dropped.fill_(0.5)),
    "a set of a module": (Network, lambda network: network.names.clear()),
    "a function of a module": (Network, lambda network: setattr(network, "act", torch.sqrt)),
    "another function of a module": (Network, lambda network: setattr(network, "act", F.relu)),
    "a lambda of a module": (Network, lambda network: setattr(network, "act", lambda image: image)),
    "another lambda of a module": (
        lambda: Network(lambda image: image),
        lambda network: setattr(network, "act", lambda image: -image),
    ),
    "an argument": (
        lambda: functools.partial(by_default, gain=1.0),
        lambda bound: bound.keywords.update(gain=0.5),
    ),
    "the text of digest()": (lambda: Stated(version="1"), lambda model: setattr(model, "version", "2")),
}
NEW_EVERY_TIME = {
    "a function": lambda: by_table,
    "a function with a default": lambda: by_default,
    "a function with variables around it": lambda: closed({"it": 1.0}),
    "a lambda": lambda: lambda lr: F.interpolate(lr, scale_factor=2),
    "a module with a function with variables around it": lambda: Network(closed({"it": 1.0})),
    "a class of a function": local,
    "code of a notebook": of_notebook,
    "a thread's lock": lambda: Model(lock=Lock()),
    "a generator": lambda: Model(gains=iter(gain for gain in (1.0,))),
    "a sparse tensor": lambda: Model(table=torch.eye(2).to_sparse()),
    "a TorchScript module": Scripted,
}
NOT_SEEN = {
    "a table that a method names": (Model, lambda model: TABLE.update(gain=0.5)),
    "a value of the class": (Model, lambda model: setattr(Model, "gain", 0.5)),
    "what the text of digest() leaves out": (lambda: Stated(version="1"), lambda model: setattr(model, "gain", 0.5)),
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a test changes in this file is put back."""
    monkeypatch.setattr(Model, "gain", 1.0)
    monkeypatch.setitem(TABLE, "gain", 1.0)
    monkeypatch.setitem(sys.modules, "srtest_notebook", None)


def digest(thing):
    return wrap_model(thing, 2, "cpu").digest


@pytest.mark.parametrize(("made", "change"), SEEN.values(), ids=SEEN)
def test_a_change_that_is_seen(made, change):
    model = made()
    before = digest(model)
    assert digest(model) == before
    change(model)
    assert digest(model) != before


@pytest.mark.parametrize("made", NEW_EVERY_TIME.values(), ids=NEW_EVERY_TIME)
def test_what_counts_as_new_every_time(made):
    model = made()
    assert digest(model) != digest(model)


@pytest.mark.parametrize(("made", "change"), NOT_SEEN.values(), ids=NOT_SEEN)
def test_a_change_that_is_not_seen(made, change):
    model = made()
    before, output = digest(model), model(torch.ones(1, 3, 2, 2))
    change(model)
    assert digest(model) == before
    assert not torch.equal(model(torch.ones(1, 3, 2, 2)), output)


def test_a_digest_is_the_same_in_another_process():
    """Python's order of a set of texts is another one in every process."""
    code = (
        "from fractions import Fraction; from srbench.plugins.identity import object_digest; print("
        "object_digest({'names': {'a', 'b', 'c', 'd'}, 'ratio': Fraction(1, 3)}))"
    )
    found = [
        subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2", "3")
    ]
    assert len(set(found)) == 1
    assert len(found[0]) > 60


def test_results_made_elsewhere_have_digests_of_their_own(tmp_path):
    write_png(tmp_path / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    before = digest(ResultFolder(tmp_path, 2))
    write_png(tmp_path / "b.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert digest(ResultFolder(tmp_path, 2)) == before


OPTIONS = {"scale": 2, "metrics": ["psnr"], "limit": 1, "crop": 24}


def test_a_run_that_is_kept_says_once_what_counts_as_new(photos, tmp_path):
    models = {"named": by_table, "lambda": lambda lr: by_table(lr), "network": Network()}
    with pytest.warns(UserWarning, match=r"^outputs of named, lambda are made again in every call, because") as said:
        srbench.evaluate(models, photos, out=tmp_path / "run", **OPTIONS)
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "outputs of")
        srbench.evaluate(models, photos, **OPTIONS)
        srbench.evaluate({"network": Network()}, photos, out=tmp_path / "other", **OPTIONS)


def test_outputs_are_made_again_after_a_change_that_is_seen(photos, tmp_path):
    model = Network()

    def value(out):
        return srbench.evaluate({"m": model}, photos, out=tmp_path / out, **OPTIONS).table["psnr"].tolist()

    before = value("run")
    assert value("run") == before
    model.weight.data.fill_(0.5)
    assert value("run") == value("fresh") != before
