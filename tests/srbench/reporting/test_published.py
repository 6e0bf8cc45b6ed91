"""Which published rows may stand beneath a measured table: a test for each rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builders import metric
from rich.console import Console

from srbench.data import MATLAB_BICUBIC
from srbench.reporting import published
from srbench.reporting.published import PublishedTable, difference, published_rows, read_tables
from srbench.reporting.report import write_report
from srbench.reporting.scores import terminal_table
from srbench.run_folder.manifest import read_manifest

PSNR = metric("psnr", protocol="", signature="PSNR|RGB|floor|crop0|v1")
NIQE = metric("niqe", signature="NIQE|grey|floor|LIVE|v1")
TABLE = PublishedTable(
    data="faces",
    images=2,
    scale=4,
    source="A paper",
    reprinted="the row of Flow",
    protocol={"psnr": "RGB|floor|crop0", "niqe": "another model"},
    rows={"Flow τ=0.8": {"psnr": "25.24", "niqe": "4.20"}, "Net": {"psnr": "26.5"}},
)
FACES = {"dataset": "faces", "scale": 4, "lr": MATLAB_BICUBIC}


@pytest.fixture
def faces(make_run):
    """A run that stands in for the data of TABLE, with some facts of it changed."""

    def call(metrics=(PSNR, NIQE), images=("a", "b"), limit=None, **protocol):
        values = {("m", None): {"a": (24.0, 5.0), "b": (26.0, 6.0)}}
        return make_run("run", values, images=images, metrics=metrics, limit=limit, protocol=FACES | protocol)

    return call


def rows(run, table=TABLE):
    manifest = read_manifest(run)
    return published_rows(manifest, manifest.metrics, [table])


def test_same_data_scale_and_protocol(faces):
    found = rows(faces())
    assert [line.label for line in found.lines] == ["Flow τ=0.8", "Net"]
    assert found.lines[0].texts[1:-1] == ("25.24", "≠")
    assert [cell.text for cell in found.lines[1].cells.values()] == ["26.5", "–"], (
        "what was not published is no difference"
    )
    assert list(found.lines[0].cells.values())[1].why == "published another model, here grey|floor|LIVE"
    assert found.notes == (
        "Published, not measured here: A paper (reprinted: the row of Flow).",
        "≠ NIQE of A paper: published another model, here grey|floor|LIVE.",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "photos"}, "No published table for photos at scale 4 is known."),
        ({"scale": 8}, "No published table for faces at scale 8 is known."),
        ({"crop": 64}, "whole images; here only the central 64 x 64"),
        ({"limit": 1}, "all 2 images; here 1 are measured"),
        ({"images": ("a", "b", "c")}, "all 2 images; here 3 are measured"),
        ({"lr": "a folder of its own, paired by name"}, "here they are a folder of its own, paired by name"),
        (
            {"metrics": (replace(PSNR, signature="PSNR|RGB|round|crop0|v1"), NIQE)},
            "PSNR: published RGB|floor|crop0, here RGB|round|crop0; NIQE: published another model",
        ),
        ({"metrics": (replace(PSNR, name="mae", signature="MAE|RGB|floor|crop0|v1"),)}, "none of the metrics"),
    ],
)
def test_what_cannot_be_compared_is_not_shown(faces, changes, reason):
    found = rows(faces(**changes))
    assert found.lines == ()
    assert len(found.notes) == 1
    assert reason in found.notes[0]


def test_metrics_of_one_name(faces):
    assert difference(PSNR, TABLE) == ""
    assert difference(replace(PSNR, signature="PSNR|RGB|floor|crop0|v2"), TABLE) == "", "our version is not theirs"
    counted = replace(PSNR, signature=f"{PSNR.signature}|n10")
    assert difference(counted, TABLE) == "published RGB|floor|crop0, here RGB|floor|crop0|n10"
    assert difference(replace(PSNR, signature="PSNR|code 1234"), TABLE) == "published RGB|floor|crop0, here code 1234"
    unstated = replace(TABLE, protocol={})
    assert difference(PSNR, unstated) == "published without a stated protocol, here RGB|floor|crop0"


def test_they_stand_beneath_and_are_never_ranked(faces, monkeypatch):
    run = faces()
    monkeypatch.setattr("srbench.reporting.report.read_tables", lambda: [TABLE])
    plain, shown = write_report([run]), write_report([run], published=True)
    assert plain.scores.published.lines == ()
    assert shown.scores.best == plain.scores.best
    assert repr(shown.scores.lines) == repr(plain.scores.lines), "NaN is no equal of itself"
    assert shown.answer == plain.answer
    text = (run / "report" / "report.md").read_text().splitlines()
    measured, first = (next(place for place, line in enumerate(text) if start in line) for start in ("| m ", "| Flow"))
    assert first == measured + 1
    assert text[first].replace(" ", "").split("|")[1:4] == ["Flowτ=0.8(published)", "25.24", "≠"]
    tex = (run / "report" / "table.tex").read_text()
    assert r"Flow $\tau$=0.8 (published) & 25.24 & $\neq$" in tex
    html = (run / "report" / "report.html").read_text()
    body = html.partition('<tbody class="published">')[2].partition("</tbody>")[0]
    assert "25.24" in body
    assert 'title="published another model, here grey|floor|LIVE"' in body
    assert "25.24" not in (run / "report" / "table.csv").read_text()
    console = Console(width=100, record=True)
    console.print(terminal_table(shown.scores))
    assert "Flow τ=0.8" in console.export_text()


def test_on_the_command_line(command, faces, monkeypatch, tmp_path):
    run = faces()
    done = command("report", run, "--published", "--format", "md")
    assert done.code == 0
    assert "No published table for faces at scale 4 is known." in done.out
    (tmp_path / "mine.toml").write_text(
        '[[table]]\ndata = "faces"\nimages = 2\nscale = 4\nsource = "P"\n[table.protocol]\npsnr = "RGB|floor|crop0"\n'
        '[table.rows]\n"Flow" = { psnr = "25.24" }\n'
    )
    monkeypatch.setattr(published, "TABLES", tmp_path / "mine.toml")
    assert "25.24" in command("report", run, "--published", "--format", "md,csv").out
    assert "25.24" not in command("report", run, "--format", "md").out


def test_a_stand_in_for_celeba(make_run):
    """5000 names under which nothing was measured: the facts alone decide."""
    metrics = tuple(
        replace(PSNR, name=name, title=name.upper(), signature=f"{name.upper().replace('_', '-')}|{signature}|v1")
        for name, signature in {
            "psnr": "RGB|floor|crop0",
            "ssim": "RGB|floor|uniform7|crop3",
            "lpips": "RGB|floor|alex0.1",
            "lr_psnr": "RGB|floor|matlab-bicubic",
            "sigma": "RGB|float|ddof1",
        }.items()
    )
    names = [f"{number:06d}" for number in range(5000)]
    run = make_run("run", {("m", None): {}}, images=["000000"], metrics=metrics, protocol=FACES)
    manifest = read_manifest(run)
    asked = replace(manifest.invocations[0], images=tuple(names))
    manifest = replace(manifest, images=tuple(names), invocations=(asked,))
    manifest = replace(manifest, protocol=replace(manifest.protocol, dataset="celeba-5000", scale=8))
    found = published_rows(manifest, metrics, read_tables())
    assert [line.label for line in found.lines] == ["Bicubic", "RRDB", "ESRGAN", "SRFlow τ=0.8"]
    assert [cell.text for cell in found.lines[-1].cells.values()] == ["25.24", ".71", ".110", "50.85", "≠"]
    assert "Not shown, because none of its numbers can be compared: SRDiff" in found.notes[-1]


def test_the_packaged_tables():
    for table in read_tables():
        assert table.source
        assert table.images > 0
        for values in table.rows.values():
            assert set(values) <= set(table.protocol), "every number has its protocol"
            for text in values.values():
                float(text)
