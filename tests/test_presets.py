"""Presets: they load, their networks can be built, their trainings make sense, published facts are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models import get_model

from baselines.esrgan import Discriminator
from baselines.presets import ESRGANPreset, RectifiedFlowPreset, RRDBPreset
from baselines.rectified_flow import RectifiedFlow, RectifiedFlowConfig
from baselines.rrdb import RRDBConfig, RRDBNet
from baselines.vgg import LAYERS
from srbench.files.config import ConfigError, load_toml, to_toml
from srbench.training import TrainingError
from srbench.training.config import LOWEST_RATE
from srflow import SRFlow
from srflow.config import SRFlowConfig
from srflow.presets import SecondStagePreset, SRFlowPreset

ROOT = Path(__file__).parents[1]
FOLDERS = {
    ROOT / "srflow" / "presets": SRFlowPreset,
    ROOT / "srflow" / "presets" / "perceptual": SecondStagePreset,
    ROOT / "baselines" / "presets" / "rrdb": RRDBPreset,
    ROOT / "baselines" / "presets" / "esrgan": ESRGANPreset,
    ROOT / "baselines" / "presets" / "rectified_flow": RectifiedFlowPreset,
}
PRESETS = [(path, kind) for folder, kind in FOLDERS.items() for path in sorted(folder.glob("*.toml"))]
NAMES = [f"{kind.__name__}-{path.stem}" for path, kind in PRESETS]
EVERY = pytest.mark.parametrize(("path", "kind"), PRESETS, ids=NAMES)
SRFLOW, SECOND, RRDB, ESRGAN, RECTIFIED = (
    {path.stem: load_toml(path, kind) for path, kind in PRESETS if kind is wanted}
    for wanted in (SRFlowPreset, SecondStagePreset, RRDBPreset, ESRGANPreset, RectifiedFlowPreset)
)


def network_of(preset):
    """Its size: its own, or that of the preset whose weights it starts from."""
    if isinstance(preset, ESRGANPreset):
        return RRDBConfig.from_preset(preset.start)
    return SRFlowConfig.from_preset(preset.start) if isinstance(preset, SecondStagePreset) else preset.network


def scale_of(preset):
    network = network_of(preset)
    rrdb = {SRFlowConfig: "encoder", RectifiedFlowConfig: "rrdb"}.get(type(network))
    return getattr(network, rrdb).scale if rrdb else network.scale


def built(preset):
    """The network without its numbers."""
    with torch.device("meta"):
        kinds = {SRFlowConfig: SRFlow, RectifiedFlowConfig: RectifiedFlow, RRDBConfig: RRDBNet}
        return kinds[type(preset.network)](preset.network)


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_no_preset_lies_elsewhere():
    assert {path for package in ("srflow", "baselines") for path in (ROOT / package).rglob("*.toml")} == {
        path for path, _ in PRESETS
    }
    assert set(SRFLOW) <= set(ESRGAN)


def test_every_key_counts(tmp_path):
    """A key too many and a key too few are both refused: nothing in a preset is without effect."""
    path, kind = PRESETS[0]
    text = path.read_text()
    (tmp_path / "more.toml").write_text(text + "colour = 3\n")
    with pytest.raises(ConfigError, match=r"training: unknown key 'colour'"):
        load_toml(tmp_path / "more.toml", kind)
    lacking = "\n".join(line for line in text.splitlines() if not line.startswith("patch ="))
    (tmp_path / "less.toml").write_text(lacking)
    with pytest.raises(ConfigError, match=r"training\.patch: missing"):
        load_toml(tmp_path / "less.toml", kind)


WRONG = {
    "srflow/presets/mini-x8.toml": "network.steps=0 network.width=-1 network.stacked=[] network.stacked=[99] "
    "network.scale_floor=nan network.log_deviation_bound=-1 network.transitions=-1 "
    "network.relative_temperatures=[-1,1,1] network.relative_temperatures=[inf,1,1] network.encoder.blocks=0 "
    f"network.encoder.scale=3 training.betas=[2,3] training.seed={10**23} training.seed=-1 training.patch=0 "
    "training.learning_rate=nan training.max_grad_norm=nan training.ema_decay=nan training.milestones=[nan] "
    f"training.milestones=[0.5,0.4] training=3 training.steps.more=3 training.steps={'[' * 5000} "
    f"encoder_freeze=5 encoder_freeze=-1 encoder_freeze=nan",
    "srflow/presets/perceptual/mini-x8.toml": "losses.temperature=-1",
    "baselines/presets/rectified_flow/mini-x8.toml": "network.widths=[] network.depths=[1] network.deviation=0 "
    "network.depths=[1,0,1] network.sampling_steps=0 network.rrdb.scale=3 training.schedule=constant",
    "baselines/presets/esrgan/mini-x8.toml": "losses.discriminator_width=0 losses.shift=-1 losses.pixel_weight=nan "
    "losses.discriminator_rate=-1",
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name in WRONG for change in WRONG[name].split()])
def test_a_value_that_no_training_can_have_is_named(name, change):
    """As a value of ``--set``: its key and what is wrong, in one line."""
    key = change.partition("=")[0].removesuffix(".more").rpartition(".")[2]
    with pytest.raises((ConfigError, TrainingError), match=key) as caught:
        load_toml(ROOT / name, FOLDERS[(ROOT / name).parent], [change]).training.check(1, 8)
    assert "\n" not in str(caught.value)


@EVERY
def test_training(path, kind, tmp_path):
    """Settings that a training accepts, and that are the same when it has written them down."""
    preset = load_toml(path, kind)
    (tmp_path / "resolved.toml").write_text(to_toml(preset))
    assert load_toml(tmp_path / "resolved.toml", kind) == preset
    training = preset.training
    training.check(1, scale_of(preset))
    assert training.checkpoint_every <= training.steps
    assert training.validate_every <= training.steps
    assert 1e-5 <= training.learning_rate <= 1e-2
    assert all(0 < beta < 1 for beta in training.betas)
    rates = [training.learning_rate_at(step) for step in (training.warm_up, training.steps - 1)]
    last = training.learning_rate * 0.5 ** len(training.milestones) if training.schedule == "step" else LOWEST_RATE
    assert rates == pytest.approx([training.learning_rate, last], rel=5e-2)


@EVERY
def test_patches_fit_the_network(path, kind):
    """LR patches have whole, even sides, the flow's deepest level whole pixels; the discriminator's stages halve."""
    preset = load_toml(path, kind)
    assert path.stem.endswith(f"-x{scale_of(preset)}")
    assert preset.training.patch % (2 * scale_of(preset)) == 0
    if isinstance(network := network_of(preset), SRFlowConfig):
        assert preset.training.patch % 2**network.levels == 0
    if kind is ESRGANPreset:
        with torch.device("meta"):
            discriminator = Discriminator(preset.training.patch, preset.losses.discriminator_width)
            assert discriminator(torch.empty(2, 3, preset.training.patch, preset.training.patch)).shape == (2, 1)


@pytest.mark.parametrize("name", RRDB)
def test_rrdb_networks_run(name):
    preset = RRDB[name]
    scale, patch = preset.network.scale, preset.training.patch
    with torch.device("meta"):
        assert built(preset)(torch.empty(2, 3, patch // scale, patch // scale)).shape == (2, 3, patch, patch)


@pytest.mark.parametrize("name", RECTIFIED)
def test_rectified_flows_run(name):
    """On the RRDB that they start from: that of the same name, or ESRGAN's at full size."""
    preset = RECTIFIED[name]
    assert preset.network.rrdb == RRDB["psnr-x4" if name == "df2k-x4" else name].network
    patch, network = preset.training.patch, built(preset)
    with torch.device("meta"):
        features, base = network.encode(torch.empty(2, 3, *[patch // network.scale] * 2))
        assert network.velocity(base, torch.empty(2), features, base).shape == (2, 3, patch, patch)


@pytest.mark.parametrize("name", SRFLOW)
def test_srflow_networks_run(name):
    """Shapes alone, on no device: an HR patch becomes latents of as many numbers."""
    preset = SRFLOW[name]
    scale, patch = preset.network.encoder.scale, preset.training.patch
    assert max(preset.network.stacked) < preset.network.encoder.blocks, "blocks count from 0"
    assert list(preset.network.stacked) == sorted(set(preset.network.stacked))
    network = built(preset)
    assert len(network.flow.levels) == preset.network.levels == {4: 3, 8: 4}[scale]
    with torch.device("meta"):
        features = network.encoder(torch.empty(2, 3, patch // scale, patch // scale))
    assert [own.own.shape[-1] for own in features] == [patch >> level for level in range(1, preset.network.levels + 1)]
    latents = network.flow.latent_shapes(patch, patch)
    assert sum(torch.Size(shape).numel() for shape in latents) == 3 * patch**2


@pytest.mark.parametrize("name", SECOND)
def test_the_second_stage_goes_on_from_the_first_of_the_same_name(name):
    assert SECOND[name].start == name
    assert name in SRFLOW
    assert SECOND[name].losses.perceptual_layer in LAYERS["vgg16"]


@pytest.mark.parametrize("name", SRFLOW)
def test_the_encoder_is_the_rrdb_network_of_the_same_name(name):
    """So that --start takes what ``train rrdb --preset NAME`` makes, and the packaged RRDB serves without it."""
    assert SRFLOW[name].network.encoder == RRDB[name].network
    ours, theirs = built(SRFLOW[name]).encoder.state_dict(), built(RRDB[name]).state_dict()
    assert all(ours[key].shape == theirs[key].shape for key in ours)
    unused = {key.rpartition(".")[0] for key in theirs.keys() - ours.keys()}
    top = f"conv_up.{SRFLOW[name].network.levels - 2}"
    assert unused == {top, "conv_hr", "conv_last"}, "the upscaling to HR size and what follows it"


@pytest.mark.parametrize("name", ESRGAN)
def test_esrgan_starts_from_an_rrdb_preset(name):
    """The released ones from psnr-x4, whose long skip is ESRGAN's; all others from that of the same name."""
    preset = ESRGAN[name]
    assert preset.start == ("psnr-x4" if name == "df2k-x4" else name)
    assert preset.start in RRDB
    assert min(preset.losses.pixel_weight, preset.losses.perceptual_weight, preset.losses.adversarial_weight) > 0
    assert 0 < preset.losses.discriminator_rate <= 1
    assert preset.losses.perceptual_layer in LAYERS[preset.losses.perceptual_network]


def test_perceptual_networks_have_their_convolutions():
    """Simonyan and Zisserman, table 1, columns D and E; at their places in torchvision's ``features``."""
    for network, last in {"vgg16": "conv5_3", "vgg19": "conv5_4"}.items():
        with torch.device("meta"):
            features = get_model(network).features
        convolutions = [at for at, layer in enumerate(features) if isinstance(layer, torch.nn.Conv2d)]
        assert list(LAYERS[network].values()) == convolutions
        assert list(LAYERS[network])[-1] == last


@pytest.mark.parametrize("name", ["celeba-x8", "df2k-x4", "df2k-x8"])
def test_esrgan_as_published(name):
    """ESRGAN, sections 3.3 and 4.1, and BasicSR's train_ESRGAN_x4.yml; for 8x the same."""
    losses, training = ESRGAN[name].losses, ESRGAN[name].training
    assert (losses.pixel_weight, losses.perceptual_weight, losses.adversarial_weight) == (1e-2, 1.0, 5e-3)
    assert (losses.perceptual_network, losses.perceptual_layer) == ("vgg19", "conv5_4")
    assert (losses.discriminator_width, losses.discriminator_rate) == (64, 1.0)
    assert (training.patch, training.batch, training.learning_rate, training.ema_decay) == (128, 16, 1e-4, 0.999)
    assert [m * training.steps for m in training.milestones] == [50_000, 100_000, 200_000, 300_000]


def test_mini_presets_are_small():
    """Between one and six million numbers: they train on one core, and their weights are packaged."""
    names = [name for name in SRFLOW if name.startswith("mini")]
    assert names == ["mini-x4", "mini-x8"]
    for name in names:
        assert 1e6 < size(built(RRDB[name])) < 4e6
        assert 1e6 < size(built(SRFLOW[name])) < 6e6
        for preset in (RRDB[name], SRFLOW[name], ESRGAN[name]):
            assert preset.storage == "float16"
            assert preset.training.steps <= 10_000
        assert SRFLOW[name].network.scale_floor > 0.1, "short trainings need a floor: see SRFlowConfig"


# From confs/SRFlow_CelebA_8X.yml, SRFlow_DF2K_4X.yml and SRFlow_DF2K_8X.yml of github.com/andreas128/SRFlow:
# K, L, RRDB blocks (nb), stackRRDB.blocks, GT_size, batch_size, lr_G, niter.
PUBLISHED = {
    "celeba-x8": (16, 4, 8, (1, 3, 5, 7), 160, 16, 5e-4, 200_000),
    "df2k-x4": (16, 3, 23, (1, 8, 15, 22), 160, 12, 2.5e-4, 200_000),
    "df2k-x8": (16, 4, 23, (1, 3, 5, 7), 160, 16, 5e-4, 200_000),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_srflow_as_published(name):
    preset = SRFLOW[name]
    network, training = preset.network, preset.training
    found = (network.steps, network.levels, network.encoder.blocks, network.stacked, training.patch)
    assert (*found, training.batch, training.learning_rate, training.steps) == PUBLISHED[name]
    # nf: 64, gc: 32, flow hidden_channels: 64, additionalFlowNoAffine: 2, and the code's affine_eps of 0.0001
    assert (network.encoder.features, network.encoder.growth, network.width, network.transitions) == (64, 32, 64, 2)
    assert (network.scale_floor, network.log_deviation_bound) == (1e-4, None)
    assert network.encoder.long_skip == "trunk"
    assert training.milestones == (0.5, 0.75, 0.9, 0.95)  # lr_steps_rel
    assert training.betas == (0.9, 0.99)  # beta1, beta2
    assert preset.encoder_freeze == 0.5  # train_RRDB_delay
    assert preset.storage == "float32"


def test_esrgan_rrdb_as_published():
    """RRDB_PSNR_x4: 23 blocks of 64 and 32 channels (ESRGAN, section 4.1), patches of 128, batches of 16."""
    preset = RRDB["psnr-x4"]
    assert preset.network == RRDBConfig(4, 64, 32, 23, "first")
    assert size(built(preset)) == 16_697_987
    assert (preset.training.patch, preset.training.batch, preset.training.learning_rate) == (128, 16, 2e-4)
    # halved every 200,000 of 1,000,000 steps
    assert [m * preset.training.steps for m in preset.training.milestones] == [200_000, 400_000, 600_000, 800_000]


def test_the_two_rrdb_networks_of_4x_differ_in_the_long_skip_alone():
    """The same tensors, other images: nothing but the preset tells them apart."""
    srflows, esrgans = RRDB["df2k-x4"].network, RRDB["psnr-x4"].network
    assert srflows != esrgans
    assert replace(srflows, long_skip=esrgans.long_skip) == esrgans
