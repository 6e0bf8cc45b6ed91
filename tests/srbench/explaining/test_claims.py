"""``srbench measure --claims``: every result, the search for other protocols, and faults of the file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from builders import measure_folder

from srbench.explaining import search
from srbench.explaining.claims import read_claims
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
    """Metrics and folder of every search for other protocols."""
    seen, try_protocols = [], search.try_protocols

    def recorded(metrics, **more):
        seen.append((metrics, str(more["sr"])))
        return try_protocols(metrics, **more)

    monkeypatch.setattr(search, "try_protocols", recorded)
    return seen


def claim(metric, value, **more):
    keys = {"metric": metric, "value": value} | more
    return "[[claim]]\n" + "".join(f'{key} = "{text}"\n' for key, text in keys.items())


def psnr(folder, protocol=""):
    """Mean over both images."""
    measured = measure_folder(Path(folder), Path("hr"), names=[f"psnr{protocol}"])
    return measured.mean(measured.metrics[0].name)


def unbroken(out):
    """Join the lines of a result, which continue below its first line."""
    return re.sub(r" *\n {20,}(?=\S)", " ", out)


def results_of(done):
    """Verdicts by the text of their claims, from a table or from JSON."""
    if done.out.startswith("{"):
        return {f"{fact['metric']} {fact['published']}": fact["result"] for fact in json.loads(done.out)["claims"]}
    lines = [line.strip() for line in unbroken(done.out).splitlines() if re.match(r" [a-z]+ -?[\d.]+ ", line)]
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    return {line[0]: line[-1] for line in cells}


def test_every_result(measure, searches):
    ours, luma = psnr("ours"), psnr("ours", "+channels=Y+border=4")
    values = f"{ours:.2f}", f"{luma:.4f}", "99.12", f"{ours:.0f}"
    claims = 'source = "Table 2"\n' + "".join(claim("psnr", value) for value in values)
    claims += claim("pique", "-1", source="a log")
    options = "--hr", "hr", "--metrics", "psnr,pique"
    found = measure(claims, *options)
    assert found.code == 1, "a claim is not reproduced"
    assert searches == [(["psnr"], "ours")], "one search for all values of a metric"
    first, second, third, fourth, last = results_of(found).values()
    assert first.startswith("reproduced, chance 0.0")
    assert second.startswith(
        f"reproduced under another protocol: Y of BT.601 (16..235), rounded, crop 4 ({luma:.4f}), chance "
    )
    assert third.startswith("not reproduced: nearest: ")
    assert fourth.startswith("cannot tell without more digits, or a second metric: RGB, no crop")
    assert last == "not reproduced: no other protocol was tried"
    assert "2 of 5 claims reproduced; 0.0" in found.out
    facts = json.loads(measure(claims, *options, "--format", "json").out)["claims"]
    assert [fact["result"] for fact in facts] == [
        "reproduced",
        "reproduced under another protocol",
        "not reproduced",
        "cannot tell",
        "not reproduced",
    ]
    assert facts[0]["measured"] == pytest.approx(ours)
    assert facts[0]["chance"] < 0.05 < 0.25 < facts[3]["chance"]
    assert facts[1]["protocols"][0]["metrics"] == "psnr+channels=Y+border=4"
    assert [fact["source"] for fact in facts] == ["Table 2"] * 4 + ["a log"]


def test_the_exit_code_is_0_without_a_contradiction(measure):
    claims = claim("psnr", f"{psnr('ours'):.2f}") + claim("psnr", f"{psnr('ours'):.0f}")
    found = measure(claims, "--hr", "hr", "--metrics", "psnr")
    assert found.code == 0, found.err
    assert [text.split()[0].strip(",") for text in results_of(found).values()] == ["reproduced", "cannot"]


def test_a_digit_of_ssim_is_no_evidence(measure):
    """SSIM with a range that does not fit the values is near 1 for all images, and .9 if cut off to one digit."""
    for value in ("0.9", "1.0", ".99"):
        found = measure(claim("ssim", value), "--hr", "hr", "--metrics", "ssim")
        assert results_of(found)[f"ssim {value}"].startswith(("not reproduced", "cannot tell")), value
    exact = f"{psnr('ours'):.4f}"
    found = measure(claim("psnr", exact) + claim("ssim", ".99"), "--hr", "hr", "--metrics", "psnr,ssim")
    results = results_of(found)
    assert results[f"psnr {exact}"].startswith("reproduced")
    assert results["ssim .99"].startswith(("not reproduced", "cannot tell")), "beside a right number, too"


def test_numbers_of_a_row_count_together(measure):
    """Three digits of SSIM are no evidence; beside PSNR of the same setting they are."""
    names = {"psnr": "psnr+channels=Y+border=4", "ssim": "ssim+channels=Y+border=4+window=gaussian11"}
    measured = measure_folder(Path("ours"), Path("hr"), names=[*names.values()])
    values = {metric: measured.mean(facts.name) for metric, facts in zip(names, measured.metrics, strict=True)}
    row = claim("psnr", f"{values['psnr']:.3f}") + claim("ssim", f"{values['ssim']:.3f}")
    options = "--hr", "hr", "--suite", "srflow", "--metrics", "psnr,ssim", "--format", "json"
    assert set(results_of(measure(row, *options)).values()) == {"reproduced under another protocol"}
    alone = results_of(measure(row.rpartition("[[claim]]")[1] + row.rpartition("[[claim]]")[2], *options))
    assert [*alone.values()] in (["consistent"], ["cannot tell"])


def test_several_folders_and_the_columns_of_a_suite(measure, searches):
    values = {folder: f"{psnr(folder, '+channels=Y+border=4+round=no'):.4f}" for folder in ("theirs", "ours")}
    claims = "".join(claim("psnr", value, row=folder) for folder, value in values.items())
    found = measure(claims, "--hr", "hr", "--suite", "classic-y", "--format", "json", folders=("ours", "theirs"))
    facts = json.loads(found.out)
    assert [[fact["result"] for fact in facts[name]["claims"]] for name in ("ours", "theirs")] == [["reproduced"]] * 2


def test_claims_about_rows_that_are_not_measured(measure):
    options = "--hr", "hr", "--metrics", "psnr"
    for row, words in (
        ("oars", "not measured: unknown row 'oars'; did you mean ours?"),
        ("", "not measured: its row is missing; name one of ours, theirs"),
    ):
        found = measure(claim("psnr", "26.10", row=row), *options, folders=("ours", "theirs"))
        assert (found.code, words in found.out) == (1, True)
    known = "".join(claim("psnr", f"{psnr(row):.4f}", row=row) for row in ("ours", "theirs"))
    found = measure(known + claim("psnr", "26.10", row="oars"), *options, folders=("ours", "theirs"))
    assert found.code == 0, "a row of the published table, beside the measured ones"
    assert "2 of 3 claims reproduced; 0.0" in found.out
    assert "expected by chance; 1 about 1 row that is not measured here: oars" in unbroken(found.out)


@pytest.mark.parametrize(
    ("stated", "words"), [("images = 100", "images 100, measured 2"), ("scale = 8", "scale 8, me")]
)
def test_claims_about_other_data_are_not_judged(measure, stated, words):
    value = f"{psnr('ours'):.2f}"
    found = measure(f"{stated}\n{claim('psnr', value)}", "--hr", "hr", "--scale", "4", "--metrics", "psnr")
    assert found.code == 1
    assert f"claims.toml: its claims are about other data ({words}" in found.err
    assert "PSNR" in found.out, "the table is shown"
    assert "reproduced" not in found.out


def test_no_search_without_hr(measure, searches, draw_image):
    for name in "ab":
        write_png(Path("ours") / f"{name}.png", draw_image(0, 96, 96))
        write_png(Path("lr") / f"{name}.png", draw_image(0, 24, 24))
    found = measure(claim("niqe", "99.1"), "--metrics", "niqe")
    assert found.code == 1, found.err
    assert "not reproduced: no other protocol was tried" in found.out
    assert searches == []


def test_images_that_could_not_be_measured(measure, draw_image):
    """Too small for NIQE; and an output too large for its HR image, so that there is no FID."""
    claims = claim("psnr", "99.12") + claim("niqe", "3.10")
    found = measure(claims, "--hr", "hr", "--metrics", "psnr,niqe")
    assert found.code == 1
    assert "not measured: all images failed" in found.out
    for name in "ab":
        write_png(Path("ours") / f"{name}.png", draw_image(0, 64, 64))
    found = measure(claims, "--hr", "hr", "--metrics", "psnr,niqe")
    assert (found.code, found.out.count("not measured: all images failed")) == (1, 2)


def test_fid_with_a_failed_image_says_why(measure, draw_image, small_inception):
    write_png(Path("ours") / "a.png", draw_image(0, 64, 64))
    found = measure(claim("fid", "20.10"), "--hr", "hr", "--metrics", "psnr,fid")
    assert "not measured: it is of all images, and 1 result could not be measured" in found.out


def test_all_faults_are_listed_in_one_line(measure):
    claims = (
        "[[claim]]\nmetric = 'psnr'\nvalue = 26.10\nrow = 'ours'\n[[claim]]\nmetric = 'psnr'\nvalue = '26 dB'\n"
        + claim("ssim", "0.7")
        + claim("psnrr", "26.10", row="ours")
    )
    found = measure(claims, "--hr", "hr", "--metrics", "psnr", folders=("ours", "theirs"))
    assert (found.code, found.out) == (1, "")
    assert len([line for line in found.err.splitlines() if line.startswith("srbench: claims.toml: claim ")]) == 1
    messages = [
        "claim 1: value 26.1 is not text; put the number in quotes",
        "claim 2: '26 dB' is not a number as tables print it",
        "claim 3: metric 'ssim' is not measured; add it to --metrics, or name one of psnr",
        "claim 4: metric 'psnrr' is not measured",
    ]
    assert [message for message in messages if message not in found.err] == []


def test_keys_that_no_claim_has(measure):
    found = measure("[[claim]]\nmetric = 'psnr'\nvalue = '26.10'\nsorce = 'a table'\n", "--hr", "hr")
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith("srbench: claims.toml: claim 1: unknown key 'sorce'; did you mean source?")


def test_columns_that_were_left_out_and_other_formats(measure):
    found = measure(claim("ssim", "0.7") + claim("niqe", "99.1"), "--suite", "srflow")
    assert "not measured: left out of the suite; run with --metrics ssim to see the reason" in unbroken(found.out)
    found = measure(claim("psnr", "26.10"), "--hr", "hr", "--format", "csv")
    assert (found.code, "--claims is printed with --format table or json" in found.err) == (2, True)


def test_metrics_of_pyiqa_by_their_short_names(tmp_path):
    file = tmp_path / "claims.toml"
    file.write_text(claim("musiq", "61.20") + claim("niqe", "5.01"))
    for names, expected in ((None, "pyiqa:niqe"), (["pyiqa:musiq", "niqe"], "niqe")):
        specs = read_claims(file, names, "real-sr").specs
        assert [specs[name].partition("+")[0] for name in ("musiq", "niqe")] == ["pyiqa:musiq", expected]
