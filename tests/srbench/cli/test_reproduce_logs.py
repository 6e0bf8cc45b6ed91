"""Published outputs beside the log of their values, on a small folder laid out as OSEDiff's."""

from __future__ import annotations

import csv

import pytest

from srbench.cli.reproduce import ReproduceError, logs
from srbench.data.benchmark_sets import table
from srbench.data.benchmark_sets.table import BenchmarkSet, benchmark_sets, pixels_digest
from srbench.images.io import read_uint8, write_png
from srbench.metrics.pixel import PSNR
from srbench.metrics.suite import read_suite

LOG = """24-10-23 17:28:54.191 - INFO:   inp_imgs: ['results']
24-10-23 17:29:02.221 - INFO: Testing Directory: [results]
24-10-23 17:29:03.278 - INFO: results/a_LR4.png | PSNR: {a:.6f}; PIECES: 0.5 | Runtime: 1.06 sec
24-10-23 17:29:03.687 - INFO: results/b_LR4.png | PSNR: {b:.6f}; PIECES: 1.5 | Runtime: 0.41 sec
24-10-23 17:29:51.394 - INFO:{space}
===== Average Metrics for [results] =====
PSNR: {mean:.4f}; PIECES: 1.0000 | FID: 123.493817 | FID Runtime: 6.79 sec

24-10-23 17:29:51.394 - INFO: ===== Evaluation Completed =====
"""


@pytest.fixture
def published(tmp_path, monkeypatch, draw_image):
    """A clone with two pairs, their outputs and a log, and what is known of them."""
    folder = tmp_path / "clone" / "deep" / "set"
    for place, name in enumerate(("a_LR4", "b_LR4")):
        hr = draw_image(place, 32, 32)
        write_png(folder / "test_HR" / f"{name}.png", hr)
        write_png(folder / "test_LR" / f"{name}.png", draw_image(place, 8, 8))
        write_png(folder / "results" / f"{name}.png", draw_image(place + 5, 32, 32))
    hr, lr, sr = (
        {name: folder / part / f"{name}.png" for name in ("a_LR4", "b_LR4")}
        for part in ("test_HR", "test_LR", "results")
    )
    metric = PSNR(channels="Y", round="no")
    values = [metric(read_uint8(sr[one])[None], pair_of(hr[one])).item() for one in hr]
    text = LOG.format(a=values[0], b=values[1] + 0.25, mean=sum(values) / 2 + 0.125, space=" ")
    (folder / "results" / "metrics").mkdir()
    (folder / "results" / "metrics" / "x.log").write_text(text)
    known = {
        "tiny": BenchmarkSet("Tiny", 2, "CC0-1.0", "https://a", pixels=pixels_digest(hr, lr), has="pairs", scale=4)
    }
    monkeypatch.setattr(table, "benchmark_sets", lambda: known)
    (tmp_path / "logs.toml").write_text(
        '[tiny]\nsource = "S"\npage = "https://a.example"\nfolder = "deep/set"\ndata = "tiny"\nlabel = "theirs"\n'
        'results = "results"\nlog = "results/metrics/*.log"\nscale = 4\nsuite = "real-sr"\n'
        '[tiny.columns]\nPSNR = ["psnr"]\nPIECES = ["pyiqa:none", "no_metric"]\nFID = ["fid"]\n'
    )
    monkeypatch.setattr(logs, "LOGS", tmp_path / "logs.toml")
    monkeypatch.setenv("SRBENCH_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return folder


def pair_of(hr):
    from srbench.interfaces import ImagePair

    image = read_uint8(hr).float() / 255
    return ImagePair("x", image, image)


@pytest.mark.parametrize("given", ["clone", "clone/deep/set"])
def test_every_value_is_beside_that_of_the_log(published, command, tmp_path, given):
    done = command("reproduce", "tiny", given, "--out", "run", "--workers", 1)
    assert done.code == 0, done.err
    assert "tiny, 2 pairs, pixel for pixel" in done.out
    row = next(line.split() for line in done.out.splitlines() if line.strip().startswith("PSNR"))
    assert row[2] == "2"
    assert row[-2:] == ["-2.5e-01", "b_LR4"]
    assert float(row[4]) == pytest.approx(float(row[3]) - 0.125, abs=1e-4)
    assert "PIECES, 1.0000 in the log, is not measured: " in done.out
    assert "FID, 123.493817 in the log: " in done.out
    with (tmp_path / "run" / "reproduction.csv").open() as file:
        found = {line["image"]: float(line["difference"]) for line in csv.DictReader(file)}
    assert found == {"a_LR4": pytest.approx(0, abs=1e-6), "b_LR4": pytest.approx(-0.25, abs=1e-6)}
    assert command("report", "run").code == 0
    assert command("verify", "run").code == 0, "an ordinary run"
    assert not list(published.rglob(".srbench.json")), "nothing is written into the clone"


def test_what_is_missing_is_one_line(published, command, tmp_path):
    nowhere = command("reproduce", "tiny")
    assert nowhere.code == 1
    assert "has neither deep/set nor test_HR, test_LR, results; git clone https://a.example, and name" in nowhere.err
    log = published / "results" / "metrics" / "x.log"
    log.rename(log.with_suffix(".txt"))
    assert "no such log; restore it: git -C" in command("reproduce", "tiny", "clone").err
    log.with_suffix(".txt").rename(log)
    image = published / "test_LR" / "a_LR4.png"
    image.write_bytes((published / "test_LR" / "b_LR4.png").read_bytes())
    assert "its images are not those of tiny pixel for pixel" in command("reproduce", "tiny", "clone").err


def test_a_log(tmp_path):
    path = tmp_path / "x.log"
    path.write_text(LOG.format(a=1, b=2, mean=1.5, space=""))
    log = logs.read_log(path)
    assert log.images == {"a_LR4": {"PSNR": 1, "PIECES": 0.5}, "b_LR4": {"PSNR": 2, "PIECES": 1.5}}
    assert log.means == {"PSNR": "1.5000", "PIECES": "1.0000", "FID": "123.493817"}
    path.write_text("nothing\n")
    with pytest.raises(ReproduceError, match="no line with the values of an image"):
        logs.read_log(path)


def test_without_a_name_all_are_listed(command):
    lines = command("reproduce").out.splitlines()
    assert [line.split()[0] for line in lines] == ["srflow-celeba-x8", "osediff-realsr", "osediff-drealsr"]
    assert "weights rrdb-celeba-x8" in lines[0]
    assert "git clone https://github.com/cswry/OSEDiff" in lines[1]


def test_logs_are_of_known_sets_and_metrics_of_their_suite():
    for asked in logs.logs().values():
        assert benchmark_sets()[asked.data].pixels
        columns = read_suite(asked.suite).columns
        names = [text for texts in asked.columns.values() for text in texts if text.startswith("pyiqa:")]
        assert set(names) <= set(columns)
