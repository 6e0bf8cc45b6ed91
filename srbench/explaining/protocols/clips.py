"""Protocols of images in clips: which frames of a clip count, and whether means are over frames or over clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from srbench.explaining.protocols.family import ProtocolFamily
from srbench.explaining.protocols.table import MetricProtocol
from srbench.words import natural

TRIED = (
    "of clips, all frames, all but the first and last two, or the centre frame; means over frames and means over clips "
    "of their means"
)
"""The protocols in words."""
FRAMES: Mapping[str, Callable[[Sequence[int]], Sequence[int]]] = {
    "": lambda clip: clip,
    "without the first and last two frames of each clip": lambda clip: clip[2:-2],
    "the centre frame of each clip": lambda clip: clip[len(clip) // 2 :][:1],
}
"""Frames of a clip that count, by the words of their protocol."""


def clips_of(images: Sequence[str], groups: Mapping[str, str]) -> list[list[int]]:
    """Return the indices of the frames of every clip, given the group of every image; frame 10 comes after frame 9.

    There are none unless every image is in a folder.
    """
    if not groups.keys() >= set(images):
        return []
    clips: dict[str, list[int]] = {}
    for index in sorted(range(len(images)), key=lambda index: natural(images[index])):
        clips.setdefault(groups[images[index]], []).append(index)
    return list(clips.values())


def gathered_by_clips(
    family: ProtocolFamily, protocol: MetricProtocol, images: Sequence[Sequence[Any]], clips: Sequence[Sequence[int]]
) -> Iterator[tuple[MetricProtocol, float]]:
    """Yield the protocols of clips besides the mean over all frames, with their means.

    ``images`` are the values of a protocol by image and sample, and ``clips`` the indices of the frames of each clip.
    A mean over clips that equals the mean over the same frames is left out.
    """

    def mean(indices: Sequence[int]) -> float:
        return next(family.gathered(protocol, [images[index] for index in indices]))[1]

    for order, (words, frames_of) in enumerate(FRAMES.items()):
        frames = [frames_of(clip) for clip in clips]
        if not all(frames):  # a clip is too short
            continue
        over_frames = mean([index for clip in frames for index in clip])
        finite = [of_clip for of_clip in map(mean, frames) if math.isfinite(of_clip)]
        over_clips = fmean(finite) if finite else math.nan
        if words:
            yield replace(protocol, frames=words, order=(*protocol.order, order)), over_frames
        if abs(over_clips - over_frames) > 1e-9 * abs(over_frames):
            yield replace(protocol, frames=words, of_clips=True, order=(*protocol.order, order, 1)), over_clips
