"""FID and KID of folders, with a small network in place of Inception v3."""

from __future__ import annotations

import json

import numpy as np
import pyiqa
import pytest
import torch
from builders import image_set
from inception import Inception
from PIL import Image
from scipy.linalg import sqrtm

from srbench import explain as srbench_explain
from srbench.explaining.protocols import families
from srbench.images.io import read_uint8, write_png
from srbench.interfaces import SRBenchError
from srbench.metrics import MetricError
from srbench.metrics.fid import MODES, WHOLE, features_of_hr, features_of_outputs, inception, patches
from srbench.metrics.loading import open_metric
from srbench.metrics.suite import open_metrics
from srbench.plugins.code_digest import package_digest


@pytest.fixture
def explained(small_inception, monkeypatch):
    """Small patches, and no network left in caches."""
    monkeypatch.setattr("srbench.explaining.protocols.features.PATCH", 30)
    yield
    families.family.cache_clear()


@pytest.fixture
def folders(tmp_path):
    """Eight HR images and eight outputs, which are noisier."""
    generator = torch.Generator().manual_seed(0)
    for number in range(8):
        hr = torch.rand((3, 1, 1), generator=generator) + 0.2 * torch.randn((3, 40, 40), generator=generator)
        noisy = hr + 0.1 * torch.randn(hr.shape, generator=generator)
        for name, image in (("hr", hr), ("sr", noisy)):
            write_png(tmp_path / name / f"{number}.png", image.clamp(0, 1).mul(255).to(torch.uint8))
    return tmp_path


@pytest.fixture
def few(folders):
    """The first three of them."""
    for path in [*folders.glob("*/*.png")]:
        if int(path.stem) > 2:
            path.unlink()
    return folders


def features(folder):
    """Resizing by Pillow's bicubic in float32, channel by channel, and the same colours."""
    found = []
    for path in sorted(folder.glob("*.png")):
        channels = [
            Image.fromarray(c).resize((299, 299), Image.Resampling.BICUBIC)
            for c in np.moveaxis(np.array(Image.open(path), dtype=np.float32), -1, 0)
        ]
        image = (np.stack([np.asarray(channel) for channel in channels]).clip(0, 255) - 128) / 128
        found.append(np.square(np.tensordot(Inception([3]).colours.detach().numpy(), image, 1)).mean((1, 2)))
    return np.array(found, dtype=np.float64)


def test_against_the_formulas(small_inception, folders, srbench):
    options = "--metrics psnr,fid,kid --format json --workers 1"
    done = srbench("measure", folders / "sr", "--hr", folders / "hr", *options.split())
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    ours, theirs = features(folders / "sr"), features(folders / "hr")
    first, second = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
    shift = np.square(ours.mean(0) - theirs.mean(0)).sum()
    assert found["set"]["fid"] == pytest.approx(
        shift + np.trace(first + second - 2 * sqrtm(first @ second).real), rel=1e-3, abs=1e-7
    )

    def kernel(a, b):
        return (a @ b.T / 4 + 1) ** 3

    inside = sum((kernel(x, x).sum() - np.trace(kernel(x, x))) / (8 * 7) for x in (ours, theirs))
    assert found["set"]["kid"] == pytest.approx(inside - 2 * kernel(ours, theirs).mean(), rel=1e-3, abs=1e-6)
    assert found["signatures"]["fid"].startswith("FID|RGB|floor|clean|pyiqa")
    assert list(found["mean"]) == ["psnr"]


def test_the_table_and_the_lines(small_inception, folders, srbench):
    arguments = ("measure", folders / "sr", "--hr", folders / "hr", "--metrics", "fid")
    assert "FID ↓ " in srbench(*arguments).stdout
    lines = srbench(*arguments, "--format", "csv").stdout.splitlines()
    assert lines[0] == "model,temperature,image,sample,metric,value,signature,suite"
    assert len(lines) == 2
    assert lines[1].startswith("sr,,,,fid,")


def test_several_folders_have_a_column(small_inception, few, srbench):
    """In every format, without an interval or a mark."""
    arguments = ("measure", few / "sr", f"same={few / 'hr'}", "--hr", few / "hr", "--format")
    value = json.loads(srbench(*arguments, "json", "--metrics", "fid").stdout)["sr"]["set"]["fid"]
    for names in ("psnr,fid", "fid"):
        lines = srbench(*arguments, "md", "--metrics", names).stdout.splitlines()

        row = next(line for line in lines if line.startswith("| sr "))
        assert row.split("|")[-3].strip() == f"{value:.2f}"
        table = srbench(*arguments, "csv", "--metrics", names).stdout.splitlines()
        cells = dict(zip(table[0].split(","), table[1].split(","), strict=True))
        assert float(cells["fid"]) == pytest.approx(value)
        assert cells["fid_signature"].startswith("FID|RGB|floor|clean|")
        assert "fid_low" not in cells
        tex = srbench(*arguments, "tex", "--metrics", names).stdout
        assert f"& {value:.2f} " in tex
        assert "FID of all images together, untested" in tex
        assert "FID" in srbench(*arguments, "table", "--metrics", names).stdout


def measured(texts, outputs, references):
    images = image_set(list(outputs), list(references))
    return {metric.info.name: metric.metric(images) for metric in open_metrics(tuple(texts), (), "floor")}


def test_images_and_themselves(small_inception, folders):
    images = [read_uint8(path) for path in sorted((folders / "hr").glob("*"))]
    state = np.random.get_state()[1].copy()
    found = measured(["fid", "kid"], images, images)
    assert found["fid"] == pytest.approx(0, abs=1e-6)
    assert found["kid"] < 0, "the estimate is unbiased"
    assert (np.random.get_state()[1] == state).all()
    with pytest.raises(MetricError, match="both need at least two images"):
        measured(["fid"], images[:1], images[:1])


@pytest.mark.parametrize(("mode", "theirs"), MODES.items())
def test_modes_are_pyiqas(small_inception, folders, srbench, mode, theirs):
    """The values of pyiqa's own code, with the same network."""
    names = f"fid+mode={mode},kid+mode={mode}"
    options = ("--hr", folders / "hr", "--metrics", names, "--format", "json")
    found = json.loads(srbench("measure", folders / "sr", *options).stdout)
    metric = pyiqa.create_metric("fid", device="cpu")
    suffix = f"_mode_{mode}"
    for name, kind in {"fid": "frechet", "kid": "mmd"}.items():
        paths = (str(folders / "sr"), str(folders / "hr"))
        value = metric(*paths, mode=theirs, distance_type=kind, num_workers=0, verbose=False)
        assert found["set"][name + suffix] == pytest.approx(float(value), rel=1e-6)
        start = f"{name.upper()}|RGB|floor|{mode}|pyiqa"
        assert found["signatures"][name + suffix].startswith(start)
    assert len({*found["set"].values()}) == 2


def test_modes_differ(small_inception, folders):
    texts = [f"fid+mode={mode}" for mode in MODES]
    images = [map(read_uint8, sorted((folders / name).glob("*"))) for name in ("sr", "hr")]
    assert len({round(value, 9) for value in measured(texts, *images).values()}) == len(MODES)
    facts = [metric.info for metric in open_metrics(tuple(texts), (), "round")]
    assert [metric.title for metric in facts] == ["FID", "FID (legacy)", "FID (tensorflow)"]
    assert len({metric.digest for metric in facts}) == len(MODES)


def test_patches_are_two_grids():
    """Those of a reference implementation: unfold from the corner, and from half a patch inside."""
    image = torch.arange(3 * 41 * 30).reshape(3, 41, 30) % 256
    unfold = torch.nn.functional.unfold
    grids = [unfold(image[None, :, start:, start:].float(), 16, stride=16)[0].T for start in (0, 8)]
    assert [len(grid) for grid in grids] == [2, 2]
    assert torch.equal(patches(image, 16), torch.cat(grids).reshape(-1, 3, 16, 16).long())
    assert len(patches(image, 24)) == 1, "the second grid has no room"
    assert len(patches(image, 30)) == 1
    with pytest.raises(MetricError, match="an image of 30x41 is smaller than patches of 31; choose a smaller patch"):
        patches(image, 31)


def test_patches_are_images_of_their_own(small_inception, few, tmp_path, srbench):
    for name in ("sr", "hr"):
        for path in (few / name).glob("*"):
            for place, piece in enumerate(patches(read_uint8(path), 20)):
                write_png(tmp_path / "cut" / name / f"{path.stem}_{place}.png", piece)
    cut = tmp_path / "cut"
    whole = json.loads(
        srbench("measure", cut / "sr", "--hr", cut / "hr", "--metrics", "fid+mode=legacy", "--format", "json").stdout
    )
    options = ("--metrics", "fid+patch=20+mode=legacy", "--format", "json")
    found = json.loads(srbench("measure", few / "sr", "--hr", few / "hr", *options).stdout)
    assert found["set"] == {"fid_patch_20_mode_legacy": pytest.approx(whole["set"]["fid_mode_legacy"], rel=1e-6)}
    assert found["signatures"]["fid_patch_20_mode_legacy"].startswith("FID|RGB|floor|legacy|patch20|pyiqa")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("fid+mode=legacyy", "mode is 'legacyy'; give clean, legacy or tensorflow"),
        ("kid+patch=big", "patch is 'big'; give a whole number of at least 2"),
        ("fid+patch=-5", "patch is '-5'; give a whole number of at least 2"),
        ("fid+patch=1", "patch is '1'; give a whole number of at least 2"),
        ("kid+reference=5", "kid: the reference .*/5 is missing or unusable; give a folder of images"),
        ("fid+size=3", "fid takes no parameter size; it takes mode, patch, reference"),
    ],
)
def test_parameters_that_it_does_not_take(text, fault):
    with pytest.raises(SRBenchError, match=fault):
        open_metric(text)


def test_it_may_be_a_column_of_a_suite(small_inception, few, srbench):
    suite = few / "mine.toml"
    suite.write_text('name = "mine"\nversion = 1\nmetrics = ["fid+mode=legacy", "psnr"]\n')
    done = srbench("measure", few / "sr", "--hr", few / "hr", "--suite", suite, "--format", "json")
    assert list(json.loads(done.stdout)["set"]) == ["fid"]
    done = srbench("measure", few / "sr", "--hr", few / "hr", "--suite", suite, "--metrics", "fid", "--format", "json")
    assert "|legacy|" in json.loads(done.stdout)["signatures"]["fid"]


def test_a_metric_of_images_has_no_value_of_all_images(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from srbench.interfaces import ImageMetric, MetricInfo\n\n\nclass Mine(ImageMetric):\n"
        "    info = MetricInfo(name='mine', title='Mine', direction=1, protocol='mine', per='set')\n\n"
        "    def __call__(self, samples, pair):\n        return samples.mean()\n"
    )
    with pytest.raises(SRBenchError, match='per in its info is \'set\'; state "sample" or "image"'):
        open_metric(f"{tmp_path}/mine.py:Mine")


def test_the_mode_behind_a_number(explained, few, srbench):
    """Every mode, of whole images and of patches, is named by its number."""
    texts = [f"fid+mode={mode}{patch}" for mode in MODES for patch in ("", "+patch=30")]
    images = [map(read_uint8, sorted((few / name).glob("*"))) for name in ("sr", "hr")]
    values = [f"{value:.8f}" for value in measured(texts, *images).values()]
    assert len(set(values)) == len(texts)
    found = srbench_explain(values, "fid", sr=few / "sr", hr=few / "hr", scale=4)
    for text, number in zip(texts, found.numbers, strict=True):
        (match,) = number.matches
        assert match.protocol.text == text.replace("+mode=clean", "")
        assert match.candidate.signature == open_metric(text).info.signature
    value = values[2]
    done = srbench("explain", value, "--metrics", "fid", "--sr", few / "sr", "--hr", few / "hr")
    assert f"{value} is FID on legacy: bilinear without antialiasing, as pytorch-fid (" in done.stdout
    assert "  --metrics fid+mode=legacy  (signature FID|RGB|floor|legacy|pyiqa" in done.stdout
    assert "srbench measure gives" in done.stdout


def test_claims_on_it_name_the_mode(explained, few, srbench):
    arguments = ("measure", few / "sr", "--hr", few / "hr", "--metrics")
    value = json.loads(srbench(*arguments, "kid+mode=legacy", "--format", "json").stdout)["set"]["kid_mode_legacy"]
    claims = few / "claims.toml"
    claims.write_text(f'[[claim]]\nmetric = "kid"\nvalue = "{value:.8f}"\n')
    done = json.loads(srbench(*arguments, "kid", "--claims", claims, "--format", "json").stdout)
    assert done["claims"][0]["result"] == "reproduced under another protocol"
    assert done["claims"][0]["protocols"][0]["metrics"] == "kid+mode=legacy"


def test_explained_without_weights(monkeypatch, tmp_path, folders):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(MetricError, match=r"needs https://\S+/pt_inception\S+\.pth; put that file at"):
        srbench_explain("12.3", "fid", sr=folders / "sr", hr=folders / "hr")


def test_weights_that_are_not_here_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    with pytest.raises(MetricError, match=rf"needs https://\S+/pt_inception\S+\.pth; put that file at {tmp_path}/pt_"):
        open_metric("fid")


def npz_of(folder, path):
    """Statistics of a folder as pytorch-fid and clean-fid write them."""
    features = inception().features([read_uint8(file) for file in sorted(folder.glob("*"))], WHOLE, "cpu")
    np.savez(path, mu=features.mean(axis=0), sigma=np.cov(features, rowvar=False))
    return path


@pytest.mark.parametrize("kind", ["folder", "statistics"])
def test_a_reference_takes_the_place_of_hr(small_inception, folders, srbench, monkeypatch, kind):
    """As pyiqa's own call on two folders; also without HR."""
    monkeypatch.setattr("srbench.metrics.fid.FEATURES", 4)
    reference = folders / "hr" if kind == "folder" else npz_of(folders / "hr", folders / "ffhq.npz")
    names = f"fid+reference={reference}" + (f",kid+reference={reference}" if kind == "folder" else "")
    done = srbench("measure", folders / "sr", "--metrics", names, "--format", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    metric = pyiqa.create_metric("fid", device="cpu")
    wanted = metric(str(folders / "sr"), str(folders / "hr"), mode="clean", num_workers=0, verbose=False)
    assert next(iter(found["set"].values())) == pytest.approx(float(wanted), rel=1e-4)
    signatures = list(found["signatures"].values())
    assert all("|reference " in signature for signature in signatures), signatures


def test_another_reference_is_another_metric(small_inception, folders):
    reference = folders / "hr"
    before = open_metric(f"fid+reference={reference}").info
    assert before.spec == f"fid+reference={reference.resolve()}"
    write_png(reference / "more.png", torch.zeros(3, 40, 40, dtype=torch.uint8))
    after = open_metric(f"fid+reference={reference}").info
    assert after.digest != before.digest
    assert after.signature != before.signature
    for path, fault in (
        ("nowhere", "the reference .*nowhere is missing or unusable; give a folder of images, or a file .npz"),
        (folders / "odd.npz", "holds no arrays mu and sigma"),
        (folders / "empty.npz", "holds no arrays mu and sigma"),
        (folders / "single.npz", "holds no arrays mu and sigma"),
    ):
        (folders / "odd.npz").write_bytes(b"no numbers")
        (folders / "empty.npz").touch()
        with (folders / "single.npz").open("wb") as file:
            np.save(file, np.zeros(3))
        metric = f"fid+reference={path}"
        with pytest.raises(MetricError, match=fault):
            open_metric(metric).metric(image_set([read_uint8(reference / "0.png")] * 2, [None] * 2))


def test_a_reference_in_this_folder_is_that_of_its_path(small_inception, folders, monkeypatch):
    """A run records the path, and opens the metric by it again in any folder."""
    monkeypatch.chdir(folders)
    typed = open_metric("fid+reference=hr").info
    monkeypatch.chdir("/")
    assert open_metric(typed.spec).info == typed


def test_another_code_is_another_metric(small_inception, monkeypatch):
    before = open_metric("fid").info.digest
    with monkeypatch.context() as changed:
        changed.setattr("srbench.plugins.code_digest.source_sha256", lambda path: f"{path} changed")
        package_digest.cache_clear()
        after = open_metric("fid").info.digest
    package_digest.cache_clear()
    assert after != before


def test_metrics_of_a_set_share_features(small_inception, folders, monkeypatch):
    images = [read_uint8(path) for path in sorted((folders / "hr").glob("*"))]
    outputs = image_set(images, images)
    runs = []
    compute = type(inception()).features
    monkeypatch.setattr(type(inception()), "features", lambda self, *given: runs.append(1) or compute(self, *given))
    for metric in open_metrics(("fid", "kid"), (), "floor"):
        metric.metric(outputs)
    assert len(runs) == 2, "of outputs and of HR"
    assert features_of_outputs(outputs) is features_of_outputs(outputs)
    assert features_of_hr(outputs).shape == features_of_outputs(outputs).shape
