"""What makes the rows of a plug-in again, and what does not: a table of changes, which docs/add-your-own.md has in
short.

Every file of the folder has the same time before and after a change, and a changed file the same size wherever its
content allows that, so only contents count.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace

import pytest
import torch
from builders import drawn
from safetensors.torch import save
from torch import tensor
from torch.nn.utils import parametrizations

from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.models.loading import load_model, wrap_model
from srbench.plugins import PluginError
from srbench.plugins.identity import held_digest
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

MODEL = """
import importlib, os, sys
from pathlib import Path

import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
GAIN = 1.0
{top}


class Mine({base}):
    scale = 2

    def __init__(self):
        super().__init__()
        {init}

    {before_call}
    def __call__(self, lr):
        {body}
        return {gain} * lr.repeat_interleave(2, -1).repeat_interleave(2, -2)

    {more}
"""
FILE = 'float((HERE / "gain.txt").read_text())'
VARIABLE = 'float(os.environ["SRTEST_GAIN"])'


def model(top="", init="pass", body="pass", gain="GAIN", base="object", more="", before_call=""):
    return MODEL.format(top=top, init=init, body=body, gain=gain, base=base, more=more, before_call=before_call)


def network(init):
    return model(init=init, gain="self.gain.detach()", base="torch.nn.Module")


def weights(gain):
    return save({"gain": tensor([gain])})


DECORATOR = "def scaled(function):\n    return lambda *images: {} * function(*images)\n"
BESIDE = {
    "gain.txt": "1.0",
    "README.md": "gain 1",
    "w.safetensors": weights(1.0),
    "other.safetensors": weights(1.0),
    "srtest_gain.py": "GAIN = 1.0\n",
    "srtest_first.py": "from srtest_gain import GAIN\n",
    "srtest_decorator.py": DECORATOR.format(1.0),
    "srtest_pack/__init__.py": "",
    "srtest_pack/gain.py": "GAIN = 1.0\n",
    "srtest_folder/gain.py": "GAIN = 1.0\n",
    "elsewhere/srtest_far.py": "GAIN = 1.0\n",
    "srtest_reader.py": f"from pathlib import Path\nHERE = Path(__file__).parent\nGAIN = {FILE}\n",
}
"""Files beside the plug-in ``mine.py``."""

IMPORT, HALF = "from srtest_gain import GAIN", "GAIN = 0.5\n"
DECORATED = model("from srtest_decorator import scaled", before_call="@scaled")
HELD = model(init='self.nets = [load_file(HERE / "w.safetensors")]', gain='self.nets[0]["gain"]')
ARRAY = model("import numpy", init=f"self.gain = numpy.array([{FILE}])", gain="float(self.gain[0])")
BUFFER = network(f'self.register_buffer("gain", torch.tensor({VARIABLE}), persistent=False)')
PARAMETER = network(f"self.gain = torch.nn.Parameter(torch.tensor({VARIABLE}))")
EMPTY = network("self.gain = torch.nn.Parameter(torch.zeros(1))")
STATED = model(gain=VARIABLE, more='def digest(self): return os.environ["SRTEST_GAIN"]')
FAR = model('sys.path.append(str(HERE / "elsewhere"))\nfrom srtest_far import GAIN')
LATE = model('GAIN = importlib.import_module("srtest_" + "gain").GAIN')
PATH = model(init='self.table = {"path": str(HERE / "gain.txt")}', gain='float(open(self.table["path"]).read())')
FIXED = 'def digest(self): return "1"'

# the plug-in; a file or $VARIABLE, and its content after the change; the checkpoint
MADE_AGAIN = {
    "the body of its class": (model(body="lr = lr * 1.0"), "mine.py", model(body="lr = lr * 0.5")),
    "a function of its file": (
        model("def g(): return 1.0", gain="g()"),
        "mine.py",
        model("def g(): return 0.5", gain="g()"),
    ),
    "a constant of its file": (model(), "mine.py", model("GAIN = 0.5")),
    "a module beside it": (model(IMPORT), "srtest_gain.py", HALF),
    "a module imported when it is called": (model(body=IMPORT), "srtest_gain.py", HALF),
    "a module that another one imports": (model("from srtest_first import GAIN"), "srtest_gain.py", HALF),
    "a module of a package": (model("from srtest_pack.gain import GAIN"), "srtest_pack/gain.py", HALF),
    "a module of a folder": (model("from srtest_folder.gain import GAIN"), "srtest_folder/gain.py", HALF),
    "a decorator": (DECORATED, "srtest_decorator.py", DECORATOR.format(0.5)),
    "its checkpoint": (EMPTY, "w.safetensors", weights(0.5), "w.safetensors"),
    "weights that its code loads": (HELD, "w.safetensors", weights(0.5)),
    "an array that it holds": (ARRAY, "gain.txt", "0.5"),
    "a buffer": (BUFFER, "$SRTEST_GAIN", "0.5"),
    "a parameter": (PARAMETER, "$SRTEST_GAIN", "0.5"),
    "the text of its digest()": (STATED, "$SRTEST_GAIN", "0.5"),
}
NOT_SEEN = {
    "a number from a file, read when it is called": (model(gain=FILE), "gain.txt", "0.5"),
    "a number from a file, read when it is made": (
        model(init=f"self.gain = {FILE}", gain="self.gain"),
        "gain.txt",
        "0.5",
    ),
    "a number from a file, read when it is imported": (model(f"GAIN = {FILE}"), "gain.txt", "0.5"),
    "a number from a file, read by a module": (model("from srtest_reader import GAIN"), "gain.txt", "0.5"),
    "a file whose path it holds": (PATH, "gain.txt", "0.5"),
    "a variable read when it is called": (model(gain=VARIABLE), "$SRTEST_GAIN", "0.5"),
    "a variable read when it is made": (model(init=f"self.g = {VARIABLE}", gain="self.g"), "$SRTEST_GAIN", "0.5"),
    "a global changed when it is made": (model(init=f"global GAIN; GAIN = {VARIABLE}"), "$SRTEST_GAIN", "0.5"),
    "a module of another folder": (FAR, "elsewhere/srtest_far.py", HALF),
    "a module named at run time": (LATE, "srtest_gain.py", HALF),
    "its file, if digest() stands for it": (model(more=FIXED), "mine.py", model("GAIN = 0.5", more=FIXED)),
}
"""Changes of outputs that the rule does not see: ``--again`` makes them again, ``verify --resample`` tells."""
WITHOUT_EFFECT = {
    "a file that it does not read": (model(), "gain.txt", "0.5"),
    "a README": (model(), "README.md", "gain 2"),
    "a module that it does not import": (model(), "srtest_gain.py", HALF),
    "the checkpoint of another model": (EMPTY, "other.safetensors", weights(0.5), "w.safetensors"),
    "line ends": (model(IMPORT), "srtest_gain.py", "GAIN = 1.0\r\n"),
    "a variable that it does not read": (model(), "$SRTEST_GAIN", "0.5"),
}
NEEDLESSLY = {
    "a comment": (model(), "mine.py", model("# changed")),
    "another class of its file": (model(), "mine.py", model("class Other: ...")),
}
"""Changes that make equal outputs again."""
CHANGES = {**MADE_AGAIN, **WITHOUT_EFFECT, **NEEDLESSLY}


@pytest.fixture
def process(tmp_path, monkeypatch, new_process, write):
    """Write files or set ``$VARIABLES`` as before a new process, which finds packages in some folders too."""

    def call(files, *folders, **time):
        for name in [name for name in files if name.startswith("$")]:
            monkeypatch.setenv(name[1:], files[name])
        write({name: content for name, content in files.items() if not name.startswith("$")}, **time)
        new_process()
        for folder in folders:
            monkeypatch.syspath_prepend(tmp_path / folder)

    call({**BESIDE, "$SRTEST_GAIN": "1.0"})
    return call


@pytest.fixture
def loaded(tmp_path, process):
    """Load a plug-in after a change, as another process would; returns its digest and its output."""

    def call(files, name="mine.py:Mine", weights="", folders=()):
        process(files, *folders)
        text = f"{tmp_path}/{name}" if ".py:" in name else name
        found = load_model(text + (f":{tmp_path}/{weights}" if weights else ""), 2, "cpu")
        return found.digest, float(found.model(torch.ones(1, 3, 2, 2)).mean())

    return call


@pytest.mark.parametrize("name", CHANGES)
def test_what_makes_another_model(loaded, name):
    source, changed, after, *checkpoint = CHANGES[name]
    before = loaded({"mine.py": source}, "mine.py:Mine", *checkpoint)
    assert loaded({"README.md": "another process"}, "mine.py:Mine", *checkpoint) == before
    digest, output = loaded({changed: after}, "mine.py:Mine", *checkpoint)
    assert (digest == before[0]) == (name in WITHOUT_EFFECT)
    assert output == (0.5 if name in MADE_AGAIN else 1.0) * before[1]


@pytest.fixture
def plugin(tmp_path, process):
    """Write a file or set a variable, and run the plug-in; returns the number of outputs made and the PSNR."""
    write_png(tmp_path / "photos" / "a.png", drawn(0, 16, 16))
    models, facts = (f"mine={tmp_path / 'mine.py'}:Mine",), {"metrics": ("psnr",), "device": "cpu"}
    request = RunSpec(models, 2, str(tmp_path / "photos"), out=str(tmp_path / "run"), **facts)

    def call(name, content, *, time=1_700_000_000, **changes):
        process({name: content}, time=time)
        outcome = run(replace(request, **changes))
        return outcome.sampled, measurements_of(RunFolder.read(outcome.folder))[0].values["psnr"]

    return call


def test_a_run_makes_its_outputs_again(plugin, tmp_path):
    source, name, changed = MADE_AGAIN["a module imported when it is called"]
    made, before = plugin("mine.py", source)
    assert made == 1
    made, after = plugin(name, changed)
    assert made == 1
    assert after != before
    assert plugin("README.md", "another process", out=str(tmp_path / "fresh")) == (1, after)
    assert plugin("README.md", "and another one") == (0, after)


@pytest.mark.parametrize("change", NOT_SEEN.values(), ids=NOT_SEEN)
def test_made_again_on_request_alone(plugin, tmp_path, change):
    source, name, changed = change
    _, before = plugin("mine.py", source)
    assert plugin(name, changed) == (0, before)
    assert "sample-differs" in {finding.rule for finding in verify(tmp_path / "run", resample="all").findings}
    made, after = plugin("README.md", "another process", again=("mine",))
    assert made == 1
    assert after != before
    assert verify(tmp_path / "run", resample="all").proven


def test_a_newer_time_of_equal_bytes_makes_nothing_again(plugin):
    source = model(f"import srtest_reader\n{IMPORT}", init='self.nets = [load_file(HERE / "w.safetensors")]')
    _, before = plugin("mine.py", source)
    for name in ("srtest_reader.py", "srtest_gain.py", "w.safetensors"):
        assert plugin(name, BESIDE[name], time=1_800_000_000) == (0, before)
    assert plugin("mine.py", source, time=1_800_000_000) == (0, before)


def test_an_installed_package_is_its_version(loaded):
    def installed(version, gain):
        files = {
            "srtest_wheel.py": model(f"GAIN = {gain}"),
            "srtest_wheel.dist-info/METADATA": f"Metadata-Version: 2.1\nName: srtest-wheel\nVersion: {version}\n",
            "srtest_wheel.dist-info/RECORD": "srtest_wheel.py,,\n",
        }
        files = {f"site-packages/{name}": content for name, content in files.items()}
        files["mine.py"] = "import srtest_wheel\nMine = srtest_wheel.Mine\n"
        return [loaded(files, name, folders=["site-packages"])[0] for name in ("srtest_wheel:Mine", "mine.py:Mine")]

    first, same, second = installed("1", 1.0), installed("1", 0.5), installed("2", 0.5)
    assert first == same, "the sources of an installed package do not count"
    assert not set(first) & set(second)


@pytest.mark.parametrize("place", ["src", "site-packages"])
def test_a_package_that_is_not_installed_counts_by_its_sources(loaded, place):
    """As after ``pip install -e``."""
    files = {"__init__.py": "", "net.py": model("from srtest_nets.gain import GAIN")}
    first, second = (
        loaded(
            {f"{place}/srtest_nets/{name}": content for name, content in {**files, "gain.py": gain}.items()},
            "srtest_nets.net:Mine",
            folders=[place],
        )
        for gain in ("GAIN = 1.0\n", HALF)
    )
    assert (first[0] == second[0]) == (place == "site-packages")


def test_plugins_of_a_folder_do_not_count_for_each_other(process, tmp_path):
    """Both share a module, and the second imports another one, whichever is loaded first."""
    names = [f"{tmp_path}/{name}.py:Mine" for name in ("mine", "other")]

    def digests(files, order):
        process(files)
        return {name: load_model(name, 2, "cpu").digest for name in order}

    before = digests({"mine.py": model(IMPORT), "other.py": model(f"{IMPORT}\nimport srtest_reader")}, names)
    assert digests({}, reversed(names)) == before
    after = digests({"srtest_reader.py": HALF}, names)
    assert [after[name] == before[name] for name in names] == [True, False]


def test_a_file_runs_once_until_it_changes(process, tmp_path, write):
    """Two models of a file, and a network that is created twice."""
    source = model("with (HERE / 'log.txt').open('a') as log: log.write('x')") + "\n\nclass Other(Mine): ...\n"
    process({"mine.py": source})
    for name in ("Mine", "Other", "Mine"):
        load_model(f"{tmp_path / 'mine.py'}:{name}", 2, "cpu")
    assert (tmp_path / "log.txt").read_text() == "x"
    write({"mine.py": source + "\n# changed\n"})
    load_model(f"{tmp_path / 'mine.py'}:Mine", 2, "cpu")
    assert (tmp_path / "log.txt").read_text() == "xx"


@pytest.mark.parametrize(("draws", "is_recorded", "times"), [(True, False, 2), (True, True, 1), (False, False, 1)])
def test_a_network_is_created_twice_if_it_draws_random_numbers(process, tmp_path, draws, is_recorded, times):
    layer = "torch.manual_seed(0); self.layer = torch.nn.Conv2d(3, 3, 1)" if draws else "pass"
    process({"mine.py": model("COUNT = []", init=f"COUNT.append(0); {layer}", base="torch.nn.Module")})
    torch.rand(1)  # the generator may be where drawing leaves it
    created = load_model(f"{tmp_path / 'mine.py'}:Mine", 2, "cpu", is_recorded=is_recorded).model
    assert len(sys.modules[type(created).__module__].COUNT) == times


def test_a_folder_that_was_moved(loaded):
    files = {"mine.py": model(IMPORT), "srtest_gain.py": HALF}
    here, there = (
        loaded({f"{folder}/{name}": text for name, text in files.items()}, f"{folder}/mine.py:Mine")
        for folder in ("here", "there")
    )
    assert here == there


def test_a_link_to_a_file(loaded, tmp_path):
    """Modules beside the file count, not those beside the link."""
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "mine.py").symlink_to(tmp_path / "mine.py")
    before, _ = loaded({"mine.py": model(IMPORT), "linked/srtest_gain.py": ""}, "linked/mine.py:Mine")
    assert loaded({"srtest_gain.py": HALF}, "linked/mine.py:Mine")[0] != before


def test_two_files_that_import_modules_of_one_name(process, tmp_path):
    process({"old/mine.py": model(IMPORT), "old/srtest_gain.py": HALF, "mine.py": model(IMPORT)})
    load_model(f"{tmp_path}/old/mine.py:Mine", 2, "cpu")
    with pytest.raises(
        PluginError, match=r"imports srtest_gain, but Python has already found .*old.* by that name; rename"
    ):
        load_model(f"{tmp_path}/mine.py:Mine", 2, "cpu")


def test_a_base_class_of_another_folder_counts_for_an_object(process):
    found = []
    for gain in (1.0, 0.5):
        base = f"class Base:\n    def __call__(self, lr): return {gain} * lr\n"
        net = "from srtest_base import Base\nclass Net(Base): ...\n"
        process({"nets/srtest_net.py": net, "bases/srtest_base.py": base}, "nets", "bases")
        found.append(wrap_model(importlib.import_module("srtest_net").Net(), 1, "cpu").digest)
    assert found[0] != found[1]


@pytest.mark.parametrize("normalised", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_tensors_of_a_network_count_even_if_it_cannot_be_pickled(normalised):
    network = torch.nn.Sequential(normalised(torch.nn.Linear(2, 2)))
    before = held_digest(network)
    assert held_digest(network) == before
    next(network.parameters()).data.add_(1)
    assert held_digest(network) != before
