"""``srbench convert`` and ``srbench weights`` in a terminal: what goes where, and one line for every fault."""

import os
import re

import pyiqa
import torch
from small_presets import resized

from baselines.convert import rrdb_shapes
from baselines.rrdb import RRDBConfig
from srbench.weights.files import load_weights
from srbench.weights.table import released_weights


def saved(path):
    tensors = {name: torch.zeros(shape) for name, shape in rrdb_shapes(RRDBConfig(4, 8, 4, 1)).items()}
    torch.save(tensors, path)
    return path


def one_line(found):
    assert (found.code, found.out) == (1, "")
    assert len(found.err.splitlines()) == 1
    assert found.err.startswith("srbench: ")
    return found.err


def test_convert(command, tmp_path):
    preset, path, out = tmp_path / "tiny.toml", saved(tmp_path / "net.pth"), tmp_path / "new" / "net.safetensors"
    preset.write_text(resized("baselines", "rrdb/psnr-x4", features=8, growth=4, blocks=1))
    arguments = ("convert", path, "--preset", preset, "--out", out)
    assert "choose with --models esrgan or --models rrdb" in one_line(command(*arguments))
    found = command(*arguments, "--models", "rrdb")
    assert (found.code, found.out) == (0, f"{out}\n")
    assert found.err == f"{path}: rrdb, preset {preset}\n"
    assert load_weights(out)[1]["model"] == "rrdb"
    assert "unknown converter 'rrdbb'; did you mean rrdb?" in one_line(command(*arguments, "--models", "rrdbb"))


def test_weights(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    found = command("list", "weights")
    assert found.code == 0
    assert found.out.count("  not downloaded  ") == len(released_weights()) == len(found.out.splitlines())
    assert "srflow-celeba-x8" in found.out
    assert "CC-BY-NC-SA-4.0" in found.out
    for name, one in released_weights().items():
        shown = command("show", name).out
        assert all(fact in shown for fact in (*one.addresses, one.sha256 or "unknown", f"srbench weights fetch {name}"))
    assert "SRBENCH_OFFLINE is set" in one_line(command("weights", "fetch", "esrgan-x4"))
    assert "did you mean esrgan-x4" in one_line(command("weights", "fetch", "esrgan-x5"))
    assert "instead of 65fece06" in one_line(command("weights", "add", "esrgan-x4", saved(tmp_path / "a.pth")))
    options = ("--models", "esrgan:esrgan-x4", "--scale", "4")
    assert "esrgan-x4: not downloaded yet; run srbench weights fetch esrgan-x4" in one_line(command("run", *options))
    (tmp_path / "srbench" / "weights" / "esrgan-x4.safetensors").write_bytes(b"")
    assert re.search("^esrgan-x4 +downloaded ", command("list", "weights").out, re.MULTILINE)


def test_weights_of_a_suite(command, tmp_path, monkeypatch):
    """Two metrics that need no download, one that does, and one that never loads."""

    def created(name, **arguments):
        if name == "maniqa" or (name == "musiq" and os.environ.get("SRBENCH_OFFLINE") == "1"):
            raise OSError("no network")
        network = torch.nn.Linear(1, 1)
        network.lower_better, network.metric_mode, network.score_range = False, "NR", "0, 1"
        return network

    monkeypatch.setattr(pyiqa, "create_metric", created)
    monkeypatch.delenv("SRBENCH_OFFLINE", raising=False)
    suite, text = (
        tmp_path / "mine.toml",
        'name = "mine"\nversion = 1\nmetrics = ["psnr", "pyiqa:niqe", "pyiqa:musiq"]\n',
    )
    suite.write_text(text)
    found = command("weights", "fetch", "--suite", suite)
    assert (found.code, found.out) == (0, "psnr  ready\npyiqa:niqe  ready\npyiqa:musiq  ready\n")
    suite.write_text(f'{text}optional = ["pyiqa:maniqa", "psnr+channels=Y"]\n')
    found = command("weights", "fetch", "--suite", suite)
    assert found.code == 1
    assert found.out.splitlines()[3:] == ["pyiqa:maniqa  failed", "psnr+channels=Y  ready"]
    assert found.err.splitlines()[-1] == "srbench: pyiqa:maniqa: OSError: no network"
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    found = command("weights", "fetch", "--suite", suite)
    assert "pyiqa:musiq  failed\n" in found.out
    assert found.err.splitlines()[-1] == (
        "srbench: pyiqa:musiq: OSError: no network; pyiqa:maniqa: OSError: no network"
    )


def test_weights_of_metrics(command, tmp_path, monkeypatch):
    """Without a network, the missing file and its place."""
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    found = command("weights", "fetch", "--metrics", "psnr,kid+mode=legacy")
    assert found.code == 1
    assert found.out == "psnr  ready\nkid+mode=legacy  failed\n"
    assert re.fullmatch(
        rf"srbench: kid\+mode=legacy: pyiqa:fid .*needs https://\S+; put that file at {tmp_path}/pt_inception\S+",
        found.err.splitlines()[-1],
    )
    found = command("weights", "fetch", "--metrics", "nope")
    assert (found.code, found.out) == (1, "nope  failed\n")
    assert found.err.startswith("srbench: nope: unknown metric 'nope'; ")


def test_either_a_name_or_a_suite(command):
    refused = (
        ["esrgan-x4", "--suite", "blind"],
        ["--suite", "blind", "--sha256", "00"],
        ["--metrics", "fid", "esrgan-x4"],
    )
    for words in ([], *refused):
        found = command("weights", "fetch", *words)
        assert (
            found.code,
            "Name either released weights, with or without --sha256, or a --suite, or --metrics" in found.err,
        ) == (
            2,
            1,
        )
