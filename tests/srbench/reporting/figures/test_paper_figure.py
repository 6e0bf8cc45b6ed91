"""Figures for papers: what they show, and that an image never stands above another's value."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from srbench.images.io import read_uint8
from srbench.reporting import ReportError
from srbench.reporting.figures.paper_figure import PAGE, Crop, parts_of_run, write_figure
from srbench.reporting.results import read_results


@pytest.fixture(scope="module")
def results(reported_run):
    return read_results([reported_run])


def test_each_panel_has_the_pixels_and_values_of_its_first_sample(results):
    part = parts_of_run(results, ["b"], metrics=["psnr", "sigma"])[0]

    rows = [row for row in results.measurements if row.image == "b"]
    assert [panel.lines[0] for panel in part.panels] == ["LR", "Bicubic", "noisy τ=0.8", "HR"]
    for row, panel in zip(rows, part.panels[1:-1], strict=True):
        file = results.outputs(row)[0]
        assert np.array_equal(panel.image, read_uint8(file).permute(1, 2, 0).numpy())
        psnr, sigma = row.values["psnr"], row.values["sigma"]
        first = psnr[0] if isinstance(psnr, list) else psnr
        assert panel.lines[1] == f"{first:.2f} / {sigma if isinstance(sigma, float) else sigma[0]:.2f}"
    assert len(rows[1].values["psnr"]) == 2
    assert rows[1].values["psnr"][0] != rows[1].values["psnr"][1]
    assert np.array_equal(part.panels[-1].image, part.whole.image)
    assert part.whole.lines == ("b", "PSNR (RGB) / sigma")


def test_lr_is_shown_pixel_by_pixel_at_the_place_of_hr(results):
    part = parts_of_run(results, ["a"])[0]
    lr = np.asarray(Image.open(results.pair("a")[0]).convert("RGB"))

    assert np.array_equal(part.panels[0].image[::4, ::4], lr)
    assert np.array_equal(part.panels[0].image[3::4, 3::4], lr)


def test_models_stand_in_the_order_that_was_asked_for(results):
    part = parts_of_run(results, ["a"], ["noisy-t0.8", "bicubic"])[0]

    assert [panel.lines[0] for panel in part.panels] == ["LR", "noisy τ=0.8", "Bicubic", "HR"]


@pytest.mark.parametrize(("samples", "numbers"), [([2], [2]), ([2, 1], [2, 1]), (None, [1, 2])])
def test_chosen_samples_stand_side_by_side_with_their_own_values(results, samples, numbers):
    part = parts_of_run(results, ["a"], samples=samples, labels={"noisy": "Noisy (ours)"})[0]
    row = next(row for row in results.measurements if row.image == "a" and row.setting.model == "noisy")

    shown = part.panels[2:-1]
    assert [panel.lines[0] for panel in shown] == [f"Noisy (ours) #{number}" for number in numbers]
    for number, panel in zip(numbers, shown, strict=True):
        assert np.array_equal(panel.image, np.asarray(Image.open(results.outputs(row)[number - 1]).convert("RGB")))
        assert panel.lines[1].split()[0] == f"{row.values['psnr'][number - 1]:.2f}"


def test_windows_of_an_image_and_of_all_images(results):
    parts = parts_of_run(results, ["a", "b"], crops=[Crop(0, 8, 40), Crop(4, 4, 16, "b")])

    assert [[str(box) for box in part.windows] for part in parts] == [["0,8,40,40"], ["0,8,40,40", "4,4,16,16"]]


def test_the_default_window_is_where_the_models_shown_differ_most(results):
    part = parts_of_run(results, ["a"])[0]
    crop = part.windows[0]
    outputs = np.stack([panel.image for panel in part.panels[1:-1]]).astype(float).var(axis=0).sum(axis=2)
    inside = outputs[crop.y : crop.y + crop.width, crop.x : crop.x + crop.width].sum()

    corners = [(y, x) for y in range(0, 96 - crop.width + 1, 4) for x in range(0, 96 - crop.width + 1, 4)]
    assert inside == pytest.approx(max(outputs[y : y + crop.width, x : x + crop.width].sum() for y, x in corners))


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_equal_choices_give_equal_bytes(results, tmp_path, kind):
    for name in ("first", "second"):
        write_figure(parts_of_run(results), tmp_path / f"{name}.{kind}")

    first = (tmp_path / f"first.{kind}").read_bytes()
    assert first == (tmp_path / f"second.{kind}").read_bytes()
    assert b"CreationDate" not in first


def test_text_in_pdf_is_text_in_a_truetype_font(results, tmp_path):
    write_figure(parts_of_run(results), tmp_path / "figure.pdf")

    content = (tmp_path / "figure.pdf").read_bytes()
    assert b"/CIDFontType2" in content or b"/TrueType" in content
    assert b"/Type3" not in content


def test_svg_has_its_text_as_text_of_a_fixed_width_and_its_images_inside(srbench, reported_run, tmp_path):
    file = tmp_path / "figure.svg"
    options = ("--images", "a", "--labels", "bicubic=A < B,noisy=N", "--samples", "all", "--maps", "--metrics", "psnr")
    for _ in range(2):  # the second time, it replaces its own file
        done = srbench("figure", reported_run, *options, "--out", file)
        assert done.exit_code == 0, done.output

    namespace = "{http://www.w3.org/2000/svg}"
    root = ElementTree.parse(file).getroot()
    texts = [*root.iter(f"{namespace}text")]
    words = [text.text for text in texts]
    assert {"A < B", "N #1", "N #2", "error", "spread (n = 2)", "0 to 64 grey levels", "HR"} <= {*words}
    assert all(float(text.get("textLength")) > 1 for text in texts)
    assert sum("font-weight: 700" in text.get("style") for text in texts) == 1
    links = [image.get("{http://www.w3.org/1999/xlink}href") for image in root.iter(f"{namespace}image")]
    assert len(links) == 11
    assert all(link.startswith("data:image/png") for link in links)


@pytest.mark.parametrize(("width", "rows"), [(PAGE, 1), (3.25, 2)])
def test_a_png_has_its_width_at_300_dots_an_inch(results, tmp_path, width, rows):
    write_figure(parts_of_run(results, ["a", "b"]), tmp_path / "figure.png", width, rows)

    assert Image.open(tmp_path / "figure.png").width == pytest.approx(300 * width, abs=1)


def test_numbers_are_never_shortened(results, tmp_path, monkeypatch):
    import matplotlib.figure

    written = []
    text = matplotlib.figure.Figure.text
    monkeypatch.setattr(
        matplotlib.figure.Figure, "text", lambda *given, **more: written.append(given[3]) or text(*given, **more)
    )
    parts = parts_of_run(results, ["a"], metrics=["psnr", "ssim", "sigma"])
    write_figure(parts, tmp_path / "figure.png", 2.0)

    shown = " ".join(written).split()
    values = {word for panel in parts[0].panels for line in panel.lines[1:] for word in line.split()}
    assert len(values) > 4
    assert values <= {*shown}


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"images": ["c"]}, "unknown image 'c'"),
        ({"models": ["esrgan"]}, "unknown model 'esrgan'"),
        ({"metrics": ["fid"]}, "unknown metric of images 'fid'"),
        ({"crops": [Crop(90, 0, 16)]}, "has 96 x 96 pixels; the window 90,0,16 reaches beyond"),
        ({"crops": [Crop(0, 0, 16, "c")]}, "unknown image 'c'"),
        ({"samples": [1, 3]}, r"sample 3 is not saved; numbers of saved samples: Bicubic 1, noisy τ=0.8 2"),
        ({"labels": {"esrgan": "ours"}}, "unknown model 'esrgan'"),
        ({"labels": {"bicubic": "ours", "noisy": "ours"}}, "several models are called 'ours'"),
    ],
)
def test_what_cannot_be_shown_is_refused(results, choices, words):
    with pytest.raises(ReportError, match=words):
        parts_of_run(results, **choices)


def test_an_output_that_was_changed_is_not_shown(results, reported_run, tmp_path):

    shutil.copytree(reported_run, tmp_path / "run")
    file = next((tmp_path / "run" / "images").rglob("bicubic/**/a*.png"))
    Image.new("RGB", (96, 96)).save(file)

    with pytest.raises(ReportError, match="a: not saved, or changed since: bicubic"):
        parts_of_run(read_results([tmp_path / "run"]), ["a"])


def test_a_file_of_the_user_is_not_replaced(results, tmp_path):
    file = tmp_path / "figure.png"
    Image.new("RGB", (8, 8)).save(file)
    before = file.read_bytes()

    with pytest.raises(ReportError, match="is no figure of srbench"):
        write_figure(parts_of_run(results), file)
    assert file.read_bytes() == before
    with pytest.raises(ReportError, match=r"a figure is a .pdf, .png or .svg file"):
        write_figure(parts_of_run(results), tmp_path / "figure.jpg")
    with pytest.raises(ReportError, match="do not fit into 1 inches"):
        write_figure(parts_of_run(results), tmp_path / "narrow.png", 1.0)


def test_the_command_prints_the_windows_and_replaces_its_own_file(srbench, reported_run, tmp_path):
    file = tmp_path / "figure.pdf"
    first = srbench("figure", reported_run, "--images", "a", "--out", file)
    window = first.output.split("--crop ")[1].split()[0]
    content = file.read_bytes()
    again = srbench("figure", reported_run, "--images", "a", "--crop", window, "--out", file)

    assert first.exit_code == again.exit_code == 0
    assert file.read_bytes() == content
    assert str(file) in Path(again.output.split()[-1]).as_posix()
    for wrong, words in {"1,2": "is no window", "1,2,0": "the side S is 1 or more"}.items():
        refused = srbench("figure", reported_run, "--crop", wrong, "--out", file)
        assert refused.exit_code == 2
        assert words in refused.output


@pytest.fixture(scope="module")
def folders(reported_run, results, tmp_path_factory):
    """Folders of outputs, HR and LR with the images of the run."""
    here = tmp_path_factory.mktemp("folders")
    for row in results.measurements:
        lr, hr = results.pair(row.image)
        for name, file in {"LR": lr, "HR": hr, row.setting.model: results.outputs(row)[0]}.items():
            (here / name).mkdir(exist_ok=True)
            shutil.copy(file, here / name / f"{row.image}.png")
    return here


def test_folders_of_outputs_make_the_figure_of_their_run(srbench, results, folders, tmp_path):
    of_run, of_folders = tmp_path / "run.png", tmp_path / "folders.png"
    own = ("--hr", folders / "HR", "--lr", folders / "LR", "--images", "b", "--metrics", "psnr,ssim")
    done = srbench("figure", f"Bicubic={folders / 'bicubic'}", *own, "--out", of_folders)
    write_figure(parts_of_run(results, ["b"], ["bicubic"], metrics=["psnr", "ssim"]), of_run)

    assert done.exit_code == 0, done.output
    assert of_folders.read_bytes() == of_run.read_bytes()


def test_values_of_folders_are_those_of_the_suite(srbench, folders, tmp_path):
    from srbench.benchmark.measure import measure_folders

    given = {"bicubic": folders / "bicubic"}, folders / "HR", folders / "LR"
    measured = measure_folders(*given, names=["psnr"], suite="classic-y").values.of
    [value] = next(iter(measured.values()))["b"]
    own = ("--hr", given[1], "--lr", given[2], "--images", "b", "--suite", "classic-y", "--metrics", "psnr")
    done = srbench("figure", given[0]["bicubic"], *own, "--out", tmp_path / "figure.svg")

    assert done.exit_code == 0, done.output
    content = (tmp_path / "figure.svg").read_text()
    assert f">{value:.2f}<" in content
    assert ">PSNR (Y)<" in content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--samples", "0"], "'0' is not a whole number of 1 or more"),
        (["--samples", "first"], "'first' is not a whole number of 1 or more"),
        (["--labels", "bicubic"], "'bicubic' is not MODEL=TEXT"),
        (["--labels", "bicubic=A, B"], "'B' is not MODEL=TEXT"),
        (["--suite", "classic-y"], "--suite goes with --hr"),
    ],
)
def test_wrong_options_are_refused(srbench, reported_run, tmp_path, options, words):
    done = srbench("figure", reported_run, *options, "--out", tmp_path / "figure.png")

    assert (done.exit_code, len(done.output.splitlines())) == (2, 1)
    assert words in done.output


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--images", "c"], 1, "unknown image 'c'"),
        (["--images", "a", "--labels", "noisy=N"], 2, "the models by LABEL=DIR"),
        (["--images", "a", "--suite", "classic"], 1, "did you mean classic-y?"),
        (["--images", "a", "--samples", "2"], 1, "sample 2 is not saved"),
        ([], 2, "name --images"),
        (["--images", "a", "--models", "x"], 2, "name --images"),
        (["--images", "a", "--metrics", "nll"], 1, "needs a model"),
    ],
)
def test_folders_that_cannot_be_shown_are_refused(srbench, folders, tmp_path, options, code, words):
    done = srbench("figure", folders / "noisy", "--hr", folders / "HR", *options, "--out", tmp_path / "figure.png")

    assert (done.exit_code, done.output.count("Traceback")) == (code, 0)
    assert words in done.output


def test_lr_without_hr_is_refused(srbench, folders, tmp_path):
    done = srbench("figure", folders / "noisy", "--lr", folders / "LR", "--out", tmp_path / "figure.png")

    assert done.exit_code == 2
    assert "--lr goes with --hr" in done.output
