"""A report as it is committed: small, with links that lead somewhere, and nothing in it that verify contradicts."""

import re
import shutil

import committed_reports
import pytest
from builders import drawn
from record_runs import forge_list

import srbench
from srbench.images.io import write_png
from srbench.reporting import ReportError
from srbench.reporting.writers.check import report_findings
from srbench.reporting.writers.report import write_report
from srbench.verification.verify import verify


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_small_report(tmp_path):
    for name in ("a b", "c"):
        write_png(tmp_path / "photos" / f"{name}.png", drawn(ord(name[0]), 48, 48))
    run = tmp_path / "run"
    srbench.evaluate(["bicubic", "rrdb"], tmp_path / "photos", scale=4, metrics=["psnr"], out=run)
    write_report([run])
    whole = contents(run / "report")
    assert any(name.startswith("maps/") for name in whole)

    committed_reports.make_small(run)
    assert report_findings(run) == []
    small = contents(run / "report")
    links = re.findall(r"\]\((\w+/[^)]+)\)", small["report.md"].decode())
    assert "strips/a%20b.webp" in links
    assert {name.partition("/")[0] for name in links} == {"plots", "strips"}
    shown = {name.replace("%20", " ") for name in links}
    assert small.keys() == shown | {"report.md", "report.json", "table.csv", "table.tex"}
    assert all(small[name] == whole[name] for name in small.keys() & whole.keys() - {"report.md", "report.json"})
    text = re.sub(r"\n\n`strips/` has .*?(?=\n\n)", "", whole["report.md"].decode(), flags=re.DOTALL)
    text = text.replace(".png)", ".webp)").partition("`srbench verify` checks")[0]
    assert small["report.md"].decode().startswith(text + "The images of this run are not here: ")

    committed_reports.make_small(run)
    assert contents(run / "report") == small
    write_report([run])
    assert contents(run / "report") == whole


def test_a_run_without_its_images_is_proven_when_they_are_made_again(tmp_path):
    """Its first line says so; only what its models make is taken for proof."""
    write_png(tmp_path / "photos" / "a.png", drawn(0, 48, 50))
    run = tmp_path / "run"
    srbench.evaluate(["bicubic", "rrdb"], tmp_path / "photos", scale=4, metrics=["psnr"], out=run)
    write_report([run])
    committed_reports.make_small(run)
    shutil.rmtree(run / "images")
    before = contents(run)
    found = verify(run)
    assert (found.exit_code, found.text().splitlines()[0]) == (
        3,
        f"{run}: unverified, nothing contradicted: its images are not here: srbench verify {run} --resample all makes "
        "them again",
    )
    found = verify(run, resample="all")
    assert (found.exit_code, found.text().splitlines()[0]) == (
        0,
        f"{run}: proven: 2 of 2 values reproduced from their images, 2 of 2 items by their models",
    )
    assert "note (made-again): images/lr/a.png, images/hr/a.png, images/bicubic/a.png and 1 more: " in found.text()
    assert contents(run) == before, "nothing is written into the run"

    file = run / "report" / "report.md"
    text = file.read_text()
    file.write_text(re.sub(r"\d\d\.\d\d", "99.99", text))
    forge_list(run)
    found = verify(run, resample="all")
    assert found.exit_code == 3
    assert "unverified (not-compared): report: was written by another version" in found.text()
    file.write_text(text)
    forge_list(run)
    shutil.rmtree(tmp_path / "photos")
    found = verify(run, resample="all")
    assert (found.exit_code, found.verified) == (3, 0), "nothing proves that these were the images"


def test_no_report(tmp_path):
    with pytest.raises(ReportError, match="no report; run srbench report"):
        committed_reports.make_small(tmp_path)
    assert not [*tmp_path.iterdir()]
