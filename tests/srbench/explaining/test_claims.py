"""``srbench measure --claims``: every verdict, the search for other protocols, and faults of the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import measure_folder

from srbench.explaining import search
from srbench.explaining.claims import Claim, Verdict, read_claims
from srbench.explaining.matching import Printed
from srbench.images.io import write_png
from srbench.images.resize import downscale_uint8


@pytest.fixture
def measure(command, draw_image):
    """Run ``srbench measure`` on two images with a file of claims."""
    for seed, name in enumerate("ab"):
        hr = draw_image(seed, 32, 32)
        write_png(Path("hr") / f"{name}.png", hr)
        write_png(Path("lr") / f"{name}.png", downscale_uint8(hr, 4))
        write_png(Path("ours") / f"{name}.png", draw_image(10 + seed, 32, 32))
        write_png(Path("theirs") / f"{name}.png", draw_image(20 + seed, 32, 32))

    def call(claims, *options, folders=("ours",)):
        Path("claims.toml").write_text(claims)
        return command("measure", *folders, "--lr", "lr", *options, "--claims", "claims.toml")

    return call


@pytest.fixture
def searches(monkeypatch):
    """Numbers, metric and folder of every search for other protocols."""
    seen, explain = [], search.explain

    def recorded(values, metrics, **more):
        seen.append((values, metrics, str(more["sr"])))
        return explain(values, metrics, **more)

    monkeypatch.setattr(search, "explain", recorded)
    return seen


def claim(metric, value, **more):
    keys = {"metric": metric, "value": value} | more
    return "[[claim]]\n" + "".join(f'{key} = "{text}"\n' for key, text in keys.items())


def psnr(folder, protocol=""):
    """Mean over both images."""
    measured = measure_folder(Path(folder), Path("hr"), names=[f"psnr{protocol}"])
    return measured.mean(measured.metrics[0].name)


def test_every_verdict(measure, searches):
    ours, luma = psnr("ours"), psnr("ours", "+channels=Y+border=4")
    values = f"{ours:.2f}", f"{luma:.4f}", "99.12"
    claims = 'source = "Table 2"\n' + "".join(claim("psnr", value) for value in values)
    claims += claim("pique", "-1", source="a log")
    options = "--hr", "hr", "--metrics", "psnr,pique"
    found = measure(claims, *options)
    assert found.code == 0, found.err
    assert searches == [([values[1], values[2]], "psnr", "ours")], "one search, without the reproduced value"
    lines = [line.strip() for line in found.out.splitlines() if line.startswith((" psnr ", " pique "))]
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert cells[0] == [f"psnr {values[0]}", f"{ours:.4f}", "Table 2", "reproduced"]
    assert cells[1][3].startswith(
        f"reproduced under another protocol: Y of BT.601 (16..235), rounded, crop 4 ({luma:.4f})"
    )
    assert cells[2][3].startswith("not reproduced: nearest: ")
    assert cells[3][2:] == ["a log", "not reproduced: no other protocol was tried"]
    facts = json.loads(measure(claims, *options, "--format", "json").out)["claims"]
    assert [fact["verdict"] for fact in facts] == [cell[3].partition(":")[0] for cell in cells]
    assert facts[0]["measured"] == pytest.approx(ours)
    assert facts[1]["protocols"][0]["metrics"] == "psnr+channels=Y+border=4"
    assert [fact["source"] for fact in facts] == ["Table 2"] * 3 + ["a log"]


def test_several_folders_and_the_columns_of_a_suite(measure, searches):
    values = {folder: f"{psnr(folder, '+channels=Y+border=4'):.4f}" for folder in ("theirs", "ours")}
    claims = "".join(claim("psnr", value, folder=folder) for folder, value in values.items())
    found = measure(claims, "--hr", "hr", "--suite", "classic-y", "--format", "json", folders=("ours", "theirs"))
    facts = json.loads(found.out)
    assert [[fact["verdict"] for fact in facts[name]["claims"]] for name in ("ours", "theirs")] == [["reproduced"]] * 2
    assert searches == []


def test_a_truncated_value_is_reproduced():
    published = Claim("ours", "psnr", "psnr", Printed("28.17"), "")
    assert Verdict(published, 28.1764).text == "reproduced, truncated"
    assert Verdict(published, 28.1812).verdict == "not reproduced"


def test_no_search_without_hr(measure, searches, draw_image):
    for name in "ab":
        write_png(Path("ours") / f"{name}.png", draw_image(0, 96, 96))
        write_png(Path("lr") / f"{name}.png", draw_image(0, 24, 24))
    found = measure(claim("niqe", "99.1"), "--metrics", "niqe")
    assert found.code == 0, found.err
    assert "not reproduced: no other protocol was tried" in found.out
    assert searches == []


def test_images_that_could_not_be_measured(measure, draw_image):
    """Too small for NIQE, and too large for its HR image."""
    claims = claim("psnr", "99.12") + claim("niqe", "3.10")
    found = measure(claims, "--hr", "hr", "--metrics", "psnr,niqe")
    assert (found.code, found.out.count("not reproduced: no protocol could be tried")) == (1, 1)
    assert "ours, niqe: mean of 0 of 2 images" in found.out
    for name in "ab":
        write_png(Path("ours") / f"{name}.png", draw_image(0, 64, 64))
    found = measure(claims, "--hr", "hr", "--metrics", "psnr,niqe")
    assert (found.code, found.out.count("not reproduced: no other protocol was tried")) == (1, 2)
    assert "ours, psnr: no other protocol was tried (no image could be compared: a: the image is 64x64" in found.out


def test_all_faults_are_listed_in_one_line(measure):
    claims = (
        "[[claim]]\nmetric = 'psnr'\nvalue = 26.10\nfolder = 'ours'\n[[claim]]\nmetrik = 'psnr'\nvalue = '26 dB'\n"
        + claim("ssim", "0.7")
        + claim("psnr", "26.10", folder="oars")
        + claim("psnrr", "26.10", folder="ours")
    )
    found = measure(claims, "--hr", "hr", "--metrics", "psnr", folders=("ours", "theirs"))
    assert (found.code, found.out) == (1, "")
    assert len([line for line in found.err.splitlines() if line.startswith("srbench: claims.toml: claim[")]) == 1
    messages = [
        "claim[0].value: 26.1 is not text; put the number in quotes",
        "claim[1]: unknown key 'metrik'; did you mean metric?",
        "claim[1].metric: missing",
        "claim[1].value: '26 dB' is not a number as tables print it",
        "claim[2].folder: missing; name one of ours, theirs",
        "claim[2].metric: 'ssim' is not measured; add it to --metrics, or name one of psnr",
        "claim[3].folder: unknown folder 'oars'; did you mean ours?",
        "claim[4].metric: 'psnrr' is not measured",
    ]
    assert [message for message in messages if message not in found.err] == []


def test_columns_that_were_left_out_and_other_formats(measure):
    found = measure(claim("ssim", "0.7") + claim("niqe", "99.1"), "--suite", "srflow")
    assert "not measured: left out of the suite; run with --metrics ssim to see the reason" in found.out
    assert "not reproduced: no other protocol was tried" in found.out
    found = measure(claim("psnr", "26.10"), "--hr", "hr", "--format", "csv")
    assert (found.code, "--claims is printed with --format table or json" in found.err) == (2, True)


def test_metrics_of_pyiqa_by_their_short_names(tmp_path):
    file = tmp_path / "claims.toml"
    file.write_text(claim("musiq", "61.20") + claim("niqe", "5.01"))
    claims = read_claims(file, ["ours"], None, "real-sr")
    assert [each.spec.partition("+")[0] for each in claims] == ["pyiqa:musiq", "pyiqa:niqe"]
    claims = read_claims(file, ["ours"], ["pyiqa:musiq", "niqe"], "real-sr")
    assert [each.spec.partition("+")[0] for each in claims] == ["pyiqa:musiq", "niqe"]
