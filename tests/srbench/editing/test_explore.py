"""The page of srbench explore in a real browser: what a person does with it, what it says when that cannot be done."""

from __future__ import annotations

import http.client
import json
import re
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from builders import serving
from explore_page import ask, made, shown

from srbench.data.datasets import packaged_photos, pair_of_hr
from srbench.editing import EditError
from srbench.editing.edit import Editor
from srbench.editing.explore import Explorer
from srbench.editing.explore_server import explore, open_explorer
from srbench.editing.photographs import MOST_BYTES
from srbench.images.io import encode_png, quantize_floor, quantize_round, read_image, read_recipe, write_png
from srbench.images.resize import upscale
from srbench.interfaces import Box, SRBenchError
from srbench.pages.server import LocalServer


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A photograph of 160 x 160 open on a page that is served: address, explorer, folder."""
    folder = tmp_path_factory.mktemp("explore")
    write_png(folder / "chameleon.png", quantize_round(packaged_photos(8).read("chameleon").hr[:, 96:256, 96:256]))
    explorer = Explorer(Editor("srflow", 8, "cpu"), folder / "saved")
    with serving(open_explorer(explorer, folder / "chameleon.png", 0)) as server:
        yield f"http://127.0.0.1:{server.server_port}/", explorer, folder


@pytest.fixture
def page(site, browser):
    """The page, loaded; nothing may complain but for a refused request, and nothing may leave the machine."""
    complaints, requests = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.set_default_timeout(180_000)  # a machine may be busy
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: "400" in said.text or complaints.append(said.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(site[0])
    made(page, "temperature 0.80, seed 0")
    yield page
    page.close()
    assert complaints == []
    assert all(url.startswith((site[0], f"blob:{site[0]}", "data:,")) for url in requests), requests


def drag(page, x, y, width, height):
    """Draws a box on the part that is edited, in pixels of HR."""
    area = page.locator("#hr").bounding_box()
    factor = area["width"] / 160
    page.mouse.move(area["x"] + x * factor, area["y"] + y * factor)
    page.mouse.down()
    page.mouse.move(area["x"] + (x + width) * factor, area["y"] + (y + height) * factor, steps=3)
    page.mouse.up()


def test_the_same_seed_is_the_same_image_here_in_python_and_on_the_command_line(page, site, srbench, tmp_path):
    explorer, folder = site[1:]
    pair = pair_of_hr(folder / "chameleon.png", 8)
    page.locator("#temperature").fill("0.5")
    page.locator("#seed").fill("6")
    page.locator("#next").click()
    made(page, "temperature 0.50, seed 7")
    generator = torch.Generator().manual_seed(7)
    drawn = explorer.editor.model.sample(pair.lr, 1, temperature=0.5, generator=generator)[0]
    assert torch.equal(shown(page), quantize_floor(drawn))
    write_png(tmp_path / "lr.png", quantize_round(pair.lr))
    options = ["--models", "srflow", "--scale", 8, "--temperature", 0.5, "--seed", 7, "--device", "cpu"]
    assert srbench("upscale", tmp_path / "lr.png", *options, "--out", tmp_path / "up").exit_code == 0
    assert torch.equal(shown(page), (read_image(tmp_path / "up" / "lr.png") * 255).to(torch.uint8))
    # at temperature 0 no seed matters
    page.locator("#temperature").fill("0")
    made(page, "temperature 0.00, seed 7")
    first = shown(page)
    page.locator("#next").click()
    made(page, "temperature 0.00, seed 8")
    assert torch.equal(shown(page), first)


def test_boxes_are_drawn_texture_moved_pinned_and_saved(page, site):
    explorer, folder = site[1:]
    drag(page, 100, 100, 40, 40)
    drag(page, 2, 4, 44, 40)
    assert page.locator("#from").input_value() == "100,100,40,40"
    assert page.locator("#to").input_value() == "2,4,44,40"
    page.locator("#make").click()
    made(page, "strength 0.9")
    assert page.locator("#from").input_value() == "96,96,48,48"  # grown to the grid
    assert page.locator("#canvas .to").is_visible()
    for name, box in (("source", [96, 96, 48, 48]), ("target", [0, 0, 48, 48])):
        frame, image = (page.locator(at).bounding_box() for at in (f"#result-{name}", "#result"))
        factor = image["width"] / 160
        assert [frame["x"] - image["x"], frame["y"] - image["y"], frame["width"], frame["height"]] == pytest.approx(
            [part * factor for part in box], abs=1
        )
    pair = pair_of_hr(folder / "chameleon.png", 8)
    wanted = quantize_floor(explorer.editor.move_style(pair, Box(96, 96, 48, 48), Box(0, 0, 48, 48), 0.9))
    assert torch.equal(shown(page), wanted)
    page.locator("#pin").click()
    page.locator("#next").click()
    made(page, "temperature 0.80, seed 1")
    page.locator("#pin").click()
    assert page.locator("#shelf li").count() == 2
    page.locator("#shelf button", has_text="Save").first.click()
    page.wait_for_function("() => document.getElementById('saved').textContent.startsWith('saved as')")
    saved = Path(page.locator("#saved").text_content().removeprefix("saved as "))
    assert saved == folder / "saved" / "chameleon_style_t0.9_96-96-48-48_to_0-0-48-48.png"
    assert torch.equal((read_image(saved) * 255).to(torch.uint8), wanted)
    assert json.loads(read_recipe(saved))["kind"] == "style"
    page.locator("#shelf button", has_text="Remove").first.click()
    assert page.locator("#shelf li").count() == 1
    page.locator("#save").click()
    page.wait_for_function("() => document.getElementById('saved').textContent.includes('seed1.png')")
    assert (folder / "saved" / "chameleon_t0.8_seed1.png").is_file()


def test_beside_a_new_photograph_nothing_is_left_of_the_one_before(page, tmp_path):
    write_png(tmp_path / "other.png", torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8))
    waiting = []
    page.route("**/make", lambda route: waiting.append(route))
    page.locator("#file").set_input_files(tmp_path / "other.png")
    page.wait_for_function("() => document.getElementById('about').textContent.startsWith('other')")
    assert page.locator("#result").is_hidden()
    assert page.locator("#result").get_attribute("src") is None
    assert page.locator("#caption").text_content() == ""
    assert page.locator("#pin").is_disabled()
    assert page.locator("#save").is_disabled()
    page.wait_for_function("() => document.getElementById('progress').textContent === 'sampling... 1 s'")
    waiting[0].continue_()
    made(page, "temperature 0.80, seed 0; LR-PSNR")
    assert page.locator("#caption").text_content().endswith("dB (fit to LR, higher is better, 8 bits allow about 51)")
    assert page.locator("#progress").text_content() == ""
    assert page.locator("#save").is_enabled()


def test_a_closed_tab_leaves_no_traceback(site, capfd):
    """A reader that resets the connection before the answer, which is larger than any buffer."""
    host, port = re.search(r"//(.*):(\d+)/", site[0]).groups()
    asked = f"GET /hr.png?image={next(iter(site[1].photographs._open))} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n"
    for _ in range(3):
        with socket.create_connection((host, int(port))) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            reader.sendall(asked.encode())
    time.sleep(0.5)
    assert capfd.readouterr().err == ""


def test_the_server_still_tells_of_its_own_faults(site, capfd):
    with LocalServer(0, None) as server:
        for error in (BrokenPipeError(), ConnectionResetError(), ValueError("its own fault")):
            try:
                raise error
            except Exception:
                server.handle_error(None, ("127.0.0.1", 0))
    told = capfd.readouterr().err
    assert "its own fault" in told
    assert "BrokenPipe" not in told


def test_the_photograph_gives_way_to_what_the_model_is_shown(page, site):
    address = site[0]
    photograph = page.locator("#before").get_attribute("src")
    page.locator("#lr").click()
    page.wait_for_function("() => document.getElementById('lr').ariaPressed === 'true'")
    shown_lr = page.request.get(address + page.locator("#before").get_attribute("src")).body()
    lr = upscale(pair_of_hr(site[2] / "chameleon.png", 8).lr, 8)
    assert shown_lr == encode_png(quantize_floor(lr))
    page.locator("#lr").click()
    assert page.locator("#before").get_attribute("src") == photograph


def test_the_map_shows_where_samples_differ(page, site):
    page.locator("#spread").click()
    made(page, "temperature 0.80, seed 0; 5 samples differ by")
    bright = shown(page).float().mean(0)
    assert bright[:40, :40].mean() < bright[110:, 110:].mean()  # background, scales
    assert page.locator("#title").text_content() == "Where samples differ"
    page.locator("#save").click()
    page.wait_for_function("() => document.getElementById('saved').textContent.startsWith('saved as')")
    assert json.loads(read_recipe(site[2] / "saved" / "chameleon_spread_t0.8_seed0.png"))["kind"] == "spread"


@pytest.mark.parametrize(
    ("source", "target", "fault"),
    [
        ("0,0,48,48", "150,0,48,48", "leaves the image, which is 160 wide and 160 high"),
        ("0,0,48", "0,0,48,48", "the box 'from' is missing; draw it, or type x,y,width,height"),
        ("0,0,48,48", "here", "the box 'to' is missing"),
        ("0,0,0,48", "0,0,48,48", "is empty or begins outside"),
    ],
)
def test_bad_boxes_get_a_message(page, source, target, fault):
    page.locator("#from").fill(source)
    page.locator("#to").fill(target)
    page.locator("#make").click()
    page.wait_for_function("() => !document.getElementById('message').hidden")
    assert fault in page.locator("#message").text_content()
    page.locator("#next").click()
    made(page, "temperature 0.80, seed 1")
    assert page.locator("#message").is_hidden()


def test_wrong_files_get_a_message_and_the_open_image_stays(page, tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    write_png(tmp_path / "whole.png", torch.zeros((3, 600, 700), dtype=torch.uint8))
    write_png(tmp_path / "tiny.png", torch.zeros((3, 15, 40), dtype=torch.uint8))
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    for name, fault in (
        ("notes.txt", "notes.txt: not an image in PNG, JPEG, WebP, TIFF or BMP format; convert or replace it"),
        ("tiny.png", "tiny.png: 40x15 is too small; both sides need 16 pixels"),
        ("half.png", "half.png: damaged image"),
    ):
        page.locator("#file").set_input_files(tmp_path / name)
        page.wait_for_function("name => document.getElementById('message').textContent.startsWith(name)", arg=name)
        assert fault in page.locator("#message").text_content()
    assert "chameleon, 160 × 160" in page.locator("#about").text_content()
    write_png(tmp_path / "<b>other.png", torch.randint(0, 256, (3, 64, 99), dtype=torch.uint8))
    page.locator("#file").set_input_files(tmp_path / "<b>other.png")
    page.wait_for_function("() => document.getElementById('about').textContent.startsWith('<b>other, 99 × 64')")
    made(page, "temperature 0.80, seed 0")
    assert shown(page).shape == (3, 64, 96)


def request_of(explorer, **changes):
    return {"image": next(iter(explorer.photographs._open)), "kind": "sample", "temperature": 0.8} | changes


def test_what_the_server_refuses(site):
    address, explorer, _ = site
    fine = json.dumps(request_of(explorer))
    assert ask(address, "POST", "/make", fine)[0] == 200
    assert ask(address, "POST", "/make", fine, Host="evil.example")[0] == 403
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host)
    connection.request("POST", "/make", fine)  # as a form of another page could
    assert connection.getresponse().status == 403
    assert ask(address, "POST", "/delete", fine)[0] == 404
    assert ask(address, "GET", "/hr.png?image=0")[0] == 400
    for body, fault in (
        ("{", "invalid JSON"),
        ("[]", "image"),
        (json.dumps(request_of(explorer, kind="paint")), "kind"),
        (json.dumps(request_of(explorer, temperature=-1)), "not a temperature from 0 to 2"),
        (json.dumps(request_of(explorer, seed=-1)), "not a seed"),
        (json.dumps(request_of(explorer, image="0")), "no longer open"),
    ):
        status, answer = ask(address, "POST", "/make", body)
        assert status == 400
        assert fault in json.loads(answer)["error"]
    connection = http.client.HTTPConnection(host)
    connection.putrequest("POST", "/open")
    connection.putheader("X-Srbench", "huge.png")
    connection.putheader("Content-Length", str(MOST_BYTES + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"too many" in answer.read()) == (400, True)


def test_what_was_saved_of_something_else_is_not_overwritten(site, monkeypatch):
    """The sample of another photograph of that name, or of another model."""
    explorer, folder = site[1:]
    asked = request_of(explorer, seed=99)
    path = explorer.save(asked)
    before = path.read_bytes()
    assert explorer.save(asked).read_bytes() == before
    write_png(folder / "chameleon.bmp", torch.full((3, 160, 160), 9, dtype=torch.uint8))
    other = explorer.open("chameleon.bmp", (folder / "chameleon.bmp").read_bytes())
    with pytest.raises(EditError, match="exists and was made differently; move it away"):
        explorer.save(asked | {"image": other.id})
    monkeypatch.setattr(explorer.editor, "made_by", {"model": "srflow-perceptual", "digest": "another"})
    with pytest.raises(EditError, match="exists and was made differently; move it away"):
        explorer.save(asked)
    assert path.read_bytes() == before


def test_what_cannot_be_served(site, tmp_path, command):
    explorer = site[1]
    with pytest.raises(SRBenchError, match=r"absent\.png: cannot be read"):
        explore(explorer, tmp_path / "absent.png")
    port = int(re.search(r":(\d+)/", site[0])[1])
    with pytest.raises(SRBenchError, match=f"port {port} cannot be used"):
        explore(explorer, None, port=port)
    assert "has no latents" in command("explore", "--models", "bicubic", "--no-browser").err
