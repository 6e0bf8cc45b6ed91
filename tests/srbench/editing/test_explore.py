"""srbench explore: the page in a real browser, and what its server refuses."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import pytest
import torch
from builders import serving
from explore_page import ask
from PIL import Image

from srbench.data.datasets import packaged_photos
from srbench.editing import EditError
from srbench.editing.edit import Editor
from srbench.editing.explore import MAX_BYTES, Explorer, explore, open_explorer
from srbench.images.io import encode_png, quantize_floor, read_recipe, read_uint8, write_png
from srbench.images.resize import downscale_uint8, upscale
from srbench.interfaces import SRBenchError


@pytest.fixture(scope="module")
def camera(tmp_path_factory):
    """A photograph of 2000 x 1500, lying on its side in the file as a camera leaves it."""
    path = tmp_path_factory.mktemp("camera") / "camera.jpg"
    photograph = Image.fromarray(quantize_floor(packaged_photos(8).read("chameleon").hr).permute(1, 2, 0).numpy())
    whole = photograph.resize((2000, 1500))
    exif = Image.Exif()
    exif[274] = 6  # Orientation: turn it by 90 degrees
    whole.transpose(Image.Transpose.ROTATE_90).save(path, quality=90, exif=exif)
    return path


@pytest.fixture(scope="module")
def site(camera, tmp_path_factory):
    """The photograph open on a page that is served: address, explorer."""
    explorer = Explorer(Editor("srflow", 8, "cpu"), tmp_path_factory.mktemp("saved"))
    with serving(open_explorer(explorer, camera, 0)) as server:
        yield server.address, explorer


def made(page, words):
    """Wait until the caption begins with these words and the image is shown."""
    page.locator("#caption", has_text=re.compile(f"^{re.escape(words)}")).wait_for()
    page.locator("#progress:empty").wait_for(state="attached")
    page.locator("#result").evaluate("(image) => image.decode()")


def shown(page):
    """The uint8 pixels of the result (3, h, w), as the browser decoded them."""
    values = page.evaluate("""() => {
        const image = document.getElementById('result'), canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
        const context = canvas.getContext('2d');
        context.drawImage(image, 0, 0);
        return [canvas.width, ...context.getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    return torch.tensor(values[1:], dtype=torch.uint8).view(-1, values[0], 4)[..., :3].permute(2, 0, 1)


def refused(page, fault):
    page.locator("#message", has_text=fault).wait_for()


@pytest.mark.slow
def test_a_part_is_chosen_sampled_compared_and_saved(site, browser, camera, srbench, tmp_path):
    address, explorer = site
    complaints, requests = [], []
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(180_000)  # a machine may be busy
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: "400" in said.text or complaints.append(said.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    made(page, "temperature 0.85, seed 0; LR-PSNR")
    assert page.locator("#part").input_value() == "968,718,64,64"
    assert page.locator("#caption").text_content().endswith("dB (fit to LR, higher is better, 8 bits allow about 51)")

    # at first the part is LR: it is upscaled as it is, beside bicubic interpolation
    options = ["--models", "srflow", "--scale", 8, "--device", "cpu", "--out", tmp_path / "up"]
    page.locator("#part").fill("1001,600,40,24")
    page.locator("#part").press("Enter")
    made(page, "temperature 0.85, seed 0")
    part = read_uint8(camera)[:, 600:624, 1001:1041]
    write_png(tmp_path / "part.png", part)
    assert srbench("upscale", tmp_path / "part.png", *options).exit_code == 0
    assert torch.equal(shown(page), read_uint8(tmp_path / "up" / "part.png"))
    before = page.request.get(address + page.locator("#before").get_attribute("src")).body()
    assert before == encode_png(quantize_floor(upscale(part.float() / 255, 8)))
    assert page.locator("#before-tag").text_content() == "LR, bicubic"
    assert page.locator("#lr").is_hidden()

    # as HR it is downscaled first; the centre stays
    page.get_by_label("Downscale it first").check()
    made(page, "temperature 0.85, seed 0")
    assert page.locator("#part").input_value() == "768,360,512,512"
    assert page.locator("#before-tag").text_content() == "photograph"

    # the part is typed, then moved by a click; what is before and after is of that part
    page.locator("#part").fill("400,800,160,96")
    page.locator("#part").press("Enter")
    made(page, "temperature 0.85, seed 0")
    area = page.locator("#overview").bounding_box()
    page.mouse.click(area["x"] + area["width"] * 1080 / 2000, area["y"] + area["height"] * 648 / 1500)
    made(page, "temperature 0.85, seed 0")
    x, y, *size = (int(number) for number in page.locator("#part").input_value().split(","))
    assert (x % 8, y % 8, size) == (0, 0, [160, 96])
    assert (x, y) == (pytest.approx(1000, abs=8), pytest.approx(600, abs=8))
    hr = read_uint8(camera)[:, y : y + 96, x : x + 160]
    lr = downscale_uint8(hr, 8)
    before = page.request.get(address + page.locator("#before").get_attribute("src")).body()
    assert before == encode_png(hr)
    page.locator("#lr").click()
    before = page.request.get(address + page.locator("#before").get_attribute("src")).body()
    assert before == encode_png(quantize_floor(upscale(lr.float() / 255, 8)))

    # temperature and seed: the image that upscale makes of the same LR
    page.locator("#temperature").fill("0.5")
    page.locator("#seed").fill("6")
    page.locator("#next").click()
    made(page, "temperature 0.50, seed 7")
    page.locator("#save").click()
    page.locator("#saved", has_text="saved as").wait_for()
    saved = explorer.out / f"camera_{x}-{y}-160-96_downscaled_t0.5_seed7.png"
    assert page.locator("#saved").text_content() == f"saved as {saved}"
    assert json.loads(read_recipe(saved))["part"] == [x, y, 160, 96]
    write_png(tmp_path / "lr.png", lr)
    assert srbench("upscale", tmp_path / "lr.png", *options, "--temperature", 0.5, "--seed", 7).exit_code == 0
    upscaled = read_uint8(tmp_path / "up" / "lr.png")
    assert torch.equal(read_uint8(saved), upscaled)
    assert torch.equal(shown(page), upscaled)

    # where samples differ
    page.locator("#spread").click()
    made(page, "temperature 0.50, seed 7; 5 samples differ by")
    assert page.locator("#title").text_content() == "Where samples differ"

    # bad parts and files get a message, and nothing of the part before stays beside it
    page.locator("#part").fill("0,0,84,80")
    page.locator("#part").press("Enter")
    refused(page, "its sides are not multiples of the scale 8")
    assert page.locator("#result").is_hidden()
    assert page.locator("#save").is_disabled()
    (tmp_path / "notes.txt").write_text("text")
    page.locator("#file").set_input_files(tmp_path / "notes.txt")
    refused(page, "notes.txt: not an image in PNG, JPEG, WebP, TIFF or BMP format; convert or replace it")
    assert page.locator("#about").text_content().startswith("camera, 2000 × 1500")

    # another photograph, on a narrow window
    page.set_viewport_size({"width": 400, "height": 900})
    write_png(tmp_path / "<b>other.png", torch.randint(0, 256, (3, 64, 99), dtype=torch.uint8))
    page.locator("#file").set_input_files(tmp_path / "<b>other.png")
    page.locator("#about", has_text="<b>other, 99 × 64").wait_for()
    made(page, "temperature 0.50, seed 7")
    assert shown(page).shape == (3, 64, 96)
    page.locator("#divider").focus()
    page.keyboard.press("End")
    assert page.locator("#divider").get_attribute("aria-valuetext") == "100 % photograph, 0 % the result"
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()
    assert complaints == []
    assert all(url.startswith((address, f"blob:{address}", "data:,")) for url in requests), requests


def request_of(explorer, **changes):
    part = [0, 0, 64, 64]
    return {"image": explorer.photograph.id, "part": part, "kind": "sample", "temperature": 0.8} | changes


def test_what_the_server_refuses(site, camera):
    address, explorer = site
    earlier = explorer.open("earlier.png", encode_png(torch.zeros((3, 64, 64), dtype=torch.uint8)))
    explorer.open("camera.jpg", camera.read_bytes())
    fine = json.dumps(request_of(explorer))
    assert ask(address, "POST", "/make", fine)[0] == 200
    assert ask(address, "POST", "/make", fine, Host="evil.example")[0] == 403
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=300)
    connection.request("POST", "/make", fine)  # as a form of another page could
    assert connection.getresponse().status == 403
    assert ask(address, "POST", "/delete", fine)[0] == 404
    assert ask(address, "GET", "/overview.jpg?image=0")[0] == 400
    for body, fault in (
        ("{", "invalid JSON"),
        ("[]", "image"),
        (" " * 70_000, "too many"),
        (json.dumps(request_of(explorer, kind="paint")), "kind"),
        (json.dumps(request_of(explorer, temperature=-1)), "not a temperature from 0 to 2"),
        (json.dumps(request_of(explorer, seed=-1)), "not a seed"),
        (json.dumps(request_of(explorer, image=earlier.id)), "no longer open"),
    ):
        status, answer = ask(address, "POST", "/make", body)
        assert status == 400
        assert fault in json.loads(answer)["error"]
    for body, fault in (
        (
            request_of(explorer, part=[0, 0, 65, 64]),
            "part 0,0,65,64 is too large; its area may be at most 64x64 pixels",
        ),
        (request_of(explorer, part=[0, 0, 64, 1]), "is too small; both sides need 2 pixels"),
        (request_of(explorer, part_is="sr"), "part_is"),
    ):
        status, answer = ask(address, "POST", "/make", json.dumps(body))
        assert (status, fault in json.loads(answer)["error"]) == (400, True), answer
    for part, fault in (
        ("0,0,1024,512", "part 0,0,1024,512 is too large; its area may be at most 512x512 pixels"),
        ("0,0,84,80", "its sides are not multiples of the scale 8"),
        ("0,0,80,8", "is too small; both sides need 16 pixels"),
        ("1960,0,80,80", "leaves the image, which is 2000 wide and 1500 high"),
        ("-8,0,80,80", "is empty or starts outside the image"),
        ("0,0,80", "the part is not x,y,width,height"),
        ("0,0,80,x", "the part is not x,y,width,height"),
        ("9" * 5000, "the part is not x,y,width,height"),
    ):
        image = explorer.photograph.id
        query = f"image={image}&part={part}&part_is=hr"
        answers = [ask(address, "GET", f"/{kind}.png?{query}") for kind in ("hr", "lr")]
        if "x" not in part and len(part) < 5000:
            request = json.dumps(request_of(explorer, part=[*map(int, part.split(","))], part_is="hr"))
            answers += [ask(address, "POST", path, request) for path in ("/make", "/save")]
        for status, answer in answers:
            assert (status, fault in json.loads(answer)["error"]) == (400, True), answer
    connection = http.client.HTTPConnection(host, timeout=300)
    connection.putrequest("POST", "/open")
    connection.putheader("X-Srbench", "huge.png")
    connection.putheader("Content-Length", str(MAX_BYTES + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"too many" in answer.read()) == (400, True)


def test_a_saved_image_of_something_else_is_not_overwritten(tmp_path, monkeypatch):
    """The sample of another photograph of that name, or of another model."""
    explorer = Explorer(Editor("srflow", 8, "cpu"), tmp_path)
    explorer.open("a.png", encode_png(torch.full((3, 64, 64), 9, dtype=torch.uint8)))
    asked = request_of(explorer)
    path = explorer.save(asked)
    before = path.read_bytes()
    assert explorer.save(asked).read_bytes() == before
    explorer.open("a.bmp", encode_png(torch.full((3, 64, 64), 8, dtype=torch.uint8)))
    with pytest.raises(EditError, match="exists and was made differently; move it away"):
        explorer.save(request_of(explorer))
    explorer.open("a.png", encode_png(torch.full((3, 64, 64), 9, dtype=torch.uint8)))
    monkeypatch.setattr(explorer.editor, "identity", {"model": "srflow-perceptual", "digest": "another"})
    with pytest.raises(EditError, match="exists and was made differently; move it away"):
        explorer.save(asked)
    assert path.read_bytes() == before


def test_the_page_starts_at_the_temperature_of_the_weights(site):
    address, _ = site
    assert json.loads(ask(address, "GET", "/first")[1])["temperature"] == 0.85


def test_what_cannot_be_served(site, tmp_path, command):
    address, explorer = site
    with pytest.raises(SRBenchError, match=r"absent\.png: cannot be read"):
        explore(explorer, tmp_path / "absent.png")
    port = int(re.search(r":(\d+)/", address)[1])
    with pytest.raises(SRBenchError, match=f"port {port} cannot be used"):
        explore(explorer, None, port=port)
    assert "has no latents" in command("explore", "--models", "bicubic", "--no-browser").err


@pytest.mark.slow
@pytest.mark.usefixtures("heeded_interrupts")
def test_ctrl_c_while_it_samples(camera, tmp_path):
    """PyTorch would abort the process if a thread of it were left behind."""
    code = "from srbench.cli.main import main; main(prog_name='srbench')"
    command = [sys.executable, "-c", code, "explore", camera, "--no-browser", "--out", tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            [address] = re.findall(r"http://\S+", process.stdout.readline())
            opened = json.loads(ask(address, "GET", "/first")[1])["opened"]
            part = [*opened["parts"]["hr"][:2], 256, 256]  # a few seconds, also on a busy machine
            request = {"image": opened["id"], "part": part, "part_is": "hr", "kind": "spread", "temperature": 0.8}
            asks = threading.Thread(target=ask, args=(address, "POST", "/make", json.dumps(request)))
            asks.start()
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=120)[1]
            asks.join(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0
    assert said.splitlines() in ([], ["finishing open requests; press Ctrl-C again to stop at once"])
