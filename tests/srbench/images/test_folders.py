import pytest

from srbench.images import ImageError
from srbench.images.folders import images_in


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


def test_no_images(tmp_path):
    with pytest.raises(ImageError, match="contains no images"):
        images_in(tmp_path)
    with pytest.raises(ImageError, match="missing, not a folder"):
        images_in(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="a file, not a folder"):
        images_in(tmp_path / "file")
