"""A key covers the code: what is changed is sampled or measured again, and nothing else is."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import srbench
from srbench.benchmark.run import run
from srbench.metrics.loading import open_metric
from srbench.plugins import code_digest as code
from srbench.plugins.code_digest import code_digest, reachable, source_of
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.verification.verify import verify

PACKAGE = Path(srbench.__file__).parent

MODEL = """
import torch.nn.functional as F
from srbench_test_helper import GAIN


class Near:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=self.scale) * GAIN
"""
METRIC = """
from srbench.interfaces import ImageMetric, MetricInfo


class Mine(ImageMetric):
    info = MetricInfo(name="mine", title="mine", direction=1, protocol="a test")

    def __call__(self, samples, pair):
        from srbench_test_helper import SHIFT

        return (samples - pair.hr).abs().mean(dim=(1, 2, 3)) + SHIFT
"""


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Write sources: the next run is one of another process, in which they are read anew."""

    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of the size and second of the file before

    def call(**sources):
        for name, text in sources.items():
            (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.setattr(code, "_AS_IMPORTED", {})
        sys.modules.pop("srbench_test_helper", None)

    call(model=MODEL, metric=METRIC, srbench_test_helper="GAIN, SHIFT = 1.0, 0.0\n")
    yield call
    sys.modules.pop("srbench_test_helper", None)
    if str(tmp_path) in sys.path:
        sys.path.remove(str(tmp_path))


@pytest.fixture
def mine(edit, changed, tmp_path):
    return changed(models=(f"mine={tmp_path / 'model.py'}:Near",), metrics=("psnr", f"{tmp_path / 'metric.py'}:Mine"))


def value(folder, metric):
    return measurements_of(RunFolder.read(folder))[0].values[metric]


def test_a_changed_metric(mine, edit):
    folder = run(mine).folder
    before = value(folder, "mine")
    edit(metric=METRIC.replace("+ SHIFT", "+ SHIFT + 1"))
    outcome = run(mine)
    assert (outcome.sampled, outcome.scored) == (0, 3), "measured again from the images"
    assert value(folder, "mine")[0] == pytest.approx(before[0] + 1)


def test_a_file_that_a_parameter_of_a_metric_names(edit, tmp_path):
    edit(metric=METRIC + "\n    def __init__(self, table=None): ...\n")
    found = []
    for content in ("1", "2"):
        (tmp_path / "table.txt").write_text(content)
        found.append(open_metric(f"{tmp_path / 'metric.py'}:Mine+table={tmp_path / 'table.txt'}").info.digest)
    assert found[0] != found[1]


def test_a_metric_that_reads_a_variable(mine, edit, monkeypatch):
    """Not seen by the same command; ``verify`` tells, and ``--again`` measures again."""
    monkeypatch.setenv("SRTEST_SHIFT", "0")
    edit(metric="import os\n" + METRIC.replace("+ SHIFT", "+ float(os.environ['SRTEST_SHIFT'])"))
    folder = run(mine).folder
    before = value(folder, "mine")
    monkeypatch.setenv("SRTEST_SHIFT", "1")
    edit()
    assert (run(mine).scored, value(folder, "mine")) == (0, before)
    assert "value-differs" in {finding.rule for finding in verify(folder).findings}
    run(replace(mine, again=("mine",)))
    assert value(folder, "mine")[0] == pytest.approx(before[0] + 1)
    assert "value-differs" not in {finding.rule for finding in verify(folder).findings}


DATA = """
import torch
from srbench.images.resize import downscale_uint8
from srbench.interfaces import ImagePair


class Stripes:
    name = "stripes"

    def __init__(self, scale):
        self.scale = scale

    def __len__(self):
        return 1

    def __iter__(self):
        return iter(["a"])

    def digest(self, name):
        return "version 1"

    def read(self, name):
        hr = torch.full((3, 16, 16), 100, dtype=torch.uint8)
        return ImagePair(name, downscale_uint8(hr, self.scale) / 255, hr / 255)
"""


def test_a_changed_dataset(edit, changed, tmp_path):
    edit(data=DATA)
    spec = changed(
        models=("bicubic",), metrics=("psnr",), data=f"{tmp_path / 'data.py'}:Stripes", limit=None, crop=None
    )
    assert run(spec).sampled == 1
    edit()
    assert run(spec).sampled == 0
    edit(data=DATA.replace("100", "200"))
    assert run(spec).sampled == 1


@pytest.mark.parametrize(
    ("edited", "affected"),
    [
        ("images/resize.py", {"srbench.data.datasets", "srbench.metrics.consistency"}),
        ("metrics/pixel.py", {"srbench.metrics.pixel", "srbench.metrics.consistency"}),
        ("images/tiling.py", {"srbench.models.inference"}),
        ("reporting/report.py", set()),
        ("cli/main.py", set()),
    ],
)
def test_what_a_change_in_srbench_affects(tmp_path, monkeypatch, edited, affected):
    copy = tmp_path / "srbench"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("photos", "*.safetensors", "__pycache__"))
    monkeypatch.setattr(code, "_FOLDER", tmp_path)
    names = ["data.datasets", "models.inference", "metrics.pixel", "metrics.consistency"]

    def digests():
        monkeypatch.setattr(code, "_AS_IMPORTED", {})
        return {f"srbench.{name}": code_digest(f"srbench.{name}", source_of(f"srbench.{name}")) for name in names}

    before = digests()
    with (copy / edited).open("a") as file:
        file.write("\n# changed\n")
    after = digests()
    assert {name for name in before if before[name] != after[name]} == affected


def test_what_is_followed(tmp_path):
    (tmp_path / "start.py").write_text(
        "from typing import TYPE_CHECKING\nimport numpy as np, json\nfrom srtest_package import deep\n"
        "from srtest_folder import below\n"
        "if TYPE_CHECKING:\n    import pandas\nelse:\n    import srtest_folder.run\n"
        "if not typing.TYPE_CHECKING:\n    import srtest_folder.run_too\n"
        "if typing.TYPE_CHECKING:\n    import scipy\n"
        "def late():\n    from srtest_package.other import name\n    import torch.nn.functional\n"
    )
    package = tmp_path / "srtest_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text("from . import sibling\nfrom .sibling import x\n")
    (package / "sibling.py").write_text("x = 1\n")
    (package / "other.py").write_text("import start\nname = 2\n")
    (package / "unused.py").write_text("import scipy\n")
    (tmp_path / "srtest_folder").mkdir()
    for name in ("below", "run", "run_too"):
        (tmp_path / "srtest_folder" / f"{name}.py").write_text("")
    sources, libraries = reachable("start", tmp_path / "start.py")
    names = ["srtest_package", *(f"srtest_package.{name}" for name in ("deep", "other", "sibling"))]
    folder = [f"srtest_folder.{name}" for name in ("below", "run", "run_too")]
    assert sorted(sources) == [*folder, *names, "start"]
    assert libraries == {"numpy", "torch"}


def test_a_relative_import_of_a_single_file_hides_no_other(tmp_path):
    """Code that also runs in its package tries both."""
    (tmp_path / "net.py").write_text("try:\n    from .part import F\nexcept ImportError:\n    from part import F\n")
    (tmp_path / "part.py").write_text("import torch\nF = 1\n")
    sources, libraries = reachable("net", tmp_path / "net.py")
    assert (sorted(sources), libraries) == (["net", "part"], {"torch"})


def test_a_file_with_the_name_of_an_option_does_not_count(tmp_path, monkeypatch):
    before = open_metric("psnr+channels=Y").info.digest
    (tmp_path / "Y").touch()
    monkeypatch.chdir(tmp_path)
    assert open_metric("psnr+channels=Y").info.digest == before


def test_srbench_counts_for_a_plugin_by_its_version(tmp_path):
    (tmp_path / "mine.py").write_text("from srbench.metrics import psnr\n")
    sources, libraries = reachable("mine", tmp_path / "mine.py")
    assert (list(sources), libraries) == (["mine"], {"srbench"})
    assert code.version_of("srbench") == f"sr-bench {srbench.__version__}"


def test_versions_of_libraries_count_but_not_their_builds(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text("import torch\n")
    found = []
    for version in ("2.13.0+cpu", "2.13.0", "2.14.0"):
        torch = {"torch": [SimpleNamespace(name="torch", version=version)]}
        monkeypatch.setattr(code, "_distributions", lambda torch=torch: torch)
        code.version_of.cache_clear()
        found.append(code_digest("m", tmp_path / "m.py"))
    code.version_of.cache_clear()
    assert found[0] == found[1] != found[2]


TWO = """
import torch.nn.functional as F


class Near:
    scale = 4

    def __call__(self, lr):
        return F.interpolate(lr, scale_factor=4)


class Half(Near):
    def __call__(self, lr):
        return super().__call__(lr) / 2

"""


def test_two_classes_of_one_file_are_two_models(edit, changed, tmp_path):
    edit(two=TWO)
    spec = changed(models=(f"x={tmp_path / 'two.py'}:Near",), metrics=("psnr",))
    run(spec)
    with pytest.raises(RunFolderError, match=r"x stands for x=.*:Near in it, not for x=.*:Half"):
        run(replace(spec, models=(f"x={tmp_path / 'two.py'}:Half",)))
