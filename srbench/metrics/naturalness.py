"""NIQE, BRISQUE and PIQUE: naturalness of images without a reference."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srbench.interfaces import ImagePair, MetricInfo
from srbench.metrics import MetricError
from srbench.metrics.parameters import packaged
from srbench.metrics.samples import EightBitMetric
from srbench.metrics.scene_statistics import (
    Array,
    contrast_normalised,
    fit_asymmetric,
    fit_symmetric,
    grey,
    halve,
    neighbour_products,
)

_NIQE_BLOCK = 96
_PIQUE_BLOCK = 16


class _Naturalness(EightBitMetric):
    """Base of the three metrics, which score grey images one by one."""

    def values(self, images: Tensor, pair: ImagePair) -> Tensor:
        """Return (n,) scores. Raises MetricError for images without enough texture."""
        return torch.tensor([self.score(grey(image), pair.name) for image in images], dtype=torch.float64)

    @abstractmethod
    def score(self, image: Array, name: str) -> float:
        """Score a grey image (H, W) of whole numbers in 0..255."""


class NIQE(_Naturalness):
    """Natural image quality evaluator: distance from the statistics of undistorted photographs.

    The model is that of the authors' (LIVE) release. MATLAB's ``niqe`` has a different model, so its values are not
    comparable.
    """

    needs = ()
    info = MetricInfo(
        name="niqe",
        title="NIQE (LIVE)",
        group="Perception",
        direction=-1,
        signature="grey|LIVE|block96|mirror|snap|v1",
        protocol=(
            "LIVE release model, uint8 RGB by {quantize}, MATLAB rgb2gray rounded, 96x96 blocks from the top left "
            "at 2 scales, an image with fewer than 2 complete blocks mirrored to 2x2 first, "
            "|MSCN| < 1e-9 set to 0, float64"
        ),
    )
    smallest_side = _NIQE_BLOCK

    def score(self, image: Array, name: str) -> float:
        """Return a score of 0 or more. Raises MetricError if fewer than two blocks have enough texture for a fit."""
        features = _niqe_features(_whole_blocks(image))
        complete = features[~np.isnan(features).any(axis=1)]
        if len(complete) < 2:
            raise MetricError(
                f"{name}: {self.info.title} needs two 96x96 blocks with texture, but the output has "
                f"{len(complete)} of {len(features)}; leave the image or {self.info.title} out"
            )
        model = packaged("niqe_live_fp64")
        difference = model["mu_prisparam"].numpy() - np.nanmean(features, axis=0)
        covariance = (model["cov_prisparam"].numpy() + np.cov(complete, rowvar=False)) / 2
        return float(np.sqrt(difference @ np.linalg.pinv(covariance) @ difference))


def _whole_blocks(image: Array) -> Array:
    """Cut (H, W) to whole blocks; if fewer than two would remain, first extend it by mirroring to twice the size.

    A single block has no covariance. The mirroring follows the script of the follow-up paper (HCFlow) for images of
    160x160.
    """
    height, width = (side // _NIQE_BLOCK for side in image.shape)
    if height * width < 2:
        image = np.pad(image, ((0, image.shape[0]), (0, image.shape[1])), mode="symmetric")
        height, width = (side // _NIQE_BLOCK for side in image.shape)
    return image[: height * _NIQE_BLOCK, : width * _NIQE_BLOCK]


def _niqe_features(image: Array) -> Array:
    """Map (H, W) in whole blocks to (blocks, 36): 18 features of every block at full and at half size."""
    columns: list[Array] = []
    for scaled, size in ((image, _NIQE_BLOCK), (halve(image), _NIQE_BLOCK // 2)):
        blocks = _blocks(contrast_normalised(scaled, "nearest"), size)
        fit = fit_asymmetric(blocks)
        columns += [fit.shape, np.mean(fit.scales, axis=0)]
        for products in neighbour_products(blocks):
            fit = fit_asymmetric(products)
            columns += [fit.shape, fit.mean, *fit.scales]
    return np.stack(columns, axis=1)


def _blocks(field: Array, size: int) -> Array:
    """Split (H, W) into (blocks, size, size), row by row."""
    height, width = (side // size for side in field.shape)
    return field.reshape(height, size, width, size).swapaxes(1, 2).reshape(-1, size, size)


class BRISQUE(_Naturalness):
    """Blind/referenceless image spatial quality evaluator: opinion scores predicted from scene statistics.

    The support vectors are those of the authors' (LIVE) release. MATLAB's ``brisque`` has a different model, so its
    values are not comparable.
    """

    needs = ()
    info = MetricInfo(
        name="brisque",
        title="BRISQUE (LIVE)",
        group="Perception",
        direction=-1,
        digits=1,
        signature="grey|LIVE|pad0|snap|v1",
        protocol=(
            "LIVE release support vectors and feature ranges, uint8 RGB by {quantize}, MATLAB rgb2gray rounded, "
            "whole image at 2 scales, zeros outside it, |MSCN| < 1e-9 set to 0, float64; "
            "nominally 0..100, not clipped"
        ),
    )
    smallest_side = 64

    def score(self, image: Array, name: str) -> float:
        """Return a score of about 0..100. Raises MetricError for an image of a single colour."""
        features = _brisque_features(image)
        if np.isnan(features).any():
            raise MetricError(
                f"{name}: {self.info.title} is undefined for a flat output; leave the image or {self.info.title} out"
            )
        model = {key: value.numpy() for key, value in packaged("brisque_live_fp64").items()}
        low, high = model["feature_minimum"], model["feature_maximum"]
        scaled = 2 * (features - low) / (high - low) - 1
        kernel = np.exp(-model["gamma"] * np.square(model["sv"] - scaled).sum(axis=1))
        return float(model["sv_coef"] @ kernel - model["rho"].item())


def _brisque_features(image: Array) -> Array:
    """Map (H, W) to (36,): 18 features of the image at full and at half size."""
    numbers: list[float | Array] = []
    for scaled in (image, halve(image)):
        field = contrast_normalised(scaled, "constant")
        shape, deviation = fit_symmetric(field)
        numbers += [shape, deviation**2]
        for products in neighbour_products(field):
            fit = fit_asymmetric(products)
            numbers += [fit.shape, fit.mean, *(side**2 for side in fit.deviations)]
    return np.array(numbers, dtype=np.float64)


class PIQUE(_Naturalness):
    """Perception-based image quality evaluator: how distorted the active blocks are. It has no learned parameters."""

    needs = ()
    info = MetricInfo(
        name="pique",
        title="PIQUE",
        group="Perception",
        direction=-1,
        digits=1,
        saturates_at=100.0,  # of an image without texture, or with distortions in every textured block
        signature="grey|block16|mirror|snap|v1",
        protocol=(
            "uint8 RGB by {quantize}, MATLAB rgb2gray rounded, scaled to maximum 255 and rounded, mirrored to whole "
            "16x16 blocks, thresholds 0.1, float64; 0..100, 100 where no block is active"
        ),
    )
    smallest_side = _PIQUE_BLOCK

    def score(self, image: Array, name: str) -> float:
        """Return a score in 0..100; 100 if no block is active."""
        stretched = np.floor(255 * image / max(image.max(), 1) + 0.5)
        missing = [-side % _PIQUE_BLOCK for side in image.shape]
        stretched = np.pad(stretched, [(0, count) for count in missing], mode="symmetric")
        blocks = _blocks(contrast_normalised(stretched, "nearest"), _PIQUE_BLOCK)
        variance = blocks.var(axis=(1, 2), ddof=1)
        active = variance > 0.1
        blocks, variance = blocks[active], variance[active]
        distortion = _has_flat_edge(blocks) * (1 - variance) + _is_noisy(blocks, variance) * variance
        return float(100 * (distortion.sum() + 1) / (active.sum() + 1))


def _has_flat_edge(blocks: Array) -> NDArray[np.bool_]:
    """Map (b, 16, 16) to (b,): True if 6 adjacent pixels along an edge of the block have a deviation below 0.1."""
    edges = np.stack([blocks[:, 0], blocks[:, -1], blocks[:, :, 0], blocks[:, :, -1]], axis=1)
    segments = np.lib.stride_tricks.sliding_window_view(edges, 6, axis=-1)
    flat: NDArray[np.bool_] = (segments.std(axis=-1, ddof=1) < 0.1).any(axis=(1, 2))
    return flat


def _is_noisy(blocks: Array, variance: Array) -> NDArray[np.bool_]:
    """Map (b, 16, 16) to (b,): True if a block's deviation is near the ratio of its centre's to its surround's.

    The centre is columns 8 and 9. According to its Python ports, MATLAB's code deletes column 8 and then column 9 of
    the remaining columns, which is column 10 of the block, so the surround keeps column 9. We follow it.
    """
    deviation = np.sqrt(variance)
    centre = blocks[:, :, 7:9].std(axis=(1, 2), ddof=1)
    surround = np.delete(blocks, (7, 9), axis=2).std(axis=(1, 2), ddof=1)
    ratio = np.divide(centre, surround, out=np.zeros_like(centre), where=surround > 0)
    noisy: NDArray[np.bool_] = deviation > 2 * np.abs(deviation - ratio) / np.maximum(deviation, ratio)
    return noisy
