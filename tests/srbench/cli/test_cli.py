"""The command line: what it prints where, and its exit codes."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import Mock

import click
import pytest
from PIL import Image

from srbench.cli.main import main
from srbench.images.io import write_png

WHERE = ["Page: run/report/report.html", "Open it: srbench view run", "Report: run/report/report.md"]
"""Last lines of a run: the page first."""


def run_options(photos, **changes):
    options = {"scale": 4, "data": photos, "metrics": "psnr,sigma", "out": "run"} | changes
    return ["run", *(word for name, value in options.items() if value is not None for word in (f"--{name}", value))]


def test_help_without_arguments(command):
    found = command()
    assert found.code == 0
    assert "Usage: srbench" in found.out
    assert command("--version").out.startswith("srbench, version ")


@pytest.mark.parametrize("group", [name for name, each in main.commands.items() if isinstance(each, click.Group)])
def test_a_group_without_a_command_prints_its_help(command, group):
    assert command(group) == command(group, "--help")
    assert command(group).out.splitlines()[0] == f"Usage: srbench {group} [OPTIONS] COMMAND [ARGS]..."


def test_a_misspelt_word_gets_a_suggestion(command):
    for words, suggestion in (
        ("list modles", "'runs'; did you mean models? See srbench list --help."),
        ("run --device cdua", "'mps'; did you mean cuda? See srbench run --help."),
        ("score run --metric psnr", "--metrics"),
        ("edit restor", "restore"),
        ("scroe", "score"),
    ):
        found = command(*words.split())
        assert (found.code, len(found.err.splitlines())) == (2, 1)
        assert suggestion in found.err


def test_run_prints_the_table_and_the_report(command, photos, models):
    found = command(*run_options(photos, models=f"{models}:Nearest,{models}:Noisy", temperature="0,0.8", samples=2))
    assert found.code == 0, found.err
    assert found.out.splitlines()[-3:] == WHERE
    assert found.out.splitlines()[-4].startswith("Protocol srflow@1")
    assert all(word in found.out for word in ("Nearest", "Noisy τ=0.8", "PSNR"))
    assert all(
        Path("run", name).exists() for name in ("report/report.md", "report/table.csv", "rows.jsonl", "manifest.json")
    )
    again = command(*run_options(photos, models=f"{models}:Nearest,{models}:Noisy", temperature="0,0.8", samples=2))
    assert (again.code, again.out) == (0, found.out)
    assert "nothing to do" in again.err


def test_report_is_made_again_from_the_files(command, photos):
    made = command(*run_options(photos, models="bicubic"))
    report = Path("run/report/report.md").read_bytes()
    Path("run/report/report.md").unlink()
    photos.rename(photos.with_name("moved"))
    found = command("report", "run")
    lines = made.out.splitlines()
    [protocol] = (line for line in lines if line.startswith("Protocol srflow@1"))
    lines.remove(protocol)
    assert (found.code, found.out.splitlines()) == (0, lines), "the protocol is printed by the run alone"
    assert Path("run/report/report.md").read_bytes() == report
    assert command("score", "run", "--metrics", "psnr").out.splitlines() == lines


def test_outputs_of_a_model_are_made_again(command, photos, models):
    words = run_options(photos, models=f"{models}:Nearest,bicubic")
    command(*words)
    found = command(*words, "--again", "Nearest")
    assert (found.code, "nothing to do" in found.err) == (0, False)
    samples = Path("run/samples.jsonl").read_text()
    assert (samples.count('"model": "Nearest"'), samples.count('"model": "bicubic"')) == (8, 4)
    assert "--again" not in Path("run/report/report.md").read_text()
    unknown = command(*words, "--again", "Nearst")
    assert (unknown.code, "--again: unknown model 'Nearst'; did you mean Nearest?" in unknown.err) == (1, True)


def test_failures_are_named_once_and_counted_at_the_end(command, photos):
    (photos / "b.png").write_text("text")
    found = command(*run_options(photos, models="bicubic"))
    assert found.code == 1
    assert "run/report/report.md" in found.out
    assert found.err.splitlines()[0].startswith(f"failed: {photos}/b.png: not an image")
    assert found.err.count("not an image") == 1
    assert found.err.splitlines()[-1] == "srbench: 1 result could not be measured (all others were), see above"


def test_a_wrong_command_line(command, photos):
    for changes, fault in (
        ({"temperature": "-1"}, "'-1' is not a temperature; give a number of 0 or more"),
        ({"temperature": "nan"}, "'nan' is not a temperature"),
        ({"temperature": "0,warm"}, "'warm' is not a temperature"),
        ({"samples": "0"}, "'0' is not a whole number of 1 or more"),
        ({"limit": "0"}, "'0' is not a whole number of 1 or more"),
        ({"scale": "0"}, "'0' is not a whole number of 1 or more"),
        ({"scale": "1.5"}, "'1.5' is not a whole number of 1 or more"),
        ({"scale": None}, "scale is missing, and no model states one"),
        ({"models": "bicubic,,rrdb"}, "a name is empty; separate names by single commas"),
        ({"device": "tpu"}, "'tpu' is not one of"),
        ({"hr": "x"}, "the command line: give data, or hr and lr together"),
        ({"hr": "x", "lr": "x"}, "the command line: give data, or hr and lr together"),
        ({"colour": "red"}, "No such option"),
    ):
        found = command(*run_options(photos, **{"models": "bicubic"} | changes))
        assert found.code == 2, fault
        assert fault in found.err
        assert len(found.err.splitlines()) == 1
        assert "See srbench run --help." in found.err
    assert not Path("run").exists()


def test_metrics_have_their_names_in_any_case(command, photos):
    for name, shown in {"PSNR": "PSNR", "Ssim+channels=Y": "SSIM", "COST": "params"}.items():
        found = command(*run_options(photos, models="bicubic", limit=1, metrics=name, out=f"run-{shown}"))
        assert found.code == 0, found.err
        assert shown in found.out


@pytest.mark.filterwarnings("default::UserWarning")  # as a terminal shows them
def test_a_temperature_above_any_in_use_gives_a_warning(command, photos, models):
    for temperature, warned in {"0.8,1.5": False, "8.5": True}.items():
        found = command(*run_options(photos, models=f"{models}:Noisy", temperature=temperature, samples=2))
        assert found.code == 0, found.err
        assert ("warning: temperature 8.5 is above 1.5" in found.err) == warned


@pytest.mark.filterwarnings("default::UserWarning")
def test_warnings_are_one_line(command):
    Path("clear").mkdir()
    Image.new("RGBA", (8, 8), (9, 9, 9, 99)).save("clear/a.png")
    found = command("measure", "clear", "--hr", "clear", "--metrics", "psnr")
    line = "warning: clear/a.png: transparent pixels are composited over white, here and in other images of the folder"
    assert line in found.err.splitlines()


@pytest.mark.filterwarnings("default::UserWarning")
def test_a_warning_of_several_lines_takes_one(command, monkeypatch):
    def findings():
        warnings.warn("torch:\n   slow\n", stacklevel=1)
        yield from ()

    monkeypatch.setattr("srbench.cli.doctor.findings", findings)
    assert command("doctor").err == "warning: torch: slow\n"


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_warning_of_every_process_is_shown_once(command, draw_image):
    for name in ("a", "b"):
        write_png(Path("hr", f"{name}.png"), draw_image(0, 16, 16))
    Path("hr/c.gif").touch()
    options = ("--data", "hr", "--scale", 4, "--metrics", "psnr", "--workers", 2)
    found = command("run", "--models", "bicubic,theirs=hr", *options, "--out", "run")
    assert found.code == 0, found.err
    assert found.err.count("warning: left out of hr: c.gif; supported are .png") == 1


def test_nothing_printed_is_a_command_to_the_terminal_or_beyond_its_encoding(command, draw_image):
    name = "\x1b[31mred é"
    write_png(Path("red", f"{name}.png"), draw_image(0, 16, 16))
    found = command("run", "--models", "bicubic", "--scale", 4, "--data", "red", "--out", "run")
    assert (found.code, r"\x1b[31mred" in found.err, "\x1b" in found.err) == (1, True, False)
    words = [sys.executable, "-m", "srbench", "measure", "red", "--hr", "red", "--metrics", "psnr"]
    ascii_terminal = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(words, capture_output=True, env=ascii_terminal, timeout=300)
    assert done.returncode == 0, done.stderr
    assert rb"\x1b[31mred \xe9" in done.stdout
    assert b"\x1b" not in done.stdout


def test_lists(command):
    metrics = command("list", "metrics")
    assert metrics.code == 0
    assert len(metrics.out.splitlines()) >= 8
    assert re.search(r"^psnr +Peak signal-to-noise ratio", metrics.out, re.M)
    assert re.match("photos +installed +22 photographs", command("list", "datasets").out)
    models = command("list", "models").out.splitlines()
    assert [line.split()[0] for line in models] == [
        *("bicubic", "esrgan", "rectified-flow", "rrdb", "srflow", "srflow-perceptual")
    ]
    assert re.match(r"bicubic +no weights ", models[0])
    assert re.match(r"srflow +4x, 8x +2\.7 M, 5\.4 M parameters  Apache-2\.0 ", models[-2])
    assert command("list", "suites").code == command("list", "weights").code == 0


def test_a_broken_plugin_is_listed_as_broken(command, monkeypatch):
    from importlib.metadata import EntryPoint

    from srbench.plugins import registry

    broken = EntryPoint("broken", "no_such_module_of_test:X", "srbench.models")
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    found = command("list", "models")
    assert found.code == 0
    assert re.match("broken .*broken: ", found.out)


def test_what_ends_a_run_from_outside(command, photos, monkeypatch):
    import srbench.benchmark.run

    for error, code, message in (
        (KeyboardInterrupt(), 130, "interrupted; finished work is kept. Rerun the same command to resume."),
        (OSError(28, "No space left", "run/rows.jsonl"), 1, "run/rows.jsonl: No space left; finished work is kept"),
        (OSError(28, "No space left"), 1, "No space left; finished work is kept"),
        (OSError("image file is\ntruncated"), 1, "image file is truncated; finished work is kept"),
        (OSError(), 1, "OSError; finished work is kept"),
    ):
        monkeypatch.setattr(srbench.benchmark.run, "run", Mock(side_effect=error))
        found = command(*run_options(photos, models="bicubic"))
        assert (found.code, found.err.strip()) == (code, f"srbench: {message}")


def test_commands_that_keep_nothing_do_not_claim_it(command, photos, monkeypatch):
    for name, words in {
        "srbench.benchmark.measure.measure_folders": ("measure", photos),
        "srbench.explaining.search.explain": ("explain", "20.1", "--metrics", "psnr", "--sr", "a", "--hr", "b"),
        "srbench.verification.verify.verify": ("verify", "run"),
        "srbench.reporting.writers.compare.compare_runs": ("compare", "a", "b"),
    }.items():
        monkeypatch.setattr(name, Mock(side_effect=KeyboardInterrupt))
        found = command(*words)
        assert (found.code, found.err.strip()) == (130, "srbench: interrupted"), words
        monkeypatch.setattr(name, Mock(side_effect=OSError(28, "No space left")))
        assert command(*words).err.strip() == "srbench: No space left", words
