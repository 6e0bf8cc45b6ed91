"""A key covers the code: what is changed is sampled or measured again, and nothing else is."""

from __future__ import annotations

import shutil
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

METRIC = """
import os
from srbench.interfaces import ImageMetric, MetricInfo


class Mine(ImageMetric):
    info = MetricInfo(name="mine", title="mine", direction=1, protocol="a test")

    def __init__(self, table=None): ...

    def __call__(self, samples, pair):
        return (samples - pair.hr).abs().mean(dim=(1, 2, 3)) + SHIFT
"""
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


@pytest.fixture
def edited(write, new_process, changed):
    """A run on the plug-in after its file is written, by another process, and the value of the metric."""

    def call(source, values, **changes):
        write({"plugin.py": source})
        new_process()
        found = run(changed(**values, **changes))
        return found, measurements_of(RunFolder.read(found.folder))[0].values.get("mine")

    return call


@pytest.fixture
def mine(tmp_path):
    return {"models": ("mine=bicubic",), "metrics": ("psnr", f"{tmp_path / 'plugin.py'}:Mine")}


def test_a_changed_metric(edited, mine):
    _, before = edited(METRIC.replace("SHIFT", "0"), mine)
    found, after = edited(METRIC.replace("SHIFT", "1"), mine)
    assert (found.sampled, found.scored) == (0, 3), "measured again from the images"
    assert after[0] == pytest.approx(before[0] + 1)


def test_a_metric_that_reads_a_variable(edited, mine, monkeypatch):
    """Not seen by the same command; ``verify`` tells, and ``--again`` measures again."""
    source = METRIC.replace("SHIFT", "float(os.environ['SRTEST_SHIFT'])")
    monkeypatch.setenv("SRTEST_SHIFT", "0")
    _, before = edited(source, mine)
    monkeypatch.setenv("SRTEST_SHIFT", "1")
    found, same = edited(source, mine)
    assert (found.scored, same) == (0, before)
    assert "value-differs" in {finding.rule for finding in verify(found.folder).findings}
    assert edited(source, mine, again=("mine",))[1][0] == pytest.approx(before[0] + 1)
    assert "value-differs" not in {finding.rule for finding in verify(found.folder).findings}


def test_a_changed_dataset(edited, tmp_path):
    data = {"data": f"{tmp_path / 'plugin.py'}:Stripes", "limit": None, "crop": None, "metrics": ("psnr",)}
    made = [edited(text, data, models=("bicubic",))[0].sampled for text in (DATA, DATA, DATA.replace("100", "200"))]
    assert made == [1, 0, 1]


def test_two_classes_of_one_file_are_two_models(edited, tmp_path):
    source = "class Near:\n    scale = 4\n    def __call__(self, lr):\n        return lr.repeat(1, 1, 4, 4)\n"
    source += "class Half(Near): ...\n"
    near, half = (
        {"models": (f"x={tmp_path / 'plugin.py'}:{name}",), "metrics": ("psnr",)} for name in ("Near", "Half")
    )
    edited(source, near)
    with pytest.raises(RunFolderError, match=r"x stands for x=.*:Near in it, not for x=.*:Half"):
        edited(source, half)


def test_a_file_that_a_parameter_of_a_metric_names(write, tmp_path):
    found = []
    for content in ("1", "2"):
        write({"metric.py": METRIC, "table.txt": content})
        found.append(open_metric(f"{tmp_path / 'metric.py'}:Mine+table={tmp_path / 'table.txt'}").info.digest)
    assert found[0] != found[1]


def test_a_file_with_the_name_of_an_option_does_not_count(tmp_path, monkeypatch):
    before = open_metric("psnr+channels=Y").info.digest
    (tmp_path / "Y").touch()
    monkeypatch.chdir(tmp_path)
    assert open_metric("psnr+channels=Y").info.digest == before


@pytest.mark.parametrize(
    ("edited_file", "affected"),
    [
        ("images/resize.py", {"srbench.data.datasets", "srbench.metrics.consistency"}),
        ("metrics/pixel.py", {"srbench.metrics.pixel", "srbench.metrics.consistency"}),
        ("images/tiling.py", {"srbench.models.inference"}),
        ("reporting/writers/report.py", set()),
        ("cli/main.py", set()),
    ],
)
def test_what_a_change_in_srbench_affects(tmp_path, monkeypatch, edited_file, affected):
    ignored = shutil.ignore_patterns("photos", "*.safetensors", "__pycache__")
    shutil.copytree(Path(srbench.__file__).parent, tmp_path / "srbench", ignore=ignored)
    monkeypatch.setattr(code, "_FOLDER", tmp_path)
    names = [
        f"srbench.{name}" for name in ("data.datasets", "models.inference", "metrics.pixel", "metrics.consistency")
    ]

    def digests():
        monkeypatch.setattr(code, "_AS_IMPORTED", {})
        return {name: code_digest(name, source_of(name)) for name in names}

    before = digests()
    with (tmp_path / "srbench" / edited_file).open("a") as file:
        file.write("\n# changed\n")
    after = digests()
    assert {name for name in names if before[name] != after[name]} == affected


START = """
from typing import TYPE_CHECKING
import numpy as np, json
from srtest_package import deep
from srtest_folder import below
if TYPE_CHECKING:
    import pandas
else:
    import srtest_folder.run
if not typing.TYPE_CHECKING:
    import srtest_folder.run_too
if typing.TYPE_CHECKING:
    import scipy
def late():
    from srtest_package.other import name
    import torch.nn.functional
"""
EITHER = "try:\n    from .part import F\nexcept ImportError:\n    from part import F\n"
"""Code that also runs in its package."""
FOLLOWED = {
    "all but types": (
        {
            "start.py": START,
            "srtest_package/__init__.py": "",
            "srtest_package/deep.py": "from . import sibling\nfrom .sibling import x\n",
            "srtest_package/sibling.py": "x = 1\n",
            "srtest_package/other.py": "import start\nname = 2\n",
            "srtest_package/unused.py": "import scipy\n",
            **{f"srtest_folder/{name}.py": "" for name in ("below", "run", "run_too")},
        },
        "srtest_folder.below srtest_folder.run srtest_folder.run_too srtest_package srtest_package.deep "
        "srtest_package.other srtest_package.sibling start",
        "numpy torch",
    ),
    "a relative import of a single file": ({"start.py": EITHER, "part.py": "import torch\n"}, "part start", "torch"),
    "packages around a module": (
        {"start.py": "import part.a", "part/__init__.py": "", "part/a.py": ""},
        "part part.a start",
        "",
    ),
    "srbench by its version": ({"start.py": "from srbench import x\n", "srbench.py": ""}, "start", "srbench"),
}


@pytest.mark.parametrize(("files", "sources", "libraries"), FOLLOWED.values(), ids=FOLLOWED)
def test_what_is_followed(write, tmp_path, files, sources, libraries):
    write(files)
    found, packages = reachable("start", tmp_path / "start.py")
    assert (sorted(found), sorted(packages)) == (sources.split(), libraries.split())


def test_versions_of_libraries_count_but_not_their_builds(tmp_path, monkeypatch):
    assert code.version_of("srbench") == f"sr-bench {srbench.__version__}"
    (tmp_path / "m.py").write_text("import torch\n")
    found = []
    for version in ("2.13.0+cpu", "2.13.0", "2.14.0"):
        torch = {"torch": [SimpleNamespace(name="torch", version=version)]}
        monkeypatch.setattr(code, "_distributions", lambda torch=torch: torch)
        code.version_of.cache_clear()
        found.append(code_digest("m", tmp_path / "m.py"))
    code.version_of.cache_clear()
    assert found[0] == found[1] != found[2]
