"""Protocols as other programs compute them: scikit-image, OpenCV, and slices."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.color import rgb2gray, rgb2ycbcr, rgb2yiq
from skimage.metrics import mean_squared_error, structural_similarity


def _rounded(image):
    return np.floor(image + 0.5)


CHANNELS = {
    "RGB": lambda image: image.astype(float),
    "Y of BT.601 (16..235), rounded": lambda image: _rounded(rgb2ycbcr(image)[..., 0]),
    "Y of BT.601 (16..235), unrounded": lambda image: rgb2ycbcr(image)[..., 0],
    "Y of YIQ (0..255), unrounded": lambda image: 255 * rgb2yiq(image)[..., 0],
    "grey of OpenCV (0..255), rounded": lambda image: cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float),
    "grey of scikit-image (BT.709), unrounded": lambda image: 255 * rgb2gray(image),
    "Y of BT.601, rounded, of BGR taken for RGB": lambda image: _rounded(rgb2ycbcr(image[..., ::-1])[..., 0]),
    "Y of BT.601, unrounded, of BGR taken for RGB": lambda image: rgb2ycbcr(image[..., ::-1])[..., 0],
}
MOVED = {"": (0, 0), "down": (1, 0), "up": (-1, 0), "right": (0, 1), "left": (0, -1)}
WINDOWS = {
    "11x11 Gaussian window": dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255),
    "7x7 uniform window": dict(data_range=255),
    "11x11 Gaussian window, sample covariance": dict(gaussian_weights=True, sigma=1.5, data_range=255),
    "7x7 uniform window, population covariance": dict(use_sample_covariance=False, data_range=255),
    "7x7 uniform window, range 1 for values in 0..255": dict(data_range=1),
    "11x11 Gaussian window, range 2 for values in 0..1": dict(
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=2 * 255
    ),
}


def cropped(image, border):
    return image[border : len(image) - border, border : image.shape[1] - border]


def moved(output, hr, shift):
    """What both show if the output lies so many pixels lower and further right."""
    height, width = output.shape[:2]
    down, right = shift
    first = output[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)]
    return first, hr[max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)]


def psnr(arrays, channels, border, way="", of_mean=False):
    errors = []
    for output, hr in arrays:
        one, other = moved(CHANNELS[channels](output), CHANNELS[channels](hr), MOVED[way])
        errors.append(mean_squared_error(cropped(one, border), cropped(other, border)))
    if of_mean:
        return 10 * np.log10(255**2 / np.mean(errors))
    return np.mean(10 * np.log10(255**2 / np.array(errors)))


def ssim(arrays, channels, border, window):
    found = []
    for pair in arrays:
        one, other = (cropped(CHANNELS[channels](image), border) for image in pair)
        axis = {"channel_axis": 2} if one.ndim == 3 else {}
        found.append(structural_similarity(one, other, **WINDOWS[window], **axis))
    return np.mean(found)
