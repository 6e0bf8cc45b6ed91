"""The contract of plug-ins, where it is more than types."""

from __future__ import annotations

import torch

from srbench.interfaces import ImagePair, Shared, WeightsInfo
from srbench.models.third_party import weights_info
from srbench.weights.files import save_weights
from srbench.weights.metadata import WeightsMetadata
from srbench.weights.table import with_licence


def test_a_pair_equals_itself_alone():
    """Tensors have no one answer to ==, so pairs compare, and stand in sets and dictionaries, by identity."""
    lr, hr = torch.zeros(3, 4, 4), torch.zeros(3, 16, 16)
    pair, twin = ImagePair("a", lr, hr), ImagePair("a", lr, hr)
    assert pair == pair
    assert pair != twin
    assert len({pair, twin}) == 2


def test_what_metrics_share_is_computed_again_if_the_image_changes():
    shared, image, computed = Shared(), torch.zeros(2), iter("abc")
    found = shared.once(image, "sum", lambda: next(computed)), shared.once(image, "sum", lambda: next(computed))
    image.add_(1)
    assert (*found, shared.once(image, "sum", lambda: next(computed))) == ("a", "a", "b")


def test_the_provenance_of_weights_in_sentences(tmp_path):
    stated = WeightsInfo("c0ffee", "CC0-1.0", "90 images", 577811)
    assert stated.text == "577,811 parameters, CC0-1.0. Trained on 90 images."
    save_weights(tmp_path / "a.safetensors", {"a": torch.ones(1)}, {})
    foreign = weights_info(tmp_path / "a.safetensors", "architecture Net", 577811)
    assert foreign.text == (
        "577,811 parameters, licence not stated in the file. Training data not stated in the file; architecture Net."
    )
    official = with_licence(WeightsMetadata("rrdb"), "rrdb", "c0ffee")
    assert WeightsInfo("c0ffee", official.licence, official.trained_on, None).text == (
        "an unknown number of parameters, licence unknown. Training data unknown (not known to be a released file)."
    )
