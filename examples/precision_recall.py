"""Precision and recall of all outputs against HR (Kynkaanniemi et al., "Improved precision and recall metric", 2019).

srbench score RUN --metrics examples/precision_recall.py:Precision,examples/precision_recall.py:Recall+k=5
"""

import numpy as np
from scipy.spatial.distance import cdist

from srbench.interfaces import ImageSet, MetricInfo, SetMetric
from srbench.metrics.fid import features_of_hr, features_of_outputs


class Precision(SetMetric):
    """Share of outputs in the manifold of HR: nearer to an HR image than its k-th nearest."""

    def __init__(self, k: int = 3) -> None:
        name = type(self).__name__
        protocol = f"{name} of Inception features as of FID, manifolds of {k} neighbours, first outputs"
        self.k = k
        self.info = MetricInfo(
            name=name.lower(), title=name, direction=1, digits=3, protocol=protocol, per="set", any_samples=True
        )

    def __call__(self, outputs: ImageSet) -> float:
        return share_within(features_of_outputs(outputs), features_of_hr(outputs), self.k)


class Recall(Precision):
    """Share of HR images in the manifold of outputs."""

    def __call__(self, outputs: ImageSet) -> float:
        return share_within(features_of_hr(outputs), features_of_outputs(outputs), self.k)


def share_within(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    """Return the share of (n, d) points within the distance of one of (m, d) points to its k-th nearest."""
    radii = np.sort(cdist(manifold, manifold), axis=1)[:, min(k, len(manifold) - 1)]  # the first is the point itself
    return float((cdist(points, manifold) <= radii).any(axis=1).mean())
