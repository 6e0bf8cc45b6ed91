from srbench.system.time_left import TimeLeft


def clocked():
    now = [0.0]
    return now, TimeLeft(lambda: now[0])


def test_the_stage_under_way_and_those_after_it():
    now, left = clocked()
    left.later = 30
    left.reached(0.0)
    assert left.seconds() is None, "nothing is known of its pace"
    now[0] = 10
    left.reached(0.1)
    assert left.seconds() == 90 + 30
    now[0] = 15
    left.reached(0.1)
    assert left.seconds() == 85 + 30, "counts down until more is done"
    now[0] = 40
    left.reached(0.5)
    assert left.seconds() == 40 + 30


def test_what_came_before_a_stage_is_not_its_pace():
    """Models are opened, and processes started, before the first item begins."""
    now, left = clocked()
    now[0] = 100
    left.reached(0.0)
    now[0] = 110
    left.reached(0.5)
    assert left.seconds() == 10


def test_the_next_stage_has_a_pace_of_its_own():
    now, left = clocked()
    left.later = 30
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


def test_late_is_not_negative():
    now, left = clocked()
    left.reached(0.0)
    now[0] = 1
    left.reached(0.5)
    now[0] = 9
    assert left.seconds() == 0


def test_what_was_done_before_took_no_time():
    now, left = clocked()
    left.reached(0.5)
    assert left.seconds() is None
    now[0] = 10
    left.reached(0.75)
    assert left.seconds() == 10


def test_the_next_run_of_several_begins_at_0():
    now, left = clocked()
    left.reached(0.0)
    now[0] = 100
    left.reached(1.0)
    left.reached(0.0)
    now[0] = 102
    left.reached(0.5)
    assert left.seconds() == 2


def test_a_share_that_turns_out_smaller_counts():
    """Costs become known as images are done."""
    now, left = clocked()
    left.reached(0.0)
    now[0] = 10
    left.reached(0.5)
    assert left.seconds() == 10
    left.reached(0.25)
    assert left.seconds() == 30
