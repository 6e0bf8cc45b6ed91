"""Upscaling your own images: what is written, kept, refused, and that the numbers are those of the model."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from srbench.images.io import quantize_floor, read_image, read_recipe, read_uint8, write_png
from srbench.interfaces import ImagePair
from srbench.metrics.consistency import LRPSNR


@pytest.fixture
def up(command, photos, models):
    """srbench upscale of the four photos by the model Noisy, into out/; changed or further options at the end."""

    def call(*paths, model=f"{models}:Noisy", **changes):
        options = {"scale": 4, "seed": 3, "out": "out", "device": "cpu"} | changes
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return command("upscale", *(paths or [photos]), "--models", model, *words)

    return call


def test_files_are_what_the_model_draws_from_that_seed(up, photos, models):
    from srbench.models.loading import load_model

    found = up(samples=2, temperature=0.5)
    assert (found.code, "4/4" in found.err) == (0, True)
    assert [Path(line.split()[0]).name for line in found.out.splitlines()] == [
        f"{name}_sample{sample}.png" for name in "abcd" for sample in (0, 1)
    ]
    lr = read_image(photos / "b.png")
    model = load_model(f"{models}:Noisy", 4, "cpu").model
    drawn = model.sample(lr, 2, temperature=0.5, generator=torch.Generator().manual_seed(3))
    for sample in (0, 1):
        assert torch.equal(read_image(Path(f"out/b_sample{sample}.png")) * 255, quantize_floor(drawn[sample]).float())
    told = [float(line.split()[2]) for line in found.out.splitlines() if "/b_" in line]
    measured = LRPSNR()(drawn, ImagePair("b", lr, drawn[0]))
    torch.testing.assert_close(torch.tensor(told), measured.float(), atol=0.006, rtol=0)


def test_outputs_are_no_sources_however_the_folder_is_spelled(up, photos):
    """``up`` writes into out/, which lies in the folder that is upscaled the second time."""
    here = Path.cwd()
    first = up(photos)
    again = up(here, photos)
    assert (first.code, again.code) == (0, 0)
    assert not [path for path in Path("out").rglob("*") if path.is_dir() and path.name == "out"]


def test_finished_work_is_kept_and_other_work_is_not_overwritten(up, photos):
    first = up()
    before = {path: path.stat().st_mtime_ns for path in Path("out").iterdir()}
    Path("out/c.png").unlink()
    again = up()
    assert again.out == first.out.replace(" dB\n", " dB  (kept)\n").replace(
        next(line for line in first.out.splitlines() if "/c.png" in line) + "  (kept)",
        next(line for line in first.out.splitlines() if "/c.png" in line),
    )
    assert all(path.stat().st_mtime_ns == before[path] for path in before if path.name != "c.png")
    other = up(seed=4)
    assert (other.code, other.out) == (1, "")
    assert "out/a.png: exists and was made differently; choose another --out" in other.err
    assert all(path.stat().st_mtime_ns == before[path] for path in before if path.name != "c.png")
    write_png(photos / "a.png", torch.zeros((3, 8, 8), dtype=torch.uint8))
    assert "a.png: exists and was made differently" in up().err


def test_a_broken_image_is_named_and_the_others_are_made(up, photos):
    (photos / "b.png").write_text("text")
    assert f"cannot be upscaled: {photos}/b.png: not an image" in up(photos, "--dry-run").out
    (photos / "empty").mkdir()
    (photos / "other").mkdir()
    write_png(photos / "other" / "c.png", read_uint8(photos / "c.png"))
    found = up(photos / "absent.png", photos, photos / "empty", photos / "a.png", photos / "other" / "c.png", "nowhere")
    assert found.code == 1
    assert pngs("out") == ["a.png", "c.png", "d.png", "other/c.png"]
    failed = [line.split(": ")[1] for line in found.err.splitlines() if line.startswith("failed: ")]
    assert failed == [f"{photos}/absent.png", f"{photos}/empty", "nowhere", f"{photos}/b.png"]
    assert found.err.splitlines()[-1].startswith("srbench: 4 ")


def pngs(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*.png"))


def test_sub_folders_and_names_that_differ_by_their_ending(up, photos, monkeypatch):
    for name in ("2024/b.png", "2024/.hidden.png", ".cache/b.png"):
        write_png(photos / name, read_uint8(photos / "b.png"))
    Image.open(photos / "a.png").convert("RGB").save(photos / "a.jpg")
    assert up(model="bicubic").code == 0
    expected = ["2024/b.png", "a_jpg.png", "a_png.png", "b.png", "c.png", "d.png"]
    assert pngs("out") == expected
    assert not torch.equal(read_image(Path("out/a_jpg.png")), read_image(Path("out/a_png.png")))
    monkeypatch.chdir(photos)
    assert up(".", model="bicubic", out="up").code == 0
    again = up(".", model="bicubic", out="up")
    assert (again.code, again.out.count("(kept)")) == (0, 6), "outputs below the input folder are no inputs"
    assert pngs("up") == expected


def test_two_folders_with_images_of_one_name(up, photos):
    write_png(Path("more/a.png"), read_uint8(photos / "b.png"))
    found = up(photos, "more", model="bicubic")
    assert found.code == 1
    assert f"failed: more/a.png: {photos}/a.png has the same name; use another --out for it" in found.err
    assert pngs("out") == ["a.png", "b.png", "c.png", "d.png"]


def test_the_time_left_is_weighed_by_pixels(photos, tmp_path):
    from srbench.upscaling import UpscaleSpec, upscale

    write_png(photos / "z.png", torch.zeros((3, 64, 64), dtype=torch.uint8))
    spec = UpscaleSpec((photos,), ("bicubic",), 4, tmp_path / "out", (0.8,), 1, 0, "cpu", None)
    steps = []
    assert len([*upscale(spec, steps.append)]) == 5
    areas = [Image.open(path).width * Image.open(path).height for path in sorted(photos.iterdir())]
    assert [step.fraction for step in steps[:5]] == pytest.approx([sum(areas[:n]) / sum(areas) for n in range(5)])
    assert (steps[-1].done, steps[-1].total) == (5, 5)


def test_models_with_one_answer_and_tiles(up, models):
    assert up(model="bicubic", samples=5).code == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.png", "c.png", "d.png"]
    assert up(model="bicubic", tile=16, out="tiled").code == 0
    assert torch.equal(read_image(Path("out/c.png")), read_image(Path("tiled/c.png")))
    assert '"tile": 16' in read_recipe(Path("tiled/c.png"))
    assert "cannot sample in tiles" in up(tile=16, out="noisy").err


def test_several_models_and_temperatures_have_the_folders_of_a_run(up, photos, models):
    one = up(temperature=0.4, out="one")
    found = up("--dry-run", photos, model=f"bicubic,mine={models}:Noisy", temperature="0.4,0.8", samples=2)
    assert found.out.splitlines()[0] == "4 images, 20 outputs, 0 already made"
    assert {"out/bicubic/b: LR of 42x33 at once", "out/mine-t0.4/b: LR of 42x33 at once"} < set(found.out.splitlines())
    assert not Path("out").exists()
    found = up(model=f"bicubic,mine={models}:Noisy", temperature="0.4,0.8")
    assert found.code == 0, found.err
    names = [f"mine-t{temperature}/{name}.png" for temperature in (0.4, 0.8) for name in "abcd"]
    assert pngs("out") == [f"bicubic/{name}.png" for name in "abcd"] + names
    assert one.code == 0
    assert torch.equal(read_image(Path("out/mine-t0.4/a.png")), read_image(Path("one/a.png")))
    assert not torch.equal(read_image(Path("out/mine-t0.8/a.png")), read_image(Path("one/a.png")))
    more = up(photos / "a.png", temperature="0.4,0.8", samples=2, out="more")
    assert (more.code, pngs("more")[:2]) == (0, ["Noisy-t0.4/a_sample0.png", "Noisy-t0.4/a_sample1.png"])
    again = up("--dry-run", photos, model=f"bicubic,mine={models}:Noisy", temperature="0.4,0.8,1")
    assert again.out.splitlines()[0] == "4 images, 16 outputs, 12 already made"
    taken = up(model=f"bicubic,{models}:Noisy,Noisy={models}:Nearest")
    assert (taken.code, "has the same label, Noisy" in taken.err) == (1, True)


def test_a_recipe_is_read_without_the_pixels_of_images_that_carry_one(tmp_path, monkeypatch):
    write_png(tmp_path / "a.png", torch.zeros((3, 20, 20), dtype=torch.uint8), "made so — exactly")
    write_png(tmp_path / "b.png", torch.zeros((3, 2, 2), dtype=torch.uint8))
    (tmp_path / "c.png").write_text("text")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert [read_recipe(tmp_path / f"{name}.png") for name in "abc"] == ["made so — exactly", None, None]


def test_large_images_are_tiled_and_samples_made_one_by_one(up, photos, monkeypatch):
    from srbench import upscaling

    assert up(photos / "a.png", model="srflow", samples=2).code == 0
    monkeypatch.setattr(upscaling, "MAX_UNTILED", 0)
    assert up(photos / "a.png", model="srflow", samples=2, out="tiled").code == 0
    for name in ("a_sample0.png", "a_sample1.png"):
        whole, tiled = (read_uint8(Path(out, name)).int() for out in ("out", "tiled"))
        assert (whole - tiled).abs().max() <= 1
        assert (whole != tiled).float().mean() < 1e-3
    monkeypatch.setattr(upscaling, "free_bytes", lambda device="cpu": 1000)
    assert "0.0 GB are free; cut it into parts" in up(photos / "a.png", model="srflow", out="none").err


def test_large_images_are_tiled_by_every_network(up, photos, monkeypatch, tmp_path):
    from srbench import upscaling
    from srbench.terminal import progress as shown

    assert up(photos / "c.png", model="esrgan").code == 0
    monkeypatch.setattr(upscaling, "MAX_UNTILED", 0)
    monkeypatch.setattr(upscaling, "TILE", 16)
    monkeypatch.setattr(shown, "SECONDS", -1)
    found = up(photos / "c.png", model="esrgan", out="tiled")
    whole, tiled = (read_uint8(Path(out, "c.png")).int() for out in ("out", "tiled"))
    assert (whole - tiled).abs().max() <= 1
    assert (whole != tiled).float().mean() < 1e-3
    assert len(re.findall(r"c\.png: \d+%", found.err)) > 2, "progress inside the image"
    assert "dry/c: LR of 32x40 in tiles of 16" in up(photos / "c.png", "--dry-run", model="esrgan", out="dry").out


@pytest.mark.parametrize(
    ("model", "free", "tile"),
    [
        ("srflow", 50_000 * 300 * 200, None),
        ("srflow", 50_000 * 300 * 200 - 1, 128),
        ("rrdb", 12_000 * 300 * 200, None),
        ("rrdb", 12_000 * 300 * 200 - 1, 256),
        ("noisy", 0, None),
    ],
)
def test_a_gpu_with_too_little_memory_for_an_image_takes_tiles(model, free, tile, models, tmp_path, monkeypatch):
    """Samples in tiles are written one by one there, as on a CPU."""
    from srbench import upscaling
    from srbench.models.inference import SamplingParameters
    from srbench.models.loading import load_model

    write_png(tmp_path / "a.png", torch.zeros((3, 200, 300), dtype=torch.uint8))
    monkeypatch.setattr(upscaling, "free_bytes", lambda device="cpu": free if device == "cuda" else 2**40)
    loaded = load_model(f"{models}:Noisy" if model == "noisy" else model, 4, "cpu")
    task = upscaling._Task(tmp_path / "a.png", loaded, SamplingParameters(0.8, 3, 0), Path("a"))
    assert upscaling._tile(task, "cuda") == tile
    assert upscaling._is_one_by_one(loaded.model, "cuda", tile) == (model == "srflow" and tile is not None)


def test_the_largest_networks_fit_what_is_counted_for_a_pixel():
    from baselines.rrdb import RRDBConfig, RRDBNet
    from srbench import upscaling
    from srbench.interfaces import ModelCall
    from srbench.metrics.cost import Memory
    from srflow import SRFlow

    rrdb = RRDBNet(RRDBConfig.from_preset("df2k-x4")).eval()
    counted = (
        (rrdb, upscaling.BYTES_PER_PIXEL),
        (SRFlow.from_preset("df2k-x4").eval(), upscaling.BYTES_PER_SAMPLED_PIXEL),
    )
    for network, most in counted:
        small, large = (1e6 * Memory(lr=f"{side}x{side}").measure(ModelCall(network, 0.8, "cpu")) for side in (16, 32))
        assert 0.7 * most < (large - small) / (32**2 - 16**2) < 0.9 * most


def test_packaged_models_are_not_for_photographs(up, photos, models):
    from srbench.weights.files import packaged_weights

    name = "esrgan was trained on clean, bicubic LR"
    found = up(model="esrgan")
    assert (found.code, found.err.count(name), "--models 4x.pth" in found.err) == (0, 1, True)
    assert "esrgan, mine were trained on" in up("--dry-run", photos, model="esrgan,mine=srflow").err
    weights = packaged_weights("baselines")["esrgan", 4]
    for model in ("bicubic", f"{models}:Noisy", f"esrgan:{weights}"):
        assert "clean, bicubic LR" not in up("--dry-run", photos, model=model).err


def test_an_image_that_cannot_fit_is_refused_before_it_is_read(up, monkeypatch):
    from srbench import upscaling

    Image.new("1", (14000, 12000)).save("large.png")
    with monkeypatch.context() as patch:
        patch.setattr(upscaling, "free_bytes", lambda device="cpu": 20 * 2**30)
        patch.setattr(upscaling, "read_uint8", lambda path: pytest.fail("read"))
        found = up("large.png", model="srflow")
    assert (found.code, "LR of 14000x12000 needs 1" in found.err, "20.0 GB are free" in found.err) == (1, True, True)


def test_an_image_beyond_pillows_limit_is_refused_by_its_header(up, monkeypatch):
    from srbench import upscaling

    Image.new("1", (16000, 12000)).save("larger.png")
    monkeypatch.setattr(upscaling, "read_uint8", lambda path: pytest.fail("read"))
    refused, dry = up("larger.png", model="bicubic"), up("larger.png", "--dry-run", model="bicubic")
    assert (refused.code, dry.code) == (1, 0)
    for text in (refused.err, dry.out):
        assert "larger.png: more than 179 million pixels, the limit; cut it into parts" in text
        assert "disk space" not in text


def test_a_dry_run_says_what_it_would_take(up, photos, monkeypatch):
    Image.new("RGB", (500, 400)).save("large.png")
    assert up(photos / "a.png", model="srflow").code == 0
    with monkeypatch.context() as patch:
        patch.setattr("srbench.upscaling.upscale_image", lambda *_: pytest.fail("a model runs"))
        found = up(photos / "a.png", photos / "b.png", "large.png", "--dry-run", model="srflow")
    assert found.out.splitlines()[0] == "3 images, 3 outputs, 1 already made"
    assert "out/b: LR of 42x33 at once\n" in found.out
    assert "out/large: LR of 500x400 in tiles of 128" in found.out
    bound = 16 * 3.1 * (500 * 400 + 42 * 33) / 1e6
    assert found.out.splitlines()[-1] == f"disk space: at most {bound:.2g} MB"
    assert not Path("out/b.png").exists()


def test_a_line_now_and_then_without_a_terminal(capfd, monkeypatch):
    from srbench.terminal import progress as shown
    from srbench.terminal.progress import Step

    monkeypatch.setattr(shown, "SECONDS", -1)
    with shown.shown_progress() as progress:
        progress(Step(0, 2, "a.png", fraction=0.0))
        progress(Step(0, 2, "a.png", fraction=0.25))
    assert "a.png: 25%, 0 s elapsed" in capfd.readouterr().err


def test_each_temperature_is_measured_as_a_folder_of_results(up, photos, models, command):
    """The outputs of a temperature have the names of their images."""
    assert up(photos, temperature="0.4,0.8").code == 0
    found = command("measure", "out/Noisy-t0.4", "out/Noisy-t0.8", "--lr", photos, "--scale", 4, "--metrics", "lr_psnr")
    assert found.code == 0, found.err
    assert all(name in found.out for name in ("Noisy-t0.4", "Noisy-t0.8"))
