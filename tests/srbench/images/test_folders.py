import pytest

from srbench.images import ImageError
from srbench.images.folders import groups_of, images_below, images_in


def test_names_are_sorted_and_other_files_passed_over(tmp_path):
    for name in ("b.PNG", "a.jpeg", "10.tif", "9.webp", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert list(images_in(tmp_path)) == ["10", "9", "a", "b"]
    assert images_in(tmp_path)["b"] == tmp_path / "b.PNG"


def test_images_of_one_name_are_left_out_with_one_warning(tmp_path):
    for name in ("a.png", "a.jpg", "b.tif", "b.bmp"):
        (tmp_path / name).touch()
    with pytest.raises(ImageError, match=r"a\.jpg and a\.png; b\.bmp and b\.tif share a name"):
        images_in(tmp_path)
    (tmp_path / "c.png").touch()
    with pytest.warns(UserWarning, match=r"left out of .*: a\.jpg and a\.png; b\.bmp and b\.tif share a name") as heard:
        assert list(images_in(tmp_path)) == ["c"]
    assert len(heard) == 1


@pytest.mark.parametrize("listing", [images_in, images_below])
def test_images_of_other_formats_are_named_once(tmp_path, listing):
    for name in ("a.png", "c.GIF", "b.gif", "e.ppm", "f.gif", "notes.txt", ".hidden.gif"):
        (tmp_path / name).touch()
    with pytest.warns(UserWarning) as heard:  # noqa: PT030 - the whole text is compared
        assert len(listing(tmp_path)) == 1
    supported = ".png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp"
    assert [str(each.message) for each in heard] == [
        f"left out of {tmp_path}: b.gif, c.GIF, e.ppm and 1 more; supported are {supported}"
    ]


def test_clips_without_images_are_named_once(tmp_path):
    for name in ("000/0.png", "001/notes.txt", "002/0.gif", "003/deep/0.png", ".hidden/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning) as heard:  # noqa: PT030 - the whole text is compared
        assert list(images_in(tmp_path)) == ["000-0"]
    left_out, empty = (str(each.message) for each in heard)
    assert left_out.startswith(f"left out of {tmp_path}: 002/0.gif; supported are .png")
    assert empty == f"no images in {tmp_path}/001, {tmp_path}/002, {tmp_path}/003"


def test_no_images(tmp_path):
    with pytest.raises(ImageError, match="contains no images"):
        images_in(tmp_path)
    with pytest.raises(ImageError, match="missing, not a folder"):
        images_in(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="a file, not a folder"):
        images_in(tmp_path / "file")


def test_images_in_subfolders_are_those_of_clips(tmp_path):
    """An image is called after its clip; images beside the clips, if there are any, are the only ones."""
    for name in ("001/00000.png", "000/00001.png", "000/00000.JPG", "000/notes.txt", "000/deep/0.png", ".hidden/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    images = images_in(tmp_path)
    assert list(images) == ["000-00000", "000-00001", "001-00000"]
    assert images["000-00000"] == tmp_path / "000" / "00000.JPG"
    assert groups_of(images) == {"000-00000": "000", "000-00001": "000", "001-00000": "001"}
    assert groups_of({"000-00000": tmp_path / "000" / "00000x4.png"}) == {"000-00000": "000"}
    (tmp_path / "a.png").touch()
    assert list(images_in(tmp_path)) == ["a"]
    assert groups_of(images_in(tmp_path)) == {}
    assert groups_of({"baby": tmp_path / "baby_SRF_4_HR.png"}) == {}


def test_images_of_clips_that_share_a_name_are_left_out(tmp_path):
    for name in ("a/b-0.png", "a-b/0.png", "a/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.warns(UserWarning, match=r"a/b-0\.png and a-b/0\.png share a name"):
        assert list(images_in(tmp_path)) == ["a-1"]


@pytest.mark.parametrize("name", ["HR", "test_LR", "GTmod12", "LRbicx4", "DIV2K_train_HR", "lr-x4", "LRx4"])
def test_groups_of_hr_and_lr_are_no_clips(tmp_path, name):
    for clip in (name, "walrus"):
        (tmp_path / clip).mkdir()
        (tmp_path / clip / "0.png").touch()
    with pytest.raises(ImageError, match=rf"contains no images; .*/{name} contains some: name that folder$"):
        images_in(tmp_path)


def test_clips_may_have_hr_or_lr_inside_their_names(tmp_path):
    for clip in ("three", "gtx", "chrome", "hrvatska", "train", "lrs"):
        (tmp_path / clip).mkdir()
        (tmp_path / clip / "0.png").touch()
    assert len(images_in(tmp_path)) == 6
