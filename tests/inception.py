"""A small network in place of Inception v3."""

from __future__ import annotations

import torch


class Inception(torch.nn.Module):
    """Four features of an image: means of fixed colours. pyiqa tells networks apart by the name of the class."""

    BLOCK_INDEX_BY_DIM = {2048: 3}  # noqa: RUF012

    def __init__(self, output_blocks):
        super().__init__()
        assert output_blocks == [3]
        self.colours = torch.nn.Parameter(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 1]]))

    def forward(self, images, resize, normalize):
        assert not resize
        images = 2 * images - 1 if normalize else images
        return [torch.nn.functional.conv2d(images, self.colours[..., None, None]).square().mean((2, 3), keepdim=True)]
