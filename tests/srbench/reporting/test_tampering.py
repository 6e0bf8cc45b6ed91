"""Nothing that was tampered with passes as proven: any file of a run and its report, alone or forged to match."""

from __future__ import annotations

import json
import random
import re
import shutil
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from record_runs import forge_list, forge_sums

import srbench
from srbench.files.hashes import sha256_file
from srbench.images.io import pixels_sha256, read_uint8
from srbench.interfaces import SRBenchError
from srbench.reporting.figures import plots
from srbench.reporting.figures.plots import Plot
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder

TAMPERINGS = 100


@pytest.fixture(scope="module")
def original(reported_run, tmp_path_factory):
    """A copy of a finished run with its report, whose plots cost nothing to draw."""
    folder = tmp_path_factory.mktemp("original") / "run"
    shutil.copytree(reported_run, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "Plot", lambda title, file, caption, draw, *more: Plot(title, file, caption, str, *more))
        patch.setattr(plots, "svg", lambda figure: b"<svg>12345</svg>")
        shutil.rmtree(folder / "plots")
        write_report([folder])
        yield folder


def checked(folder):
    return srbench.Results(folder).verify(resample="all")


def test_the_original_is_proven(original):
    assert checked(original).proven


def _another_digit(text, chance):
    """The text with one character of a number or a hash replaced."""
    place = chance.choice([match.start() for match in re.finditer(r"\d", text)])
    digit = chance.choice([one for one in "123456789" if one != text[place]])
    return text[:place] + digit + text[place + 1 :]


def _tamper_text(folder, chance, pattern):
    path = chance.choice(sorted(folder.glob(pattern)))
    path.write_text(_another_digit(path.read_text(), chance))


def _tamper_image(folder, chance, pattern):
    """Another block of pixels; a map keeps its key."""
    path = chance.choice(sorted(folder.glob(pattern)))
    with Image.open(path) as image:
        pixels, info = np.array(image.convert("RGB")), image.info
    y, x = (chance.randrange(side - 8) for side in pixels.shape[:2])
    pixels[y : y + 8, x : x + 8] ^= 0x40
    facts, buffer = PngInfo(), BytesIO()
    if "srbench-map" in info:
        facts.add_text("srbench-map", info["srbench-map"])
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=facts)
    path.write_bytes(buffer.getvalue())
    return path


def _tamper_kept_image(folder, chance, forge):
    """Another output, LR or HR; forged: with a record to match."""
    path = _tamper_image(folder, chance, "images/*/*.png")
    if not forge:
        return
    pixels, stated = pixels_sha256(read_uint8(path)), sha256_file(path)
    before = {"hr": "pairs.jsonl", "lr": "pairs.jsonl"}.get(path.parent.name, "samples.jsonl")
    known = next(one for file, one in RunFolder.read(folder).kept_images() if file == path)
    lines = (folder / before).read_text().replace(known.sha256, stated).replace(known.pixels, pixels)
    (folder / before).write_text(lines)
    forge_sums(folder)


def _tamper_list(folder, chance):
    listed = json.loads((folder / "report.json").read_text())
    part = chance.choice(["files", "keys", "finished", "sources"])
    if part == "finished":
        listed["finished"] = False
    elif part == "sources":
        chance.choice(list(listed["origin"]["sources"].values()))["sha256"] = "0" * 64
    else:
        listed[part][chance.choice(list(listed[part]))] = "0" * 64
    (folder / "report.json").write_text(json.dumps(listed, indent=1) + "\n")


RECORDS = ("manifest.json", "pairs.jsonl", "samples.jsonl", "rows.jsonl", "environments.jsonl")
TEXTS = ("report.md", "report.html", "table.csv", "rows.csv", "*.tex", "plots/*.svg")
DRAWN = ("strips/*.png", "grids/*/*.png", "maps/*/*.png", "sheets/*.png")


def _tamper(folder, seed):
    """Change one thing; every other time with sums, records or list forged to match."""
    chance, forge = random.Random(seed), seed % 2 == 1
    kind = (seed // 2) % 18
    if kind < len(RECORDS):
        _tamper_text(folder, chance, RECORDS[kind])
        if forge:
            forge_sums(folder)
    elif kind < 11:
        _tamper_text(folder, chance, TEXTS[kind - 5])
        if forge:
            forge_list(folder)
    elif kind < 15:
        _tamper_image(folder, chance, DRAWN[kind - 11])
        if forge:
            forge_list(folder)
    elif kind == 15:
        _tamper_text(folder, chance, "SHA256SUMS")
    elif kind == 16:
        _tamper_kept_image(folder, chance, forge)
    else:
        _tamper_list(folder, chance)


@pytest.mark.parametrize("first", range(0, TAMPERINGS, 10))
def test_nothing_that_was_tampered_with_is_proven(original, tmp_path, first):
    """One digit, hash or block of pixels of any file, alone and forged to match."""
    for seed in range(first, first + 10):
        folder = tmp_path / f"run{seed}"
        shutil.copytree(original, folder)
        try:
            _tamper(folder, seed)
            found = checked(folder)
        except SRBenchError:
            continue
        assert found.verdict in ("contradicted", "unverified"), (seed, found.text())
        shutil.rmtree(folder)
