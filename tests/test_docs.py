"""Pages of the documentation: commands and Python run in order, offline, in a folder like a fresh clone.

Long commands are shortened by documented options. Downloads are replaced: photographs for Set5, a network of the same
shapes for ESRGAN's. What needs files of others or hours is named below, with the reason; nothing else is left out.
"""

from __future__ import annotations

import doctest
import math
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from importlib import import_module
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest
import torch
from PIL import Image
from record_runs import by_image, values_in

import srbench as package
from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.cli.main import main
from srbench.data.benchmark_sets import table as sets_table
from srbench.data.benchmark_sets.table import find_set, pixels_digest
from srbench.files.hashes import sha256_file
from srbench.interfaces import ImageMetric, MetricInfo
from srbench.run_folder.manifest import read_manifest
from srbench.weights import table as weights_table
from srbench.weights.table import find_released

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
QUICK = ("README.md", "docs/data.md", "docs/weights.md")
SLOW = (
    "docs/command-line.md",
    "docs/distribution.md",
    "docs/latents.md",
    "docs/many-runs.md",
    "docs/reviewers.md",
    "docs/training.md",
)
"""Pages whose commands only have to succeed."""
CHECKED = (
    *("docs/add-your-own.md", "docs/explain.md", "docs/gate.md", "docs/paper.md", "docs/python.md"),
    "docs/votes.md",
)
"""Pages with a test of their own below."""
PAGES_LEFT_OUT = {
    "docs/index.md": "repeats the README",
    "docs/protocols.md": "needs the benchmark datasets",
    "docs/run-folder.md": "tests/srbench/run_folder/test_schema.py runs its Python",
    "docs/scale.md": "several machines; tests/srbench/benchmark/test_engines.py runs the engines",
    "docs/verify.md": "needs the run of the README; tests/srbench/verification has the commands",
    "docs/zoo.md": "trains for hours",
}
SHORTENED = {
    "run": ("--limit", "2", "--crop", "96", "--samples", "2"),
    "run --models bicubic,rrdb,srflow --data set5,photos": ("--limit", "1", "--crop", "96", "--samples", "1"),
    "run --models esrgan:esrgan-x4": ("--limit", "1", "--crop", "96"),
    "train": ("--set", "training.steps=2", "--set", "training.batch=2"),
}
"""Options appended to a documented command, by its longest beginning here."""
LEFT_OUT = {
    r"pip |pytest -n": "installs, or runs the tests themselves",
    r"(python -m zipfile|srbench run --models span=)": (
        "needs SPAN's files; tests/srbench/models/test_ncnn.py writes others"
    ),
    r"srbench train (esrgan|srflow-perceptual)": "its perceptual loss downloads VGG16",
    r"srbench run --models srflow-perceptual:runs": "is trained by the command before",
    r"srbench (train|run) .*data/celeba": "needs CelebA, and days",
    r"python tools/celeba.py": "needs archives of gigabytes; tests/tools/test_celeba.py has small ones",
    r"mkdir|unzip|tar ": "needs archives of gigabytes",
    r"srbench weights add srflow": "needs SRFlow's checkpoint; tests/srbench/weights/test_official.py adds small ones",
    r"srbench weights fetch --(suite|metrics)": (
        "downloads gigabytes; tests/srbench/cli/test_weights_cli.py has stand-ins"
    ),
    r"srbench run --models .*net_g_": "needs a training; tests/srbench/benchmark/test_checkpoints.py has a small one",
    r"srbench (convert|run --models srflow:)": "tests/srflow/checkpoints/test_convert.py has small ones",
}
"""Commands that are not run, by a pattern, and why."""


NAMED = r"# (\S+\.(?:py|toml))\n"
"""First line of a block that is a file."""


def commands_in(text: str) -> list[str]:
    """The commands of a shell block; continued lines are joined, ``&&`` is taken apart."""
    lines = text.replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in line.partition("#")[0].split("&&") if part.strip()]


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    return [command for kind, text in blocks(page) if kind == "sh" for command in commands_in(text)]


@pytest.fixture
def internet(monkeypatch, tmp_path):
    """Set5's first address gives photographs, ESRGAN's a network of noise; the tables have their digests."""
    names, files = find_set("set5").names, sorted((ROOT / "srbench" / "data" / "photos").glob("*.png"))
    photos = dict(zip(names, files, strict=False))
    checkpoint = tmp_path / "noise.pth"
    torch.manual_seed(0)
    shapes = rrdb_shapes(RRDBConfig.from_preset("df2k-x4"))
    network = {
        name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else torch.zeros(shape)
        for name, shape in shapes.items()
    }
    torch.save(network | {"conv_last.bias": torch.full((3,), 0.5)}, checkpoint)
    answers = {find_set("set5").addresses[0].format(name=name): path for name, path in photos.items()}
    answers[find_released("esrgan-x4").addresses[0]] = checkpoint

    def download(address, file, title):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(answers[address].read_bytes())

    for module in ("srbench.weights.official", "srbench.data.benchmark_sets.fetch"):
        monkeypatch.setattr(f"{module}.download", download)
    digests = {
        find_set("set5").pixels: pixels_digest(photos),
        find_released("esrgan-x4").sha256: sha256_file(checkpoint),
    }
    for module in (sets_table, weights_table):
        known = tmp_path / f"{module.__name__}.toml"
        text = Path(module._TABLE).read_text()
        for theirs, ours in digests.items():
            text = text.replace(theirs, ours)
        known.write_text(text)
        monkeypatch.setattr(module, "_TABLE", known)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with the parts of a clone that the pages name, and the photographs that they prepare."""
    for name in ("baselines", "examples", "srbench", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for name in ("train", "val"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for photo in ("books.png", "dog.png"):
            (tmp_path / "photographs" / name / photo).symlink_to(ROOT / "srbench" / "data" / "photos" / photo)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")  # pyiqa would try addresses in vain for a minute
    return tmp_path


@pytest.fixture
def typed(srbench, clone, monkeypatch, heeded_interrupts):
    """Run a documented command; returns what it prints."""

    def call(command, shorten=False):
        name, *arguments = shlex.split(command)
        if name == "python":
            monkeypatch.setattr(sys, "argv", arguments)
            runpy.run_path(arguments[0], run_name="__main__")
            return ""
        assert name == "srbench", command
        if arguments[0] in ("view", "explore"):
            return serves(arguments)
        beginnings = [beginning for beginning in SHORTENED if shorten and " ".join(arguments).startswith(beginning)]
        done = srbench(*arguments, *(SHORTENED[max(beginnings, key=len)] if beginnings else ()))
        assert done.exit_code == (" not reproduced" in done.stdout), f"{command}\n{done.output}"
        return done.stdout

    return call


def serves(arguments: list[str]) -> str:
    """The command prints an address, answers there, and ends by Ctrl-C."""
    code = "from srbench.cli.main import main; main(prog_name='srbench')"
    # -I: the working folder holds a copy of the sources, which is read, not run
    command = [sys.executable, "-I", "-c", code, *arguments, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        late = threading.Timer(600, process.kill)
        late.start()
        try:
            [address] = re.findall(r"http://\S+", process.stdout.readline())
            with urllib.request.urlopen(address, timeout=300) as page:
                assert b"</html>" in page.read()
            process.send_signal(signal.SIGINT)
            assert process.wait(300) in (0, 130)
        finally:
            late.cancel()
            process.kill()
    return address


@pytest.mark.filterwarnings("default:left out of the table")  # metrics whose weights are not here
@pytest.mark.parametrize("page", [*QUICK, *(pytest.param(page, marks=pytest.mark.slow) for page in SLOW)])
def test_the_commands_of_a_page_run_in_order(page, typed, internet):
    assert commands(page)
    for _, text in blocks(page):
        if named := re.match(NAMED, text):
            Path(named[1]).write_text(text)
    for command in commands(page):
        if not any(re.match(pattern, command) for pattern in LEFT_OUT):
            typed(command, shorten=True)


def test_every_page_is_run_or_left_out_for_a_reason():
    pages = [str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *DOCS.glob("*.md")]]
    assert {page for page in pages if commands(page)} <= {*QUICK, *SLOW, *CHECKED, *PAGES_LEFT_OUT}
    documented = [command for page in (*QUICK, *SLOW) for command in commands(page)]
    for pattern in LEFT_OUT:
        assert any(re.match(pattern, command) for command in documented), pattern
    for named in re.findall(r"\btests/[\w/.]*\w", " ".join([*PAGES_LEFT_OUT.values(), *LEFT_OUT.values()])):
        assert (ROOT / named).exists(), named


def worked_through(page: str, typed) -> tuple[dict, list[str]]:
    """All blocks in order: files are written, commands and Python run; the names of Python, and what commands print.

    A block of text after commands is the output of the last one.
    """
    names, said, before = {"__name__": "page"}, [], ""
    for kind, text in blocks(page):
        if named := re.match(NAMED, text):
            Path(named[1]).write_text(text)
        elif kind == "python":
            exec(compile(text, page, "exec"), names)
        elif kind == "sh":
            said += [typed(command) for command in commands_in(text) if "runs/mine" not in command]  # the README's run
        elif kind == "text" and before == "sh":
            same_but_for_digits(said[-1], text)
        before = kind
    return names, said


def same_but_for_digits(found: str, shown: str) -> None:
    """Equal words, without the names of suites and machines; processors differ in the last digits of metrics."""
    both = [re.sub(r"((?<=--suite)|(?<=as recorded:)) .*|(?<=\))  --metrics \S+", "", text) for text in (found, shown)]
    words = [re.sub(r"\d+(\.\d+)?", "0", " ".join(text.split())) for text in both]
    assert words[0] == words[1]
    numbers = [[float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)] for text in both]
    assert numbers[0] == pytest.approx(numbers[1], abs=2)


@pytest.mark.slow
def test_explain(typed, capsys):
    names, _ = worked_through("docs/explain.md", typed)
    best, text = names["best"], (DOCS / "explain.md").read_text()
    assert "22.85 is PSNR on Y of BT.601" in capsys.readouterr().out
    assert best.protocol.text in text
    assert f"{best.value:.3f}" in text


def test_paper(typed):
    """Folders of outputs made with Pillow."""
    for photo in Path("photographs/val").iterdir():
        hr = Image.open(photo).convert("RGB").crop((0, 0, 192, 160))
        lr = hr.resize((48, 40), Image.Resampling.BICUBIC)
        images = {"HR": hr, "LR": lr}
        images["out/mine"] = lr.resize(hr.size, Image.Resampling.BICUBIC)
        images["out/theirs"] = lr.resize(hr.size, Image.Resampling.BILINEAR)
        for folder, image in images.items():
            Path(folder).mkdir(parents=True, exist_ok=True)
            image.save(Path(folder) / photo.name)
    worked_through("docs/paper.md", typed)
    assert r"\toprule" in Path("runs/paper/report/table.tex").read_text()
    for figure in ("figure.pdf", "two.pdf", "column.pdf", "maps.svg", "folders.png"):
        assert Path(figure).stat().st_size > 10_000, figure


@pytest.mark.slow
def test_votes(typed, capsys):
    worked_through("docs/votes.md", typed)
    assert "66 answers by a script" in capsys.readouterr().out


NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.up = torch.nn.Upsample(scale_factor=scale, mode="bicubic")
        self.blur = torch.nn.Conv2d(3, 3, 3, padding=1, padding_mode="replicate", groups=3, bias=False)

    def forward(self, lr):
        return self.blur(self.up(lr))
"""


@pytest.mark.slow
def test_gate(clone):
    """The workflow as a shell script, without its installation and on eight images, after a change of the weights."""

    def save(centre):
        kernel = torch.full((3, 1, 3, 3), (1 - centre) / 8)
        kernel[:, :, 1, 1] = centre
        torch.save({"blur.weight": kernel}, "my_net.pth")

    def shell(*lines):
        script = re.sub("(srbench run .*)", r"\1 --limit 8 --crop 96", "\n".join(lines))
        paths = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        return subprocess.run(["bash", "-ec", script], capture_output=True, text=True, env=os.environ | paths)

    ((_, steps),) = (block for block in blocks("docs/gate.md") if block[0] == "yaml")
    ((_, shown),) = (block for block in blocks("docs/gate.md") if block[0] == "text")
    pip, *workflow = re.findall("- run: (.*)", steps)
    assert pip == "pip install git+https://github.com/OWNER/srbench"
    assert len(workflow) == 2
    Path("my_net.py").write_text(NET)
    save(1)
    assert shell(*commands("docs/gate.md")).returncode == 0
    for name in ("images", "report"):
        shutil.rmtree(Path("baseline") / name)
    same = shell(*workflow)
    assert same.returncode == 0, same.stderr
    passed = "B (net) is not significantly worse than A (net) in PSNR (RGB), LPIPS (p < 0.05, corrected for 2 tests)."
    assert same.stdout.splitlines()[-1] == passed
    shutil.rmtree("runs")
    save(0.5)
    worse = shell(*workflow)
    assert worse.returncode == 1, worse.stderr
    same_but_for_digits(worse.stdout.splitlines()[-1], shown)
    typing_error = shell(workflow[0], workflow[1].replace("lpips", "lpip"))
    assert typing_error.returncode == 2
    assert "--fail-if-worse: unknown metric 'lpip'; did you mean lpips?" in typing_error.stderr.splitlines()[-1]


def test_python(typed, capsys):
    names, _ = worked_through("docs/python.md", typed)
    assert names["report"] == Path("runs/python/report/report.md")
    assert names["samples"].shape == (2, 3, 160, 160)
    torch.testing.assert_close(names["hr_again"], names["hr"], atol=1e-3, rtol=0)
    assert "2/2" in capsys.readouterr().out
    text = (DOCS / "python.md").read_text()
    assert all(f"srbench.{name}" in text for name in package.__all__ if name != "__version__")
    assert all(f"`{name}`" in text for name in package.metrics.__all__)


def test_add_your_own(typed, clone):
    _, said = worked_through("docs/add-your-own.md", typed)
    models = read_manifest(clone / "runs/net").models
    assert [model.label for model in models] == ["bicubic", "Net-my_net"]
    assert models[1].weights.sha256 == sha256_file(clone / "my_net.pth")
    found = values_in(clone / "runs/model")
    settings = [(setting.model, setting.temperature) for setting in read_manifest(clone / "runs/model").settings]
    assert settings == [("bicubic", None), ("Bilinear", None), ("Noisy", 0.5), ("Noisy", 1.0)]
    assert len(found) == 8, "on two images"
    for (model, _, _), by_metric in found.items():
        assert set(by_metric) == {"psnr", "sigma", "mae"}
        assert (by_metric["sigma"] > 0) == (model == "Noisy")
    assert any(": proven: " in text and "8 of 8 items by their models" in text for text in said)
    stripes = by_image(clone / "runs/stripes", "bicubic")
    assert stripes["wide"]["psnr"] > stripes["thin"]["psnr"]
    made = read_manifest(clone / "runs/camera").protocol.lr
    assert made.startswith(
        "made from HR by camera@1: blur sigma 0.5 to 1.5, downscale by area, noise sigma 0 to 5, jpeg quality 90"
    )
    suite = read_manifest(clone / "runs/suite")
    assert suite.protocol.suite == "mine@1"
    signatures = [metric.signature for metric in suite.metrics if not metric.signature.startswith("PYIQA")]
    assert signatures == [
        "PSNR|Y|round|crop4|v1",
        "SSIM|RGB|round|gaussian11|crop5|v1",
        "MAE|RGB|round|crop4|v1",
    ]
    text = (DOCS / "add-your-own.md").read_text()
    values = [*get_args(get_type_hints(ImageMetric)["sees"]), *get_args(get_type_hints(MetricInfo)["per"])]
    assert all(f'`"{value}"`' in text for value in values if value != "model")


DOCTESTS = ("api", "explaining.search", "images.resize")


@pytest.mark.parametrize("name", [*(f"srbench.{name}" for name in DOCTESTS), "srflow.model"])
def test_the_examples_of_docstrings(name, monkeypatch):
    """Those of the metrics are run beside their own tests."""
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(import_module(name))
    assert found.attempted
    assert not found.failed


def test_the_examples_of_the_results(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = doctest.testfile(str(DOCS / "results.md"), module_relative=False)
    assert found.attempted > 10
    assert not found.failed


def test_all_pairs(tmp_path, monkeypatch):
    """The command of the page on protocols, on the committed report; its output is in the file that it writes."""
    section = re.search(r"### All pairs.*?(?=\n## )", (DOCS / "protocols.md").read_text(), re.DOTALL)[0]
    [command] = commands_in(re.search(r"```sh\n(.*?)```", section, re.DOTALL)[1])
    monkeypatch.chdir(tmp_path)
    Path("reports").symlink_to(ROOT / "reports")
    subprocess.run([sys.executable, "-m", *command.split(), "--format", "csv"], check=True)
    written = Path("tables/pairs.csv").read_text().splitlines()
    for line in re.search(r"```text\n(.*?)```", section, re.DOTALL)[1].splitlines():
        name, numbers = line.split(",")[:3], line.split(",")[3:]
        [made] = (made.split(",")[3:] for made in written if made.split(",")[:3] == name)
        assert made == numbers or [*map(float, made)] == pytest.approx([*map(float, numbers)], rel=1e-9)


PAPERS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
PAPERS += [*sorted(DOCS.glob("*.md")), *sorted((ROOT / "reports").glob("*/report/report.md"))]


def understood(line: str) -> str:
    """Parse a command line as srbench does, without running it: names and values of options, number of arguments.

    Returns the words that name the command. Raises click.UsageError.
    """
    # with its settings, because click keeps the names of --help that it saw first
    context = click.Context(main, info_name="srbench", **main.context_settings)
    command, names, words = main, [], shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        names.append(name)
    command.make_context(names[-1], words, parent=context)
    return " ".join(names)


def test_documented_commands_are_understood():
    found = [command for path in PAPERS for command in commands(str(path.relative_to(ROOT)))]
    found = [command for command in found if command.startswith("srbench ") and "$" not in command]
    assert len(found) > 60
    for command in found:
        understood(command)


def leaves(group: click.Group, *names: str) -> dict[str, click.Command]:
    """The commands that do something, by the words that name them."""
    found = {}
    for name, command in group.commands.items():
        is_group = isinstance(command, click.Group)
        found |= leaves(command, *names, name) if is_group else {" ".join([*names, name]): command}
    return found


@pytest.mark.parametrize(("names", "command"), leaves(main).items(), ids=leaves(main))
def test_every_command_has_examples_in_its_help(names, command):
    """Except one without options."""
    title, *examples = commands_in((command.epilog or "Examples:").replace("\b", ""))
    assert title == "Examples:"
    assert len(examples) > 0 or not command.params
    for example in examples:
        assert understood(example[example.index("srbench ") :]) == names


def test_links_lead_somewhere():
    for path in PAPERS:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path}: {target}"


PATHS = r"(?<![\w./-])(?:\.ci|baselines|benchmarks|docs|examples|reports|srbench|srflow|tests|tools)/[\w./*-]*\w"
PROGRAMS = ("git ", "mkdocs ", "pip ", "pytest ", "python ", "torchrun ")
"""Beginnings of commands whose options are not those of srbench."""


@pytest.mark.parametrize("paper", [path for path in PAPERS if "reports" not in path.parts], ids=lambda path: path.name)
def test_every_path_command_and_option_in_a_sentence_exists(paper):
    """Those in blocks of commands are run. NAME in a path stands for any name."""
    every = {option for command in leaves(main).values() for option in options_of(command)} | {"--version"}
    prose = re.sub(r"^```.*?^```", "", paper.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in (" ".join(code.split()) for code in re.findall(r"`+([^`]+)`+", prose)):
        for path in re.findall(PATHS, code):
            assert [*ROOT.glob(re.sub(r"[A-Z]{2,}", "*", path))], f"{paper.name}: no {path}"
        if code.startswith(PROGRAMS):
            continue
        known, command, words = every, main, re.findall(r"(?<!\S)[a-z][\w-]*(?!\S)", code)
        if code.startswith("srbench "):
            while isinstance(command, click.Group) and len(words) > 1:
                words = words[1:]
                assert words[0] in command.commands, f"{paper.name}: no command {words[0]} in {code}"
                command = command.commands[words[0]]
            known = options_of(command) if command is not main else every
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
            assert option in known, f"{paper.name}: no {option} in {code}"


def options_of(command: click.Command) -> set[str]:
    return {"--help"} | {option for parameter in command.params for option in parameter.opts}
