"""The leaderboard of twenty small runs, some of them damaged: its files, and its page in Chromium."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from srbench.run_folder.protocol import Setting

EVIL_RUN = "set-a/<script>alert(1)<:script>&"


@pytest.fixture(scope="module")
def site(twenty, srbench, tmp_path_factory):
    """Folder of the leaderboard."""
    out = tmp_path_factory.mktemp("site")
    done = srbench("index", twenty, "--out", out)
    assert done.exit_code == 0, done.output
    assert "16 runs in 7 tables; 4 not ranked" in done.output
    return out


@pytest.fixture(scope="module")
def facts(site):
    return json.loads((site / "index.json").read_text())


@pytest.fixture(scope="module")
def page(site, browser):
    """The page at 1440 pixels; every request and message of the browser is in page.seen."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.seen = []
    page.on("request", lambda request: page.seen.append(request.url))
    page.on("console", lambda message: page.seen.append(message.text))
    page.on("pageerror", lambda error: page.seen.append(str(error)))
    page.on("dialog", lambda dialog: page.seen.append(dialog.message))
    page.goto((site / "index.html").as_uri())
    return page


@pytest.fixture(autouse=True)
def fresh(request):
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        page.reload()
        page.set_viewport_size({"width": 1440, "height": 900})


def shown(page):
    return page.locator(".board tbody:not(.heading) tr:visible > th").all_inner_texts()


def test_equal_pixels_share_a_table_whatever_their_name(facts):
    tables = {
        (*one["datasets"], one["scale"], one["suite"], one["images"], one["crop"]): one for one in facts["tables"]
    }
    assert sorted(map(str, tables)) == sorted(
        map(
            str,
            [
                ("copy-of-a", "set-a", 4, "srflow@1", 7, None),
                ("set-a", 4, "srflow@1", 4, None),
                ("set-a", 4, "srflow@1", 7, 24),
                ("set-a", 8, "srflow@1", 7, None),
                ("set-a", 4, "classic-y@1", 7, None),
                ("set-b", 4, "classic-y@1", 7, None),
                ("set-b", 4, "srflow@1", 7, None),
            ],
        )
    )


def test_models_are_rows_with_all_their_runs(facts, twenty):
    rows = {one["label"]: one for one in facts["tables"][0]["rows"]}
    assert set(rows) == {
        "bicubic",
        "near",
        "noisy τ=0.8 (2 samples, seed 0)",
        "noisy τ=0.3",
        "noisy τ=0.8 (2 samples, seed 1)",
    }
    names = [Path(run).name for run in rows["near"]["runs"]]
    assert names == ["three", "three", "<script>alert(1)<:script>&", "other-name"]
    assert rows["near"]["state"] == "verified"
    assert rows["noisy τ=0.8 (2 samples, seed 1)"]["state"] == "unverified"
    assert rows["bicubic"]["cells"]["psnr"]["rank"] == 1


def test_a_run_is_verified_when_and_how_much_or_listed_apart_with_its_rule(facts, site, twenty):
    standing = {os.path.relpath(os.path.normpath(site / name), twenty): one for name, one in facts["runs"].items()}
    assert standing["set-a/three"]["words"].endswith(": 56 of 84 values and 0 of 28 items")
    assert {name for name, one in standing.items() if one["state"] == "verified"} == {"set-a/three", "set-b/three"}
    apart = {Path(one["name"]).name: one for one in facts["apart"]}
    assert {name: one["rule"] for name, one in apart.items()} == {
        "image": "SRB002",
        "row": "SRB001",
        "torn": "",
        "value": "SRB001",
    }
    assert str(twenty.parent) not in apart["torn"]["text"], "a page for others names no folder of this machine"


def test_a_proof_of_other_sums_is_void(twenty, srbench, tmp_path):
    shutil.copytree(twenty / "set-b" / "three", tmp_path / "runs" / "three")
    (tmp_path / "runs" / "three" / "SHA256SUMS").write_text("")
    assert srbench("index", tmp_path / "runs").exit_code == 0
    [standing] = json.loads((tmp_path / "runs" / "index.json").read_text())["runs"].values()
    assert standing["state"] == "unverified"


def test_csv_has_every_value(site, facts):
    with (site / "index.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    wanted = [
        (
            table["data"],
            str(table["scale"]),
            table["suite"],
            row["label"].partition(" (")[0],
            *map(str, row["draw"] or ("", "")),
            row["digest"],
            str(row["competes"]),
            name,
            float(cell["mean"]),
            str(cell["rank"] or ""),
            cell["group"],
            row["state"],
            " ".join(row["runs"]),
        )
        for table in facts["tables"]
        for row in table["rows"]
        for name, cell in row["cells"].items()
    ]
    found = [
        (
            one["data"],
            one["scale"],
            one["suite"],
            Setting(one["model"], float(one["temperature"]) if one["temperature"] else None).label,
            one["samples"],
            one["seed"],
            one["digest"],
            one["competes"],
            one["metric"],
            float(one["mean"]),
            one["rank"],
            one["group"],
            one["state"],
            one["runs"],
        )
        for one in lines
    ]
    assert found == wanted


def test_markdown_has_the_tables(site):
    text = (site / "index.md").read_text()
    assert "## copy-of-a = set-a, 4x, srflow@1, 7 images" in text
    assert "<script>" not in text
    assert "SRB002 An image differs from its record." in text


def test_files_of_the_user_are_kept(twenty, srbench, tmp_path):
    (tmp_path / "index.html").write_text("mine")
    done = srbench("index", twenty, "--out", tmp_path)
    assert "kept as index.html.1" in done.output
    again = srbench("index", twenty, "--out", tmp_path)
    assert "kept as" not in again.output
    assert (tmp_path / "index.html.1").read_text() == "mine"
    assert not (tmp_path / "index.html.2").exists()


def test_a_folder_without_runs_and_a_run_are_refused(twenty, command, tmp_path):
    assert command("index", tmp_path).code == 1
    done = command("index", twenty / "set-a" / "three")
    assert done.code == 1
    assert "give the folder that holds it" in done.err


def test_torch_is_not_loaded(twenty, tmp_path):
    code = "import sys; from srbench.cli.main import main\ntry: main()\nfinally: print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, "index", str(twenty), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_nothing_is_requested_and_names_stay_text(page, site):
    assert page.seen.count((site / "index.html").as_uri()) == len(page.seen)
    assert page.get_by_text(EVIL_RUN).count() == 1


def test_links_lead_to_reports(page):
    links = page.locator(".runs a").evaluate_all("(links) => links.map((link) => link.href)")
    assert len(links) > 16
    assert all(Path(unquote(urlparse(link).path)).is_file() for link in links)


def test_columns_sort(page):
    table = page.locator(".board table").first
    table.get_by_role("button", name="PSNR").click()
    first = shown(page)[:3]
    table.get_by_role("button", name="PSNR").click()
    assert shown(page)[:3] == first[::-1]


def test_search_and_filters(page):
    every = len(shown(page))
    assert page.locator("#found").inner_text() == f"{every} of {every} rows"
    page.locator("#search").fill("noisy set-b")
    assert shown(page) == ["noisy τ=0.8", "noisy τ=0.3"]
    assert page.locator(".board:visible").count() == 1
    page.locator("#search").fill("")
    page.locator("#dataset").select_option("copy-of-a")
    assert page.locator(".board:visible").count() == 1
    page.locator("#dataset").select_option("")
    page.locator("#scale").select_option("8")
    assert page.locator(".board:visible h2").all_inner_texts() == ["set-a, 8x, srflow@1, 7 images"]
    page.locator("#scale").select_option("")
    page.locator("#verified").check()
    assert 0 < len(shown(page)) < every
    assert page.locator("tr[data-state=unverified]:visible").count() == 0


@pytest.mark.parametrize("width", [400, 1440])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") == width
