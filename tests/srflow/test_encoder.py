"""The LR encoder against a computation of its own: sizes, order, what is activated and what is not."""

import pytest
import torch
import torch.nn.functional as F

from baselines.rrdb import RRDBConfig
from srflow.encoder import Encoder

FEATURES, GROWTH, BLOCKS = 6, 3, 3


def build(scale, stacked=(0, 2), long_skip="first"):
    torch.manual_seed(scale)
    encoder = Encoder(RRDBConfig(scale, FEATURES, GROWTH, BLOCKS, long_skip), stacked).double()
    for parameter in encoder.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return encoder


def image(height, width, batch=2):
    return torch.rand((batch, 3, height, width), generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Written:
    """The same features, written out from the tensors by name."""

    def __init__(self, encoder, lr):
        self.tensors = encoder.state_dict()
        self.first = self.conv("conv_first", lr)
        self.blocks, x = [], self.first
        for block in range(BLOCKS):
            y = x
            for dense in range(3):
                y = self.dense(f"body.{block}.{dense}", y)
            x = x + 0.2 * y
            self.blocks.append(x)
        skip = x if encoder.config.long_skip == "trunk" else self.first
        self.at_lr = skip + self.conv("conv_body", x)

    def conv(self, name, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def dense(self, name, x):
        known = [x]
        for i in range(4):
            out = self.conv(f"{name}.convs.{i}", torch.cat(known, 1))
            known.append(torch.where(out < 0, 0.2 * out, out))
        return x + 0.2 * self.conv(f"{name}.convs.4", torch.cat(known, 1))

    def upscaled(self, x, step):
        out = self.conv(f"conv_up.{step}", x.repeat_interleave(2, -1).repeat_interleave(2, -2))
        return torch.where(out < 0, 0.2 * out, out)


@pytest.mark.parametrize("long_skip", ["first", "trunk"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_every_feature_against_its_definition(scale, long_skip):
    encoder, lr = build(scale, long_skip=long_skip), image(4, 6)
    *larger, at_lr, deepest = encoder(lr)
    written = Written(encoder, lr)
    torch.testing.assert_close(at_lr.own, written.at_lr)
    patches = written.at_lr.unflatten(-1, (3, 2)).unflatten(-3, (2, 2))
    torch.testing.assert_close(deepest.own, patches.mean((-1, -3)))
    expected = written.at_lr
    for step, own in enumerate(reversed(larger)):
        expected = written.upscaled(expected, step)
        torch.testing.assert_close(own.own, expected)


@pytest.mark.parametrize("stacked", [(0,), (2, 0)])
def test_stacked_blocks_in_the_order_of_the_configuration(stacked):
    encoder, lr = build(4, stacked), image(4, 4)
    written = Written(encoder, lr)
    for own in encoder(lr):
        assert own.stacked.shape[1] == FEATURES * len(stacked)
        for place, block in enumerate(stacked):
            found = own.stacked[:, place * FEATURES : (place + 1) * FEATURES]
            torch.testing.assert_close(found, written.blocks[block])
