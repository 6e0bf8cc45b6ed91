"""Edits from the command line, by the packaged SRFlow: what is written, what is measured, what is refused."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from srbench.data.datasets import packaged_photos, pair_of_hr
from srbench.editing import EditError
from srbench.editing.edit import Editor, figure_panel, lr_psnr, write_figure
from srbench.editing.measures import LR_FIT_LIMIT, cut, fit_to_lr
from srbench.images.box import Box
from srbench.images.io import quantize_floor, quantize_round, read_image, write_png
from srbench.images.lr_projection import make_consistent
from srbench.reporting.figures.strips import FRAMES


@pytest.fixture(scope="module")
def editor():
    return Editor("srflow", 8, "cpu")


@pytest.mark.parametrize("suffix", ["+consistent", "+bf16", "+bf16+consistent"])
def test_options_of_a_model_that_edits_are_refused(suffix, monkeypatch):
    monkeypatch.setattr("srbench.models.loading.require_bfloat16", lambda device, text: None)
    with pytest.raises(EditError, match=re.escape(f"omit {suffix}; edits use the model itself")):
        _ = Editor(f"srflow{suffix}", 8, "cpu").loaded


@pytest.fixture
def chameleon(tmp_path):
    """160 x 160 with flat background at the top left and scales at the bottom right; 3 columns too many."""
    hr = packaged_photos(8).read("chameleon").hr[:, 96:256, 96:259]
    write_png(tmp_path / "chameleon.png", quantize_round(hr))
    return tmp_path / "chameleon.png"


def edit(command, what, *words, **changes):
    options = {"models": "srflow", "scale": 8, "device": "cpu", "out": "out"} | changes
    return command("edit", what, *words, *(word for name, value in options.items() for word in (f"--{name}", value)))


def told(line):
    """File and LR-PSNR of a line on the terminal."""
    found = re.match(r"(\S+)  LR-PSNR (\S+) dB", line)
    return Path(found[1]), float(found[2])


def test_style_transfer_writes_what_the_model_makes_and_a_figure(command, chameleon, editor):
    boxes = {"from": "100,90,40,40", "to": "4,4,40,30"}
    found = edit(command, "style-transfer", chameleon, **boxes)
    assert found.code == 0, found.err
    assert found.out.endswith("(from 96,80,48,64 to 0,0,48,48)\n")
    path, told_fit = told(found.out)
    pair = pair_of_hr(chameleon, 8)
    made = editor.model.transfer_style(pair.hr, pair.lr, Box(96, 80, 48, 64), Box(0, 0, 48, 48), temperature=0.9)
    assert torch.equal(read_image(path) * 255, quantize_floor(made).float())
    assert told_fit == pytest.approx(lr_psnr(made, pair), abs=0.006)
    figure = Image.open(path.with_name("chameleon_style_figure.png")).convert("RGB")
    colours = {colour for _, colour in figure.getcolors(maxcolors=1 << 24)}
    assert {ImageColor.getrgb(colour) for colour in FRAMES[:2]} <= colours, "of target and source"


def test_style_fits_like_a_sample_and_stays_in_its_box(editor, chameleon):
    pair = pair_of_hr(chameleon, 8)
    made = editor.move_style(pair, Box(96, 96, 48, 48), Box(0, 0, 48, 48), 0.9)
    sample = editor.sample(pair, 0.8, 1, 0)[0]
    assert lr_psnr(made, pair) > lr_psnr(sample, pair) - 1
    change = (made - pair.hr).abs()
    # Elsewhere only what makes the image fit its rounded LR: less than half a grey level.
    assert change[:, 96:].mean() < 0.5 / 255 < 0.5 * change[:, :48, :48].mean()
    rough, before, after = (
        cut(image, box).std()
        for image, box in ((pair.hr, Box(96, 96, 48, 48)), (pair.hr, Box(0, 0, 48, 48)), (made, Box(0, 0, 48, 48)))
    )
    assert before < after < rough


@pytest.mark.slow
def test_content_transfer_lowers_seams_and_raises_lr_psnr(command, chameleon, tmp_path):
    books = packaged_photos(8).read("books").hr[:, :160, :163]
    write_png(tmp_path / "books.png", quantize_round(books))
    write_png(tmp_path / "part.png", quantize_round(books[:, 30:94, 40:104]))
    outputs = []
    for source in ("books.png", "part.png"):
        found = edit(command, "content-transfer", chameleon, tmp_path / source, box="40,30,64,64")
        assert found.code == 0, found.err
        fit = told(found.out)[1]
        words = r"naively (\S+) dB; step across the border (\S+) grey levels, naively (\S+), lower is better; kept"
        numbers = re.search(words + r" detail (\S+) of 1\)", found.out)
        naive_fit, seam, naive_seam, kept = map(float, numbers.groups())
        assert fit > naive_fit + 10
        assert seam < naive_seam / 1.7
        assert 0.1 < kept < 1
        assert Path("out/chameleon_content_figure.png").is_file()
        outputs.append(Path("out/chameleon_content.png").read_bytes())
    assert outputs[0] == outputs[1]  # the same content, cut out before or not
    mask = torch.zeros((3, 160, 163), dtype=torch.uint8)
    mask[:, 30:94, 40:104] = 255
    write_png(tmp_path / "mask.png", mask)
    assert edit(command, "content-transfer", chameleon, tmp_path / "books.png", mask=tmp_path / "mask.png").code == 0
    assert Path("out/chameleon_content.png").read_bytes() == outputs[0]


@pytest.mark.slow
def test_restoring_takes_noise_out(command, chameleon, editor, tmp_path):
    hr = pair_of_hr(chameleon, 8).hr
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(0))
    write_png(tmp_path / "noisy.png", quantize_round(hr + 20 / 255 * noise))
    found = edit(command, "restore", tmp_path / "noisy.png", seed=3)
    assert found.code == 0, found.err
    path, fit = told(found.out)
    restored, pair = read_image(path), pair_of_hr(tmp_path / "noisy.png", 8)
    assert torch.equal(restored * 255, quantize_floor(editor.restore(pair, 0.85, 3)).float())
    assert fit == pytest.approx(lr_psnr(restored, pair), abs=0.006)
    sample = editor.sample(pair, 0.85, 1, 3)[0]
    errors = [float((image - hr).square().mean()) for image in (restored, pair.hr, sample)]
    assert errors[0] < 0.8 * min(errors[1:])
    assert path.with_name("noisy_restored_figure.png").is_file()
    again = edit(command, "restore", tmp_path / "noisy.png", seed=4, out="again")
    assert again.code == 0
    assert not torch.equal(read_image(told(again.out)[0]), restored)


def test_a_perfect_fit_has_about_the_lr_psnr_that_is_named_as_the_limit():
    assert 10 * math.log10(255**2 / 0.5) == pytest.approx(LR_FIT_LIMIT, abs=0.2)
    for name in ("chameleon", "dog", "books"):
        pair = packaged_photos(8).read(name)
        assert lr_psnr(make_consistent(pair.hr, pair.lr, 8), pair) == pytest.approx(LR_FIT_LIMIT, abs=1.5)
    assert fit_to_lr(50.918) == "LR-PSNR 50.92 dB (fit to LR, higher is better, 8 bits allow about 51)"


def test_figures_show_a_window_of_every_image(tmp_path):
    images = [torch.full((3, 160, 240), level) for level in (0.25, 0.75)]
    panels = [figure_panel(image, f"image {k}", "note") for k, image in enumerate(images)]
    write_figure(tmp_path / "figure.png", panels, [Box(80, 40, 64, 48), Box(0, 0, 16, 32)])
    sheet = np.array(Image.open(tmp_path / "figure.png").convert("RGB"))
    counts = [(sheet == quantize_floor(image)[0, 0, 0].item()).all(axis=2).sum() for image in images]
    assert sheet.shape[1] == 1600
    assert 0.2 < counts[1] / counts[0] < 0.8, "the first image also as a whole"


@pytest.mark.slow
def test_temperatures_from_one_seed_are_those_of_upscale(command, chameleon):
    found = edit(command, "temperature", chameleon, temperature="0,0.8", seed=7)
    assert found.code == 0, found.err
    assert [told(line)[0].name for line in found.out.splitlines()] == ["chameleon_t0.png", "chameleon_t0.8.png"]
    assert Path("out/chameleon_temperatures_figure.png").is_file()
    pair = pair_of_hr(chameleon, 8)
    write_png(Path("lr/small.png"), quantize_round(pair.lr))
    words = ["--models", "srflow", "--scale", 8, "--seed", 7, "--device", "cpu"]
    assert command("upscale", "lr", *words, "--temperature", 0.8, "--out", "up").code == 0
    assert torch.equal(read_image(Path("up/small.png")), read_image(Path("out/chameleon_t0.8.png")))
    assert edit(command, "temperature", chameleon, temperature="0", seed=8, out="again").code == 0
    assert Path("again/chameleon_t0.png").read_bytes() == Path("out/chameleon_t0.png").read_bytes()


@pytest.mark.parametrize("changes", [{}, {"box": "0,0,9,9", "mask": "mask.png"}])
def test_content_goes_into_a_box_or_a_mask(command, chameleon, changes):
    found = edit(command, "content-transfer", chameleon, chameleon, **changes)
    assert (found.code, len(found.err.splitlines())) == (2, 1)
    assert "Give either --box or --mask" in found.err


@pytest.mark.parametrize(
    ("what", "words", "changes", "fault"),
    [
        (
            "style-transfer",
            ["IMAGE"],
            {"from": "0,0,16,16", "to": "0,-1,16,16"},
            "is empty or starts outside the image",
        ),
        ("content-transfer", ["IMAGE", "IMAGE"], {"mask": "black.png"}, "no pixel of the mask is white"),
        ("temperature", ["tiny.png"], {}, "4x4 is smaller than the scale 8"),
    ],
)
def test_inputs_that_do_not_serve(command, chameleon, what, words, changes, fault):
    for name, size in (("black", (160, 163)), ("tiny", (4, 4))):
        write_png(Path(f"{name}.png"), torch.zeros((3, *size), dtype=torch.uint8))
    found = edit(command, what, *(chameleon if word == "IMAGE" else word for word in words), **changes)
    assert (found.code, len(found.err.splitlines()), found.out) == (1, 1, "")
    assert fault in found.err
    assert not Path("out").exists()
