"""Twenty small runs of mixed data, scales, protocols and metrics, some of them damaged."""

from __future__ import annotations

import json
import shutil

import pytest

from srbench.images.io import write_png

EVIL = "<script>alert(1)</script>&"


@pytest.fixture(scope="session")
def twenty(tmp_path_factory, srbench, small_models, draw_image):
    """A folder of twenty runs, four of them damaged: those in ``damaged``."""
    base = tmp_path_factory.mktemp("twenty")
    for number, folder in enumerate(("set-a", "set-b")):
        for seed in range(7):
            write_png(base / "photos" / folder / f"{seed}.png", draw_image(10 * number + seed, 32, 32 + 8 * number))
    shutil.copytree(base / "photos" / "set-a", base / "photos" / "copy-of-a")
    runs = base / "runs"
    noisy, near = f"noisy={small_models}:Noisy", f"near={small_models}:Nearest"

    def run(name, models, *more, data="set-a", scale=4):
        given = ("--data", base / "photos" / data, "--scale", scale, "--samples", 2, "--out", runs / name)
        done = srbench("run", "--models", models, *given, "--metrics", "psnr,ssim,sigma", *more)
        assert done.exit_code == 0, done.output

    for data in ("set-a", "set-b", "copy-of-a"):
        run(f"{data}/bicubic", "bicubic", data=data)
        run(f"{data}/three", f"bicubic,{near},{noisy}", "--temperature", "0.3,0.8", data=data)
    run("set-a/8x", f"bicubic,{noisy}", scale=8)
    run("set-a/8x-psnr", "bicubic", "--metrics", "psnr", scale=8)
    run("set-a/crop", f"bicubic,{near}", "--crop", 24)
    run("set-a/four", f"bicubic,{near}", "--limit", 4)
    run("set-a/classic", f"bicubic,{near}", "--suite", "classic-y", "--metrics", "psnr,ssim")
    run("set-b/classic", f"bicubic,{near}", "--suite", "classic-y", "--metrics", "psnr,ssim", data="set-b")
    run("set-a/seed", noisy, "--seed", 1)
    run("set-a/other-name", f"mine={small_models}:Nearest")
    run(f"set-a/{EVIL.replace('/', ':')}", f"mine={small_models}:Nearest")
    run("set-a/same-name", f"near={small_models}:Noisy")
    for name in ("value", "row", "torn", "image"):
        shutil.copytree(runs / "set-b" / "three", runs / "damaged" / name)
    damage(runs / "damaged")
    for name in ("set-a/three", "set-b/three", "damaged/image"):
        srbench("verify", runs / name)
    return runs


def damage(folder):
    """Change a value, take out a line, tear the manifest, and swap two images."""
    rows = folder / "value" / "rows.jsonl"
    lines = rows.read_text().splitlines()
    first = json.loads(lines[0])
    first["value"][0] += 1
    rows.write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
    samples = folder / "row" / "samples.jsonl"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-1]))
    (folder / "torn" / "manifest.json").write_text("{")
    (folder / "torn" / ".manifest.json").unlink()
    one, other = (folder / "image" / "images" / "bicubic" / f"{number}.png" for number in (0, 1))
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
