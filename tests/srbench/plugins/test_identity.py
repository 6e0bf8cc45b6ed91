"""What belongs to a third-party plug-in, and what the rule of docs/add-your-own.md does not see."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save

from srbench.models.loading import load_model, wrap_model
from srbench.plugins import PluginError, code_digest, identity
from srbench.plugins.registry import load_dataset, open_metric

MODEL = """
import os
from pathlib import Path

import torch

HERE = Path(__file__).parent
{top}

class Model{base}:
    scale = 2

    def __init__(self):
        {init}

    def {call}(self, lr):
        {body}
        return lr.repeat_interleave(2, -1).repeat_interleave(2, -2)
"""
METRIC = """
from pathlib import Path

from srbench.interfaces import MetricFacts


class Mine:
    facts = MetricFacts(name="mine", title="Mine", direction=1, protocol="a test")

    def __init__(self):
        self.gain = float((Path(__file__).parent / "gain.txt").read_text())

    def __call__(self, samples, pair):
        return self.gain * samples.mean(dim=(1, 2, 3))
"""


def model(top="", init="super().__init__()", body="", base=""):
    return MODEL.format(top=top, init=init, body=body, base=base, call="forward" if base else "__call__")


NUMBER = 'float((HERE / "gain.txt").read_text())'
GAIN = ("gain.txt", "1.0", "0.5")
"""A file, and its content before and after a change."""
HELPER = ("srtest_gain.py", "GAIN = 1.0\n", "GAIN = 0.5\n")
BUFFER = f"""super().__init__()
        self.register_buffer("gain", torch.tensor({NUMBER}), persistent=False)
"""
WEIGHTS = tuple(save({"gain": torch.tensor([gain])}) for gain in (1.0, 0.5))
STATED = model(body='return lr\n\n    def digest(self):\n        return "1"\n')
SEEN = {
    "its source": (model(), ("my.py", model(), model() + "# changed\n")),
    "a module beside it": (model("from srtest_gain import GAIN"), HELPER),
    "a module that it imports when it is called": (model(body="from srtest_gain import GAIN"), HELPER),
    "a module that another one imports": (model("import srtest_first"), HELPER),
    "a module in a package beside it": (
        model("from srtest_pack.gain import GAIN"),
        ("srtest_pack/gain.py", *HELPER[1:]),
    ),
    "a module in another folder": (
        model('import sys; sys.path.append(str(HERE / "elsewhere"))\nimport srtest_far'),
        ("elsewhere/srtest_far.py", *HELPER[1:]),
    ),
    "a module whose name is made at run time": (
        model(init='import importlib; importlib.import_module("srtest_" + "gain")'),
        HELPER,
    ),
    "a file that it reads when it is imported": (model(f"GAIN = {NUMBER}"), GAIN),
    "a file that it reads when it is made": (model(init=f"self.gain = {NUMBER}"), GAIN),
    "a file that a module reads when it is imported": (model("import srtest_reader"), GAIN),
    "a file whose path it holds": (model(init='self.session = {"path": str(HERE / "gain.txt")}'), GAIN),
    "a buffer": (model(base="(torch.nn.Module)", init=BUFFER), GAIN),
    "weights that a library in another language reads": (
        model("from safetensors.torch import load_file", 'self.nets = [load_file(HERE / "w.safetensors")]'),
        ("w.safetensors", *WEIGHTS),
    ),
    "the text of its digest()": (
        model(body=f"return lr\n\n    def digest(self):\n        return str({NUMBER})\n"),
        GAIN,
    ),
}
NOT_SEEN = {
    "a file that it reads when it is called": (model(body=f"gain = {NUMBER}"), GAIN),
    "its source, if digest() does not count it": (
        STATED,
        ("my.py", STATED, STATED + "# changed\n"),
    ),
}
UNCHANGED = {
    "a file that it does not read": (model(), GAIN),
    "a module that it does not import": (model(), HELPER),
    "line ends": (model("import srtest_gain"), ("srtest_gain.py", "GAIN = 1.0\n", "GAIN = 1.0\r\n")),
    "a file that it writes": (model(init='(HERE / "log.txt").open("a").write("x")'), ("log.txt", "a", "b")),
}
FILES = {
    "srtest_first.py": "from srtest_gain import GAIN\n",
    "srtest_pack/__init__.py": "",
    "srtest_reader.py": f"from pathlib import Path\nHERE = Path(__file__).parent\nGAIN = {NUMBER}\n",
}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """Forget the modules of the test's folder, and all that is known of sources, as if the process had ended."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path = list(sys.path)

    def call():
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[name]
        sys.path_importer_cache.clear()
        for known in (code_digest._AS_IMPORTED, code_digest._ROOTS, identity._OPENED):
            known.clear()
        code_digest.version_of.cache_clear()
        code_digest._distributions.cache_clear()

    yield call
    call()


@pytest.fixture
def digests(tmp_path, new_process):
    """The digests of a model before and after a file is changed."""

    def call(source, file, before, after):
        found = []
        for content in (before, after):
            write(tmp_path, {"my.py": source} | FILES | {"gain.txt": "1.0", HELPER[0]: HELPER[1], file: content})
            new_process()
            found.append(load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu").digest)
        again = load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu").digest
        assert again == found[1], "the same in the same process"
        return found

    return call


@pytest.mark.parametrize("name", SEEN)
def test_what_belongs_to_a_plugin(digests, name):
    source, change = SEEN[name]
    before, after = digests(source, *change)
    assert before != after


@pytest.mark.parametrize("name", [*NOT_SEEN, *UNCHANGED])
def test_what_does_not_belong_to_a_plugin(digests, name):
    source, change = {**NOT_SEEN, **UNCHANGED}[name]
    before, after = digests(source, *change)
    assert before == after


def test_a_variable_of_the_environment_does_not_belong_to_a_plugin(tmp_path, new_process, monkeypatch):
    write(tmp_path, {"my.py": model(init='self.gain = float(os.environ["SRTEST_GAIN"])')})
    found = []
    for gain in ("1.0", "0.5"):
        monkeypatch.setenv("SRTEST_GAIN", gain)
        new_process()
        found.append(load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu").digest)
    assert found[0] == found[1]


def test_an_installed_package_is_its_version(tmp_path, new_process, monkeypatch):
    def installed(version, module):
        write(
            tmp_path / "site-packages",
            {
                "srtest_wheel.py": model(f"GAIN = {module}"),
                "srtest_wheel.dist-info/METADATA": f"Metadata-Version: 2.1\nName: srtest-wheel\nVersion: {version}\n",
                "srtest_wheel.dist-info/RECORD": "srtest_wheel.py,,\n",
            },
        )
        new_process()
        monkeypatch.syspath_prepend(tmp_path / "site-packages")
        write(tmp_path, {"my.py": "import srtest_wheel\nModel = srtest_wheel.Model\n"})
        return [load_model(text, 2, "cpu").digest for text in ("srtest_wheel:Model", f"{tmp_path / 'my.py'}:Model")]

    first, same, second = installed("1", 1.0), installed("1", 0.5), installed("2", 0.5)
    assert first == same, "the sources of an installed package do not count"
    assert not set(first) & set(second)


def test_a_metric_is_known_by_the_same_rule(tmp_path, new_process):
    found = []
    for gain in ("1.0", "0.5"):
        write(tmp_path, {"mine.py": METRIC, "gain.txt": gain})
        new_process()
        found.append(open_metric(f"{tmp_path / 'mine.py'}:Mine").facts)
    assert found[0].digest != found[1].digest
    assert found[0].signature != found[1].signature, "it states none, so its code takes its place"


def test_plugins_of_a_folder_do_not_count_for_each_other(tmp_path, new_process):
    """One opens a file that the other does not, and both share a module that opens a third."""
    write(tmp_path, FILES | {"gain.txt": "1.0", "other.txt": "2.0"})
    write(tmp_path, {"my.py": model("import srtest_reader")})
    write(tmp_path, {"other.py": model("import srtest_reader", init='(HERE / "other.txt").read_text()')})
    names = [f"{tmp_path / name}:Model" for name in ("my.py", "other.py")]
    new_process()
    forward = [load_model(name, 2, "cpu").digest for name in names]
    new_process()
    backward = [load_model(name, 2, "cpu").digest for name in reversed(names)]
    assert forward == backward[::-1]


def test_a_module_that_a_dataset_has_imported_before(tmp_path, new_process):
    write(tmp_path, FILES | {"gain.txt": "1.0", "my.py": model("import srtest_reader")})
    write(tmp_path, {"data.py": "import srtest_reader\n\n\ndef data(scale): ...\n"})
    new_process()
    load_dataset(f"{tmp_path / 'data.py'}:data", 2)
    after = load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu").digest
    new_process()
    assert load_model(f"{tmp_path / 'my.py'}:Model", 2, "cpu").digest == after


def test_a_folder_that_was_moved(tmp_path, new_process):
    found = []
    for folder in (tmp_path / "here", tmp_path / "there"):
        write(folder, FILES | {"my.py": model("import srtest_reader", f"self.gain = {NUMBER}"), "gain.txt": "1.0"})
        new_process()
        found.append(load_model(f"{folder / 'my.py'}:Model", 2, "cpu").digest)
    assert found[0] == found[1]


def test_two_files_that_import_modules_of_one_name(tmp_path, new_process):
    for folder, gain in (("old", 1.0), ("new", 0.5)):
        write(tmp_path / folder, {"my.py": model("import srtest_blocks"), "srtest_blocks.py": f"GAIN = {gain}\n"})
    new_process()
    load_model(f"{tmp_path}/old/my.py:Model", 2, "cpu")
    with pytest.raises(PluginError, match=r"imports srtest_blocks, but that is .*old.* in this command; rename"):
        load_model(f"{tmp_path}/new/my.py:Model", 2, "cpu")


def test_values_that_cannot_be_read_need_a_digest():
    class Sparse:
        scale = 2
        table = torch.eye(2).to_sparse()

        def __init__(self):
            self.held = self.table

        def __call__(self, lr):
            return lr

    with pytest.raises(PluginError, match=r"holds a tensor \(2, 2\) whose values cannot be read .* method digest\(\)"):
        wrap_model(Sparse(), 2, "cpu")
    Sparse.digest = lambda self: "version 1"
    assert wrap_model(Sparse(), 2, "cpu").digest
