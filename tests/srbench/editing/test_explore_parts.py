"""srbench explore with photographs of a camera: a part is chosen, sampled, compared, edited; what is refused."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from builders import serving
from explore_page import ask, made, shown
from PIL import Image

from srbench.data.datasets import packaged_photos
from srbench.editing import photographs
from srbench.editing.edit import Editor
from srbench.editing.explore import Explorer
from srbench.editing.explore_server import open_explorer
from srbench.editing.photographs import Photographs
from srbench.images.io import encode_png, quantize_floor, read_image, read_recipe, write_png
from srbench.images.resize import downscale_uint8
from srbench.pages.server import LocalRequestHandler, LocalServer


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """A photograph of 4000 x 3000, lying on its side in the file as a camera leaves it."""
    path = tmp_path_factory.mktemp("camera") / "camera.jpg"
    tile = quantize_floor(packaged_photos(8).read("chameleon").hr).permute(1, 2, 0).numpy()
    photograph = Image.fromarray(tile).resize((1000, 1000))
    whole = Image.new("RGB", (4000, 3000))
    for place in range(12):
        whole.paste(photograph.rotate(90 * place), (place % 4 * 1000, place // 4 * 1000))
    exif = Image.Exif()
    exif[274] = 6  # Orientation: turn it by 90 degrees
    whole.transpose(Image.Transpose.ROTATE_90).save(path, quality=90, exif=exif)
    return path


@pytest.fixture(scope="module")
def pixels(camera):
    return (read_image(camera) * 255).round().byte()


@pytest.fixture(scope="module")
def site(camera, tmp_path_factory):
    """The photograph open on a page that is served: address, explorer."""
    explorer = Explorer(Editor("srflow", 8, "cpu"), tmp_path_factory.mktemp("saved"))
    with serving(open_explorer(explorer, camera, 0)) as server:
        yield server.address, explorer


@pytest.fixture(params=[1440, 400], ids=["wide", "narrow"])
def page(request, site, browser):
    complaints = []
    page = browser.new_page(viewport={"width": request.param, "height": 900}, has_touch=request.param == 400)
    page.set_default_timeout(180_000)  # a machine may be busy
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(site[0])
    made(page, "temperature 0.80, seed 0")
    yield page
    assert page.evaluate("document.documentElement.scrollWidth") <= request.param
    page.close()
    assert complaints == []


def choose(page, part):
    """Types a part, as a small one is sampled quickly."""
    page.locator("#part").fill(part)
    page.locator("#part").press("Enter")
    made(page, "temperature 0.80, seed 0")


def at(page, selector, x, y, whole=(4000, 3000)):
    """The place on the screen of a pixel."""
    page.locator(selector).scroll_into_view_if_needed()
    area = page.locator(selector).bounding_box()
    return area["x"] + area["width"] * x / whole[0], area["y"] + area["height"] * y / whole[1]


def part_of(page):
    return [int(number) for number in page.locator("#part").input_value().split(",")]


def test_the_part_moves_by_pointer_and_keys_within_its_limits(page):
    assert part_of(page) == [1744, 1240, 512, 512]
    page.mouse.click(*at(page, "#view", 3000, 800))
    made(page, "temperature 0.80, seed 0")
    x, y, *size = part_of(page)
    assert (x % 8, y % 8, size) == (0, 0, [512, 512])
    assert (x, y) == (pytest.approx(2744, abs=16), pytest.approx(544, abs=16))
    box = page.locator("#view .box")
    box.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert part_of(page) == [x - 8, y + 8, 512, 512]
    page.keyboard.press("Shift+ArrowRight")  # the largest part grows no further, but it may become narrower
    assert part_of(page)[2] * part_of(page)[3] <= 512 * 512
    corner = page.locator("#view .corner.se").bounding_box()
    page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
    page.mouse.down()
    page.mouse.move(*at(page, "#view", x + 2000, y + 2000), steps=3)
    width, height = part_of(page)[2:]
    assert 500 * 500 < width * height <= 512 * 512
    page.mouse.move(*at(page, "#view", x + 240, y + 160), steps=3)
    page.mouse.up()
    made(page, "temperature 0.80, seed 0")
    assert part_of(page)[2:] == [pytest.approx(248, abs=24), pytest.approx(152, abs=24)]
    assert f"{part_of(page)[2]} × {part_of(page)[3]} at" in box.get_attribute("aria-label")
    choose(page, "3990,2990,96,96")
    assert part_of(page) == [3904, 2904, 96, 96]


@pytest.mark.parametrize("page", [400], indirect=True)
def test_a_finger_moves_the_part(page):
    choose(page, "1600,1600,400,400")
    devtools = page.context.new_cdp_session(page)
    for kind, place in (("touchStart", (1800, 1800)), ("touchMove", (1500, 2000)), ("touchMove", (1000, 2200))):
        x, y = at(page, "#view", *place)
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    made(page, "temperature 0.80, seed 0")
    x, y, width, height = part_of(page)
    assert (x, y) == (pytest.approx(800, abs=24), pytest.approx(2000, abs=24))
    assert (width, height) == (400, 400)


def test_a_saved_sample_is_what_upscale_makes_of_the_part(page, site, pixels, srbench, tmp_path):
    choose(page, "800,1600,160,96")
    page.locator("#next").click()
    made(page, "temperature 0.80, seed 1")
    page.locator("#save").click()
    page.wait_for_function("() => document.getElementById('saved').textContent.startsWith('saved as')")
    saved = site[1].out / "camera_800-1600-160-96_t0.8_seed1.png"
    assert page.locator("#saved").text_content() == f"saved as {saved}"
    assert json.loads(read_recipe(saved))["part"] == [800, 1600, 160, 96]
    write_png(tmp_path / "lr.png", downscale_uint8(pixels[:, 1600:1696, 800:960], 8))
    options = ["--models", "srflow", "--scale", 8, "--temperature", 0.8, "--seed", 1, "--device", "cpu"]
    assert srbench("upscale", tmp_path / "lr.png", *options, "--out", tmp_path / "up").exit_code == 0
    upscaled = (read_image(tmp_path / "up" / "lr.png") * 255).byte()
    assert torch.equal((read_image(saved) * 255).byte(), upscaled)
    assert torch.equal(shown(page), upscaled)


def test_the_slider_and_the_zoom(page, site, pixels):
    choose(page, "800,1600,160,160")
    before = page.request.get(site[0] + page.locator("#before").get_attribute("src")).body()
    assert before == encode_png(pixels[:, 1600:1760, 800:960])
    page.locator("#divider").focus()
    page.keyboard.press("End")
    assert page.locator("#divider").get_attribute("aria-valuetext") == "100 % before, 0 % the result"
    page.mouse.move(*at(page, "#divider", 1, 1, (2, 2)))
    page.mouse.down()
    page.mouse.move(*at(page, "#stage", 1, 2, (4, 4)), steps=3)
    page.mouse.up()
    assert float(page.locator("#divider").get_attribute("aria-valuenow")) == pytest.approx(25, abs=2)
    clipped = page.evaluate("getComputedStyle(document.querySelector('.layer.a')).clipPath")
    assert float(re.search(r"([\d.]+)%", clipped)[1]) == pytest.approx(75, abs=2)
    page.locator("#from").fill("96,96,48,48")
    page.locator("#to").fill("32,64,48,48")
    page.locator("#make").click()
    made(page, "strength 0.9")
    for _ in range(2):
        page.locator("#zoom-in").click()
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    frame, image = (page.locator(one).bounding_box() for one in ("#result-target", "#result"))
    assert image["width"] > page.locator("#stage").bounding_box()["width"]
    assert frame["width"] == pytest.approx(image["width"] * 48 / 160, abs=2)
    assert frame["x"] == pytest.approx(image["x"] + image["width"] * 32 / 160, abs=2)
    assert frame["y"] == pytest.approx(image["y"] + image["height"] * 64 / 160, abs=2)


@pytest.mark.parametrize("page", [400], indirect=True)
def test_content_is_pasted_from_another_photograph_as_the_command_does_it(page, pixels, srbench, tmp_path):
    choose(page, "800,1600,160,160")
    page.locator("#kind").select_option("content")
    write_png(tmp_path / "source.png", torch.randint(0, 256, (3, 64, 200), dtype=torch.uint8))
    page.locator("#origin-file").set_input_files(tmp_path / "source.png")
    page.wait_for_function("() => document.getElementById('origin-name').textContent === 'source, 200 × 64'")
    page.locator("#to").fill("32,40,56,48")
    page.locator("#to").press("Tab")
    assert page.locator("#from").input_value() == "72,8,56,48"
    page.mouse.click(*at(page, "#origin", 30, 30, (200, 64)))
    x, y = (int(number) for number in page.locator("#from").input_value().split(",")[:2])
    assert (x, y) == (pytest.approx(2, abs=2), pytest.approx(6, abs=2))
    page.locator("#make").click()
    made(page, "strength 0.9, seed 0")
    assert page.locator("#title").text_content() == "Content pasted"
    write_png(tmp_path / "part.png", pixels[:, 1600:1760, 800:960])
    content = (read_image(tmp_path / "source.png") * 255).byte()[:, y : y + 48, x : x + 56]
    write_png(tmp_path / "content.png", content)
    options = ["--box", "32,40,56,48", "--scale", 8, "--models", "srflow", "--device", "cpu"]
    done = srbench(
        "edit",
        "content-transfer",
        tmp_path / "part.png",
        tmp_path / "content.png",
        *options,
        "--out",
        tmp_path / "edits",
    )
    assert done.exit_code == 0, done.output
    assert torch.equal(shown(page), (read_image(tmp_path / "edits" / "part_content.png") * 255).byte())


@pytest.mark.parametrize("page", [1440], indirect=True)
def test_noise_is_removed_as_the_command_does_it(page, pixels, srbench, tmp_path):
    choose(page, "800,1600,160,160")
    page.locator("#kind").select_option("restore")
    assert page.locator("#from").is_hidden()
    page.locator("#make").click()
    page.wait_for_function("() => document.getElementById('title').textContent === 'Noise removed'")
    made(page, "temperature 0.80, seed 0")
    write_png(tmp_path / "part.png", pixels[:, 1600:1760, 800:960])
    options = ["--scale", 8, "--models", "srflow", "--device", "cpu", "--out", tmp_path / "edits"]
    assert srbench("edit", "restore", tmp_path / "part.png", *options).exit_code == 0
    assert torch.equal(shown(page), (read_image(tmp_path / "edits" / "part_restored.png") * 255).byte())


@pytest.mark.parametrize("page", [400], indirect=True)
def test_the_spread_says_how_long_it_will_take(page):
    choose(page, "800,1600,64,64")
    page.evaluate("paces.spread = 60 / (64 * 64)")
    page.route("**/make", lambda route: None)
    page.locator("#spread").click()
    page.wait_for_function(
        "() => document.getElementById('progress').textContent === 'sampling... 1 s, about 59 s left'"
    )


def test_parts_that_the_server_refuses(site):
    address, explorer = site
    image = next(iter(explorer.photographs._open))
    for part, fault in (
        ("0,0,1024,512", "part 0,0,1024,512 is too large, at most 512x512 pixels in all"),
        ("0,0,84,80", "its sides are no multiples of the scale 8"),
        ("0,0,80,8", "is too small; both sides need 16 pixels"),
        ("3960,0,80,80", "leaves the image, which is 4000 wide and 3000 high"),
        ("-8,0,80,80", "is empty or begins outside"),
        ("0,0,80", "the box 'part' is missing"),
        ("0,0,80,x", "the part is not x,y,width,height"),
        ("9" * 5000, "the part is not x,y,width,height"),
    ):
        answers = [ask(address, "GET", f"/{kind}.png?image={image}&part={part}") for kind in ("hr", "lr")]
        if "x" not in part and len(part) < 5000:
            request = {"image": image, "kind": "sample", "temperature": 0, "part": [*map(int, part.split(","))]}
            answers += [ask(address, "POST", path, json.dumps(request)) for path in ("/make", "/save")]
        for status, answer in answers:
            assert (status, fault in json.loads(answer)["error"]) == (400, True), answer
    assert b"too large" in ask(address, "GET", f"/hr.png?image={image}")[1]  # all of it
    assert ask(address, "GET", "/view.jpg?image=0")[0] == 400
    status, answer = ask(address, "POST", "/make", " " * 70_000)
    assert (status, b"too many" in answer) == (400, True)
    content = {"image": image, "kind": "content", "temperature": 0, "part": [0, 0, 80, 80], "target": [0, 0, 8, 8]}
    for source, fault in (([0, 0, 8, 9], "differ in size"), ([3999, 0, 8, 8], "leaves the image")):
        status, answer = ask(address, "POST", "/make", json.dumps(content | {"source": source}))
        assert (status, fault in json.loads(answer)["error"]) == (400, True)
    assert ask(address, "POST", "/make", json.dumps(content | {"source": [0] * 4, "source_image": "0"}))[0] == 400


def test_the_photographs_opened_last_are_kept_while_memory_allows(monkeypatch):
    def one(grey):
        return kept.add("a.png", encode_png(torch.full((3, 40, 40), grey, dtype=torch.uint8))).id

    kept = Photographs(8)
    first, *_, last = [one(grey) for grey in range(5)]
    assert len(kept._open) == 4
    assert first not in kept._open
    monkeypatch.setattr(photographs, "_KEPT_BYTES", 3 * 40 * 40)
    assert one(9) != last
    assert len(kept._open) == 1


def test_a_server_that_closes_ends_silent_connections_and_waits_for_answers():
    asked, done = threading.Event(), []

    class Slow(LocalRequestHandler):
        timeout = None  # waits for a silent connection for ever

        def do_GET(self):  # noqa: N802
            asked.set()
            time.sleep(0.8)
            done.append(True)
            self.send_error(404)

    server = LocalServer(0, Slow)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    host = ("127.0.0.1", server.server_port)
    with socket.create_connection(host), socket.create_connection(host) as asks:
        asks.sendall(f"GET / HTTP/1.0\r\nHost: 127.0.0.1:{host[1]}\r\n\r\n".encode())
        assert asked.wait(20)
        server.shutdown()
        closing = threading.Thread(target=server.server_close, daemon=True)
        closing.start()
        closing.join(30)
        assert (closing.is_alive(), done) == (False, [True])
        assert b"404" in asks.recv(1000)
    assert server._connections == set()


@pytest.mark.usefixtures("heeded_interrupts")
def test_ctrl_c_while_it_samples(camera, tmp_path):
    """PyTorch would abort the process if a thread of it were left behind."""
    code = "from srbench.cli.main import main; main(prog_name='srbench')"
    command = [sys.executable, "-c", code, "explore", camera, "--no-browser", "--out", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            [address] = re.findall(r"http://\S+", process.stdout.readline())
            opened = json.loads(ask(address, "GET", "/first")[1])["opened"]
            part = [*opened["part"][:2], 256, 256]  # a few seconds, also on a busy machine
            request = {"image": opened["id"], "part": part, "kind": "spread", "temperature": 0.8}
            asks = threading.Thread(target=ask, args=(address, "POST", "/make", json.dumps(request)))
            asks.start()
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)[1]
            asks.join()
        finally:
            process.kill()
    assert process.returncode == 0
    assert said.splitlines() in ([], ["finishing open requests; press Ctrl-C again to stop at once"])
