"""SECURITY.md, statement by statement, where no other test holds it."""

from __future__ import annotations

import ast
import http.client
import re
import socket
import tomllib
from pathlib import Path

import pytest
from builders import drawn, serving
from explore_page import Editor

from srbench.editing.explore import MAX_BYTES, MAX_PIXELS, Explorer, open_explorer
from srbench.images.io import write_png
from srbench.pages.server import HOST, SECONDS
from srbench.reporting.page.view import open_folder
from srbench.weights.download import MAX_BYTES as MOST_DOWNLOADED
from srbench.words import LONGEST

ROOT = Path(__file__).parents[1]
SOURCES = [path for package in ("srbench", "srflow", "baselines") for path in (ROOT / package).rglob("*.py")]
TEXT = " ".join((ROOT / "SECURITY.md").read_text().split())


@pytest.fixture(scope="module")
def calls():
    """All calls in the sources: file, dotted name, and the whole call."""
    nodes = [(path.name, node) for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]
    return [(file, ast.unparse(node.func), ast.unparse(node)) for file, node in nodes if isinstance(node, ast.Call)]


def test_the_numbers_in_the_text():
    assert f"at most {MOST_DOWNLOADED >> 30} GB" in TEXT
    assert f"at most {LONGEST} bytes" in TEXT
    assert f"at most {MAX_BYTES >> 20} MB are taken, and parts of 512x512 pixels" in TEXT
    assert MAX_PIXELS == 512 * 512
    assert f"silent for {SECONDS} seconds" in TEXT
    assert HOST == "127.0.0.1"


def test_checkpoints_are_read_as_weights_alone(calls):
    loads = [(file, call) for file, name, call in calls if name.endswith(("torch.load", ".get_state_dict"))]
    assert loads
    for file, call in loads:
        assert call.count("weights_only=True") == 1, file


def test_torch_before_the_last_fault_of_weights_only_is_not_allowed():
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    [torch] = [each for each in requirements if re.match(r"torch\W", each)]
    assert re.fullmatch(r"torch>=(\d+\.\d+)", torch)
    assert f"PyTorch {torch.removeprefix('torch>=')}" in TEXT
    assert tuple(map(int, torch.removeprefix("torch>=").split("."))) >= (2, 10), "CVE-2026-24747 is fixed in 2.10"


def test_where_pickles_are_read_and_processes_are_started(calls):
    """Pickles: what one process of a run sends another. Processes: git."""
    unpickled = {file for file, name, _ in calls if name.endswith("pickle.loads")}
    assert unpickled <= {"engines.py", "workers.py"}
    started = {file for file, name, _ in calls if name in ("subprocess.run", "subprocess.Popen")}
    assert started <= {"environment.py", "doctor.py"}
    assert not [file for file, name, call in calls if name in ("os.system", "eval", "exec") or "shell=True" in call]


@pytest.mark.parametrize("command", ["report", "merge", "compare"])
def test_what_reads_a_run_runs_no_code_of_it(srbench, tmp_path, command):
    """Neither its model nor its metric, of which ``run`` draws the map."""
    code = tmp_path / "code.py"
    code.write_text(CODE)
    write_png(tmp_path / "data" / "a.png", drawn(1, 16, 16))
    models, run = f"{code}:Half,bicubic", tmp_path / "run"
    options = ["--data", tmp_path / "data", "--metrics", f"psnr,{code}:Gap", "--workers", 1, "--out", run]
    assert srbench("run", "--models", models, "--scale", 4, *options).exit_code == 0
    drawn_map = run / "report" / "maps" / "bicubic" / "a_gap.png"
    assert drawn_map.is_file()
    code.write_text("raise SystemExit('code of a folder was run')\n")
    arguments = {
        "report": [run, "--baseline", "bicubic"],
        "merge": [run, "--out", tmp_path / "merged"],
        "compare": ["Half", "bicubic", "--run", run],
    }[command]
    found = srbench(command, *arguments)
    assert found.exit_code == 0, found.output
    assert drawn_map.is_file(), "the map of the last report"


CODE = """
from srbench.interfaces import MapInfo, MappedMetric, MetricInfo


class Half:
    scale = 4

    def __call__(self, lr):
        return lr.repeat(1, 1, 4, 4)


class Gap(MappedMetric):
    info = MetricInfo(
        name="gap", title="Gap", direction=-1, protocol="mean absolute difference", map=MapInfo("difference", upper=1)
    )

    def __call__(self, samples, pair):
        return (samples - pair.hr).abs().mean((1, 2, 3))

    def map(self, samples, pair):
        return (samples[0] - pair.hr).abs().mean(0)
"""


@pytest.fixture(params=["view", "explore"])
def port(request, tmp_path):
    """Address of one of the two servers."""
    write_png(tmp_path / "run" / "a.png", drawn(1, 16, 16))
    (tmp_path / "run" / "report").mkdir()
    (tmp_path / "run" / "report" / "report.html").write_text("<p>report")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "run" / "link.txt").symlink_to(tmp_path / "secret.txt")
    explorer = Explorer(Editor(), tmp_path / "saved")
    opened = open_folder(tmp_path / "run", 0) if request.param == "view" else open_explorer(explorer, None, 0)
    with serving(opened) as server:
        yield server.server_port


def status(port, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.read()
    return answer.status, answer.headers


def test_a_server_answers_its_own_page_alone(port):
    own = f"http://127.0.0.1:{port}"
    answered = status(port)[0]
    assert answered in (200, 302)
    assert status(port, Origin=own)[0] == answered
    assert status(port, Host=f"localhost:{port}", Origin=f"http://localhost:{port}")[0] == answered
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": own.replace("http", "https")},
    ):
        assert status(port, **headers)[0] == 403, headers
    headers = status(port)[1]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_server_gives_its_folder_alone(port):
    outside = ("/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/link.txt", "//etc/passwd")
    for path in (*outside, "/%00", "/a.png/", "/."):
        assert status(port, path)[0] in (404, 400), path
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert status(port, method=method)[0] == 501
    assert status(port, "/save", "POST")[0] in (403, 501)


def test_a_server_is_not_reached_from_elsewhere(port):
    """It is bound to the loopback device: another address of this machine has nobody at that port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.2", port))  # fails where the server listens on all addresses


def test_a_name_cannot_leave_the_folder_of_saved_files(tmp_path):
    explorer = Explorer(Editor(), tmp_path / "saved")
    write_png(tmp_path / "a.png", drawn(1, 16, 16))
    content = (tmp_path / "a.png").read_bytes()
    for name in ("../../b.png", "..\\..\\b.png", "/etc/b.png", "C:\\b.png"):
        opened = explorer.open(name, content)
        path = explorer.save({"image": opened.id, "part": [0, 0, 16, 16], "temperature": 0.5})
        assert path.parent == tmp_path / "saved"
        path.unlink()
    for name in ("a\0.png", "a\nb.png", "x" * 300 + ".png", ".."):
        with pytest.raises(Exception, match="cannot be a file name"):
            explorer.open(name, content)
