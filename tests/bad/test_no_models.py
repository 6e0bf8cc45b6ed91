"""Names that lead to something other than a model, and paths that are not UTF-8."""

from __future__ import annotations

import os

import pytest

RUN = "run --scale 4 --metrics psnr --limit 1 --crop 32 --workers 1 --out {here}/run --models"
ODD = """
import sys

import torch


class Model:
    scale = 4

    def __call__(self, lr):
        return torch.zeros(1, 3, 4 * lr.shape[-2], 4 * lr.shape[-1])


class Arguments(Model):
    def __init__(self, first, second):
        pass


class NoCall:
    scale = 4


class TextScale(Model):
    scale = "4"


class NoScale(Model):
    @property
    def scale(self):
        raise ValueError("it has none")


def nothing():
    return None


def exits():
    sys.exit(0)


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def silent():
    raise SilentError


class Text(Model):
    def __call__(self, lr):
        return "an image"



class Levels(Model):
    def __call__(self, lr):
        return super().__call__(lr).byte()


class Ends(Model):
    def __call__(self, lr):
        sys.exit(0)


class NoSamples:
    scale = 4

    def sample(self, lr, n, *, temperature, generator):
        return None

"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("builtins:print", r"builtins:print: builtins has no source file"),
        ("math:pi", r"math:pi: unknown class or function 'pi'"),
        ("torch:zeros", r"torch:zeros failed: TypeError: zeros\(\) missing 1 required"),
        ("odd.py:Arguments", r"odd\.py:Arguments needs the arguments first, second; add a function .*make"),
        ("odd.py:nothing", r"odd\.py:nothing: None is not a model"),
        ("odd.py:NoCall", r"odd\.py:NoCall: .*NoCall object.* is not a model"),
        ("odd.py:TextScale", r"odd\.py:TextScale has scale '4', but scale 4 is requested"),
        ("odd.py:NoScale", r"scale of odd\.py:NoScale failed: ValueError: it has none"),
        ("odd.py:exits", r"odd\.py:exits failed: SystemExit: 0"),
        ("odd.py:silent", r"odd\.py:silent failed: SilentError"),
        ("odd.py:Text", r"the result is str; it must be a tensor"),
        ("odd.py:Levels", r"the result is torch\.uint8; it must be floating point"),
        ("odd.py:Ends", r"the model failed: SystemExit: 0"),
        ("odd.py:NoSamples", r"the result is NoneType; it must be a tensor"),
    ],
)
def test_what_is_no_model(refused, tmp_path, name, says):
    (tmp_path / "odd.py").write_text(ODD)
    refused(f"{RUN} {name}", says)


@pytest.mark.parametrize(
    "command",
    [
        f"{RUN} bicubic --out ODD",
        f"{RUN} bicubic --data ODD",
        f"{RUN} ODD.py:Model",
        "score ODD --metrics ssim",
        "report ODD",
    ],
)
def test_a_path_that_is_not_utf_8(refused, tmp_path, command):
    """Manifests hold the command, and are UTF-8."""
    odd = os.fsdecode(b"b\xffd")
    refused(command.replace("ODD", odd), r"b\\udcffd.* is not UTF-8, .* rename")
    assert not list(tmp_path.iterdir()), "nothing is begun"
