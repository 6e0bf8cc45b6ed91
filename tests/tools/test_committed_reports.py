"""A report as it is committed: small, with links that lead somewhere, and nothing in it that verify contradicts."""

import re

import committed_reports
import pytest
from builders import drawn

import srbench
from srbench.images.io import write_png
from srbench.reporting import ReportError
from srbench.reporting.check import report_findings
from srbench.reporting.report import write_report


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_small_report(tmp_path):
    for name in ("a b", "c"):
        write_png(tmp_path / "photos" / f"{name}.png", drawn(ord(name[0]), 48, 48))
    run = tmp_path / "run"
    srbench.evaluate(["bicubic", "rrdb"], tmp_path / "photos", scale=4, metrics=["psnr"], out=run)
    write_report([run])
    whole = contents(run / "report")
    assert "](sheets/" in whole["report.md"].decode()

    committed_reports.make_small(run)
    assert [found.kind for found in report_findings(run)] == ["not compared"]
    small = contents(run / "report")
    links = re.findall(r"\]\((\w+/[^)]+)\)", small["report.md"].decode())
    assert "strips/a%20b.webp" in links
    assert {name.partition("/")[0] for name in links} == {"plots", "strips"}
    shown = {name.replace("%20", " ") for name in links}
    assert small.keys() == shown | {"report.md", "report.json", "table.csv", "table.tex"}
    assert all(small[name] == whole[name] for name in small.keys() & whole.keys() - {"report.md", "report.json"})
    before, _, maps = whole["report.md"].decode().replace(".png)", ".webp)").partition("\n\nMaps of")
    assert small["report.md"].decode() == before + maps[maps.index("\n\n## ") :]

    committed_reports.make_small(run)
    assert contents(run / "report") == small
    write_report([run])
    assert contents(run / "report") == whole


def test_no_report(tmp_path):
    with pytest.raises(ReportError, match="no report; run srbench report"):
        committed_reports.make_small(tmp_path)
    assert not [*tmp_path.iterdir()]
