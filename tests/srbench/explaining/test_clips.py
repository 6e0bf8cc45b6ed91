"""Numbers of images in clips: which frames count, and whether means are over frames or over clips."""

from __future__ import annotations

import random
from itertools import cycle, islice, product

import numpy as np
import pytest
import torch
from builders import drawn
from protocols_of_others import psnr, ssim

from srbench.explaining.explanation import Explanation
from srbench.explaining.matching import Printed
from srbench.explaining.protocols.clips import clips_of
from srbench.explaining.search import explain, try_protocols
from srbench.images.io import write_png

LENGTHS = {"a": 6, "b": 7, "c": 12, "d": 9}
Y = "Y of BT.601 (16..235), unrounded"
TRIMMED, CENTRE = "without the first and last two frames of each clip", "the centre frame of each clip"
NUMBERS = 300


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Folders sr and hr in clips, and by clip the pairs (H, W, 3): frames 1 to 12, whose noise grows in time."""
    top, pairs = tmp_path_factory.mktemp("clips"), {}
    for seed, (clip, length) in enumerate(LENGTHS.items()):
        pairs[clip] = []
        for frame in range(1, length + 1):
            hr = drawn(100 * seed + frame)
            noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(frame))
            sr = (hr + (3 + 3 * seed + frame) * noise).clamp(0, 255).byte()
            for folder, image in {"sr": sr, "hr": hr}.items():
                write_png(top / folder / clip / f"{frame}.png", image)
            pairs[clip].append(tuple(image.permute(1, 2, 0).numpy().copy() for image in (sr, hr)))
    return top, pairs


@pytest.fixture(scope="module")
def tried(clips):
    top, _ = clips
    return try_protocols(["psnr", "ssim"], sr=top / "sr", hr=top / "hr", scale=4)


def chosen(pairs, frames):
    return [pairs[clip][frames(length)] for clip, length in LENGTHS.items()]


def averaged(metric, arguments, parts, over_clips):
    frames = [[metric([frame], *arguments) for frame in part] for part in parts]
    return np.mean([np.mean(part) for part in frames]) if over_clips else np.mean(np.concatenate(frames))


FRAMES = {"": lambda n: slice(None), TRIMMED: lambda n: slice(2, n - 2), CENTRE: lambda n: slice(n // 2, n // 2 + 1)}


@pytest.mark.parametrize(("frames", "over_clips"), [*product(("", TRIMMED), (False, True)), (CENTRE, False)])
def test_the_frames_and_the_mean_of_a_number_are_named(clips, tried, frames, over_clips):
    """At four digits, of metrics of a suite; all frames alike are the most common."""
    _, pairs = clips
    more = [frames] * bool(frames) + ["mean over clips"] * over_clips
    for metric, arguments, words in ((psnr, (Y, 4), f"{Y}, crop 4"), (ssim, (Y, 4, "11x11 Gaussian window"), Y)):
        value = averaged(metric, arguments, chosen(pairs, FRAMES[frames]), over_clips)
        explained = tried.explained(metric.__name__, Printed(f"{value:.4f}"))
        protocols = [match.protocol for match in explained.matches if match.protocol.colour == "Y of BT.601"]
        assert ", ".join([words, *more]) in [each.words for each in protocols] or metric is ssim
        assert explained.matches[0].protocol.words.endswith(", ".join(more))
        assert explained.matches[0].candidate.rarity == bool(more)
        assert Explanation((explained,)).evidence[0].result == "reproduced" or metric is ssim


def test_a_row_shares_its_frames(clips, tried):
    """Three and four digits, over the frames that both leave out."""
    _, pairs = clips
    parts = chosen(pairs, FRAMES[TRIMMED])
    values = {
        "psnr": f"{averaged(psnr, (Y, 4), parts, True):.3f}",
        "ssim": f"{averaged(ssim, (Y, 4, '11x11 Gaussian window'), parts, True):.4f}",
    }
    numbers = tuple(tried.explained(metric, Printed(text)) for metric, text in values.items())
    found = Explanation(numbers)
    assert [each.result for each in found.evidence] == ["reproduced", "reproduced"]
    assert f"PSNR and SSIM have in common: {Y}, crop 4, {TRIMMED}, mean over clips" in found.text()
    assert found.suites == (), "no suite leaves frames out"


def test_numbers_over_different_frames_have_no_setting_in_common(clips, tried):
    _, pairs = clips
    trimmed, whole = (chosen(pairs, FRAMES[frames]) for frames in (TRIMMED, ""))
    numbers = (
        tried.explained("psnr", Printed(f"{averaged(psnr, (Y, 4), trimmed, True):.4f}")),
        tried.explained("ssim", Printed(f"{averaged(ssim, (Y, 4, '11x11 Gaussian window'), whole, False):.8f}")),
    )
    assert all(explained.matches for explained in numbers)
    assert Explanation(numbers).common is None


def test_arbitrary_numbers_are_not_reproduced(tried):
    """One of 20 at most, although protocols of clips print many more numbers; each of them counts."""
    generator = random.Random(0)
    half = {"psnr": 0.5, "ssim": 0.01}
    defaults = {metric: next(each for each in tried.candidates[metric] if each.is_default) for metric in half}
    found, matched = 0, 0
    for metric, digits in islice(cycle(product(half, (2, 3, 4))), NUMBERS):
        text = f"{defaults[metric].value + generator.uniform(-1, 1) * half[metric]:.{digits}f}"
        explained = tried.explained(metric, Printed(text))
        evidence = Explanation((explained,)).evidence[0]
        matched += bool(evidence)
        found += evidence is not None and evidence.result == "reproduced"
    assert matched > NUMBERS / 4
    assert found <= NUMBERS / 20


def test_the_numbers_that_protocols_of_clips_print_count(tried):
    """A mean over clips is an option like --metrics; a choice of frames is a step rarer than all frames."""
    base, trimmed, over_clips = (
        [each for each in tried.candidates["psnr"] if (each.protocol.frames, each.protocol.of_clips) == kind]
        for kind in (("", False), (TRIMMED, False), ("", True))
    )
    plain = [each for each in base if each.protocol.text]
    assert len(plain) == len(trimmed) == len(over_clips)
    assert {each.rarity for each in over_clips} == {1}
    assert {each.rarity for each in trimmed} == {1, 2}
    some = next(each for each in trimmed if each.rarity == 1)
    numbers = tried.explained("psnr", Printed(f"{some.value:.2f}")).neighbours
    printed = {f"{each.value:.2f}" for each in (*base, *trimmed, *over_clips) if each.rarity <= 1}
    near = [text for text in printed if abs(float(text) - float(f"{some.value:.2f}")) <= 0.5]
    assert len(numbers.of_rank(2)) >= len(near)


def test_what_to_type_for_a_mean_over_clips(clips):
    top, pairs = clips
    value = averaged(psnr, (Y, 4), chosen(pairs, FRAMES[""]), True)
    lines = explain(f"{value:.4f}", "psnr", sr=top / "sr", hr=top / "hr", scale=4).text().splitlines()
    assert lines[0].startswith(f"{value:.4f} is PSNR on {Y}, crop 4, mean over clips ({value:.4f})")
    assert lines[1].startswith("  --metrics psnr+channels=Y+round=no+border=4 --average groups  (signature PSNR|Y|")
    assert lines[2].startswith("  --suite classic-y, ")
    assert "--average groups  (signature" in lines[2]
    centre = averaged(psnr, (Y, 4), chosen(pairs, FRAMES[CENTRE]), False)
    text = explain(f"{centre:.4f}", "psnr", sr=top / "sr", hr=top / "hr", scale=4).text()
    assert "  on copies of these images: no option leaves the others out" in text
    nothing = explain("1.0000", "psnr", sr=top / "sr", hr=top / "hr", scale=4).text()
    assert "; of clips, all frames, all but the first and last two, or the centre frame; means over" in nothing


def test_frames_are_ordered_by_their_numbers():
    """Frame 10 comes after frame 9, also without zeros; images without groups are no clips."""
    images = ["a-1", "a-10", "a-2", "b-01", "b-002"]
    assert clips_of(images, {image: image[0] for image in images}) == [[0, 2, 1], [3, 4]]
    assert clips_of(images, {"a-1": "a"}) == []


def test_claims_compare_with_the_mean_that_was_measured(clips, command, monkeypatch):
    """The mean over clips is the measured protocol of --average groups; that over frames is another one."""
    top, pairs = clips
    monkeypatch.chdir(top)
    for over_clips, measured in ((False, ()), (True, ("--average", "groups"))):
        value = averaged(psnr, ("RGB", 0), chosen(pairs, FRAMES[""]), over_clips)
        (top / "claims.toml").write_text(f'[[claim]]\nmetric = "psnr"\nvalue = "{value:.4f}"\n')
        words = ("measure", "sr", "--hr", "hr", "--scale", 4, "--metrics", "psnr", "--claims", "claims.toml")
        assert "reproduced, chance" in command(*words, "--workers", 1, *measured).out
        others = () if measured else ("--average", "groups")
        assert "reproduced under another protocol: RGB, no crop" in command(*words, "--workers", 1, *others).out
    ran = command(
        *("run", "--models", "sr=sr", "--data", "hr", "--scale", 4, "--metrics", "psnr", "--workers", 1, "--out"),
        *(top / "run", "--average", "groups", "--claims", "claims.toml"),
    )
    assert "reproduced, chance" in ran.out, "saved images are in no group, but the run knows those of the dataset"
