from srbench.system.file_names import number_of


def test_one_and_many():
    counted = [number_of(count, "image") for count in (0, 1, 2)]
    assert counted == ["0 images", "1 image", "2 images"]
    assert (number_of(1, "is", "are"), number_of(3, "is", "are")) == ("1 is", "3 are")
