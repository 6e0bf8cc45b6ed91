"""The training photographs of the packaged models, from Debian packages: a small package of the same shape."""

from __future__ import annotations

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import debian_photographs
import numpy as np
import pytest
import torch
from debian_photographs import make_photographs, read_resources
from PIL import Image

from srbench.images.io import pixels_sha256, write_png


def random_image(height, width):
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def resource_file(files):
    """A Qt resource file of version 3 with one folder ``images``; every second file is compressed."""
    data, names, nodes = b"", b"", []

    def name(text):
        nonlocal names
        names += struct.pack(">HI", len(text), 0) + text.encode("utf-16-be")
        return len(names) - 6 - 2 * len(text)

    nodes.append(struct.pack(">IHII", 0, 2, 1, 1) + bytes(8))
    nodes.append(struct.pack(">IHII", name("images"), 2, len(files), 2) + bytes(8))
    for i, (text, content) in enumerate(files.items()):
        body = struct.pack(">I", len(content)) + zlib.compress(content) if i % 2 else content
        nodes.append(struct.pack(">IHHHI", name(text), i % 2, 0, 0, len(data)) + bytes(8))
        data += struct.pack(">I", len(body)) + body
    tree = b"".join(nodes)
    header = b"qres" + struct.pack(">IIII", 3, 24, 24 + len(tree), 24 + len(tree) + len(data)) + bytes(4)
    return header + tree + data + names


def test_qt_resources():
    files = {"first.png": b"first" * 9, "zweites Bild.jpg": b"second" * 9}
    assert read_resources(resource_file(files)) == {f"/images/{name}": content for name, content in files.items()}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A Debian package with two photographs, one in a resource file, and an apt-get that has it."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    share, image = tmp_path / "tree" / "usr" / "share", random_image(40, 60)
    write_png(share / "a.png", image)
    (share / "b.rcc").write_bytes(resource_file({"c.png": (share / "a.png").read_bytes()}))
    control = tmp_path / "tree" / "DEBIAN" / "control"
    control.parent.mkdir()
    control.write_text("Package: photos\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y.z>\nDescription: x\n")
    subprocess.run(
        ["dpkg-deb", "--build", tmp_path / "tree", tmp_path / "photos_1_all.deb"],
        check=True,
        capture_output=True,
        timeout=300,
    )
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(
        f"#!/bin/sh\n[ $2 = photos ] || {{ echo E: no such package >&2; exit 100; }}\ncp {tmp_path}/*.deb .\n"
    )
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    halved = torch.from_numpy(np.array(Image.fromarray(image.permute(1, 2, 0).numpy()).reduce(2))).permute(2, 0, 1)
    listed = tmp_path / "list.csv"
    listed.write_text(
        "file,source,commit,path,downscale,sha256\n"
        f"train/three.png,someone/photographs,{'0' * 40},c.jpg,,{'1' * 64}\n"
        f"train/one.png,photos,,/usr/share/a.png,1,{pixels_sha256(image)}\n"
        f"val/two.png,photos,,/usr/share/b.rcc!/images/c.png,2,{pixels_sha256(halved)}\n"
    )
    monkeypatch.setattr(debian_photographs, "LIST", listed)
    return listed


def test_debian_photographs(package, tmp_path, monkeypatch):
    def fault():
        with pytest.raises(SystemExit) as raised:
            make_photographs(tmp_path / "out")
        return str(raised.value)

    make_photographs(tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == [Path("train/one.png"), Path("val/two.png")], "packages are removed, repositories left out"
    rows = package.read_text()
    package.write_text(rows.replace(rows.split(",")[-1].strip(), "0" * 64))
    assert "1 of 2 photographs differ from those that the packaged models were trained on" in fault()
    package.write_text(rows.replace("/usr/share/a.png", "/usr/share/z.png"))
    assert "photos: no /usr/share/z.png in this version of the package" in fault()
    package.write_text(rows.replace(",photos,", ",paintings,"))
    assert "apt-get download failed: E: no such package; run apt-get update first, on Debian 13" in fault()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get or dpkg is missing" in fault()
