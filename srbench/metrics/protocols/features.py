"""LPIPS and NIQE under every protocol: networks, ranges, grey and Y."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from srbench.interfaces import SRBenchError
from srbench.metrics.deep_features.network import NETS, Network, load_network, parts_of, total
from srbench.metrics.default_map import LPIPS_MAP
from srbench.metrics.naturalness import NIQE
from srbench.metrics.protocols.table import RGB, Y_UNROUNDED, YIQ_ROUNDED, Array, Plane, Protocol, Y
from srbench.metrics.scene_statistics import grey


def networks() -> tuple[dict[str, Network], tuple[str, ...]]:
    """The networks of LPIPS whose weights are here, and a line for each of the others."""
    found, missing = {}, []
    for net in NETS:
        try:
            found[net] = load_network(parts_of(net), torch.device("cpu"))
        except SRBenchError as error:
            missing.append(str(error))
    return found, tuple(missing)


def distances(
    output: Array, hr: Array, scales: Sequence[int], nets: dict[str, Network]
) -> Iterator[tuple[Protocol, float]]:
    """Two images (3, H, W) RGB of one size, uint8 or float64 in 0..255 -> protocols and values of LPIPS."""
    inputs: dict[str, Callable[[Tensor], Tensor]] = {
        "": lambda image: image,
        "[0, 1] handed in as [-1, 1]": lambda image: image / 2 + 127.5,
        "BGR taken for RGB": lambda image: image.flip(0),
    }
    for number, (net, network) in enumerate(nets.items()):
        for place, (words, change) in enumerate(inputs.items()):
            for depth, border in enumerate((0, *(() if words else scales))):
                height, width = (side - 2 * border for side in output.shape[1:])
                if min(height, width) < LPIPS_MAP.smallest_side or output.shape != hr.shape:
                    continue
                with torch.inference_mode():
                    one, other = (
                        network.features(
                            change(
                                torch.from_numpy(
                                    np.ascontiguousarray(image[:, border:, border:][:, :height, :width])
                                ).float()
                            )
                        )
                        for image in (output, hr)
                    )
                    value = total(network.differences(one, other)).item()
                is_ours = not words and not border
                parameters = () if net == "alex" else (("net", net),)
                protocol = Protocol(
                    "lpips",
                    RGB.words,
                    ", ".join(filter(None, (NETS[net], words))),
                    border,
                    parameters=parameters if is_ours else None,
                    order=(place, number, depth),
                )
                yield protocol, value


_GREY = Plane("grey of MATLAB, unrounded", None, None, (0.298936021293776, 0.587043074451121, 0.114020904255103))


def naturalness(output: Array, scales: Sequence[int]) -> Iterator[tuple[Protocol, float]]:
    """An image (3, H, W) RGB, uint8 or float64 in 0..255 -> protocols and values of NIQE on the LIVE model."""
    metric = NIQE()
    planes: dict[str, Array] = {"grey of MATLAB, rounded": grey(torch.from_numpy(output))}
    planes |= {plane.words: plane.of(output, is_output=True) for plane in (Y, YIQ_ROUNDED, Y_UNROUNDED, _GREY)}
    for number, (words, plane) in enumerate(planes.items()):
        for depth, border in enumerate((0, *scales)):
            inner = plane[border : len(plane) - border, border : plane.shape[1] - border]
            with suppress(SRBenchError):  # too few blocks with texture
                if min(inner.shape) >= metric.smallest_side:
                    parameters = () if number == depth == 0 else None
                    protocol = Protocol("niqe", words, "", border, parameters=parameters, order=(number, depth))
                    yield protocol, metric.score(np.ascontiguousarray(inner), "")
