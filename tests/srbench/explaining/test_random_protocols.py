"""Numbers that other programs compute under a protocol drawn at random: it is named, and nearly always first."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from protocols_of_others import CHANNELS, MOVED, WINDOWS, psnr, ssim

from srbench.explaining.matching import Printed
from srbench.explaining.search import explain

CASES = 200


def drawn(generator):
    """A metric, the arguments of its reference, and the words of the protocol."""
    border = generator.choice([0, 4, 8, 10])
    crop = f"crop {border}" if border else "no crop"
    channels = generator.choice([*CHANNELS])
    if generator.random() < 0.5:
        window = generator.choice([*WINDOWS] if channels in [*CHANNELS][:5] else [*WINDOWS][:2])
        return ssim, (channels, border, window), f"{channels}, {window}, {crop}"
    unusual = generator.choice(["", "", "shift", "mean"]) if channels in [*CHANNELS][:5] else ""
    way = generator.choice([*MOVED][1:]) if unusual == "shift" else ""
    words = [channels, crop]
    words += [f"the output moved back, as it lies one pixel {way}"] if way else []
    words += ["of the mean squared error over all images"] if unusual == "mean" else []
    return psnr, (channels, border, way, unusual == "mean"), ", ".join(words)


@pytest.fixture(scope="module")
def explained(folders):
    def call(metric, value):
        return explain(value, metric, sr=folders / "sr", hr=folders / "hr", scale=4)[0]

    return {metric: call(metric.__name__, "0.5") for metric in (psnr, ssim)}


def test_the_protocol_of_200_numbers_is_named(explained, arrays):
    generator = random.Random(0)
    first, exact = [], 0
    for _ in range(CASES):
        metric, arguments, words = drawn(generator)
        digits = generator.choice([2, 3, 4])
        text = f"{metric(arrays, *arguments):.{digits}f}"
        names = [match.protocol.words for match in replace(explained[metric], printed=Printed(text)).matches]
        assert words in names, f"{metric.__name__} {text}: {words}, not {names}"
        if digits == 4:
            exact += 1
            first.append(names[0] == words)
    assert exact > CASES / 4
    assert sum(first) >= 0.9 * exact, f"{sum(first)} of {exact}"
