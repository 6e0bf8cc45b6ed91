"""Metrics of pyiqa by their names: the numbers of its own command line; what is missing is named in one line.

Every metric of pyiqa is asked for. Those that load nothing, those whose weights come with srbench, lpips or
stlpips-pytorch, and those whose files lie in torch's cache of this machine are compared with pyiqa's command line.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import pyiqa
import pytest
import torch
from scipy.io import savemat

from srbench.benchmark.run import run
from srbench.images.io import read_image, write_png
from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics.from_pyiqa import OF_SETS, PyIQA, version_and_licence
from srbench.metrics.loading import LoadedMetric, open_metric
from srbench.metrics.parameters import packaged
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.suite import open_metrics
from srbench.plugins import PluginError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.results import rows_of
from srbench.verification.verify import verify

WITHOUT_WEIGHTS = (
    "psnr",
    "psnry",
    "ssim",
    "ssimc",
    "ms_ssim",
    "cw_ssim",
    "fsim",
    "vif",
    "gmsd",
    "nlpd",
    "vsi",
    "mad",
    "piqe",
    "entropy",
)
OF_PACKAGES = ("lpips", "lpips+", "niqe", "brisque", "stlpips", "stlpips-vgg")
"""Their weights come with srbench, lpips and stlpips-pytorch."""
LOWER_IS_BETTER = {"gmsd", "nlpd", "mad", "piqe", "lpips", "lpips+", "niqe", "brisque", "stlpips", "stlpips-vgg"}
NEEDS = (
    r"it needs https://\S+; put that file at /\S+"
    r"|it needs huggingface\.co/\S+; fetch that into its cache: hf download \S+"
    r"|it needs the Python module \w+; install it: pip install '\S+'"
)
TORCH_HOME = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser()

pytestmark = pytest.mark.skipif(
    not entry_points(group="srbench.metric_families"), reason="srbench has to be installed again: pip install -e ."
)


def folder_of(package: str) -> Path:
    found = find_spec(package)
    return Path(found.origin).parent if found and found.origin else Path("/nowhere")


def write_alexnet(path: Path) -> None:
    """torchvision's file. LPIPS sees nothing of the classifier, so it is zeros here, which take no room on the disk."""
    shapes = {"1": (4096, 9216), "4": (4096, 4096), "6": (1000, 4096)}
    classifier = {f"classifier.{key}.weight": torch.zeros(1, 1).expand(shape) for key, shape in shapes.items()}
    classifier |= {f"classifier.{key}.bias": torch.zeros(1).expand(shape[0]) for key, shape in shapes.items()}
    torch.save(packaged("alex_features_fp32") | classifier, path)


def write_niqe(path: Path) -> None:
    model = packaged("niqe_live_fp64")
    savemat(path, {name: model[name].numpy() for name in ("mu_prisparam", "cov_prisparam")})


def write_brisque(path: Path) -> None:
    model = packaged("brisque_live_fp64")
    torch.save((model["sv_coef"], model["sv"]), path)


def linked(target: Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target) if target.exists() else None


FILES = {
    "checkpoints/alexnet-owt-7be5be79.pth": write_alexnet,
    "pyiqa/LPIPS_v0.1_alex-df73285e.pth": linked(folder_of("lpips") / "weights" / "v0.1" / "alex.pth"),
    "pyiqa/niqe_modelparameters.mat": write_niqe,
    "pyiqa/brisque_svm_weights.pth": write_brisque,
    **{
        f"pyiqa/{net}_shift_tolerant.pth": linked(
            folder_of("stlpips_pytorch") / "weights" / "vST0.0" / f"{net}_shift_tolerant.pth"
        )
        for net in ("alex", "vgg")
    },
}
"""Files of torch's cache, and what puts them there."""


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory) -> Iterator[Path]:
    """A cache of torch with what this machine's has, and with what the packages have."""
    home = tmp_path_factory.mktemp("torch")
    for name in ("checkpoints", "pyiqa"):
        (home / "hub" / name).mkdir(parents=True)
        for file in (TORCH_HOME / "hub" / name).glob("*"):
            (home / "hub" / name / file.name).symlink_to(file)
    for name, put in FILES.items():
        if not (home / "hub" / name).exists():
            put(home / "hub" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setenv("SRBENCH_OFFLINE", "1")
        patch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(home / "hub" / "pyiqa"))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hf"))
        yield home


@pytest.fixture(scope="module")
def opened(torch_home) -> dict[str, LoadedMetric | str]:
    """Every metric of pyiqa, or what it says that it needs."""
    found: dict[str, LoadedMetric | str] = {}
    for name in pyiqa.list_models():
        try:
            found[name] = open_metric(f"pyiqa:{name}")
        except SRBenchError as error:
            found[name] = str(error)
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Two images of 192 x 192 as files."""
    folder, generator = tmp_path_factory.mktemp("pyiqa"), torch.Generator().manual_seed(0)
    coarse = torch.rand((1, 3, 24, 24), generator=generator)
    hr = torch.nn.functional.interpolate(coarse, size=(192, 192), mode="bicubic")[0].clamp(0, 1)
    noisy = (hr + 0.05 * torch.randn(hr.shape, generator=generator)).clamp(0, 1)
    for name, image in (("hr", hr), ("sr", noisy)):
        write_png(folder / f"{name}.png", image.mul(255).to(torch.uint8))
    return folder


@pytest.fixture(scope="module")
def printed(images, opened, torch_home) -> dict[str, float]:
    """What ``pyiqa METRIC...`` prints of them, of all metrics that can be loaded."""
    names = [name for name, metric in opened.items() if isinstance(metric, LoadedMetric)]
    command = [
        sys.executable,
        "-c",
        "from pyiqa.pyiqa_cmd import main; main()",
        *names,
        "--device",
        "cpu",
        "-t",
        str(images / "sr.png"),
        "-r",
        str(images / "hr.png"),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800, cwd=images)
    means = re.findall(r"'([\w+-]+)': {'mean': np\.float64\(([-\d.e]+)\)}", done.stdout)
    return {name: float(value) for name, value in means}


@pytest.mark.parametrize("name", pyiqa.list_models())
def test_the_numbers_of_its_command_line_or_what_is_missing(images, opened, printed, name):
    found = opened[name]
    if name in OF_SETS:
        assert found.startswith(f"pyiqa:{name} compares sets of images, not single ones; use srbench measure")
        return
    if isinstance(found, str):
        assert name not in WITHOUT_WEIGHTS
        assert re.fullmatch(f"pyiqa:{re.escape(name)} cannot be loaded: ({NEEDS})", found)
        if name in OF_PACKAGES:
            pytest.skip(f"{found}; it comes with the extra test")
        return
    hr, sr = (read_image(images / f"{kind}.png") for kind in ("hr", "sr"))
    values = found.metric(torch.stack([sr, sr]), ImagePair("a", hr[:, ::4, ::4], hr))
    assert values.dtype == torch.float64
    assert values[0] == values[1]
    assert values[0].item() == pytest.approx(printed[name], rel=1e-6)


@pytest.mark.parametrize("name", [*WITHOUT_WEIGHTS, *OF_PACKAGES])
def test_facts_come_from_pyiqa(opened, name):
    found = opened[name]
    if isinstance(found, str):
        pytest.skip(found)
    facts, config = found.facts, pyiqa.models.inference_model.DEFAULT_CONFIGS[name]
    assert (facts.direction > 0) == (name not in LOWER_IS_BETTER) == (not config.get("lower_better", False))
    key = re.sub(r"\W", "_", name.replace("+", "_plus"))
    assert facts.name == f"pyiqa_{key}"
    assert facts.title == f"{name} (pyiqa)"
    assert facts.signature == f"PYIQA-{key.upper().replace('_', '-')}|RGB|floor|pyiqa{version('pyiqa')}|v1"
    before, _, licence = facts.protocol.partition("; licence of pyiqa: ")
    assert before.endswith(f"range {config['score_range']} by pyiqa")
    assert licence.startswith(("PolyForm-Noncommercial", "Apache Software License")), "what 0.1.15 still said of itself"
    assert ("compared with HR" in facts.protocol) == (config["metric_mode"] == "FR")


def test_its_lpips_is_ours(images, opened):
    """On the same weights: theirs through torchvision's file of them."""
    hr, sr = (read_image(images / f"{kind}.png") for kind in ("hr", "sr"))
    pair = ImagePair("a", hr[:, ::4, ::4], hr)
    assert torch.allclose(opened["lpips"].metric(sr[None], pair), LPIPS()(sr[None], pair), atol=1e-6, rtol=0)


def test_in_a_run_beside_our_own(images, models, tmp_path):
    from srbench.run_folder.request import RunSpec

    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "hr.png").write_bytes((images / "hr.png").read_bytes())
    done = run(
        RunSpec(
            models=(f"{models}:Nearest",),
            scale=4,
            data=str(folder),
            suite="srflow-round",
            metrics=("psnr", "pyiqa:psnr", "pyiqa:gmsd"),
            out=str(tmp_path / "run"),
        )
    )
    assert done.failures == ()
    (row,) = rows_of(RunFolder.read(done.folder))
    assert list(row.values) == ["psnr", "pyiqa_psnr", "pyiqa_gmsd"]
    assert row.values["pyiqa_psnr"] == pytest.approx(row.values["psnr"], abs=1e-3)
    assert verify(done.folder, resample=1).holds


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """No network, and empty caches."""
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"))


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("dists", r"it needs https://download\.pytorch\.org/models/vgg16-397923af\.pth; put that file at /.*vgg16"),
        ("cnniqa", r"it needs https://huggingface\.co/chaofengc/.*/CNNIQA.*\.pth; put that file at /.*pyiqa/CNNIQA"),
        ("msswd", r"it needs https://huggingface\.co/chaofengc/.*/msswd_weights\.pth; put that file at /.*pyiqa/msswd"),
        ("distts", r"unknown metric of pyiqa 'distts'; did you mean dists\?"),
    ],
)
def test_what_is_missing_is_named_with_its_place(nothing_here, capfd, name, fault):
    with pytest.raises(SRBenchError, match=f"pyiqa:{name} cannot be loaded: {fault}|{fault}") as caught:
        open_metric(f"pyiqa:{name}")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""


def test_a_missing_module_is_named(monkeypatch):
    def created(*arguments, **named):
        raise ModuleNotFoundError("No module named 'pkg_resources'", name="pkg_resources")

    monkeypatch.setattr(pyiqa, "create_metric", created)
    with pytest.raises(SRBenchError, match="pip install 'setuptools<81'"):
        PyIQA("clipiqa")


def test_other_weights_are_another_metric(monkeypatch):
    """They have one name at pyiqa, and come from a cache that anyone can write to."""

    def digest(number):
        network = torch.nn.Linear(1, 1, bias=False)
        network.weight.data.fill_(number)
        network.lower_better, network.metric_mode, network.score_range = False, "NR", "0, 1"
        monkeypatch.setattr(pyiqa, "create_metric", lambda *arguments, **named: network)
        return open_metric("pyiqa:musiq").facts.digest

    assert digest(0.0) == digest(0.0)
    assert digest(0.0) != digest(1.0)


def test_a_variant_is_of_a_family():
    with pytest.raises(PluginError, match="unknown metric 'pyiqa'"):
        open_metric("pyiqa")


LUMA = "pyiqa:psnr+test_y_channel=true+color_space=ycbcr"


@pytest.mark.parametrize(
    ("fields", "licence"),
    [({"License-Expression": "A", "License": "B"}, "A"), ({"License": "B"}, "B"), ({}, "unknown")],
)
def test_the_licence_is_what_the_metadata_have(monkeypatch, fields, licence):
    """Fields differ by version, and some readers of metadata raise KeyError for one that is missing."""
    monkeypatch.setattr("srbench.metrics.from_pyiqa.metadata", lambda name: {"Version": "1"} | fields)
    assert version_and_licence() == ("1", licence)


def test_arguments_are_pyiqas(photos, tmp_path):
    """Values are those of pyiqa with the arguments; name, title, signature and digest have them."""
    hr = read_image(photos / "a.png")
    pair, sample = ImagePair("a", hr, hr), (hr * 0.9)[None]
    loaded = open_metric(LUMA, "round")
    wanted = pyiqa.create_metric("psnr", device="cpu", test_y_channel=True, color_space="ycbcr")(sample, hr[None])
    assert loaded.metric(sample, pair).item() == pytest.approx(wanted.item(), abs=1e-6)
    facts, plain = loaded.facts, open_metric("pyiqa:psnr", "round").facts
    assert facts.name == "pyiqa_psnr_color_space_ycbcr_test_y_channel_true"
    assert facts.title == "psnr (pyiqa, ycbcr, test_y_channel)"
    assert "|color_space=ycbcr|test_y_channel=true|v1" in facts.signature
    assert "with color_space=ycbcr and test_y_channel=true" in facts.protocol
    assert facts.digest != plain.digest
    assert (plain.name, plain.title) == ("pyiqa_psnr", "psnr (pyiqa)")
    other = open_metric("pyiqa:psnr+color_space=ycbcr+test_y_channel=true", "round").facts
    assert (other.name, other.signature, other.digest) == (facts.name, facts.signature, facts.digest), "in any order"


def test_names_of_arguments_that_are_no_words():
    """Characters that no name can have, and names that are too long, are told apart by a digest."""
    small = [open_metric(f"pyiqa:psnr+eps={text}").facts.name for text in ("1e-8", "1e-9")]
    assert len(set(small)) == 2
    assert all(re.fullmatch(r"\w{1,100}", name) for name in small)
    long = open_metric("pyiqa:psnr+eps=0.000001+color_space=ycbcr+data_range=1+crop_border=4+test_y_channel=true").facts
    assert len(long.name) <= 100
    assert len(open_metrics(("pyiqa:psnr", LUMA), (), "round")) == 2, "in one table"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "pyiqa:psnr+colour=yiq",
            "pyiqa:psnr takes no argument colour; it takes test_y_channel, crop_border, data_range, eps, color_space",
        ),
        ("pyiqa:gmsd+foo=1", "pyiqa:gmsd takes no argument foo; it takes channels, test_y_channel"),
        ("pyiqa:psnr+as_loss=true", "pyiqa:psnr takes no argument as_loss; it takes test_y_channel"),
        ("pyiqa:psnr+test_y_channel=maybe", "pyiqa:psnr: test_y_channel is 'maybe'; choose true or false"),
        ("pyiqa:psnr+variant=ssim", "takes no parameter variant; leave it out"),
    ],
)
def test_arguments_that_pyiqa_does_not_take(text, fault):
    with pytest.raises(SRBenchError, match=fault) as caught:
        open_metric(text)
    assert "\n" not in str(caught.value)
