import pytest

from srbench.images import ImageError
from srbench.images.folders import images_in


def test_names_are_sorted_and_other_files_passed_over(tmp_path):
    for name in ("b.PNG", "a.jpeg", "10.tif", "9.webp", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert list(images_in(tmp_path)) == ["10", "9", "a", "b"]
    assert images_in(tmp_path)["b"] == tmp_path / "b.PNG"


def test_two_images_of_one_name(tmp_path):
    (tmp_path / "a.png").touch()
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError, match=r"a\.jpg and a\.png share a name"):
        images_in(tmp_path)


def test_no_images(tmp_path):
    with pytest.raises(ImageError, match="contains no images"):
        images_in(tmp_path)
    with pytest.raises(ImageError, match="missing, not a folder"):
        images_in(tmp_path / "absent")
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="a file, not a folder"):
        images_in(tmp_path / "file")
