"""What a report prints is checked against its records."""

from __future__ import annotations

import json
import re
import shutil
from importlib import resources
from pathlib import Path

import pytest
from record_runs import forge_list

import srbench
from srbench.benchmark.request import RunSpec
from srbench.benchmark.run import run
from srbench.images.io import write_png
from srbench.plugins.code_digest import reachable
from srbench.reporting import ReportError
from srbench.reporting.check import TEXTS
from srbench.reporting.files import NO_PART
from srbench.reporting.report import write_report


@pytest.fixture
def reported(reported_run, tmp_path):
    """A copy of that run."""
    shutil.copytree(reported_run, tmp_path / "run")
    return tmp_path / "run"


def checked(folder):
    return srbench.Results(folder).verify(resample="all")


def rules(found, *severities):
    return {one.rule for one in found.findings if not severities or one.severity in severities}


def test_a_run_with_its_report_is_proven(reported):
    found = checked(reported)
    assert (found.findings, found.verdict) == ([], "proven")
    assert found.printed == found.printed_all == len(json.loads((reported / "report.json").read_text())["files"]) > 15
    assert f"{found.printed} of {found.printed} files of the report match the records: proven" in found.text()


@pytest.mark.parametrize("name", ["report.md", "report.html", "table.csv", "rows.csv", "table.tex"])
def test_another_number_in_the_report(reported, name):
    psnr = json.loads((reported / "rows.jsonl").read_text().splitlines()[0])["value"][0]
    text = (reported / name).read_text()
    shown = (
        re.search(r"(?<=\D)1\d\.\d+", text)[0]
        if "table" in name
        else next(number for digits in (1, 2, 3, 4, 8) if (number := f"{psnr:.{digits}f}"[:-1]) in text)
    )
    (reported / name).write_text(text.replace(shown, "99.1"))
    assert "SRB010" in rules(checked(reported), "contradicted")
    forge_list(reported)
    found = checked(reported)
    assert "SRB009" in rules(found, "contradicted")
    assert f"SRB009 contradicted: {name}: shows 99.1" in found.text()


def test_other_words_in_the_report(reported):
    path = reported / "report.md"
    path.write_text(path.read_text().replace("bicubic", "my method"))
    forge_list(reported)
    assert rules(checked(reported)) == {"SRB113"}
    listed = json.loads((reported / "report.json").read_text())
    listed["origin"]["code"] = "of another version"
    (reported / "report.json").write_text(json.dumps(listed))
    found = checked(reported)
    assert (rules(found), found.verdict) == ({"SRB208"}, "proven")


def test_a_report_of_another_version_with_other_numbers(reported):
    path = reported / "report.md"
    path.write_text(path.read_text().replace(" 2 ", " 3 "))
    forge_list(reported)
    listed = json.loads((reported / "report.json").read_text())
    del listed["origin"]
    (reported / "report.json").write_text(json.dumps(listed))
    assert rules(checked(reported)) == {"SRB111"}


def test_a_report_older_than_its_records(reported):
    assert srbench.Results(reported).score("lr_psnr").failures == ()
    found = checked(reported)
    assert (rules(found), found.verdict) == ({"SRB110"}, "unverified")
    write_report([reported])
    assert checked(reported).proven


def test_a_report_of_one_format_and_of_other_choices(reported):
    write_report([reported], ("csv",))
    assert checked(reported).proven
    write_report([reported], single_file=True, most=1, baseline="noisy-t0.8")
    assert checked(reported).proven


def test_files_that_are_not_here(reported):
    shutil.rmtree(reported / "strips")
    (reported / "table.tex").unlink()
    found = checked(reported)
    assert found.of("unverified") == [
        "SRB112 unverified: strips: 2 of its files not here, such as strips/a.png",
        "SRB112 unverified: table.tex: 1 of its files not here, such as table.tex",
    ]
    shutil.rmtree(reported / "images" / "hr")
    found = checked(reported)
    assert found.verdict == "unverified"
    assert rules(found) >= {"SRB102", "SRB112"}


def test_a_page_links_to_no_map_that_goes(reported, draw_image):
    """A model that loses an image has no map of it any more."""
    photos = reported.parent / "photos"
    for seed, name in enumerate("ab"):
        write_png(photos / f"{name}.png", draw_image(seed + 9 * (name == "b"), 96, 96))
    spec = RunSpec(
        models=("bicubic",), scale=4, data=str(photos), metrics=("psnr", "ssim", "sigma"), samples=2, out=str(reported)
    )
    run(spec)
    write_report([reported])
    page = (reported / "report.html").read_text()
    assert not (reported / "maps" / "noisy-t0.8" / "b_error.png").exists()
    assert "maps/noisy-t0.8/b_error.png" not in page
    assert rules(checked(reported)) == {"SRB203"}


def test_no_report_is_no_finding(reported):
    for name in ("report.json", *TEXTS):
        (reported / name).unlink(missing_ok=True)
    assert checked(reported).printed_all == 0


def test_what_no_report_imports_is_no_part_of_its_code():
    package = Path(str(resources.files("srbench")))
    for module in ("srbench.reporting.report", "srbench.reporting.matrix.report"):
        file = package.joinpath(*module.split(".")[1:]).with_suffix(".py")
        sources, _ = reachable(module, file, ("srbench",), None)
        rooms = {path.relative_to(package).parts[0] for path in sources.values() if path.is_relative_to(package)}
        assert "metrics" in rooms
        assert not rooms & set(NO_PART)


def test_a_report_is_not_written_over_that_of_another_run(make_run):
    one, other = (make_run(name, {("m", None): {"a": (20.0, 0.5), "b": (30.0, 0.4)}}) for name in ("one", "other"))
    write_report([other], ["md"])
    before = (other / "report.md").read_text()
    for folders, out in (([one], other), ([one, other], one)):
        with pytest.raises(ReportError, match="a run, which has a report of its own; choose another --out"):
            write_report(folders, ["md"], out=out)
    assert (other / "report.md").read_text() == before
