from __future__ import annotations

import numpy as np
import torch

from srbench.metrics import scene_statistics
from srbench.metrics.parameters import packaged


def test_niqe_model_is_a_gaussian():
    model = packaged("niqe_live_fp64")
    assert model["mu_prisparam"].shape == (36,)
    covariance = model["cov_prisparam"]
    assert torch.allclose(covariance, covariance.T)
    assert torch.linalg.eigvalsh(covariance).min() > 0


def test_niqe_window_is_the_one_we_compute():
    """It is the local mean of a single bright pixel."""
    pixel = np.zeros((7, 7))
    pixel[3, 3] = 1
    window = scene_statistics._smooth(pixel, "constant")
    np.testing.assert_allclose(window, packaged("niqe_live_fp64")["gaussian_window"].numpy(), atol=1e-12)


def test_brisque_support_vectors_lie_in_the_feature_ranges():
    model = packaged("brisque_live_fp64")
    assert model["sv"].shape == (774, 36)
    assert model["sv"].abs().max() <= 1 + 1e-6
    # A support vector machine with an offset has coefficients that sum to zero, none beyond the cost 1024.
    assert abs(model["sv_coef"].sum().item()) < 0.1
    assert model["sv_coef"].abs().max() == 1024
    assert (model["feature_minimum"] < model["feature_maximum"]).all()
