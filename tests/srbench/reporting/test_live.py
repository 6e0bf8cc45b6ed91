"""A run that is followed in a browser while it is going."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from filelock import FileLock

from srbench.reporting.page import live as following
from srbench.reporting.page.live import LiveRun, as_json
from srbench.reporting.report import write_report
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.growing import GrowingRun
from srbench.run_folder.results import rows_of


def being_written(run):
    """The lock of a run, held as by a process that writes."""
    (run / ".owner.json").write_text("{}")
    return FileLock(run / ".lock")


def append(run, name, lines):
    with (run / name).open("ab") as file:
        file.write(lines)


@pytest.fixture
def parts(make_run):
    """A run that lacks its rows of image b, and these lines."""
    values = {
        ("m", None): {"a": (20.0, 0.5), "b": (30.0, 0.25)},
        ("n", 0.8): {"a": ([1.0, 3.0], [0.5, 0.5]), "b": "broken"},
    }
    run = make_run("run", values)
    later = {}
    for name in ("samples.jsonl", "rows.jsonl"):
        lines = (run / name).read_bytes().splitlines(keepends=True)
        later[name] = [line for line in lines if json.loads(line)["image"] == "b"]
        (run / name).write_bytes(b"".join(line for line in lines if line not in later[name]))
    return run, later


def test_only_what_was_appended_is_read_and_the_means_are_those_of_a_report(parts):
    run, later = parts
    growing = GrowingRun(run)
    growing.update()
    assert (growing.reading, growing.done, growing.asked) == (1, 2, 4)
    assert growing.update() == []
    append(run, "samples.jsonl", b"".join(later["samples.jsonl"]))
    half = later["rows.jsonl"][0][:30]
    append(run, "rows.jsonl", half)
    growing.update()
    assert growing.done == 3, "what failed is finished, and half a line is none"
    append(run, "rows.jsonl", later["rows.jsonl"][0][30:])
    growing.update()
    assert growing.done == 3, "LPIPS is not measured yet"
    append(run, "rows.jsonl", b"".join(later["rows.jsonl"][1:]))
    assert [(line.image, line.metric) for line in growing.update()] == [("b", "lpips")]
    assert (growing.reading, growing.done) == (1, 4)
    assert [(one.sample.setting.model, one.sample.image) for one in growing.arrivals] == [
        ("m", "a"),
        ("n", "a"),
        ("n", "b"),
        ("m", "b"),
    ]
    for row in rows_of(RunFolder.read(run)):
        assert next(one for one in growing.arrivals if one.sample == row.sample).values.keys() == row.values.keys()
    means = {(setting.model, name): (mean.value, mean.images) for (setting, name), mean in growing.means.items()}
    assert means == {
        ("m", "psnr"): (25.0, 2),
        ("m", "lpips"): (0.375, 2),
        ("n", "psnr"): (2.0, 1),
        ("n", "lpips"): (0.5, 1),
    }


def test_a_value_that_is_measured_again_replaces_the_earlier_one(parts):
    run, _ = parts
    growing = GrowingRun(run)
    growing.update()
    line = json.loads((run / "rows.jsonl").read_text().splitlines()[0])
    append(run, "rows.jsonl", json.dumps(line | {"value": [26.0]}).encode() + b"\n")
    growing.update()
    [(mean)] = [one for (setting, name), one in growing.means.items() if (setting.model, name) == ("m", "psnr")]
    assert (mean.value, mean.images, len(growing.arrivals)) == (26.0, 1, 3)
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    growing.update()
    assert (growing.reading, growing.done, len(growing.arrivals)) == (2, 2, 2), "another manifest: all is read again"


def test_news_are_what_the_page_lacks(parts):
    run, later = parts
    live = LiveRun(run, lambda folder: True)
    assert live.state == "finished", "it was never seen at work"
    with being_written(run):
        first = live.news(0, 0)
        assert (first["state"], first["done"], first["asked"]) == ("measuring", 2, 4)
        assert first["means"] == [["20.00", "0.500", "1"], ["2.00", "0.500", "1"]]
        assert [row["file"] for row in first["rows"]] == ["images/m/a.png", "images/n-t0.8/a_sample0.png"]
        again = live.news(first["reading"], first["next"])
        assert again["rows"] == []
        assert as_json(again)[1] == as_json(live.news(first["reading"], first["next"]))[1]
        append(run, "samples.jsonl", b"".join(later["samples.jsonl"]))
        news = live.news(first["reading"], first["next"])
        assert [(row["setting"], row["error"]) for row in news["rows"]] == [("n τ=0.8", "broken")]
        assert as_json(news)[1] != as_json(again)[1]
        assert len(live.news(first["reading"] + 1, 2)["rows"]) == 3, "the page knows another reading"


def test_the_time_left_is_that_of_the_pace_since_the_command_began(make_run, monkeypatch):
    monkeypatch.setattr(following, "report_seconds", lambda items: 100.0)
    images = [f"{number:02}" for number in range(40)]
    run = make_run(
        "run",
        {("m", None): {one: (20.0, 0.5) for one in images[:10]}},
        images=images,
        invocation={"started": "1970-01-01T00:01:40+00:00"},
    )
    live = LiveRun(run, lambda folder: True, clock=lambda: 150.0)
    assert live.news(0, 0)["left"] == pytest.approx(50 / 10 * 30 + 100)


def test_the_time_left_is_unknown_until_every_model_is_and_weighs_them_by_their_seconds(parts):
    run, later = parts
    lines = (run / "rows.jsonl").read_bytes().splitlines(keepends=True)
    (run / "rows.jsonl").write_bytes(b"".join(line for line in lines if json.loads(line)["model"] == "m"))
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"then"', '"1970-01-01T00:00:00+00:00"'))
    live = LiveRun(run, lambda folder: True, clock=lambda: 90.0)
    assert live.news(0, 0)["left"] is None, "nothing of n is measured"
    slow = [json.loads(line) | {"seconds": 10.0} for line in lines if json.loads(line)["model"] == "n"]
    append(run, "rows.jsonl", "".join(f"{json.dumps(line)}\n" for line in slow).encode())
    assert live.news(0, 0)["left"] == pytest.approx(90 + following.report_seconds(4)), "half of the work"
    append(run, "samples.jsonl", b"".join(later["samples.jsonl"]))
    fast = b"".join(line for line in later["rows.jsonl"] if json.loads(line)["model"] == "m")
    append(run, "rows.jsonl", fast)
    news = live.news(0, 0)
    assert (news["done"], news["left"]) == (4, pytest.approx(following.report_seconds(4))), "the report alone"


def test_the_end_waits_for_the_report_of_the_run(parts):
    run, _ = parts
    now, older = [1000.0], [True]
    live = LiveRun(run, lambda folder: older[0], clock=lambda: now[0])
    with being_written(run):
        assert live.state == "measuring"
    assert live.state == "ended", "the run may be about to write its report"
    now[0] += following.GRACE + 1
    (run / ".report.lock").touch()
    with FileLock(run / ".report.lock"):
        assert live.state == "ended"
    assert live.state == "finished", "it wrote none"
    now[0] -= following.GRACE
    older[0] = False
    assert live.state == "finished"


def test_the_server_follows_a_run_that_is_going_and_serves_the_report_of_any_other(parts, served):
    run, _ = parts
    write_report([run], ["html"])
    server = served(run)

    def ask(path="", **headers):
        try:
            with urllib.request.urlopen(
                urllib.request.Request(server.address + path, headers=headers), timeout=60
            ) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    assert 'id="results"' in ask()[2]
    assert ask()[2].count("/.live") == 0, "the report asks for nothing"
    with being_written(run):
        assert 'class="live"' in ask()[2]
        status, headers, text = ask(".live/rows?reading=0&after=0")
        assert (status, json.loads(text)["done"]) == (200, 2)
        assert ask(".live/rows?reading=0&after=0", **{"If-None-Match": headers["ETag"]})[0] == 304
        assert ask(".live/rows?reading=x")[0] == 400
        assert ask(".live/rows?" + "after=0&" * 9)[0] == 404
        append(run, "rows.jsonl", b"nonsense\n")
        status, _, text = ask(".live/rows?reading=0&after=0")
        assert (status, "is damaged" in text) == (409, True)


def test_rows_arrive_in_the_browser_without_a_flicker_and_the_report_follows(slow_run, browser, served):
    run, let, _ = slow_run
    complaints, requests, pages = [], [], []
    server = served(run)
    page = browser.new_page(viewport={"width": 1000, "height": 400})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.on("framenavigated", lambda frame: pages.append(frame.url))
    page.goto(server.address)
    page.wait_for_function("() => document.querySelectorAll('#rows tbody tr').length >= 2")
    page.evaluate("""() => {
        scrollTo(0, 150);
        [window.rows, window.fewer] = [0, 0];
        new MutationObserver(() => {
            const now = document.querySelectorAll("#rows tbody tr").length;
            window.fewer += now < window.rows;
            window.rows = now;
        }).observe(document.body, { childList: true, subtree: true, characterData: true });
    }""")
    for count in (10, 20, 30):
        let(count)
        page.wait_for_function(f"() => document.querySelectorAll('#rows tbody tr').length >= {count}", timeout=60000)
        assert "of 40 outputs measured" in page.locator("#state").inner_text()
        cells = page.locator("#means tbody tr").inner_text().split("\t")
        assert (float(cells[1]) > 5, int(cells[-1]) >= count) == (True, True), cells
        assert page.evaluate("scrollY") == 150
    assert "left with the report" in page.locator("#state").inner_text()
    assert page.evaluate("[window.fewer, document.querySelectorAll('#means tbody tr').length]") == [0, 1]
    assert len(pages) == 1, "it was never loaded again"
    let(99)
    page.wait_for_selector("#results", timeout=200000)
    assert len(pages) == 2
    assert "40 images of" in page.locator(".lead").inner_text()
    assert {
        url.removeprefix(server.address).partition("?")[0].partition("#")[0] for url in requests if ".live" in url
    } == {".live/rows"}
    assert all(url.startswith((server.address, "data:", "blob:")) for url in requests)
    assert complaints == []
