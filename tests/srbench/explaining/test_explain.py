"""``srbench explain``: what fits and what does not, rows of tables, sizes, samples, 16 bits, the command line."""

from __future__ import annotations

import re

import pytest
import torch
from builders import measure_folder
from protocols_of_others import psnr, ssim

import srbench
from srbench.explaining.matching import Printed
from srbench.explaining.protocols.family import column_key
from srbench.explaining.protocols.structure import _over_the_border
from srbench.images.io import write_png
from srbench.interfaces import SRBenchError

Y = "Y of BT.601 (16..235), unrounded"


@pytest.fixture
def explain(folders):
    def call(values, metric, **changes):
        given = {"sr": folders / "sr", "hr": folders / "hr", "lr": folders / "lr"} | changes
        return srbench.explain(values, metric, **given)

    return call


def test_a_number_of_another_program_is_explained_in_words(explain, arrays):
    text = f"{psnr(arrays, Y, 4):.2f}"
    found = explain(text, "psnr")
    assert found.scale == 4
    assert next(iter(found[0].matches[0].candidate.suites)) == "classic-y"
    assert found[0].matches[0].candidate.signature == "PSNR|Y|floor|unrounded|crop4|v1"
    lines = found.text().splitlines()
    assert lines[0].startswith(f"{text} is PSNR on {Y}, crop 4 ({psnr(arrays, Y, 4):.4f})")
    assert lines[1] == "  --metrics psnr+channels=Y+round=no+border=4  (signature PSNR|Y|floor|unrounded|crop4|v1)"
    assert lines[2].startswith("  --suite classic-y, ")
    assert lines[2].endswith("  (signature PSNR|Y|round|unrounded|crop(scale)|v1)")
    counted = (
        r"  chance of coincidence 0\.\d{3}: of the 101 numbers within 0\.5 dB, \d+ come from protocols at "
        r"least as common, "
    )
    assert any(re.fullmatch(rf"{counted}\d+ from any of the {len(found[0].candidates)} tried", line) for line in lines)
    assert f"srbench measure gives {psnr(arrays, 'RGB', 0):.4f}: RGB, no crop" in lines


def test_what_was_measured_instead_is_explained_too(explain, arrays):
    theirs, ours = psnr(arrays, Y, 0), psnr(arrays, "Y of YIQ (0..255), unrounded", 0)
    lines = explain(f"{theirs:.4f}", "psnr", measured=f"{ours:.4f}").text().splitlines()
    assert f"you measured {ours:.4f}: PSNR on Y of YIQ (0..255), unrounded, no crop ({ours:.4f}), chance 0.001" in lines
    assert lines[-1].startswith("  difference: +1.3")


def test_a_row_of_a_table_has_a_protocol_in_common(explain, arrays):
    values = psnr(arrays, Y, 4), ssim(arrays, Y, 4, "11x11 Gaussian window")
    row = [f"{values[0]:.4f}", f"{values[1]:.4f}", "0.9999"]
    found = explain(row, "psnr,ssim,lpips")
    assert [(match.protocol.channels, match.protocol.border) for match in found.common.matches.values()] == [(Y, 4)] * 2
    assert f"PSNR and SSIM have in common: {Y}, crop 4" in found.text()
    metrics = "psnr+channels=Y+round=no+border=4,ssim+channels=Y+round=no+window=gaussian11+border=4"
    assert f"--metrics {metrics}" in found.text()
    assert found[2].matches == ()
    assert "LPIPS on VGG16 needs" in found.text(), "weights that are missing are named"


def test_other_outputs_fit_nothing(explain, pairs, arrays):
    """Outputs of another LR image, and of another image: none fits, and the nearest is named."""
    text = f"{psnr(arrays, Y, 4):.4f}"
    outputs, hr = ({name: pair[place] for name, pair in pairs.items()} for place in (0, 1))
    mean = torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    blurred = {name: mean(one.float()).round().byte() for name, one in outputs.items()}
    name, first = next(iter(outputs.items()))
    for others in (blurred, outputs | {name: first.flip(-1)}):
        found = explain(text, "psnr", sr=others, hr=hr, lr=None, scale=4)
        assert found[0].matches == ()
        assert len(found[0].nearest) == 3
        assert re.match(rf"{text}: none of \d+ protocols of PSNR fits\n  nearest:\n", found.text())
        assert "the images, their LR images or the weights may differ" in found.text()


def test_sizes_that_differ_are_cut_at_every_corner(explain, pairs, arrays):
    hr = {name: one for name, (_, one) in pairs.items()}
    larger = {name: torch.nn.functional.pad(one, (3, 1, 2, 2)) for name, (one, _) in pairs.items()}
    wanted = psnr([(output[:, :-1], reference[:, :-1]) for output, reference in arrays], "RGB", 0)
    assert not explain(f"{wanted:.4f}", "psnr", sr=larger, hr=hr, lr=None, scale=4)[0].matches
    centred = {name: torch.nn.functional.pad(one, (2, 2, 2, 2)) for name, (one, _) in pairs.items()}
    wanted = psnr(arrays, "RGB", 0)
    found = explain(f"{wanted:.4f}", "psnr", sr=centred, hr=hr, lr=None, scale=4)
    assert found[0].matches[0].protocol.placement == "the larger image cut to its centre"
    assert "output and HR differ in size for 6 of 6 images" in found.text()


def test_images_cut_to_multiples(explain, pairs, arrays):
    wanted = psnr(
        [tuple(image[: len(image) // 12 * 12, : image.shape[1] // 12 * 12] for image in pair) for pair in arrays],
        "RGB",
        0,
    )
    found = explain(f"{wanted:.4f}", "psnr")
    assert found[0].matches[0].protocol.placement == "both cut at the bottom and right to multiples of 12"


def test_floating_point_outputs_are_quantised_in_every_way(explain, pairs):
    hr = {name: one for name, (_, one) in pairs.items()}
    generator = torch.Generator().manual_seed(0)
    floats = {
        name: ((one + torch.rand(one.shape, generator=generator)) / 255).clamp(0, 1) for name, (one, _) in pairs.items()
    }
    found = explain("20", "psnr", sr=floats, hr=hr, lr=None, scale=4)
    plain = {
        one.protocol.levels: one.value
        for one in found[0].candidates
        if one.protocol.channels == "RGB"
        and one.protocol.border == 0
        and not one.protocol.placement
        and not one.protocol.mean
    }
    assert plain.keys() == {"floored to 8 bits", "rounded to 8 bits", "not quantised"}
    assert len({round(value, 4) for value in plain.values()}) == 3


def test_samples_are_averaged(explain, folders, pairs, tmp_path):
    for name, (output, _) in pairs.items():
        write_png(tmp_path / "sr" / f"{name}_sample0.png", output)
        write_png(tmp_path / "sr" / f"{name}_sample1.png", 255 - output)
    found = explain("9", "psnr", sr=tmp_path / "sr")
    measured = srbench.metrics.psnr
    values = [(measured(output, hr) + measured(255 - output, hr)) / 2 for output, hr in pairs.values()]
    assert found[0].default.value == pytest.approx(sum(values) / len(values))
    samples = {name: torch.stack([output, 255 - output]) for name, (output, _) in pairs.items()}
    hr = {name: one for name, (_, one) in pairs.items()}
    assert explain("9", "psnr", sr=samples, hr=hr)[0].default.value == found[0].default.value
    with pytest.raises(SRBenchError, match=r"has 2 HR images; give one \(3, H, W\)"):
        explain("9", "psnr", sr=hr, hr=samples)


def test_the_first_sample_alone_is_tried_too(explain, pairs, tmp_path):
    for name, (output, _) in pairs.items():
        write_png(tmp_path / "sr" / f"{name}_sample0.png", output)
        for number, other in enumerate((255 - output, output // 2), 1):
            write_png(tmp_path / "sr" / f"{name}_sample{number}.png", other)
    values = [srbench.metrics.psnr(output, hr) for output, hr in pairs.values()]
    found = explain(f"{sum(values) / len(values):.4f}", "psnr", sr=tmp_path / "sr", scale=4)
    assert found[0].matches[0].protocol.words == "RGB, no crop, the first sample of each image"
    assert found[0].default.protocol.words == "RGB, no crop, mean over samples"
    text = found.text()
    assert text.startswith("3 samples of each image are compared; protocols take their mean or the first alone\n")
    assert "  on copies of these images: no option leaves the others out" in text
    single = explain("9", "psnr", scale=4)
    assert "sample" not in single.text()
    assert not any("sample" in candidate.protocol.words for candidate in single[0].candidates)


def test_images_are_averaged_before_ssim_by_the_factor_of_matlab():
    """ssim.m rounds 640 / 256 up to 3, as MATLAB's round does, where Python rounds to the even 2."""
    output, hr = torch.rand(2, 1, 640, 640, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).mul(255)
    (words, maps) = [*_over_the_border(output, hr)][-1]
    assert "averaged" in words
    assert maps.shape == (1, 214 - 10, 214 - 10)


@pytest.mark.parametrize(
    ("text", "value", "how"),
    [
        ("28.17", 28.1749, "rounded"),
        ("28.17", 28.1650001, "rounded"),
        ("28.17", 28.1764, None),
        ("28.176", 28.1768, "truncated"),
        ("28.176", 28.1772, None),
        ("-28.176", -28.1768, "truncated"),
        ("0.9", 0.9932, None),
        (".81", 0.8149, "rounded"),
        ("28.2", 28.17, "rounded"),
        ("0.81", 0.8149, "rounded"),
        ("28", 27.6, "rounded"),
        ("28.10", 28.1449, None),
        ("28.17", float("inf"), None),
    ],
)
def test_a_number_is_printed_at_its_digits(text, value, how):
    assert Printed(text).how(value) == how


@pytest.mark.parametrize(
    ("values", "metric", "changes", "message"),
    [
        ("28.0,1", "psnr,ssim,lpips", {}, "2 values, 3 metrics; give one value for each metric"),
        ("22,85", "psnr", {}, r"^'22,85' may have a decimal comma; write a point, or '22, 85' for whole numbers$"),
        ("22.85", "psnr", {"measured": "22,9"}, "^'22,9' may have a decimal comma"),
        ("28.1 dB", "psnr", {}, "'28.1 dB' is not a number as tables print it"),
        ("28.1", "mad", {}, "no metric to explain called 'mad'|mad"),
        ("28.1", "psnr", {"sr": {"a": torch.zeros(3, 8, 8)}}, "sr lacks "),
    ],
)
def test_requests_that_mean_nothing(explain, values, metric, changes, message):
    with pytest.raises(SRBenchError, match=message):
        explain(values, metric, **changes)


def test_sizes_of_other_images_are_refused(explain, pairs):
    hr = {name: one for name, (_, one) in pairs.items()}
    small = {name: one[:, ::4, ::4] for name, (one, _) in pairs.items()}
    with pytest.raises(SRBenchError, match=r"no image could be compared: .* sizes may differ by 16 pixels"):
        explain("20", "psnr", sr=small, hr=hr, lr=None, scale=4)


def test_the_command(command, folders, arrays, explain):
    text = f"{psnr(arrays, Y, 4):.4f}"
    arguments = ["explain", text, "--metrics", "psnr", "--sr", folders / "sr", "--hr", folders / "hr"]
    done = command(*arguments, "--lr", folders / "lr")
    assert (done.code, done.out) == (0, f"{explain(text, 'psnr').text()}\n"), done.err
    assert "6/6" in done.err, "a bar"
    unknown = command(*arguments)
    assert "the scale is unknown, so the crops of scales 2, 3, 4, 8 are tried" in unknown.out
    assert command("explain", "x", *arguments[2:]).err.startswith("srbench: 'x' is not a number")


@pytest.mark.slow
def test_two_processes_find_the_same(command, folders):
    arguments = ["explain", "20.12", "--metrics", "psnr", "--sr", folders / "sr", "--hr", folders / "hr", "--workers"]
    assert command(*arguments, 2).out == command(*arguments, 1).out


def test_each_metrics_text_measures_what_explain_says(explain, folders):
    """``srbench measure`` gives the value and the signature that are named: every fifth protocol of four metrics."""
    found = explain("1, 1, 1, 1", "psnr,ssim,lpips,niqe")
    tried = 0
    for explained in found.numbers:
        named = [candidate for candidate in explained.candidates if candidate.protocol.text is not None]
        for candidate in named[::5]:
            measured = measure_folder(folders / "sr", folders / "hr", names=[candidate.protocol.text])
            [facts] = measured.metrics
            assert facts.signature == candidate.signature, candidate.protocol.text
            assert measured.mean(facts.name) == pytest.approx(candidate.value, abs=1e-6), candidate.protocol.text
            tried += 1
    assert tried >= 4 + 14 + 2


def test_the_signature_of_a_suite_is_that_of_its_table(explain, folders):
    tried = 0
    for explained in explain("1, 1", "psnr,ssim").numbers:
        for candidate in explained.candidates:
            for suite, signature in candidate.suites.items():
                names = [candidate.protocol.metric]
                table = measure_folder(folders / "sr", folders / "hr", folders / "lr", names=names, suite=suite)
                assert [metric.signature for metric in table.metrics] == [signature], suite
                tried += 1
    assert tried >= 10


def test_the_variant_of_a_metric_of_pyiqa_is_named(explain, pairs):
    """PSNR of pyiqa is measured on RGB, its variant psnry on luma."""
    import pyiqa

    metric = pyiqa.create_metric("psnry", device="cpu")
    value = sum(metric(*(image[None] / 255 for image in pair)).item() for pair in pairs.values()) / len(pairs)
    found = explain(f"{value:.4f}", "pyiqa:psnr")
    assert [match.protocol.text for match in found[0].matches] == ["pyiqa:psnry"]
    assert {each.protocol.text for each in found[0].candidates} == {"pyiqa:psnr", "pyiqa:psnry"}
    assert found.text().startswith(f"{value:.4f} is psnr of pyiqa on RGB, pyiqa:psnry, no crop (")
    assert found[0].default.protocol.text == "pyiqa:psnr"


def test_a_metric_of_pyiqa_without_its_weights(explain, monkeypatch, tmp_path):
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    with pytest.raises(SRBenchError, match="pyiqa:cnniqa cannot be loaded: it needs https://"):
        explain("0.57", "pyiqa:cnniqa")


def test_a_default_that_is_stated_is_the_same_column():
    """Of each metric its own defaults, also of FID."""
    pairs = {"psnr+channels=RGB+border=0": "psnr", "lpips+net=alex": "lpips", "fid+mode=clean": "fid"}
    for stated, short in pairs.items():
        assert column_key(stated, 4) == column_key(short, 4)
    assert column_key("psnr+border=scale", 4) == column_key("psnr+border=4", 4) != column_key("psnr", 4)
    assert column_key("fid+mode=legacy", 4) != column_key("fid", 4)
