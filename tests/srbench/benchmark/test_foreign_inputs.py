"""Inputs that srbench does not make itself: precomputed outputs, datasets and maps of other people's code."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from builders import GAP, OWN_LR, everything, flat

from srbench.benchmark.run import RunSpec, run, score_run
from srbench.images.io import write_png
from srbench.reporting.writers.check import report_findings
from srbench.run_folder import RunFolderError
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.journal import Journal
from srbench.run_folder.manifest import read_manifest
from srbench.run_folder.measurements import measurements_of

OWN = OWN_LR.replace(
    "return ImagePair(name, pair.lr.flip(0), pair.hr)", "if name == 'a':\n            FAULT\n        return pair"
)
FAILING = GAP.replace("return 255 * (samples[0] - pair.hr).abs().mean(dim=0)", 'raise ValueError("no map today")')


def measured(command, data, metrics="psnr"):
    words = ("--models", "bicubic", "--scale", 4, "--data", data, "--metrics", metrics, "--workers", 1, "--out", "run")
    return command("run", *words)


@pytest.fixture
def elsewhere(tmp_path):
    """A finished run of the results in A, beside other results in B."""
    for level, name in enumerate("ab"):
        write_png(tmp_path / "hr" / f"{name}.png", flat(9 * level, 16))
        for folder, more in (("A", 1), ("B", 5)):
            write_png(tmp_path / folder / f"{name}.png", flat(9 * level + more, 16))
    spec = RunSpec((f"mine={tmp_path / 'A'}",), 4, str(tmp_path / "hr"), metrics=("psnr",), out=str(tmp_path / "r"))
    run(spec)
    return spec


def test_results_of_two_folders_do_not_share_a_row(elsewhere, tmp_path):
    other = replace(elsewhere, models=(f"mine={tmp_path / 'B'}",))
    with pytest.raises(RunFolderError, match=r"holds results of mine from other files, such as b; leave out --limit"):
        run(replace(other, limit=1))
    assert run(replace(elsewhere, limit=1)).sampled == 0, "the same files may be asked for in part"
    assert run(other).sampled == 2


def test_scoring_takes_no_other_results(elsewhere, tmp_path):
    before = (tmp_path / "r" / "samples.jsonl").read_bytes()
    write_png(tmp_path / "A" / "a.png", flat(77, 16))
    outcome = score_run(tmp_path / "r", ["sigma"])
    assert [one for one in outcome.failures if "a: its result files have changed; run its command again" in one]
    assert (tmp_path / "r" / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise KeyError(name)", "a: dataset own failed: KeyError: 'a' (own.py line 23)"),
        ("return ImagePair('../b', pair.lr, pair.hr)", "a: dataset own returned no pair of that name"),
        ("return ImagePair(name, pair.lr, (255 * pair.hr).byte())", "a: dataset own returned integers; divide by 255"),
        ("return ImagePair(name, pair.lr + 0.001, pair.hr)", "a: LR of dataset own has values between 8-bit levels or"),
        ("return ImagePair(name, pair.lr, 2 * pair.hr)", "a: HR of dataset own has values between 8-bit levels or"),
        ("return ImagePair(name, pair.lr, pair.hr[..., 1:])", "crop HR to a multiple of LR"),
    ],
)
def test_a_dataset_that_fails_on_one_image(command, photos, fault, said):
    Path("own.py").write_text(OWN.replace("FAULT", fault))
    done = measured(command, "own.py:OwnLR")
    assert (done.code, said in done.err) == (1, True), done.err
    assert "1 result could not be measured" in done.err
    assert len(measurements_of(RunFolder.read(Path("run")))) == len(list(photos.iterdir())) - 1


def test_a_dataset_that_lacks_what_it_needs(command, photos):
    Path("own.py").write_text(
        "class Own:\n    def __init__(self, scale):\n        self.name = self.read = self.digest = str\n"
    )
    done = measured(command, "own.py:Own")
    assert (done.code, done.err.splitlines()[-1]) == (
        1,
        "srbench: dataset Own has no __len__ and no __iter__; add what is missing",
    )


def test_a_digest_that_fails_is_one_line(command, photos):
    Path("own.py").write_text(OWN.replace("FAULT", "pass").replace("return self.folder.digest(name)", "return 1 / 0"))
    done = measured(command, "own.py:OwnLR")
    assert done.code == 1
    assert "digest of dataset own failed: ZeroDivisionError" in done.err
    assert "Traceback" not in done.err


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_map_that_fails_costs_neither_value_nor_report(command, photos):
    Path("gap.py").write_text(FAILING)
    done = measured(command, photos, "gap.py:Gap,psnr")
    assert done.code == 0, done.err
    assert "no maps of Gap: map of gap failed: ValueError: no map today" in done.err
    assert "| Gap" in Path("run/report/report.md").read_text()
    Path("gap.py").unlink()
    shutil.rmtree("run/report/maps", ignore_errors=True)
    again = command("report", "run")
    assert again.code == 0, again.err
    assert "| Gap" in Path("run/report/report.md").read_text()


def test_maps_that_report_leaves_out_are_drawn_by_the_next_run(command, photos):
    """``srbench report`` runs no code that a run names, so it cannot draw the maps of a metric in a file."""
    Path("gap.py").write_text(GAP)
    report, note = Path("run/report"), "Maps of Gap are missing: srbench run and srbench score draw them"

    def shown():
        texts = [(report / name).read_text() for name in ("report.md", "report.html")]
        return len([*report.glob("maps/*/*_gap.png")]), [note in text for text in texts], report_findings(Path("run"))

    assert measured(command, photos, "gap.py:Gap,psnr").code == 0
    drawn = everything(report)
    assert shown() == (3, [False, False], [])
    shutil.rmtree(report)
    assert command("report", "run").code == 0
    assert shown() == (0, [True, True], [])
    assert measured(command, photos, "gap.py:Gap,psnr").code == 0
    assert shown() == (3, [False, False], [])
    assert everything(report) == drawn
    assert command("report", "run", "--intervals").code == 0
    assert shown() == (3, [False, False], []), "maps that are there are kept"


def test_a_command_that_was_killed_after_its_last_line_is_finished_by_the_next(elsewhere, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    spec = replace(elsewhere, metrics=("psnr", "ssim"))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "finish", killed)
        with pytest.raises(KeyboardInterrupt):
            run(spec)
    assert read_manifest(Path(spec.out)).invocations[-1].finished is None
    assert run(spec).sampled == 0
    assert read_manifest(Path(spec.out)).invocations[-1].finished
