"""tOF and tLP of clips, beside the released code of TecoGAN and what follows from their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srbench.metrics import MetricError, lpips
from srbench.metrics.temporal import tlp, tof

RELEASED = {
    tof: ([1.898051381, 2.466685772, 0.698688209, 0.746756613], 1.452545404),
    tlp: ([4.998498917, 6.911480427, 6.895642757, 5.531892300], 6.084378719),
}
"""tOF and tLP100 of ``clip``: of its frames 2 to 6, each against the one before, and the mean over the clip.

Printed by metrics.py of github.com/thunil/TecoGAN at bc747a4 with OpenCV 5.0.0 and torch 2.13 on a CPU, of PNG files of
these frames. Only names that libraries have moved since and ``use_gpu`` were changed, and AlexNet had torchvision's
weights that srbench packages; the channel weights of LPIPS in that repository are those of the lpips package.
"""


@pytest.fixture(scope="module")
def texture():
    """(3, 192, 212) in integer arithmetic alone, so that every machine makes the same."""
    noise = np.random.RandomState(0).randint(0, 256, (3, 200, 220))
    sums = sum(noise[:, y : y + 192, x : x + 212] for y in range(8) for x in range(8))
    return (sums // 64 - 128) * 6 + 128


def frames_of(windows):
    return torch.from_numpy(np.stack(windows).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def clip(texture):
    """Outputs and HR, (9, 3, 133, 150) uint8.

    HR moves by (2, 3) pixels a frame. Outputs are half HR, a quarter HR of another frame, so that they move otherwise,
    and a quarter flickering texture.
    """
    hr = np.stack([texture[:, 2 * t : 2 * t + 133, 3 * t : 3 * t + 150] for t in range(9)]).clip(0, 255)
    flicker = np.stack([texture[:, 40 - t * t % 7 :][:, :133, 50:200] for t in range(9)]).clip(0, 255)
    return frames_of((2 * hr + hr[[0, 2, 1, 4, 3, 5, 7, 6, 8]] + flicker) // 4), frames_of(hr)


@pytest.mark.parametrize("metric", RELEASED)
def test_values_of_the_released_code(metric, clip):
    by_frame, mean = RELEASED[metric]
    outputs, hr = clip
    assert metric(outputs, hr) == pytest.approx(mean, abs=1e-4)
    pairs = [slice(t - 1, t + 1) for t in range(3, 7)]
    assert [metric(outputs[pair], hr[pair], skipped=0) for pair in pairs] == pytest.approx(by_frame, abs=1e-4)


@pytest.mark.parametrize("metric", RELEASED)
def test_the_first_and_last_two_frames_are_left_out_unless_all_are_wanted(metric, clip):
    outputs, hr = clip
    ends = [0, 1, 7, 8]
    changed = outputs.clone()
    changed[ends] = outputs[ends].flip(-1)
    value = pytest.approx(metric(outputs, hr), rel=1e-6)
    assert metric(changed, hr) == value == metric(outputs[2:-2], hr[2:-2], skipped=0)
    assert abs(metric(changed, hr, skipped=0) - metric(outputs, hr, skipped=0)) > 0.01
    assert metric(outputs, hr, skipped=0) != value
    assert metric(hr, hr) == pytest.approx(0, abs=1e-6)


def test_tof_is_the_length_of_the_difference_in_motion(texture):
    """Outputs that move by (2, 3) pixels a frame, beside HR that stands still."""
    moving = frames_of([texture[:, 2 * t : 2 * t + 96, 3 * t : 3 * t + 128] for t in range(6)])
    still = moving[:1].expand(6, -1, -1, -1)
    assert tof(moving, still) == pytest.approx(13**0.5, abs=0.2)
    assert tof(still, moving) == pytest.approx(tof(moving, still))


def test_tlp_is_lpips_between_neighbours_within_the_window(clip):
    outputs, hr = (frames[2:-2, :, 18:114, 11:139] for frames in clip)
    changes, wanted = (lpips(frames[1:], frames[:-1]) for frames in (outputs, hr))
    assert tlp(*clip) == pytest.approx(100 * (changes - wanted).abs().mean().item(), abs=1e-4)


@pytest.mark.parametrize("metric", RELEASED)
def test_arrays_and_floating_point_frames(metric, clip):
    arrays = [frames[:6].numpy() for frames in clip]
    floats = [frames[:6].double() / 255 for frames in clip]
    value = pytest.approx(metric(clip[0][:6], clip[1][:6]), rel=1e-6)
    assert metric(*arrays) == value == metric(*floats)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda sr, hr: (sr[:5], hr[:5]), "a clip of 5 frames is too short for tOF, .*; give at least 6 frames"),
        (lambda sr, hr: (sr[0], hr[0]), "a clip of 1 frame is too short for tOF"),
        (lambda sr, hr: (sr[1:], hr), "sr has 8 frames and hr has 9; give as many of both"),
        (lambda sr, hr: (sr[..., 1:], hr), "frames are 149x133 in sr and 150x133 in hr; crop or resize one of them"),
        (lambda sr, hr: (sr[..., :47], hr[..., :47]), "frames of 47x133 pixels are too small for tOF; .* at least 48"),
        (lambda sr, hr: (sr[:, :1], hr), r"sr has shape \(9, 1, 133, 150\)"),
    ],
)
def test_refused_clips(change, says, clip):
    with pytest.raises(MetricError, match=says):
        tof(*change(*clip))


def test_limits(clip):
    outputs, hr = clip
    assert tof(outputs[:6, ..., :48], hr[:6, ..., :48]) > 0
    assert tlp(outputs[:6, ..., :80], hr[:6, ..., :80]) > 0
    with pytest.raises(MetricError, match=r"79x133 pixels are too small for tLP; both sides must have at least 80"):
        tlp(outputs[..., :79], hr[..., :79])
    with pytest.raises(
        MetricError, match=r"a clip of 2 frames is too short .* leaves out 1 at both ends .* at least 4"
    ):
        tlp(outputs[:2], hr[:2], skipped=1)
    with pytest.raises(MetricError, match="tOF cannot leave out -1 frames"):
        tof(outputs, hr, skipped=-1)
