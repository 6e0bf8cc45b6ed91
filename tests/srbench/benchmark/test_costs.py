from srbench.benchmark.costs import Costs
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import ImageDigest, SampleRecord, ScoreRecord

FAST, SLOW = Setting("bicubic", None), Setting("srflow", 0.8)


def planned(setting, images="abcd", *, sampled=True):
    return [((setting, sampled), image) for image in images]


def sampled(setting, image, seconds):
    outputs = (ImageDigest("0" * 64, "0" * 64),)
    return SampleRecord("key", image, 0, 1, "", setting.model, setting.temperature, "", outputs, seconds, None)


def measured(setting, image, seconds):
    key = ("key", image, 0, 1, "", setting.model, setting.temperature)
    return ScoreRecord(*key, "psnr", "v1", 20.0, "key", seconds)


def spent(costs, image):
    """One second of bicubic and nine of srflow, of which sampling takes eight."""
    for line in (
        sampled(FAST, image, 0.5),
        measured(FAST, image, 0.5),
        sampled(SLOW, image, 8),
        measured(SLOW, image, 1),
    ):
        costs.add(line)


def test_items_count_by_what_they_cost():
    costs = Costs([*planned(FAST), *planned(SLOW)])
    spent(costs, "a")
    assert costs.share(0.25) == 0, "an image may begin with settings that cost little"
    costs.is_known = True
    assert costs.share(0.25) == 10 / 40
    costs.add(sampled(FAST, "b", 1))
    assert costs.share(3 / 8) == 11 / 40, "a third of the items would be 3 / 8"
    for image in "bcd":
        spent(costs, image)
    assert costs.share(1.0) == 1


def test_values_alone_cost_less_than_samples():
    costs = Costs([*planned(SLOW, "a"), *planned(SLOW, "bcd", sampled=False)], is_known=True)
    costs.add(sampled(SLOW, "a", 8))
    costs.add(measured(SLOW, "a", 1))
    costs.add(measured(SLOW, "b", 1))
    assert costs.share(0.5) == 10 / 12


def test_what_fails_or_takes_no_time():
    assert Costs(planned(FAST), is_known=True).share(0.25) == 0.25
    costs = Costs([*planned(FAST), *planned(SLOW)], is_known=True)
    costs.add(sampled(FAST, "a", 1))
    assert costs.share(0.25) == 0.25, "all of the other one have failed"


def test_larger_images_cost_more_and_an_item_under_way_counts_half():
    costs = Costs(planned(SLOW), {"a": 1, "b": 1, "c": 2, "d": 6}, is_known=True)
    costs.add(sampled(SLOW, "a", 3))
    assert costs.share(0.25) == 3 / 30
    costs.begin(SLOW, "a")
    assert costs.share(0.25) == 3 / 30
    costs.begin(SLOW, "d")
    assert costs.share(0.25) == 12 / 30
