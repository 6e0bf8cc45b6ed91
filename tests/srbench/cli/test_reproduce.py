"""``srbench reproduce`` on stand-ins: what is missing is listed; paper, measured and difference side by side."""

from __future__ import annotations

import pytest

from srbench.cli.reproduce import tables as reproduce
from srbench.cli.reproduce.tables import reproductions
from srbench.data.benchmark_sets import table
from srbench.data.benchmark_sets.table import BenchmarkSet, benchmark_sets
from srbench.images.io import write_png
from srbench.reporting import published
from srbench.reporting.published import read_tables
from srbench.weights.table import released_weights


@pytest.fixture
def stand_in(tmp_path, monkeypatch, models, draw_image):
    """A set of two images, a published table of it, and how that is measured."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    known = {"tiny": BenchmarkSet("Tiny", 2, "CC0-1.0", "https://tiny.example")}
    monkeypatch.setattr(table, "benchmark_sets", lambda: known)
    monkeypatch.setattr("srbench.benchmark.request.benchmark_sets", lambda: known)
    (tmp_path / "published.toml").write_text(
        '[[table]]\ndata = "tiny"\nimages = 2\nscale = 4\nsource = "P"\n[table.protocol]\n'
        'psnr = "RGB|floor|crop0"\nssim = "of a window that is not stated"\n'
        '[table.rows]\n"Nearest" = { psnr = "20.00", ssim = ".5" }\n"Other" = { psnr = "21.00" }\n'
    )
    monkeypatch.setattr(published, "TABLES", tmp_path / "published.toml")
    (tmp_path / "runs.toml").write_text(
        '[tiny-x4]\nsource = "P"\ndata = "tiny"\nscale = 4\nsuite = "srflow"\nmetrics = ["psnr", "ssim"]\n'
        f'temperature = 0.8\n[tiny-x4.rows]\n"Nearest" = "{models}:Nearest"\n'
    )
    monkeypatch.setattr(reproduce, "RUNS", tmp_path / "runs.toml")

    def put():
        for seed, name in enumerate("ab"):
            write_png(tmp_path / "cache" / "srbench" / "data" / "tiny" / f"{name}.png", draw_image(seed, 32, 32))

    return put


def test_side_by_side(stand_in, command):
    missing = command("reproduce", "tiny-x4")
    assert missing.code == 1
    assert missing.out.startswith("data tiny: get it from https://tiny.example and put its 2 HR images into ")
    assert missing.err == "srbench: tiny-x4: lacks data or weights; see above\n"
    stand_in()
    done = command("reproduce", "tiny-x4", "--workers", 1)
    assert done.code == 0, done.err
    row = next(line.split() for line in done.out.splitlines() if "Nearest" in line)
    assert row[:3] == ["Nearest", "PSNR", "20.00"]
    assert float(row[4]) == pytest.approx(float(row[3]) - 20, abs=0.011)
    assert "Other" not in done.out, "a row that was not measured"
    assert "SSIM" not in done.out, "a metric of another protocol"


def test_a_row_is_that_of_its_temperature(stand_in, command, models, tmp_path):
    path = tmp_path / "runs.toml"
    path.write_text(path.read_text().replace(":Nearest", ":Noisy"))
    stand_in()
    first = command("reproduce", "tiny-x4", "--workers", 1)
    assert first.code == 0, first.err
    hotter = command(
        "run",
        "--models",
        f"{models}:Noisy",
        "--scale",
        4,
        "--data",
        "tiny",
        "--suite",
        "srflow",
        "--metrics",
        "psnr,ssim",
        "--temperature",
        "0,1",
        "--out",
        "runs/tiny-x4",
    )
    assert hotter.code == 0, hotter.err
    assert command("reproduce", "tiny-x4", "--workers", 1).out == first.out


def test_what_the_table_of_srflow_needs(command, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = command("reproduce", "srflow-celeba-x8")
    assert done.code == 1
    lines = done.out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "data celeba-5000",
        "weights rrdb-celeba-x8",
        "weights srflow-celeba-x8",
    ]
    assert "srbench weights add srflow-celeba-x8 SRFlow_CelebA_8X.pth" in lines[2]
    assert "did you mean srflow-celeba-x8" in command("reproduce", "srflow-celeba-x4").err


def test_all_that_can_be_reproduced_is_published():
    for asked in reproductions().values():
        assert asked.data in benchmark_sets()
        found = next(one for one in read_tables() if (one.source, one.scale) == (asked.source, asked.scale))
        assert set(asked.rows) <= set(found.rows)
        named = [model.partition(":")[2] for model in asked.rows.values() if ":" in model]
        assert set(named) <= set(released_weights())
