"""The contract of plug-ins, where it is more than types."""

from __future__ import annotations

import torch

from srbench.interfaces import ImagePair


def test_a_pair_equals_itself_alone():
    """Tensors have no one answer to ==, so pairs compare, and stand in sets and dictionaries, by identity."""
    lr, hr = torch.zeros(3, 4, 4), torch.zeros(3, 16, 16)
    pair, twin = ImagePair("a", lr, hr), ImagePair("a", lr, hr)
    assert pair == pair
    assert pair != twin
    assert len({pair, twin}) == 2
