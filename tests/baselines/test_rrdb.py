import pytest
import torch
import torch.nn.functional as F

from baselines.rrdb import RRDB, DenseBlock, RRDBConfig, RRDBNet


def network(scale=4, long_skip="first"):
    torch.manual_seed(0)
    return RRDBNet(RRDBConfig(scale, 8, 4, 2, long_skip=long_skip))


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_shape(scale):
    assert network(scale)(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


def test_dense_block_is_the_paper_formula():
    block, x = DenseBlock(4, 3), torch.randn(1, 4, 6, 6)
    known = [x]
    for i, conv in enumerate(block.convs):
        out = F.conv2d(torch.cat(known, 1), conv.weight, conv.bias, padding=1)
        known.append(out if i == 4 else F.leaky_relu(out, 0.2))
    torch.testing.assert_close(block(x), 0.2 * known[-1] + x)


def test_rrdb_adds_a_fifth_of_three_blocks():
    block, x = RRDB(4, 3), torch.randn(1, 4, 6, 6)
    torch.testing.assert_close(block(x), x + 0.2 * block[2](block[1](block[0](x))))


@pytest.mark.parametrize("long_skip", ["first", "trunk"])
def test_long_skip(long_skip):
    """With the trunk convolution at zero only what is added beside it remains."""
    net, lr = network(long_skip=long_skip), torch.rand(1, 3, 4, 4)
    torch.nn.init.zeros_(net.conv_body.weight)
    torch.nn.init.zeros_(net.conv_body.bias)
    features, outputs = net.trunk(lr, kept=[1])
    assert outputs.keys() == {1}
    torch.testing.assert_close(features, net.conv_first(lr) if long_skip == "first" else outputs[1])


def test_kept_outputs_and_images_are_the_same_with_and_without_gradients():
    """A later block does not overwrite the output of an earlier one."""
    net, lr = network(), torch.rand(2, 3, 5, 7).contiguous(memory_format=torch.channels_last)
    expected, outputs = net.trunk(lr, kept=[0, 1])
    expected.square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.body.parameters())
    with torch.no_grad():
        features, kept = net.trunk(lr, kept=[0, 1])
        assert torch.equal(features, expected)
        assert all(torch.equal(kept[block], outputs[block]) for block in (0, 1))
        assert net(lr).is_contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(net(lr), net(lr))


def test_upscaling_repeats_pixels_before_the_convolution():
    net, x = network(), torch.randn(1, 8, 3, 3)
    repeated = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(net.upscale(x, 1), F.leaky_relu(net.conv_up[1](repeated), 0.2))
