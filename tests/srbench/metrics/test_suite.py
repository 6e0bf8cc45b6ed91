"""Suites: what they measure is what others measure, and a run folder holds one of them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from builders import measure_folder
from scipy.signal import convolve2d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from srbench.api import evaluate
from srbench.benchmark import BenchmarkError
from srbench.benchmark.measure import measure_folders
from srbench.benchmark.run import run, score_run
from srbench.files.config import ConfigError
from srbench.images.io import read_image
from srbench.images.resize import downscale_uint8, upscale_uint8
from srbench.interfaces import ImagePair, SRBenchError
from srbench.metrics.perceptual import LPIPS
from srbench.metrics.suite import Suite, open_metrics, read_suite, suite_names
from srbench.reporting import ReportError
from srbench.reporting.results import read_results
from srbench.reporting.tables.table import table_of_runs
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.protocol import Setting, protocol_line
from srbench.run_folder.request import RunSpec
from srbench.verification.verify import verify

COLUMNS = read_suite("srflow").columns
PHOTOGRAPHS = {"astronaut": skimage.data.astronaut, "coffee": skimage.data.coffee}


def bicubic(name: str, scale: int) -> tuple[ImagePair, torch.Tensor]:
    """A pair of a photograph of scikit-image, and its LR upscaled: all as 8-bit images."""
    whole = torch.from_numpy(PHOTOGRAPHS[name]()).permute(2, 0, 1)
    hr = whole[:, : whole.shape[1] // scale * scale, : whole.shape[2] // scale * scale].contiguous()
    lr = downscale_uint8(hr, scale)
    return ImagePair(name, lr.float() / 255, hr.float() / 255), upscale_uint8(lr, scale)


def columns(suite: str, pair: ImagePair, output: torch.Tensor) -> dict[str, float]:
    found = read_suite(suite)
    metrics = open_metrics(None, found.metrics, found.quantize)
    return {one.info.name: one.metric(output[None].float() / 255, pair).item() for one in metrics}


def luma(image: torch.Tensor, border: int) -> np.ndarray:
    """Luma of an 8-bit image by scikit-image, not rounded, without a border."""
    array = (image * 255).round().to(torch.uint8) if image.is_floating_point() else image
    return rgb2ycbcr(array.permute(1, 2, 0).numpy())[border:-border, border:-border, 0]


def wang(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity, written down from the paper's equations 13 to 16 and its window."""
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return convolve2d(values, window, mode="valid")

    mx, my = mean(one), mean(other)
    vx, vy, cov = mean(one**2) - mx**2, mean(other**2) - my**2, mean(one * other) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    return float((((2 * mx * my + c1) * (2 * cov + c2)) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


@pytest.mark.parametrize(("name", "scale"), [("astronaut", 4), ("coffee", 3)])
def test_classic_y_against_other_implementations(name, scale):
    pair, output = bicubic(name, scale)
    ours, theirs = (luma(image, scale) for image in (output, pair.hr))
    found = columns("classic-y", pair, output)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(theirs, ours, data_range=255), abs=1e-9)
    assert found["ssim"] == pytest.approx(wang(ours, theirs), abs=1e-9)


def test_srflow_round_is_srflow_on_rounded_images(photos, models, tmp_path):
    """The images that are kept are those of the other quantisation, and so are all values."""
    columns, out = ("psnr", "lr_psnr", "sigma"), str(tmp_path / "floor")
    spec = RunSpec((f"{models}:Noisy",), 4, str(photos), limit=1, metrics=columns, samples=2, out=out)
    floored = run(spec).folder
    rounded = run(replace(spec, suite="srflow-round", out=str(tmp_path / "round"))).folder
    difference = [read_image(folder / "images/Noisy-t0.8/a_sample0.png") * 255 for folder in (floored, rounded)]
    assert set((difference[1] - difference[0]).round().unique().tolist()) == {0.0, 1.0}
    pair = ImagePair("a", *(read_image(rounded / f"images/{kind}/a.png") for kind in ("lr", "hr")))
    for folder in (floored, rounded):
        kept = RunFolder.read(folder)
        (sample,) = kept.of("a").samples.values()
        outputs = torch.stack([read_image(file) for file in kept.outputs(sample)])
        (psnr,) = open_metrics(("psnr",), COLUMNS, "floor")
        assert kept.score(sample, kept.manifest.metric("psnr")).value == psnr.metric(outputs, pair).tolist()
    signatures = [[one.signature for one in read_manifest(folder).metrics] for folder in (floored, rounded)]
    assert signatures == [
        ["PSNR|RGB|floor|crop0|v1", "LR-PSNR|RGB|floor|matlab-bicubic|v1", "SIGMA|RGB|float|ddof1|v1|n2"],
        ["PSNR|RGB|round|crop0|v1", "LR-PSNR|RGB|round|matlab-bicubic|v1", "SIGMA|RGB|float|ddof1|v1|n2"],
    ]
    assert verify(rounded, resample=1).holds
    with pytest.raises(ReportError, match="protocol: srflow@1 against srflow-round@1"):
        read_results([floored, rounded])


@pytest.fixture
def classic(photos, models, tmp_path):
    return RunSpec(
        models=(f"{models}:Nearest",), scale=4, data=str(photos), limit=2, suite="classic-y", out=str(tmp_path / "run")
    )


def test_a_run_folder_is_of_one_suite(classic):
    folder = run(classic).folder
    manifest = read_manifest(folder)
    assert (manifest.protocol.suite, manifest.protocol.quantize) == ("classic-y@2", "round")
    assert [one.title for one in manifest.metrics] == ["PSNR (Y)", "SSIM (Y)"]
    for other in ("srflow", "srflow-round"):
        with pytest.raises(RunFolderError, match=rf"suite classic-y@2.*not of suite {other}@1"):
            run(replace(classic, suite=other))
    assert verify(folder, resample=2).holds


@pytest.mark.parametrize(
    ("suite", "names", "line"),
    [
        (
            "srflow",
            ("psnr", "ssim"),
            "Protocol srflow@1, the test code of SRFlow (2020): 8-bit RGB by floor, no crop. "
            "Papers of classic SR print PSNR and SSIM on Y without a border: --suite classic-y.",
        ),
        (
            "classic-y",
            None,
            "Protocol classic-y@2, the tables of EDSR, RCAN and SwinIR: luma of BT.601 from 8-bit RGB, not rounded, as "
            "many border pixels left out as the scale, Gaussian SSIM.",
        ),
        (
            "srflow-round",
            ("sigma",),
            "Protocol srflow-round@1, srflow on images rounded to 8 bits, as in the tables of SRDiff and others; 3 "
            "samples per image.",
        ),
        ("srflow", ("psnr+channels=Y",), "Protocol srflow@1: PSNR|Y|floor|crop0|v1."),
    ],
)
def test_the_protocol_in_one_line(suite, names, line):
    opened = read_suite(suite)
    metrics = open_metrics(names, opened.columns, opened.quantize, samples=3)
    assert protocol_line(opened.label, [metric.info for metric in metrics]) == line


def test_a_metric_with_other_parameters_is_another_column(classic):
    """In one request, in any order, and added later; the keys tell both apart,
    and the titles too where they have to."""
    classic = replace(classic, suite="srflow", metrics=("psnr+channels=Y", "psnr"))
    folder = run(classic).folder
    score_run(folder, ["psnr+channels=Y+border=4"])
    other = run(replace(classic, metrics=("psnr", "psnr+channels=Y"))).folder
    assert other == folder
    keys = {metric.name: metric.title for metric in read_manifest(folder).metrics}
    assert keys == {"psnr": "PSNR (RGB)", "psnr_channels_Y": "PSNR (Y)", "psnr_channels_Y_border_4": "PSNR (Y)"}
    scores = table_of_runs(read_results([folder]))
    titles = ["PSNR (RGB)", "PSNR (Y) crop0", "PSNR (Y) crop4"]
    assert [metric.title for metric in scores.metrics] == titles
    assert len({cell.mean for cell in scores.lines[0].cells.values()}) == 3
    assert verify(folder).holds


def test_the_keys_of_a_suite_with_two_columns_of_one_metric():
    """A key is that of the bare name, of a column without parameters or else of the first one."""
    for columns, keys in (
        (("psnr+channels=Y", "psnr+border=4"), ["psnr", "psnr_border_4"]),
        (("psnr+channels=Y", "psnr"), ["psnr_channels_Y", "psnr"]),
    ):
        assert [metric.info.name for metric in open_metrics(None, columns, "round")] == keys
        [meant] = open_metrics(("psnr",), columns, "round")
        assert (meant.info.name, meant.info.spec) == ("psnr", columns[keys.index("psnr")])


def test_a_metric_added_later_means_what_the_suite_says(classic):
    folder = run(replace(classic, metrics=("psnr",))).folder
    score_run(folder, ("ssim", "lr_psnr"))
    signatures = [one.signature for one in read_manifest(folder).metrics]
    assert signatures == [
        "PSNR|Y|round|unrounded|crop(scale)|v1",
        "SSIM|Y|round|unrounded|gaussian11|crop(scale+5)|v1",
        "LR-PSNR|RGB|round|matlab-bicubic|v1",
    ]
    score_run(folder, ("psnr+border=4",))
    assert [one.name for one in read_manifest(folder).metrics] == ["psnr", "ssim", "lr_psnr", "psnr_border_4"]


def test_a_suite_of_ones_own(photos, models, tmp_path):
    """Any metric with any parameters; the same file with other columns is another protocol."""
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\nversion = 2\nmetrics = ["psnr+border=4", "lpips"]\n')
    out = str(tmp_path / "run")
    results = evaluate(f"{models}:Nearest", photos, scale=4, limit=1, suite=str(file), out=out)
    assert results.manifest.protocol.suite == "mine@2"
    assert list(results.table.columns[:2]) == ["psnr", "lpips"]
    assert [one.signature for one in results.manifest.metrics] == [
        "PSNR|RGB|round|crop4|v1",
        "LPIPS|RGB|round|alex0.1|v1",
    ]
    file.write_text('name = "mine"\nversion = 2\nmetrics = ["psnr+border=8", "lpips"]\n')
    with pytest.raises(RunFolderError, match="columns"):
        evaluate(f"{models}:Nearest", photos, scale=4, limit=1, suite=str(file), out=out)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "srflow"\nversion = 1\nmetrics = ["psnr"]', "srflow is a packaged suite"),
        ('name = "a@b"\nversion = 1\nmetrics = ["psnr"]', "a name without @"),
        ('name = "a"\nversion = 1\nmetrics = []', "at least one metric"),
        (
            'name = "a"\nversion = 1\nmetrics = ["psnr"]\nquantize = "ceil"',
            "quantize is 'ceil'; choose one of floor, round",
        ),
        ('name = "a"\nversion = 1\nmetrics = ["psnr"]\ncolour = "Y"', "unknown key 'colour'"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr+color=Y"]', "psnr takes no parameter color"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr+quantize=floor"]', "psnr takes no parameter quantize"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr+border=4+border=5"]', "border is given twice"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr+channels=Cb"]', "channels is 'Cb'; give RGB or Y"),
        ('name = "a"\nversion = 1\nmetrics = ["ssim+window=box"]', "window is 'box'; give uniform7 or gaussian11"),
        ('name = "a"\nversion = 1\nmetrics = ["ssim+negative=cut"]', "negative is 'cut'; give kept or zero"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr+border=some"]', "border is 'some'"),
        ('name = "a"\nversion = 1\nmetrics = ["psnr", "psnr"]', "psnr and psnr share the name psnr"),
    ],
)
def test_what_is_no_suite(tmp_path, text, fault):
    file = tmp_path / "suite.toml"
    file.write_text(text)

    def opened():
        suite = read_suite(str(file))
        return open_metrics(None, suite.metrics, suite.quantize)

    with pytest.raises(SRBenchError, match=fault) as caught:
        opened()
    assert "\n" not in str(caught.value)


def test_an_unknown_suite():
    with pytest.raises(ConfigError, match=r"unknown suite 'clasic-y'; did you mean classic-y\?"):
        read_suite("clasic-y")


def test_the_suites_are_what_their_version_says():
    """Whoever changes a line here raises its version."""
    found = {name: asdict(read_suite(name)) for name in suite_names()}
    first = ("pyiqa:dists", "pyiqa:niqe", "pyiqa:musiq")
    assert {name: one["optional"] for name, one in found.items() if one["optional"]} == {
        "perceptual": ("pyiqa:dists", "pyiqa:musiq", "pyiqa:maniqa", "pyiqa:clipiqa"),
        "real-sr": (*first, "pyiqa:maniqa-pipal", "pyiqa:clipiqa"),
        "real-sr-koniq": (*first, "pyiqa:maniqa", "pyiqa:clipiqa"),
        "real-sr-2026": (*first, "pyiqa:maniqa-pipal", "pyiqa:clipiqa", "pyiqa:topiq_nr", "pyiqa:liqe"),
        "blind": (*first[1:], "pyiqa:maniqa-pipal", "pyiqa:clipiqa", "pyiqa:topiq_nr", "pyiqa:liqe"),
        "real-sr-rgb": (*first, "pyiqa:maniqa-pipal", "pyiqa:clipiqa+_vitL14_512", "pyiqa:paq2piq"),
    }
    real = ("psnr+channels=Y+round=no", "ssim+channels=Y+window=gaussian11+negative=zero", "lpips")
    classic = ("psnr+channels=Y+border=scale+round=no", "ssim+channels=Y+border=scale+window=gaussian11+round=no")
    restoration = ("psnr+channels=Y+border=4+round=no", "ssim+channels=Y+border=4+window=gaussian11+round=no")
    scores = ("psnr", "psnr_mean", "crps", "lpips", "lpips_energy", "spread_skill", "outside")
    distribution = (*scores, "diversity", "sigma", "lr_psnr", "nll")
    assert {name: (one["version"], one["quantize"], one["metrics"]) for name, one in found.items()} == {
        "classic-y": (2, "round", classic),
        "distribution": (1, "round", distribution),
        "lightweight": (3, "round", (*classic, "parameters", "multiply_adds+out=1280x720")),
        "ntire-esr": (2, "round", ("psnr+border=4", "runtime+lr=256x256", "multiply_adds+lr=256x256", "parameters")),
        "ntire-restoration": (1, "round", restoration),
        "real-sr": (1, "round", real),
        "real-sr-koniq": (1, "round", real),
        "real-sr-2026": (1, "round", real),
        "blind": (1, "round", ("niqe",)),
        "real-sr-rgb": (1, "round", ("psnr", "ssim+channels=Y+colour=yiq+window=gaussian11+negative=zero", "lpips")),
        "ntire21": (1, "round", ("lpips_spatial", "lr_psnr_worst", "diversity")),
        "perceptual": (2, "round", (*classic, "lpips", "niqe")),
        "srflow": (1, "floor", COLUMNS),
        "srflow-round": (1, "round", COLUMNS),
    }
    assert all(one["about"] and one["name"] == name for name, one in found.items())
    assert all(isinstance(read_suite(name), Suite) for name in suite_names())
    assert {entry.name for entry in (files("srbench.metrics") / "suites").iterdir()} == {
        f"{name}.toml" for name in found
    }


def test_the_installed_pyiqa_has_every_column_of_pyiqa():
    import pyiqa

    columns = {column for name in suite_names() for column in read_suite(name).columns if column.startswith("pyiqa:")}
    assert len(columns) > 5
    assert {column.removeprefix("pyiqa:") for column in columns} <= {*pyiqa.list_models()}


def test_the_documents_name_every_suite_and_no_other():
    """In the table of suites, each with what it can be compared with."""
    text = (Path(__file__).parents[3] / "docs" / "protocols.md").read_text()
    labels = {read_suite(name).label for name in suite_names()}
    rows = re.findall(r"^\| `([\w-]+@\d+)` \| .*\| (\S[^|]*) \|$", text, re.MULTILINE)
    assert sorted(suite for suite, _ in rows) == sorted(labels)


@pytest.mark.parametrize(
    ("suite", "of_luma"), [("real-sr", {"test_y_channel": True, "color_space": "ycbcr"}), ("real-sr-rgb", {})]
)
def test_real_sr_against_pyiqa_as_its_scripts_call_it(suite, of_luma):
    """PSNR differs by pyiqa's 1e-8 besides the error, SSIM by float32."""
    import pyiqa

    pair, output = bicubic("astronaut", 4)
    sr, hr, found = output[None].float() / 255, pair.hr[None], columns(suite, pair, output)
    wanted = {name: pyiqa.create_metric(name, **of_luma)(sr, hr).item() for name in ("psnr", "ssim")}
    assert found["psnr"] == pytest.approx(wanted["psnr"], abs=1e-4)
    assert found["ssim"] == pytest.approx(wanted["ssim"], abs=1e-6)
    assert found["lpips"] == pytest.approx(LPIPS()(output[None], pair).item(), abs=1e-6)


def test_ntire_restoration_against_scikit_image():
    """Luma as it is, four pixels left out, the window of the challenge."""
    pair, output = bicubic("coffee", 4)
    arrays = [
        rgb2ycbcr(each.permute(1, 2, 0).numpy())[4:-4, 4:-4, 0]
        for each in (output, (pair.hr * 255).round().to(torch.uint8))
    ]
    found = columns("ntire-restoration", pair, output)
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(*arrays[::-1], data_range=255), abs=1e-9)
    assert found["ssim"] == pytest.approx(wang(*arrays), abs=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_measure_leaves_out_what_a_model_costs(photos):
    found = measure_folder(photos, photos, suite="ntire-esr")
    assert [metric.title for metric in found.metrics] == ["PSNR (RGB)"]


OPTIONAL = """name = "mine"
version = 1
metrics = ["psnr"]
optional = ["here.py:Here", "ssim"]
"""
HERE = """
from srbench.interfaces import ImageMetric, MetricInfo


class Here(ImageMetric):
    info = MetricInfo(name="here", title="here", direction=1, digits=1, protocol="nothing")

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3))
"""


@pytest.mark.filterwarnings("default::UserWarning")
def test_optional_columns_are_those_that_can_be_loaded(command, photos, tmp_path):
    """What is missing is said; the protocol is the same, so that the column can come later."""
    (tmp_path / "mine.toml").write_text(OPTIONAL)
    request = (
        f"run --models bicubic --data {photos} --scale 4 --limit 1 --suite mine.toml --workers 1 --out run".split()
    )
    found = command(*request)
    assert found.code == 0, found.err
    assert "warning: left out of the table: here.py: no such file" in found.err
    manifest = RunFolder.read(tmp_path / "run").manifest
    assert [metric.name for metric in manifest.metrics] == ["psnr", "ssim"]
    (tmp_path / "here.py").write_text(HERE)
    assert command(*request).code == 0
    later = RunFolder.read(tmp_path / "run").manifest
    assert [metric.name for metric in later.metrics] == ["psnr", "here", "ssim"]
    assert later.protocol == manifest.protocol
    (tmp_path / "here.py").unlink()
    found = command(*request[:-2], "--metrics", "here.py:Here", "--out", "other")
    assert (found.code, len(found.err.splitlines())) == (1, 1), "what is asked for by name has to be there"


@pytest.mark.filterwarnings("default::UserWarning")
def test_measure_too_leaves_out_optional_columns_that_cannot_be_loaded(command, photos, tmp_path):
    (tmp_path / "mine.toml").write_text(OPTIONAL)
    request = ("measure", photos, "--hr", photos, "--suite", "mine.toml", "--workers", 1, "--format", "json")
    found = command(*request)
    assert found.code == 0, found.err
    assert "warning: left out of the table: here.py: no such file" in found.err
    assert [*json.loads(found.out)["signatures"]] == ["psnr", "ssim"]
    (tmp_path / "here.py").write_text(HERE)
    assert [*json.loads(command(*request).out)["signatures"]] == ["psnr", "here", "ssim"]
    (tmp_path / "here.py").unlink()
    assert command(*request, "--metrics", "here.py:Here").code == 1, "what is asked for by name has to be there"


def test_measure_by_a_suite(photos, tmp_path):
    found = measure_folders({"photos": photos}, photos, suite="srflow-round", names=("psnr",))
    assert found.suite == "srflow-round@1"
    assert found.as_json(Setting("photos", None))["suite"] == "srflow-round@1"
    with pytest.raises(BenchmarkError, match="classic-y@2 need the scale; give --scale, or LR images with --lr"):
        measure_folder(photos, photos, suite="classic-y")


def test_the_border_leaves_something():
    small = torch.full((1, 3, 16, 16), 0.5)
    pair = ImagePair("small", torch.full((3, 2, 2), 0.5), small[0])
    (psnr, _) = open_metrics(None, read_suite("classic-y").metrics, "round")
    with pytest.raises(Exception, match="small: a border of 8 pixels leaves nothing"):
        psnr.metric(small, pair)
