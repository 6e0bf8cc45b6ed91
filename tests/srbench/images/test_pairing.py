"""Which images of two folders belong together, and the scale of their sizes."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from srbench.images import ImageError
from srbench.images.folders import images_in
from srbench.images.pairing import partners, scale_of_pairs, scale_of_sizes


def paired(hr: str, lr: str, scale: int | None = 4) -> str:
    files = {name: Path(f"{name}.png") for name in lr.split()}
    return " ".join(path.stem for path in partners(hr.split(), "hr", files, "lr", scale).values())


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("a b", "a b"),
        ("a b", "ax4 bx4"),
        ("a b", "a_x4 b_x4"),
        ("a ax4", "a ax4"),
        ("a ax4", "ax4 ax4x4"),
        ("a ax4 ax4x4", "a ax4 ax4x4"),
        ("ax4 bx4", "ax4 bx4"),
        ("ax4 bx4", "ax4x4 bx4x4"),
        ("a_ a", "a_x4 ax4"),
        ("x4 x4x4", "x4 x4x4"),
        ("a.b x2", "a.bx4 x2x4"),
    ],
)
def test_pairs_by_name(hr, lr):
    """The partner of every name is at the same place in the list, whatever the order of the files."""
    assert paired(hr, lr) == lr
    assert paired(hr, " ".join(reversed(lr.split()))) == lr
    assert paired(hr, lr, None) == lr


@pytest.mark.parametrize(
    ("hr", "lr", "fault"),
    [
        ("a", "a ax4 ax4x4", "hr lacks ax4, ax4x4"),
        ("a", "a ax4", "hr lacks ax4"),
        ("a", "ax4 a_x4", "hr lacks a_"),
        ("a ax4", "a ax4 ax4x4", "hr lacks ax4x4"),
        ("ant bat", "ant batx4", r"lr lacks bat \(nearest: batx4\); hr lacks batx4 \(nearest: bat\)"),
        ("a b", "ax4 b_x4", "lr lacks bx4"),
        ("a b", "ax2 bx2", "lr lacks a"),
        ("a b", "ax4 bx2", r"lr lacks bx4 \(nearest: bx2\)"),
        ("ax4", "a", "lr lacks ax4"),
        (
            "books boats",
            "book boats",
            r"lr lacks books \(nearest: book\); hr lacks book \(nearest: books\); add, rename",
        ),
    ],
)
def test_names_without_a_partner_are_never_paired(hr, lr, fault):
    with pytest.raises(ImageError, match=f"images are paired by name, but .*{fault}"):
        paired(hr, lr)


def test_an_image_that_is_there_twice_is_refused():
    with pytest.raises(ImageError, match="lr: b and bx4 both belong to b; move one of them away"):
        paired("a b", "ax4 bx4 b")


def test_a_scale_in_the_names_that_is_not_known_has_to_be_one():
    assert paired("a b", "ax2 bx2", None) == "ax2 bx2"
    with pytest.raises(ImageError, match="lacks"):
        paired("a b", "ax2 bx3", None)


def test_the_scale_of_sizes():
    assert scale_of_sizes([("a", (100, 96), (25, 24)), ("b", (103, 99), (25, 24)), ("c", (101, 97), (26, 25))]) == 4
    assert scale_of_sizes([("a", (100, 96), (0, 0)), ("b", (48, 48), (16, 16))]) == 3
    assert scale_of_sizes([("a", (100, 96), (100, 96)), ("b", (48, 48), (48, 48))]) == 1
    assert scale_of_sizes([("a", (0, 0), (4, 4))]) is None


@pytest.mark.parametrize(("name", "scale"), [("a", 4), ("ax4", 4), ("a_x4", 4), ("ax2", None)])
def test_the_scale_of_pairs_is_that_of_sizes_and_names(tmp_path, name, scale):
    Image.new("RGB", (25, 24)).save(tmp_path / f"{name}.png")

    def found():
        return scale_of_pairs({"a": (100, 96)}, "hr", images_in(tmp_path), "lr")

    if scale is None:
        with pytest.raises(ImageError, match="lr lacks a; hr lacks ax2"):
            found()
    else:
        assert found() == scale


@pytest.mark.parametrize(
    ("sizes", "fault"),
    [
        (
            [((100, 96), (25, 24)), ((100, 96), (50, 48))],
            r"pairs differ in scale \(0 4 times, 1 2 times as large as LR\)",
        ),
        (
            [((100, 96), (25, 24)), ((100, 96), (40, 40))],
            "1: 100x96 is not a whole number of times as large as LR of 40x40",
        ),
        ([((100, 96), (99, 96))], "0: 100x96 is not a whole number"),
        ([((25, 24), (100, 96))], "0: 25x24 is smaller than its LR image of 100x96; exchange"),
        ([((25, 24), (100, 96)), ((100, 96), (25, 24))], "0: 25x24 is not a whole number"),
        ([((96, 100), (25, 24))], "0: 96x100 is not a whole number"),
    ],
)
def test_sizes_of_no_common_scale(sizes, fault):
    with pytest.raises(ImageError, match=fault):
        scale_of_sizes((str(place), *pair) for place, pair in enumerate(sizes))
