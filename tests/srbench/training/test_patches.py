"""Images of a folder -> decoded store -> random patches."""

import multiprocessing
import os
import time
import warnings
from dataclasses import dataclass
from itertools import islice
from unittest.mock import patch

import numpy as np
import pytest
import torch
from PIL import Image

from srbench.images import ImageError
from srbench.images.io import quantize_round, read_image, read_uint8, write_png
from srbench.images.resize import downscale_uint8
from srbench.training import TrainingError, image_store
from srbench.training.image_store import decoded, downscaled
from srbench.training.patches import Patches


@dataclass(frozen=True)
class Config:
    """What of a preset concerns the data."""

    batch: int = 4
    patch: int = 16
    seed: int = 5


def random_image(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "srbench" / "images"


@pytest.fixture
def folder(tmp_path):
    for i, (height, width) in enumerate([(40, 33), (24, 50)]):
        write_png(tmp_path / "data" / f"{i}.png", random_image(height, width, i))
    return tmp_path / "data"


@pytest.fixture
def mixed(folder):
    """What a folder of somebody's own looks like: 16-bit grey, grey, alpha, palette, turned, one cut off, one text."""
    rgb = Image.fromarray(random_image(20, 30, 9).permute(1, 2, 0).numpy())
    below = folder / "a folder" / "with spaces"
    below.mkdir(parents=True)
    rgb.convert("L").save(below / "grey one.png")
    rgb.convert("P").save(folder / "palette.bmp")
    clear = rgb.convert("RGBA")
    clear.putpixel((0, 0), (1, 2, 3, 4))
    clear.save(folder / "alpha.png")
    Image.fromarray(np.arange(0, 60000, 100, dtype=np.uint16).reshape(20, 30)).save(folder / "wide.tif")
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb.save(folder / "turned.JPG", exif=exif)
    (folder / "cut off.png").write_bytes((folder / "0.png").read_bytes()[:700])
    (folder / "text.jpg").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    return folder


def test_every_kind_of_image_is_read_and_the_broken_ones_are_named(mixed):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = decoded([mixed])
    grey = "a folder/with spaces/grey one.png"
    files = ["0.png", "1.png", grey, "alpha.png", "palette.bmp", "turned.JPG", "wide.tif"]
    assert store.names == files
    for i, name in enumerate(files):
        with warnings.catch_warnings(action="ignore"):
            expected = quantize_round(read_image(mixed / name))
            assert torch.equal(read_uint8(mixed / name), expected)
        assert np.array_equal(store[i], expected.permute(1, 2, 0))
    assert store.sizes[files.index("turned.JPG")] == (30, 20)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2, messages
    assert (
        messages[0]
        == f"{mixed}/alpha.png: transparent pixels are composited over white, here and in other images of the folder"
    )
    assert messages[1].startswith("images left out: ")
    assert "cut off.png: damaged image" in messages[1]
    assert "text.jpg: not an image" in messages[1]


def test_lr_is_that_of_the_whole_image(folder):
    store = decoded([folder])
    smaller = downscaled(store, 4)
    for i, (height, width) in enumerate([(40, 32), (24, 48)]):
        expected = downscale_uint8(random_image(*store.sizes[i], i)[:, :height, :width], 4)
        assert np.array_equal(smaller[i], expected.permute(1, 2, 0))


def test_a_store_is_reused_until_the_folder_changes(folder, cache, monkeypatch):
    def refuse(path):
        raise AssertionError(path)

    first = downscaled(decoded([folder]), 4).sha256
    monkeypatch.setattr(image_store, "read_uint8", refuse)
    assert downscaled(decoded([folder]), 4).sha256 == first
    monkeypatch.setattr(image_store, "read_uint8", read_uint8)
    for change in (
        lambda: write_png(folder / "new.png", random_image(20, 20, 7)),
        lambda: (folder / "new.png").rename(folder / "renamed.png"),
        lambda: os.utime(folder / "renamed.png", ns=(0, 0)),
        lambda: (folder / "renamed.png").unlink(),
    ):
        change()
        monkeypatch.setattr(image_store, "read_uint8", refuse)
        with pytest.raises(AssertionError):
            decoded([folder])
        monkeypatch.setattr(image_store, "read_uint8", read_uint8)
        decoded([folder])
    stores = [path for path in cache.glob("*/*") if path.is_dir()]
    assert len(stores) == 1, "earlier states are removed"


def test_a_store_that_a_training_maps_is_removed_after_it(folder, cache):
    """Over NFS, removing it from another machine would end the training."""
    mapped = downscaled(decoded([folder]), 4)
    write_png(folder / "new.png", random_image(20, 20, 7))
    decoded([folder])
    assert mapped.folder.is_dir()
    assert np.array_equal(mapped[0], downscaled(decoded([folder]), 4)[0])
    del mapped
    (folder / "new.png").unlink()
    (folder / "0.png").unlink()
    last = decoded([folder]).folder
    assert [path for path in cache.glob("*/*") if path.is_dir()] == [last]


def test_a_damaged_store_is_made_again(folder):
    store = decoded([folder])
    expected = store[1].copy()
    (store.folder / "pixels").write_bytes((store.folder / "pixels").read_bytes()[:-1])
    assert np.array_equal(decoded([folder])[1], expected)
    (store.folder / "index.json").write_text("{")
    assert np.array_equal(decoded([folder])[1], expected)


def decode_when_told(folder, reading, go, said):
    """In a process of its own: tell when an image is being read, go on when told, say what came of it."""

    def read(path):
        reading.set()
        while not go.exists():  # no event: a process killed while it waits for one blocks all others
            time.sleep(0.01)
        return read_uint8(path)

    with patch.object(image_store, "read_uint8", read), patch("warnings.warn", lambda text, **_: said.put(text)):
        said.put(decoded([folder]).sha256)


@pytest.mark.slow
def test_a_killed_build_leaves_no_store_and_a_second_training_waits(folder, cache):
    context = multiprocessing.get_context("fork")
    go, said = folder.parent / "go", context.Queue()

    def start():
        reading = context.Event()
        process = context.Process(target=decode_when_told, args=(folder, reading, go, said), daemon=True)
        process.start()
        return process, reading

    killed, reading = start()
    assert reading.wait(600)
    killed.kill()
    killed.join(600)
    assert [path.suffix for path in cache.glob("*/*") if path.is_dir()] == [".part"]
    first, reading = start()
    assert reading.wait(600)
    second, reading = start()
    assert "another process is decoding images; waiting" in said.get(timeout=600)
    go.touch()
    results = [said.get(timeout=600) for _ in (first, second)]
    assert results[0] == results[1]
    assert not reading.is_set(), "the second found what the first had made"
    assert [path.suffix for path in cache.glob("*/*") if path.is_dir()] == [""]
    for process in (first, second):
        process.join(600)


def test_unusable_folders(tmp_path, folder):
    with pytest.raises(ImageError, match="missing, not a folder"):
        Patches([tmp_path / "absent"], 4, Config())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="contains no images"):
        Patches([tmp_path / "empty"], 4, Config())
    (tmp_path / "empty" / "bad.png").touch()
    with pytest.raises(TrainingError, match=r"none of 1 images can be used: .*bad\.png: not an image"):
        Patches([tmp_path / "empty"], 4, Config())
    with pytest.raises(TrainingError, match=r"none of 2 images gives patches of 44: 0\.png: 33x40 is smaller"):
        Patches([folder], 4, Config(patch=44))


def test_a_full_disk_leaves_no_half_store(folder, cache, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_store, "read_uint8", full)
    with pytest.raises(TrainingError, match=r"cannot be cached there \(No space left on device\); .* XDG_CACHE_HOME"):
        decoded([folder])
    assert not [path for path in cache.glob("*/*") if path.is_dir()]


def test_small_images_are_named_and_left_out(folder):
    whole = Patches([folder], 4, Config())
    with pytest.warns(UserWarning, match=r"images left out: 1\.png: 50x24 is smaller than the patch of 32"):
        patches = Patches([folder], 4, Config(patch=32))
    assert patches.origin == "1 image of the folder data"
    assert patches.fingerprint != whole.fingerprint
    write_png(folder / "tiny.png", random_image(3, 9, 0))
    with pytest.warns(UserWarning, match="tiny.png: 9x3 is smaller than the scale 4"):
        assert Patches([folder], 4, Config()).fingerprint == whole.fingerprint


def test_patches_are_aligned_and_cover_all_there_is(folder):
    """Every LR patch is a piece of a whole image's LR, turned like its HR patch; every piece and turn occurs."""
    whole = [(random_image(40, 33, 0)[..., :32]), random_image(24, 50, 1)[..., :48]]
    pieces = {
        (small.numpy().tobytes(), large.numpy().tobytes()): False
        for hr in whole
        for small, large in _all_pieces(hr, downscale_uint8(hr, 4))
    }
    patches = Patches([folder], 4, Config(batch=3000))
    lr, hr = ((images * 255).round().byte() for images in patches.batch(7))
    assert lr.shape == (3000, 3, 4, 4)
    assert hr.shape == (3000, 3, 16, 16)
    for pair in zip(lr, hr, strict=True):
        key = tuple(image.contiguous().numpy().tobytes() for image in pair)
        assert key in pieces
        pieces[key] = True
    assert sum(pieces.values()) > 0.99 * len(pieces)


def _all_pieces(hr, lr):
    for top in range(lr.shape[1] - 3):
        for left in range(lr.shape[2] - 3):
            small = lr[:, top : top + 4, left : left + 4]
            large = hr[:, 4 * top : 4 * top + 16, 4 * left : 4 * left + 16]
            for turns in range(4):
                pair = torch.rot90(small, turns, (1, 2)), torch.rot90(large, turns, (1, 2))
                yield from (tuple(p.contiguous() for p in pair), tuple(p.flip(-1).contiguous() for p in pair))


def equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_batches_depend_on_seed_and_step_alone(folder):
    patches = Patches([folder], 4, Config())
    expected = patches.batch(7)
    assert equal(Patches([folder], 4, Config()).batch(7), expected)
    assert not torch.equal(patches.batch(8)[1], expected[1])
    assert not torch.equal(Patches([folder], 4, Config(seed=6)).batch(7)[1], expected[1])


def test_two_processes_draw_together_what_one_draws(folder):
    patches = Patches([folder], 4, Config())
    shares = [patches.batch(7, rank, 2) for rank in range(2)]
    assert equal([torch.cat(parts) for parts in zip(*shares, strict=True)], patches.batch(7))


def test_drawing_ahead_changes_nothing(folder):
    patches = Patches([folder], 4, Config())
    for rank, world in ((0, 1), (1, 2)):
        ahead = patches.batches(3, rank, world)
        for step, batch in enumerate(islice(ahead, 6), start=3):
            assert equal(batch, patches.batch(step, rank, world))
        ahead.close()


def test_several_folders(folder, tmp_path):
    write_png(tmp_path / "more" / "0.png", random_image(20, 20, 3))
    patches = Patches([folder, tmp_path / "more"], 4, Config())
    assert decoded([folder, tmp_path / "more"]).names == ["0/0.png", "0/1.png", "1/0.png"]
    assert patches.origin == "3 images of the folder data, more"


def test_pairs(folder, tmp_path):
    """LR of one's own, another ending, HR larger than a multiple of the scale."""
    for i, (height, width) in enumerate([(10, 8), (6, 12)]):
        write_png(tmp_path / "lr" / f"{i}.bmp", random_image(height, width, 10 + i))
    patches = Patches([folder], 4, Config(), lr=[tmp_path / "lr"])
    lr, hr = patches.batch(0)
    made = {Patches([folder], 4, Config()).fingerprint, patches.fingerprint}
    assert len(made) == 2
    assert equal([hr], [Patches([folder], 4, Config()).batch(0)[1]])
    pieces = {
        small.numpy().tobytes()
        for i, size in enumerate([(10, 8), (6, 12)])
        for small, _ in _all_pieces(random_image(4 * size[0], 4 * size[1], 0), random_image(*size, 10 + i))
    }
    assert all(image.contiguous().numpy().tobytes() in pieces for image in (lr * 255).round().byte())


def test_pairs_named_as_those_of_div2k(folder, tmp_path):
    ending, plain, named = "x4", tmp_path / "plain", tmp_path / "named"
    for i, (height, width) in enumerate([(10, 8), (6, 12)]):
        write_png(plain / f"{i}.png", random_image(height, width, 10 + i))
        write_png(named / f"{i}{ending}.png", random_image(height, width, 10 + i))
    batches = [Patches([folder], 4, Config(), lr=[lr]).batch(0) for lr in (plain, named)]
    assert equal(*batches)
    with pytest.raises(TrainingError, match="are unpaired"):
        Patches([folder], 2, Config(), lr=[named])


def test_pairs_that_are_none(folder, tmp_path):
    write_png(tmp_path / "lr" / "0.png", random_image(10, 8, 0))
    with pytest.raises(TrainingError, match="these are unpaired: 1; add or remove"):
        Patches([folder], 4, Config(), lr=[tmp_path / "lr"])
    write_png(tmp_path / "lr" / "1.png", random_image(5, 12, 0))
    with pytest.warns(UserWarning, match=r"1\.png: HR of 50x24 is not 4 times LR of 12x5"):
        assert Patches([folder], 4, Config(), lr=[tmp_path / "lr"]).origin == "1 image of the folder data"
    write_png(tmp_path / "lr" / "1.jpg.png", random_image(6, 12, 0))
    (tmp_path / "lr" / "1.jpg.png").rename(tmp_path / "lr" / "1.bmp")
    with pytest.raises(TrainingError, match="differ only in the file extension"):
        Patches([folder], 4, Config(), lr=[tmp_path / "lr"])
