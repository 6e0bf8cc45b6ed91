import pytest

from srbench.terminal.time_left import TimeLeft


def clocked(later=0.0):
    now = [0.0]
    return now, TimeLeft(lambda: now[0], later)


@pytest.mark.parametrize(
    ("later", "steps"),
    [
        pytest.param(30, [(0, 0, None), (10, 0.1, 120), (15, 0.1, 115), (40, 0.5, 70)], id="stages after it count"),
        pytest.param(0, [(100, 0, None), (110, 0.5, 10)], id="what came before a stage is not its pace"),
        pytest.param(0, [(0, 0.5, None), (10, 0.75, 10)], id="what was done before took no time"),
        pytest.param(0, [(0, 0, None), (100, 1, 0), (100, 0, 0), (102, 0.5, 2)], id="the next run begins at 0"),
        pytest.param(0, [(0, 0, None), (10, 0.5, 10), (10, 0.25, 30)], id="a share that turns out smaller counts"),
        pytest.param(0, [(0, 0, None), (1, 0.5, 1), (9, 0.5, 0)], id="late is not negative"),
    ],
)
def test_seconds_at_every_step(later, steps):
    now, left = clocked(later)
    for moment, share, seconds in steps:
        now[0] = moment
        left.reached(share)
        assert left.seconds() == seconds


def test_the_next_stage_has_a_pace_of_its_own():
    now, left = clocked(later=30)
    left.reached(0.0)
    now[0] = 100
    left.reached(1.0)
    left.next_stage()
    assert left.seconds() == 30
    now[0] = 105
    left.reached(0.0)
    assert left.seconds() == 25, "what was expected of it counts down until its own pace is known"
    now[0] = 107
    left.reached(0.25)
    assert left.seconds() == 6
