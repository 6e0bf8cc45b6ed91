from srbench.words import number_of, unknown


def test_a_near_miss_is_offered():
    assert unknown("model", "srflov", ["srflow", "bicubic"]) == (
        "unknown model 'srflov'; did you mean srflow? available: bicubic, srflow"
    )


def test_a_far_miss_lists_what_there_is():
    assert unknown("metric", "xyz", ["psnr"]) == "unknown metric 'xyz'; available: psnr"
    assert unknown("metric", "xyz", []) == "unknown metric 'xyz'; available: none"


def test_one_and_many():
    counted = [number_of(count, "image") for count in (0, 1, 2)]
    assert counted == ["0 images", "1 image", "2 images"]
    assert (number_of(1, "is", "are"), number_of(3, "is", "are")) == ("1 is", "3 are")
