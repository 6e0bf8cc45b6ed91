import shutil

import pytest
import torch
from builders import flat

from srbench.data import DataError
from srbench.data.datasets import Folder, PairedFolders, cropped, scale_of_folders
from srbench.images import ImageError
from srbench.images.io import quantize_floor, read_image, write_png
from srbench.images.resize import downscale_uint8
from srbench.interfaces import SRBenchError


def levels(image):
    """[0, 1] -> uint8, exactly: fails where a value is no multiple of 1/255."""
    assert torch.equal(image.mul(255).round().div(255), image)
    return image.mul(255).round().to(torch.uint8)


def test_hr_only_is_cropped_to_a_multiple_and_shrunk(photos):
    pair = Folder(photos, 4).read("b")  # 33 x 42
    hr = quantize_floor(read_image(photos / "b.png"))[:, :32, :40]
    assert torch.equal(levels(pair.hr), hr)
    assert torch.equal(levels(pair.lr), downscale_uint8(hr, 4))
    assert (pair.name, pair.uncropped) == ("b", (33, 42))
    assert Folder(photos, 3).read("b").uncropped is None


def test_crop_takes_the_centre_of_hr_before_lr_is_made(photos):
    pair = cropped(Folder(photos, 4), 4, 22).read("c")  # 40 x 32
    hr = quantize_floor(read_image(photos / "c.png"))[:, 9:29, 5:25]
    assert torch.equal(levels(pair.hr), hr)
    assert torch.equal(levels(pair.lr), downscale_uint8(hr, 4))


@pytest.mark.parametrize("data", ["folder", "pairs"])
def test_a_crop_larger_than_an_image_is_refused(photos, pairs, data):
    dataset = Folder(photos, 4) if data == "folder" else PairedFolders(*pairs, 4)
    assert cropped(dataset, 4, 32).read("c").hr.shape == (3, 32, 32)
    with pytest.raises(DataError, match=r"c(\.png)?: 32x40 is smaller than the crop of 36; choose a smaller --crop$"):
        cropped(dataset, 4, 36).read("c")


@pytest.fixture
def pairs(photos, tmp_path):
    """HR and LR folders, LR with other values than resize makes."""
    for name in ("a", "c", "d"):
        hr = quantize_floor(read_image(photos / f"{name}.png"))
        write_png(tmp_path / "hr" / f"{name}.png", hr)
        write_png(tmp_path / "lr" / f"{name}.png", hr[:, ::4, ::4])
    return tmp_path / "hr", tmp_path / "lr"


def test_pairs_are_taken_as_they_are(pairs):
    dataset = PairedFolders(*pairs, 4)
    assert (dataset.name, list(dataset), len(dataset)) == (pairs[0].parent.name, ["a", "c", "d"], 3)
    pair = dataset.read("c")
    assert torch.equal(pair.lr, pair.hr[:, ::4, ::4])


def test_hr_of_pairs_is_cropped_to_a_multiple(photos, pairs):
    hr, lr = pairs
    shutil.copy(photos / "b.png", hr)  # 33 x 42
    write_png(lr / "b.png", torch.zeros(3, 8, 10, dtype=torch.uint8))
    assert scale_of_folders(hr, lr) == 4
    pair = PairedFolders(hr, lr, 4).read("b")
    assert torch.equal(pair.hr, read_image(photos / "b.png")[:, :32, :40])
    assert pair.uncropped == (33, 42)
    write_png(lr / "b.png", torch.zeros(3, 9, 10, dtype=torch.uint8))
    with pytest.raises(
        DataError, match="b: HR of 42x33 is not 4 times LR of 10x9; crop LR to 10x8 at the right and bottom"
    ):
        PairedFolders(hr, lr, 4).read("b")


def test_pairs_are_cropped_alike(pairs):
    pair = cropped(PairedFolders(*pairs, 4), 4, 23).read("c")  # LR 10 x 8 -> 5 x 5 from 2, 1
    whole = read_image(pairs[0] / "c.png")
    assert torch.equal(pair.hr, whole[:, 8:28, 4:24])
    assert torch.equal(pair.lr, pair.hr[:, ::4, ::4])


def test_every_name_without_a_partner_is_named(pairs):
    hr, lr = pairs
    (hr / "a.png").rename(hr / "x.png")
    (lr / "d.png").rename(lr / "y.png")
    with pytest.raises(ImageError) as caught:
        PairedFolders(hr, lr, 4)
    assert f"{lr} lacks d, x; {hr} lacks a, y" in str(caught.value)


@pytest.mark.parametrize("ending", ["x4", "_x4"])
def test_lr_may_be_named_by_its_scale(pairs, ending):
    hr, lr = pairs
    plain = PairedFolders(hr, lr, 4)
    expected, digest = plain.read("c"), plain.digest("c")
    for path in sorted(lr.iterdir()):
        path.rename(lr / f"{path.stem}{ending}.png")
    assert scale_of_folders(hr, lr) == 4
    dataset = PairedFolders(hr, lr, 4)
    assert list(dataset) == ["a", "c", "d"]
    assert torch.equal(dataset.read("c").lr, expected.lr)
    assert dataset.digest("c") == digest
    with pytest.raises(ImageError, match="lr lacks a, c, d"):
        PairedFolders(hr, lr, 2)
    (lr / f"a{ending}.png").rename(lr / "a.png")
    with pytest.raises(ImageError, match=f"lr lacks a{ending}; add, rename"):
        PairedFolders(hr, lr, 4)


def test_the_ending_may_differ(pairs):
    from PIL import Image

    hr, lr = pairs
    with Image.open(lr / "a.png") as image:
        image.save(lr / "a.bmp")
    (lr / "a.png").unlink()
    assert len(PairedFolders(hr, lr, 4)) == 3


def test_sizes_that_do_not_fit(pairs):
    with pytest.raises(DataError, match="c: HR of 32x40 is not 8 times LR of 8x10; give the scale they were made with"):
        PairedFolders(*pairs, 8).read("c")


def test_digest_follows_bytes_scale_and_crop(photos, pairs):
    plain = Folder(photos, 4).digest("a")
    others = [
        Folder(photos, 4).digest("c"),
        Folder(photos, 2).digest("a"),
        Folder(photos, 4, crop=16).digest("a"),
        PairedFolders(*pairs, 4).digest("a"),
        PairedFolders(*pairs, 2).digest("a"),
        cropped(PairedFolders(*pairs, 4), 4, 16).digest("a"),
        cropped(PairedFolders(*pairs, 4), 4, 20).digest("a"),
    ]
    assert len({plain, *others}) == len(others) + 1
    shutil.copy(photos / "c.png", photos / "a.png")
    assert Folder(photos, 4).digest("a") == others[0], "the name does not matter"


def test_damage_harms_one_image_only(photos):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:300])
    dataset = Folder(photos, 4)
    with pytest.raises(ImageError, match=r"b\.png: damaged image"):
        dataset.read("b")
    assert dataset.digest("b")
    assert dataset.read("a").hr.shape == (3, 32, 32)
    (photos / "b.png").unlink()
    with pytest.raises(SRBenchError, match=r"b\.png: cannot be read"):
        dataset.digest("b")


def test_images_below_the_scale(tmp_path):
    write_png(tmp_path / "dot.png", torch.zeros(3, 3, 9, dtype=torch.uint8))
    with pytest.raises(DataError, match=r"dot\.png: 9x3 is smaller than the scale 4"):
        Folder(tmp_path, 4).read("dot")


@pytest.mark.parametrize("open_dataset", [Folder, lambda folder, scale: PairedFolders(folder, folder, scale)])
def test_crop_below_the_scale(photos, open_dataset):
    with pytest.raises(DataError, match="a crop of 3 leaves no LR pixel at scale 4"):
        cropped(open_dataset(photos, 4), 4, 3)


def test_a_folder_called_hr_is_named_after_the_folder_around_it(tmp_path):
    for name in ("HR", "LR"):
        write_png(tmp_path / "Set5" / name / "a.png", flat(1, 8 if name == "HR" else 2))
    folder = tmp_path / "Set5" / "HR"
    paired = PairedFolders(folder, tmp_path / "Set5" / "LR", 4)
    assert (Folder(folder, 4).name, paired.name) == ("Set5", "Set5")
    assert paired.lr_origin == "from a folder, paired with HR by name"
