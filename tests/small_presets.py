"""Small presets of every model, for trainings of seconds, and packaged ones made small."""

from __future__ import annotations

import json
import re
from importlib.resources import files

TRAINING = """
[training]
steps = 20
batch = 2
grad_accumulation = 1
patch = 32
learning_rate = 2e-3
betas = [0.9, 0.99]
schedule = "step"
milestones = [0.5]
max_grad_norm = 10.0
ema_decay = {average}
validate_every = 10
select_by = "psnr"
checkpoint_every = 5
seed = 0
"""
ENCODER = "scale = 4\nfeatures = 8\ngrowth = 4\nblocks = 1\n"
FLOW = f"[network]\nstacked = [0]\nsteps = 1\nwidth = 8\n[network.encoder]\n{ENCODER}"
SECOND_STAGE = """
[losses]
nll_weight = 0.2
pixel_weight = 2.0
perceptual_weight = 0.5
texture_weight = 0.1
grid_weight = 1.0
spectrum_weight = 1.0
temperature = 0.8
perceptual_layer = "conv1_1"
perceptual_precision = "float32"
shift = 4
"""
ADVERSARIAL = """
[losses]
pixel_weight = 1.0
perceptual_weight = 1.0
adversarial_weight = 0.1
perceptual_network = "vgg16"
perceptual_layer = "conv1_1"
discriminator_width = 2
discriminator_rate = 0.5
shift = 4
"""
RECTIFIED_FLOW = (
    "[network]\nwidths = [8, 4]\ndepths = [2, 1]\ndeviation = 0.1\nsampling_steps = 2\n[network.rrdb]\n" + ENCODER
)
PRESETS = {
    "rrdb": f"[network]\n{ENCODER}{TRAINING.format(average=0.9)}",
    "srflow": FLOW + TRAINING.format(average=0.0),
    "srflow-perceptual": 'start = "mini-x4"\n' + SECOND_STAGE + TRAINING.format(average=0.0),
    "esrgan": f'start = "mini-x4"\n{ADVERSARIAL}{TRAINING.format(average=0.5)}',
    "rectified-flow": RECTIFIED_FLOW + TRAINING.format(average=0.9),
}


def resized(package: str, preset: str, **values: object) -> str:
    """A packaged preset with other values of its network."""
    text = (files(package) / "presets" / f"{preset}.toml").read_text()
    for name, value in values.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text, count=1)
        assert count, name
    return text
