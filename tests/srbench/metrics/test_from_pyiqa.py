"""Metrics of pyiqa by their names: the numbers of pyiqa; what is missing is named in one line."""

from __future__ import annotations

import re
from importlib.metadata import entry_points, version
from pathlib import Path

import pyiqa
import pytest
import torch

from srbench.benchmark.run import run
from srbench.benchmark.scorer import measure
from srbench.images.io import read_image, write_png
from srbench.interfaces import ImagePair, SRBenchError
from srbench.machine import precision
from srbench.metrics.from_pyiqa import OF_FOLDERS, PyIQA, version_and_licence
from srbench.metrics.loading import open_metric
from srbench.metrics.suite import open_metrics
from srbench.plugins import PluginError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.measurements import measurements_of
from srbench.verification.verify import verify

pytestmark = pytest.mark.skipif(
    not entry_points(group="srbench.metric_families"), reason="srbench has to be installed again: pip install -e ."
)


NAMES = "ms_ssim cw_ssim fsim vif gmsd nlpd vsi piqe entropy psnry ssimc"
WITHOUT_WEIGHTS = {*NAMES.split()}
NEEDS = (
    r"it needs https://\S+; put that file at /\S+"
    r"|it needs the Python module \w+; install it: pip install '\S+'"
    r"|(LocalEntryNotFoundError|OSError|URLError): .+"  # huggingface_hub, transformers and CLIP announce no download
)


@pytest.fixture
def nothing_here(monkeypatch, tmp_path):
    """No network, and empty caches."""
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))


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


@pytest.mark.parametrize("name", sorted(WITHOUT_WEIGHTS))
def test_numbers_and_facts_are_pyiqas(images, name):
    hr, sr = (read_image(images / f"{kind}.png") for kind in ("hr", "sr"))
    theirs = pyiqa.create_metric(name, device="cpu")
    found = open_metric(f"pyiqa:{name}")
    values = found.metric(torch.stack([sr, sr]), ImagePair("a", hr[:, ::4, ::4], hr))
    wanted = theirs(sr[None], hr[None]) if theirs.metric_mode == "FR" else theirs(sr[None])
    assert values.dtype == torch.float64
    assert values.tolist() == pytest.approx([wanted.item()] * 2, rel=1e-6)
    facts = found.info
    assert (facts.direction < 0) == theirs.lower_better
    assert (facts.name, facts.title) == (f"pyiqa_{name}", f"{name} (pyiqa)")
    assert facts.signature == f"PYIQA-{name.upper().replace('_', '-')}|RGB|floor|pyiqa{version('pyiqa')}|v1"
    assert f"range {theirs.score_range} by pyiqa; licence of pyiqa: " in facts.protocol
    assert ("compared with HR" in facts.protocol) == (theirs.metric_mode == "FR")


@pytest.mark.slow
def test_every_other_metric_says_what_it_needs(nothing_here):
    for name in {*pyiqa.list_models()} - WITHOUT_WEIGHTS - {"psnr", "ssim", "mad"}:
        with pytest.raises(SRBenchError) as caught:
            open_metric(f"pyiqa:{name}")
        if name in OF_FOLDERS:
            assert f"pyiqa:{name} compares folders of images, not single ones; use srbench measure" in str(caught.value)
        else:
            assert re.fullmatch(f"pyiqa:{re.escape(name)} cannot be loaded: ({NEEDS})", str(caught.value))


def test_in_a_run_beside_our_own(images, models, tmp_path):
    from srbench.run_folder.request import RunSpec

    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "hr.png").write_bytes((images / "hr.png").read_bytes())
    facts = {"suite": "srflow-round", "metrics": ("psnr", "pyiqa:psnr", "pyiqa:gmsd"), "out": str(tmp_path / "run")}
    done = run(RunSpec((f"{models}:Nearest",), 4, str(folder), **facts))
    assert done.failures == ()
    (row,) = measurements_of(RunFolder.read(done.folder))
    assert list(row.values) == ["psnr", "pyiqa_psnr", "pyiqa_gmsd"]
    assert row.values["pyiqa_psnr"] == pytest.approx(row.values["psnr"], abs=1e-3)
    assert verify(done.folder, resample=1).holds


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("dists", r"it needs https://download\.pytorch\.org/models/vgg16-397923af\.pth; put that file at /.*vgg16"),
        ("cnniqa", r"it needs https://huggingface\.co/chaofengc/.*/CNNIQA.*\.pth; put that file at /.*pyiqa/CNNIQA"),
        ("msswd", r"it needs https://huggingface\.co/chaofengc/.*/msswd_weights\.pth; put that file at /.*pyiqa/msswd"),
        ("afine_fr", "URLError: .*SRBENCH_OFFLINE is set"),
        ("hyperiqa", "LocalEntryNotFoundError: .*find the requested files in the local cache"),
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


def test_a_finished_download_is_not_blamed(monkeypatch, tmp_path):
    (tmp_path / "here.pth").touch()

    def created(*arguments, **named):
        print(f'Downloading: "https://a.b/here.pth" to {tmp_path}/here.pth\n')
        raise ValueError("another\nreason")

    monkeypatch.setattr(pyiqa, "create_metric", created)
    with pytest.raises(SRBenchError, match="pyiqa:clipiqa cannot be loaded: ValueError: another reason"):
        PyIQA("clipiqa")


def test_other_weights_are_another_metric(monkeypatch):
    """They have one name at pyiqa, and come from a cache that anyone can write to."""

    def digest(number):
        network = torch.nn.Linear(1, 1, bias=False)
        network.weight.data.fill_(number)
        network.lower_better, network.metric_mode, network.score_range = False, "NR", "0, 1"
        monkeypatch.setattr(pyiqa, "create_metric", lambda *arguments, **named: network)
        return open_metric("pyiqa:musiq").info.digest

    assert digest(0.0) == digest(0.0)
    assert digest(0.0) != digest(1.0)


def test_tf32_is_forbidden(images, monkeypatch):
    """pyiqa's own call of ``cudnn.flags`` would allow it, and so may the settings of a process."""
    monkeypatch.setattr(precision, "TF32_DEVICE", "cpu")
    allowed = []

    def net(output, hr):
        allowed.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return output.mean((1, 2, 3))

    metric, hr = open_metric("pyiqa:gmsd").metric, read_image(images / "hr.png")
    metric._metric.net.forward = net
    matrices = torch.backends.cuda.matmul
    before, matrices.allow_tf32 = matrices.allow_tf32, True
    try:
        metric(hr[None], ImagePair("a", hr, hr))
    finally:
        matrices.allow_tf32 = before
    assert allowed == [(False, False)]


def test_settings_of_tf32_by_the_newer_names(images):
    """As a notebook may set them, after which torch refuses to read the older names."""
    metric, hr = open_metric("pyiqa:gmsd").metric, read_image(images / "hr.png")
    convolutions = torch.backends.cudnn.conv
    before, convolutions.fp32_precision = convolutions.fp32_precision, "tf32"
    try:
        assert metric(hr[None], ImagePair("a", hr, hr)).item() == pytest.approx(0, abs=1e-6)
        assert convolutions.fp32_precision == "tf32"
    finally:
        convolutions.fp32_precision = before


def test_gpu_equals_cpu(images, device):
    hr, sr = (read_image(images / f"{kind}.png") for kind in ("hr", "sr"))
    metric, pair = open_metric("pyiqa:vsi").metric, ImagePair("a", hr[:, ::4, ::4], hr)
    on_cpu, on_gpu = (measure(metric, sr[None], pair, place) for place in ("cpu", device))
    assert on_gpu == pytest.approx(on_cpu, rel=1e-5)


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
    facts, plain = loaded.info, open_metric("pyiqa:psnr", "round").info
    assert facts.name == "pyiqa_psnr_color_space_ycbcr_test_y_channel_true"
    assert facts.title == "psnr (pyiqa, ycbcr, test_y_channel)"
    assert "|color_space=ycbcr|test_y_channel=true|v1" in facts.signature
    assert "with color_space=ycbcr and test_y_channel=true" in facts.protocol
    assert facts.digest != plain.digest
    assert (plain.name, plain.title) == ("pyiqa_psnr", "psnr (pyiqa)")
    other = open_metric("pyiqa:psnr+color_space=ycbcr+test_y_channel=true", "round").info
    assert (other.name, other.signature, other.digest) == (facts.name, facts.signature, facts.digest), "in any order"


def test_a_file_that_is_called_like_a_value_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = open_metric("pyiqa:psnr+color_space=ycbcr+eps=1e-8+data_range=0.5").info
    for name in ("ycbcr", "1e-8", "0.5"):
        Path(name).touch()
    assert open_metric("pyiqa:psnr+color_space=ycbcr+eps=1e-8+data_range=0.5").info == before


def test_names_of_arguments_that_are_no_words():
    """Characters that no name can have, and names that are too long, are told apart by a digest."""
    small = [open_metric(f"pyiqa:psnr+eps={text}").info.name for text in ("1e-8", "1e-9")]
    assert len(set(small)) == 2
    assert all(re.fullmatch(r"\w{1,100}", name) for name in small)
    long = open_metric("pyiqa:psnr+eps=0.000001+color_space=ycbcr+data_range=1+crop_border=4+test_y_channel=true").info
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
