import hashlib
import inspect
import os
import re
import sys
from importlib.metadata import EntryPoint

import pytest
import torch

from srbench.files.hashes import sha256_file
from srbench.images.io import write_png
from srbench.images.lr_projection import make_consistent
from srbench.interfaces import SRBenchError, StochasticSRModel
from srbench.metrics.loading import load_metric
from srbench.models.inference import SamplingParameters, upscale
from srbench.models.loading import load_model, ready_models
from srbench.models.precomputed import ResultFolder
from srbench.plugins import PluginError, registry
from srbench.plugins.registry import docstring_of, find_plugin, load_dataset, registered
from srbench.weights.files import WeightsError, save_weights

PLUGIN = '''
from pathlib import Path

from srbench.interfaces import SRBenchError, WeightsInfo
from srbench.files.hashes import sha256_file


class Model:
    """A model with weights."""

    def __init__(self, scale, weights=None):
        if scale == 3:
            raise SRBenchError("these weights are for scale 8, not 3; use --scale 8")
        self.scale = scale
        if weights is not None:
            self.weights = WeightsInfo(sha256_file(weights), "CC0-1.0", "one image", 5)

    def __call__(self, lr):
        return lr
'''


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Registered: a plugin module that works, one that cannot be imported, and one whose name is wrong."""
    (tmp_path / "plugin_of_test.py").write_text(PLUGIN)
    (tmp_path / "broken_of_test.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    points = [
        EntryPoint("mine", "plugin_of_test:Model", "srbench.models"),
        EntryPoint("broken", "broken_of_test:Model", "srbench.models"),
        EntryPoint("absent", "plugin_of_test:Nothing", "srbench.models"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    return tmp_path


@pytest.mark.parametrize("kind", ["models", "metrics", "metric_families", "folder_metrics", "datasets"])
def test_the_docstring_of_a_plugin_that_is_not_imported(kind):
    for name in registered(kind):
        assert docstring_of(kind, name) == inspect.getdoc(find_plugin(kind, name).factory) != ""


def test_a_broken_plugin_harms_no_other_model(plugins):
    loaded = load_model("mine", 8, "cpu")
    assert (loaded.label, loaded.spec, loaded.model.scale, loaded.weights) == ("mine", "mine", 8, None)
    with pytest.raises(PluginError, match=r"model broken .*ModuleNotFoundError.*a_package_that_is_not_there"):
        load_model("broken", 8, "cpu")
    with pytest.raises(PluginError, match=r"model absent .*AttributeError"):
        load_model("absent", 8, "cpu")


def test_the_error_of_a_model_passes(plugins):
    with pytest.raises(SRBenchError, match=r"^these weights are for scale 8, not 3; use --scale 8$"):
        load_model("mine", 3, "cpu")
    assert list(ready_models("mine")) == [2, 4, 8]


def test_a_weights_file(plugins, tmp_path):
    path = tmp_path / "my weights.safetensors"
    save_weights(path, {"a": torch.ones(1)}, {})
    loaded = load_model(f"mine:{path}", 8, "cpu")
    assert loaded.label == "mine-my-weights"
    made = load_model(f"mine:{path}+consistent", 8, "cpu")
    assert (made.label, made.weights) == ("mine-my-weights+consistent", loaded.weights)
    assert loaded.weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    moved = path.rename(tmp_path / "moved.safetensors")
    assert load_model(f"mine:{moved}", 8, "cpu").digest == loaded.digest, "the path does not matter"
    save_weights(moved, {"a": torch.zeros(1)}, {})
    assert load_model(f"mine:{moved}", 8, "cpu").digest != loaded.digest
    with pytest.raises(WeightsError, match="absent: no such weights file"):
        load_model("mine:absent", 8, "cpu")


def test_a_training_is_a_model(plugins, tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    with pytest.raises(WeightsError, match=r"a folder without weights\.safetensors"):
        load_model(f"mine:{run}", 8, "cpu")
    (run / "training.json").touch()
    with pytest.raises(WeightsError, match="has no checkpoint yet; resume it: srbench train --resume"):
        load_model(f"mine:{run}", 8, "cpu")
    save_weights(run / "weights.safetensors", {"a": torch.ones(1)}, {})
    loaded = load_model(f"mine:{run}", 8, "cpu")
    assert loaded.label == "mine-my-run"
    assert loaded.weights.sha256 == sha256_file(run / "weights.safetensors")


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("esrgan@1.5", "the strength is 1.5; it has to be a number from 0 to 1"),
        ("esrgan@half", "the strength is half"),
        ("esrgan+8steps", r"esrgan\+8steps: \S* has no number of steps per sample; omit \+8steps$"),
        ("esrgan+steps", r"no option \+steps; at the end of a name, write one or more of \+8steps"),
        ("mine@0.5", "mine cannot be interpolated; omit @0.5"),
        ("esrgam@0.5", "did you mean esrgan"),
    ],
)
def test_what_cannot_be_interpolated(spec, fault, monkeypatch):
    names = {"mine": "baselines.bicubic:Bicubic", "esrgan": "baselines.pretrained:load_esrgan"}
    points = [EntryPoint(name, value, "srbench.models") for name, value in names.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    with pytest.raises(PluginError, match=fault):
        load_model(spec, 8, "cpu")


def test_weights_for_a_model_without_weights(tmp_path):
    (tmp_path / "w").touch()
    with pytest.raises(PluginError, match="the model bicubic takes no weights file"):
        load_model(f"bicubic:{tmp_path / 'w'}", 4, "cpu")


def test_a_class_in_a_file(models):
    loaded = load_model(f"{models}:Nearest", 4, "cpu")
    assert loaded.label == "Nearest"
    assert not loaded.model.training, "a network is in evaluation mode"
    assert loaded.model(torch.ones(1, 3, 2, 2)).shape == (1, 3, 8, 8)
    models.write_text(models.read_text() + "# changed\n")
    assert load_model(f"{models}:Nearest", 4, "cpu").digest != loaded.digest


@pytest.mark.parametrize(("name", "temperature"), [("Nearest", None), ("Noisy", 0.8)])
def test_a_model_made_consistent(models, name, temperature):
    """Its own image but for what downscaling shows; marked in its label, and of another digest."""
    plain, made = (load_model(f"{models}:{name}{suffix}", 4, "cpu") for suffix in ("", "+consistent"))
    assert (made.label, plain.label) == (f"{name}+consistent", name)
    assert load_model(f"other={models}:{name}+consistent", 4, "cpu").label == "other"
    assert made.digest != plain.digest
    for one in (made, plain):
        assert isinstance(one.model, StochasticSRModel) == (temperature is not None)
    lr = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0))

    def answer(model):
        return upscale(model, "a", lr, SamplingParameters(temperature or 0.0, 2, 1), "cpu").images

    torch.testing.assert_close(answer(made.model), make_consistent(answer(plain.model), lr, 4))


def test_another_label(models, plugins):
    assert load_model(f"near={models}:Nearest", 4, "cpu").label == "near"
    assert load_model("other=mine", 4, "cpu").label == "other"
    assert load_model("other=mine", 4, "cpu").digest == load_model("mine", 4, "cpu").digest
    assert load_model("plugin_of_test:Model", 2, "cpu").model.scale == 2


def test_a_folder_of_results(tmp_path):
    write_png(tmp_path / "results" / "a.png", torch.zeros(3, 8, 8, dtype=torch.uint8))
    loaded = load_model(f"theirs={tmp_path / 'results'}", 4, "cpu")
    assert isinstance(loaded.model, ResultFolder)
    assert (loaded.label, loaded.model.scale, loaded.weights) == ("theirs", 4, None)
    with pytest.raises(PluginError, match="a folder of results needs a label"):
        load_model(str(tmp_path / "results"), 4, "cpu")
    with pytest.raises(PluginError, match=r"\+consistent does not apply to a folder of results; omit it"):
        load_model(f"x={tmp_path / 'results'}+consistent", 4, "cpu")
    with pytest.raises(PluginError, match="no such folder of results"):
        load_model(f"theirs={tmp_path / 'absent'}", 4, "cpu")


def test_a_registered_name_comes_before_a_folder(tmp_path, monkeypatch):
    (tmp_path / "bicubic").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_model("bicubic", 4, "cpu").label == "bicubic"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ("bicubik", r"unknown model 'bicubik'; did you mean bicubic\?"),
        ("bicubik:file", r"unknown model 'bicubik'; did you mean bicubic\?"),
        ("no_such_package.x:Name", "unknown model 'no_such_package.x'"),
        ("builtins:print", "builtins:print: builtins has no source file"),
        ("math:pi", "math:pi: unknown class or function 'pi'"),
        ("torch:zeros", r"torch:zeros failed: TypeError: zeros\(\) missing 1 required"),
        ("absent.py:Name", r"absent\.py: no such file"),
        ("{models}:Nearst", r"unknown class or function 'Nearst'; did you mean Nearest\?"),
        ("{models}", r"models\.py defines Nearest, .*; name one of them, as in .*models\.py:\w+"),
        ("{models}:Nearest", "has scale 4, but scale 2 is requested"),
        ("{models}:BrokenConstructor", r"failed: OSError: no such device \(models\.py line \d+\)"),
    ],
)
def test_what_stands_for_nothing(models, spec, fault, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginError, match=fault) as caught:
        load_model(spec.format(models=models), 2, "cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("load", "fault"),
    [
        (lambda: load_metric("psrn"), r"unknown metric 'psrn'; did you mean psnr\?"),
        (lambda: load_dataset("photo", 4), r"unknown dataset 'photo'; did you mean photos\?"),
        (lambda: find_plugin("trainers", "srflo"), r"unknown trainer 'srflo'; did you mean srflow\?"),
    ],
)
def test_near_misses(load, fault):
    with pytest.raises(PluginError, match=fault):
        load()


OWN = """
import torch.nn as nn
import torch.nn.functional as F


class Net(nn.Module):
    def forward(self, lr):
        return F.interpolate(lr, scale_factor=4)


class Sampler:
    def sample(self, lr, n, *, temperature, generator): ...


class Deep(Net):
    def __init__(self, depth, width): ...


class Scales(Net):
    scale = (2, 4)


class Text(Net):
    scale = "4"


class Raises(Net):
    @property
    def scale(self):
        raise ValueError("it has none")


class NoCall:
    scale = 4


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def up(lr):
    return F.interpolate(lr, scale_factor=4)


def nothing():
    return None


def silent():
    raise SilentError
"""


def test_a_network_without_a_scale_takes_that_of_the_run(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    loaded = load_model(f"{tmp_path}/own.py:Net", 4, "cpu")
    assert loaded.model(torch.zeros(1, 3, 2, 3)).shape == (1, 3, 8, 12)
    other = load_model(f"{tmp_path}/own.py:Net", 2, "cpu")
    with pytest.raises(SRBenchError, match=r"it must be \(n, 3, 4, 6\), 2 times LR"):
        upscale(other.model, "a", torch.zeros(3, 2, 3), SamplingParameters(0, 1, 0), "cpu")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Sampler", "has no attribute scale, which a stochastic model needs: add scale = 4"),
        (
            "Deep",
            r"needs the arguments depth, width; .* def make\(scale\): return Deep\(\.\.\.\), and name the function",
        ),
        ("up", r"needs the arguments lr; .* def make\(scale\): return up, and name the function"),
        ("Scales", r"has scale \(2, 4\), but scale 4 is requested; its attribute scale must be a whole number"),
        ("Text", r"own\.py:Text has scale '4', but scale 4 is requested"),
        ("Raises", r"scale of \S+own\.py:Raises failed: ValueError: it has none"),
        ("NoCall", r"own\.py:NoCall: .*NoCall object.* is not a model"),
        ("nothing", r"own\.py:nothing: None is not a model"),
        ("silent", r"own\.py:silent failed: SilentError"),
    ],
)
def test_what_a_model_lacks(tmp_path, name, fault):
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(PluginError, match=fault):
        load_model(f"{tmp_path}/own.py:{name}", 4, "cpu")


@pytest.mark.parametrize("fails", [lambda: torch.nn.Linear(3, "many"), lambda: re.compile("("), lambda: save_weights()])
def test_a_failure_names_the_line_of_the_plugin_and_not_that_of_a_library(fails):
    line = fails.__code__.co_firstlineno
    with pytest.raises(PluginError, match=rf"net failed: \w+: .* \(test_registry\.py line {line}\)$"):
        registry.call("net", fails)


def test_a_plugin_that_calls_sys_exit_has_failed_and_ctrl_c_passes():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(PluginError, match=r"model net failed: SystemExit: 3 \(test_registry.py line \d+\)"):
        registry.call("model net", lambda: sys.exit(3))
    with pytest.raises(KeyboardInterrupt):
        registry.call("model net", interrupted)


def test_a_file_edited_within_a_second_is_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "edited.py"
    for value in (1, 2):
        path.write_text(f"class Model:\n    value = {value}\n")
        os.utime(path, (1e9, 1e9))  # of the same size and second
        assert find_plugin("models", f"{path}:Model").factory.value == value
    assert [each.name for each in tmp_path.iterdir()] == ["edited.py"], "and no bytecode is left beside it"
