from srbench.system.file_names import unknown


def test_a_near_miss_is_offered():
    assert unknown("model", "srflov", ["srflow", "bicubic"]) == (
        "unknown model 'srflov'; did you mean srflow? available: bicubic, srflow"
    )


def test_a_far_miss_lists_what_there_is():
    assert unknown("metric", "xyz", ["psnr"]) == "unknown metric 'xyz'; available: psnr"
    assert unknown("metric", "xyz", []) == "unknown metric 'xyz'; available: none"
