"""Command lines, bench.toml files, suites, presets and plug-ins that cannot be used."""

from __future__ import annotations

import pytest

RUN = "run --models bicubic --scale 4 --metrics psnr --workers 1 --data {bad}/fine --out {here}/run"
STYLE = "edit style-transfer --models srflow --scale 8 --out {here}/edits"
CONTENT = "edit content-transfer --models srflow --scale 8 --out {here}/edits {bad}/fine/a.png"
TRAIN = "train srflow --preset mini-x8 --data {bad}/fine --out {here}/train --set"
CHANGES = {
    "network": "steps=0 width=-1 stacked=[99] scale_floor=nan log_deviation_bound=-1 transitions=-1 "
    "relative_temperatures=[-1,1,1] relative_temperatures=[inf,1,1] encoder.blocks=0 encoder.scale=3",
    "training": f"betas=[2,3] seed={10**23} seed=-1 patch=0 learning_rate=nan max_grad_norm=nan average=nan "
    "milestones=[nan] milestones=[0.5,0.4]",
}
"""Values that a table of a preset cannot have: the table and the key are named."""
CASES = [
    ("run {bad}/no.toml", r"no\.toml: not TOML"),
    ("run {bad}/bytes.toml", r"bytes\.toml: not TOML"),
    ("run {bad}/deep.toml", r"deep\.toml: not TOML"),
    ("run {bad}/absent.toml", r"absent\.toml: missing, not a TOML file; check the path"),
    (
        "run --models bicubic rrdb --scale 4",
        r"rrdb: missing, not a TOML file; .*, and separate several names by commas",
    ),
    ("run {bad}", r"bad\d*: a folder, not a TOML file; to measure its images, write --data \S+bad\d*$"),
    ("run {bad}/pipe.toml", r"pipe\.toml: a pipe"),
    ("run {bad}/key.toml", r"unknown key 'modles'; did you mean models"),
    ("run {bad}/type.toml", r"scale: expected int or a list, got str"),
    ("run {bad}/scale.toml", r"scale is 1e\+22|scale is 10{22}"),
    ("run {bad}/seed.toml", r"seed is -1"),
    ("run {bad}/temperature.toml", r"nan is not a temperature"),
    ("run {bad}/models.toml", r"models is empty"),
    ("run {bad}/samples.toml", r"samples\.toml: samples is 0; it has to be 1 or more"),
    ("run {bad}/metrics.toml", r"metrics\.toml: metrics is empty"),
    ("run {bad}/both.toml", r"give data, or hr and lr together"),
    ("run {bad}/device.toml", r"device is 'tpu'"),
    (f"{RUN} --suite {{bad}}/suite-quantize.toml", r"quantize: not one of 'floor', 'round'"),
    (f"{RUN} --suite {{bad}}/pipe.toml", r"pipe\.toml: a pipe"),
    (f"{RUN} --suite nothing", r"unknown suite 'nothing'"),
    (f"{RUN} --metrics psnr,dists", r"unknown metric 'dists'; pyiqa has it: write pyiqa:dists$"),
    (f"{RUN} --metrics psrn", r"unknown metric 'psrn'; did you mean psnr\?"),
    (f"{RUN} --metrics psnr+channels=Z", r"channels"),
    (f"{RUN} --metrics psnr+border=999999999999", r"border"),
    (f"{RUN} --metrics {{bad}}/raises.py:Metric", r"raises\.py failed: RuntimeError: at once and twice"),
    (f"{RUN} --metrics {{bad}}/ends.py:Metric", r"ends\.py"),
    (f"{RUN} --metrics {{bad}}/models.py:Ending", r"SystemExit"),
    (f"{RUN} --models {{bad}}/raises.py:M", r"raises\.py failed"),
    (f"{RUN} --models {{bad}}/syntax.py:M", r"syntax\.py failed: SyntaxError"),
    (f"{RUN} --models {{bad}}/ends.py:M", r"ends\.py"),
    ("run --models {bad}/models.py:Half --scale 4 --metrics psnr --data {bad}/fine --out {here}/run", r"has shape"),
    ("run --models {bad}/models.py:Ends --scale 4 --metrics psnr --data {bad}/fine --out {here}/run", r"SystemExit"),
    (
        "run --models {bad}/models.py:Recursive --scale 4 --metrics psnr --data {bad}/fine --out {here}/run",
        r"RecursionError",
    ),
    (f"{RUN} --models {{bad}}/models.py:Absent", r"unknown class"),
    (f"{RUN} --models bicubik", r"unknown model 'bicubik'; did you mean bicubic\?"),
    (
        f"{RUN} --models bicubic+consistant",
        r"no option \+consistant; at the end of a name, write \+bf16, \+consistent or",
    ),
    (f"{RUN} --models rrdb+consistent+bf16", r"no option \+consistent; .* or \+bf16\+consistent$"),
    (f"{RUN} --models esrgan-x4", r"esrgan-x4: released weights; name them after a model: esrgan:esrgan-x4$"),
    (
        f"{RUN} --models {{bad}}/models.py:Empty",
        r"not finite; check the model or, if it samples, lower the temperature$",
    ),
    (f"{RUN} --engine ray", r"--engine.*'ray' is not dask or dask:ADDRESS", 2),
    (f"{RUN} --models mine=absent", r"absent: no folder of that name, and unknown model 'absent'; available: bicubic"),
    (f"{RUN} --models SRFlow", r"unknown model 'SRFlow'; did you mean srflow\?"),
    (f"{RUN} --metrics PSNR", r"unknown metric 'PSNR'; did you mean psnr\?"),
    (
        f"{RUN} --models {{bad}}/fine/a.png",
        r"a\.png: not a model; a file of a network ends in \.pth, .*\.onnx, and code",
    ),
    (f"{RUN} --data ,", r"--data.*a name is empty", 2),
    (f"{RUN} --data ''", r"--data.*a name is empty", 2),
    (f"{RUN} --models a/b=bicubic", r"label 'a/b'"),
    (f"{RUN} --models hr=bicubic", r"label hr is reserved"),
    (f"{RUN} --models {'a' * 300}=bicubic", r"label"),
    (f"{RUN} --models {'a' * 5000}.pth", r"a{100}"),
    (f"{RUN} --models results={{bad}}/lr", r"has shape"),
    (f"{RUN} --models results={{bad}}/cut", r"b\.png: damaged"),
    (f"{RUN} --out {{bad}}/fine", r"fine: not empty, and not a run folder"),
    (f"{RUN} --out {{bad}}/key.toml", r"key\.toml: a file, not a folder; choose another --out"),
    (f"{RUN} --out {{bad}}/key.toml/run", r"key\.toml.*: cannot be written \(Not a directory\); choose another --out"),
    (f"{RUN} --out /proc/run", r"/proc/run"),
    ("train nothing --preset mini-x8 --data {bad}/fine", r"unknown trainer 'nothing'"),
    ("train rrdb --preset mini-x8 --data {bad}/absent --out {here}/train", r"absent: missing, not a folder of images"),
    ("train --resume {bad}/fine", r"fine: not a training folder"),
    ("train srflow --preset {bad}/pipe.toml --data {bad}/fine --out {here}/train", r"pipe\.toml: a pipe"),
    ("train srflow --preset nothing --data {bad}/fine --out {here}/train", r"unknown preset 'nothing'"),
    (f"{TRAIN} network.stacked=[]", r"network\.stacked is empty; list at least one"),
    *(
        (f"{TRAIN} {table}.{change}", rf"{table}.*{change.partition('=')[0].rpartition('.')[2]}")
        for table, changes in CHANGES.items()
        for change in changes.split()
    ),
    *((f"{TRAIN} frozen={value}", r"frozen") for value in (5, -1, "nan")),
    (f"{TRAIN} training.patch={10**12}", r"training|patch"),
    (f"{TRAIN} training.batch={10**12}", r"training.*batch|patch"),
    (f"{TRAIN} training=3", r"training"),
    (f"{TRAIN} training.steps.more=3", r"steps is a value"),
    (f"{TRAIN} training.steps={'[' * 5000}", r"not a TOML value"),
    *(
        (f"{TRAIN.replace('srflow', 'esrgan')} losses.{key}={value}", rf"losses.*{key}")
        for key, value in {
            "discriminator_width": 0,
            "shift": -1,
            "pixel_weight": "nan",
            "discriminator_rate": -1,
        }.items()
    ),
    (f"{TRAIN.replace('srflow', 'srflow-perceptual')} losses.temperature=-1", r"losses.*temperature"),
    (
        "upscale {bad}/fine/a.png --models srflow --scale 8 --samples 100000 --out {here}/up --temperature 1e400",
        r"temperature",
        2,
    ),
    ("upscale {bad}/fine/a.png --models nothing --scale 8 --out {here}/up", r"unknown model"),
    ("upscale {bad}/absent.png --models bicubic --scale 8 --out {here}/up", r"could not be"),
    ("upscale {bad}/long --models bicubic --scale 2 --out {here}/up", r"could not be"),
    ("upscale {bad}/fine/a.png --models bicubic --scale 4 --out {bad}/key.toml", r"key\.toml"),
    ("upscale {bad}/fine/a.png --models results={bad}/fine --scale 4 --out {here}/up", r"cannot upscale"),
    (f"upscale {{bad}}/fine/a.png --models srflow --scale 8 --seed {10**23} --out {{here}}/up", r"--seed", 2),
    (f"{RUN} --models srflow --scale 8 --data {{bad}}/fine --samples 1 --seed {10**23}", r"--seed", 2),
    (f"{STYLE} {{bad}}/cut/b.png --from 0,0,8,8 --to 8,8,8,8", r"b\.png: damaged"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,8 --to 8,8,8,8", r"is not a box", 2),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,99,8 --to 8,8,8,8", r"leaves the image"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,0,8 --to 8,8,8,8", r"is empty"),
    (f"{STYLE} {{bad}}/fine/a.png --from 0,0,8,8 --to {10**20},8,8,8", r"leaves the image"),
    (f"{CONTENT} {{bad}}/lr/a.png --box 0,0,16,16", r"its size 8x8 is neither"),
    (f"{CONTENT} {{bad}}/fine/b.png --mask {{bad}}/lr/a.png", r"the mask has to be as large"),
    ("edit restore {bad}/fine/a.png --models bicubic --scale 8 --out {here}/edits", r"has no latents"),
    (f"edit restore {{bad}}/fine/a.png --models srflow --scale 8 --seed {10**23} --out {{here}}/edits", r"--seed", 2),
    (
        "edit temperature {bad}/fine/a.png --models srflow --scale 8 --temperature 0,,1 --out {here}/edits",
        r"is not a temperature",
        2,
    ),
    ("edit temperature {bad}/long/*.png --models srflow --scale 8 --out {here}/edits", r"no such file"),
    ("explore {bad}/cut/b.png --no-browser", r"b\.png: damaged"),
    ("explore {bad}/absent.png --no-browser", r"absent\.png: cannot be read"),
    ("run --write-template {bad}/key.toml", r"key\.toml: already exists"),
    ("show nothing", r"unknown name 'nothing'"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].replace("{bad}/", "").replace("{here}/", "")[-90:])
def test_refused(refused, case):
    refused(*case)
