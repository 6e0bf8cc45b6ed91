"""The rules, their page, and how a verdict follows from findings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from srbench.run_folder.verified import read_verified
from srbench.verification.findings import EXIT_CODES, Findings, write_verified
from srbench.verification.rules import RULES, rules_list

ROOT = Path(__file__).parents[3]


def test_the_page_has_the_rules_and_every_verdict():
    page = (ROOT / "docs" / "verify.md").read_text()
    assert " ".join(rules_list().split()) in " ".join(page.split()), "wrapped at another place"
    for verdict, code in EXIT_CODES.items():
        assert re.search(rf"^\| {verdict} \|.* \| {code}(;.*)? \|$", page, re.MULTILINE), verdict


def test_every_rule_is_used_and_no_other():
    files = [path for path in (ROOT / "srbench" / "verification").glob("*.py") if path.name != "rules.py"]
    code = "".join(path.read_text() for path in files)
    assert all(f'"{rule}"' in code for rule in RULES)
    assert set(re.findall(r'\.add\(\s*"([^"]+)"', code)) <= set(RULES)


def test_the_verdict_follows_from_the_findings():
    found = Findings(Path("run"), verified=3, items=2, sampled=1)
    assert (found.verdict, found.exit_code) == ("verified from its files", 0)
    found.sampled = 2
    found.add("code-changed", "m", "its code has changed")
    assert (found.verdict, found.exit_code, found.proven) == ("proven", 0, True)
    found.leave_to_machine("runtime", "it depends on the machine, so it is not measured again")
    assert (found.verdict, found.exit_code, found.proven) == ("verified from its files", 0, False)
    found.leave("sigma", "the metric cannot be loaded")
    assert (found.verdict, found.exit_code, found.holds) == ("unverified", 3, True)
    found.contradict("m a", "PSNR is 20, and the table has 21")
    assert (found.verdict, found.exit_code, found.holds) == ("contradicted", 1, False)
    assert [each["rule"] for each in found.as_json()["findings"]] == [
        "value-differs",
        "not-measured",
        "code-changed",
        "depends-on-machine",
    ]


def test_equal_reasons_share_a_line():
    found = Findings(Path("run"), verified=1, items=2, has_report=True)
    for place in "abcde":
        found.leave(f"near {place}", "its images are missing or have changed")
    for _ in range(4):
        found.leave_to_resampling("sigma", "it needs outputs as the model returned them")
    assert found.text().splitlines() == [
        "run: unverified, nothing contradicted: 1 of 10 values reproduced from their images; "
        "left out are 4 values (sigma) and 2 items, which srbench verify run --resample all checks",
        "unverified (not-measured): near a, near b, near c and 2 more: its images are missing or have changed",
        "note (needs-resampling): sigma (4 values): it needs outputs as the model returned them",
        "0 of 0 images unchanged; plots and images of the report compared with their hashes alone",
    ]


def test_the_first_line_has_the_verdict():
    found = Findings(Path("run"), verified=3, items=2, sampled=2, tried=2)
    assert found.text().splitlines()[0] == (
        "run: proven: 3 of 3 values reproduced from their images, 2 of 2 items by their models"
    )
    found.sampled = found.tried = 1
    assert found.text().splitlines()[0] == (
        "run: verified from its files: 3 of 3 values, 1 of 2 items by their models; left out is 1 item, which "
        "srbench verify run --resample all checks"
    )
    found.leave_to_resampling("sigma", "it needs outputs as the model returned them")
    for title in ("runtime", "memory"):
        found.leave_to_machine(title, "it depends on the machine, so it is not measured again")
    assert found.text().splitlines()[0] == (
        "run: verified from its files: 3 of 6 values, 1 of 2 items by their models; left out are 1 value (sigma) "
        "and 1 item, which srbench verify run --resample all checks; 2 values (runtime, memory) depend on the machine"
    )
    found.contradict("m a", "PSNR is 20, and the table has 21")
    assert found.text().startswith(
        "run: contradicted: 3 of 7 values reproduced from their images, 1 of 2 items by their"
    )


def test_a_weaker_check_replaces_no_stronger_one_unless_it_contradicts(finished):
    strong = Findings(finished, verified=27, sampled=9, tried=9, items=9)
    weak = Findings(finished, verified=18, unverified=9, items=9)
    write_verified(strong)
    write_verified(weak)
    assert read_verified(finished).verdict == "proven"
    weak.contradict("near a", "PSNR is 20, and the table has 21")
    write_verified(weak)
    assert read_verified(finished).verdict == "contradicted"
    write_verified(strong)
    assert read_verified(finished).verdict == "proven", "it was repaired"
    (finished / "SHA256SUMS").write_text("")
    assert read_verified(finished) is None, "void with other sums"


def test_the_command(finished, command):
    done = command("verify", finished)
    assert done.code == 0
    assert done.out.splitlines()[0] == (
        f"{finished}: verified from its files: 18 of 27 values; left out are 9 values (sigma) and 9 items, "
        f"which srbench verify {finished} --resample all checks"
    )
    assert "21 of 21 images unchanged" in done.out
    assert read_verified(finished).verdict == "verified from its files"
    [invocation] = json.loads((finished / "manifest.json").read_text())["invocations"]
    hardware, software = invocation["hardware"], invocation["software"]
    recorded = (
        f"{hardware['cpu']}, cpu, torch {software['torch']}, sr-bench {software['sr-bench']}, "
        f"{invocation['started'][:10]}"
    )
    assert done.out.splitlines()[-1] == f"not proven, as recorded: {recorded}"
    done = command("verify", finished, "--resample", "all", "--format", "json")
    facts = json.loads(done.out)
    assert (done.code, facts["proven"], facts["recorded"]) == (0, True, [recorded])
    assert "'some' is neither a number" in command("verify", finished, "--resample", "some").err
    (finished / "images" / "near" / "a.png").unlink()
    done = command("verify", finished)
    assert done.code == 3
    assert done.out.startswith(f"{finished}: unverified, nothing contradicted: 16 of 27 values reproduced")
    assert "images/near/a.png: is missing; --resample all makes it again" in done.out
    assert command("verify", finished, "--allow-unverified").code == 0
    assert command("verify", finished, "--resample", 8).code == 3, "one item is not sampled again"
    done = command("verify", finished, "--resample", "all")
    assert (done.code, "20 of 21 images unchanged, 1 made again" in done.out) == (0, True)
    (finished / "images" / "near" / "a.png").write_bytes(b"")
    assert command("verify", finished, "--allow-unverified").code == 1
    assert "file-differs" in read_verified(finished).rules


NETWORK = """
import torch
from torch.nn.functional import interpolate


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, lr):
        return self.weight * interpolate(lr, scale_factor=4)
"""
METRIC = """
from srbench.interfaces import ImageMetric, MetricInfo


class Brightness(ImageMetric):
    needs = ()
    info = MetricInfo(name="brightness", title="brightness", direction=0, protocol="mean")

    def __call__(self, samples, pair):
        return samples.mean(dim=(1, 2, 3))
"""


def test_a_metric_in_a_file_is_found_from_any_folder(finished, command, tmp_path, monkeypatch):
    """Its path is that of the folder in which the command was given; its values can be measured again elsewhere."""
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "mine.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path / "metrics")
    assert command("score", finished, "--metrics", "mine.py:Brightness").code == 0
    monkeypatch.chdir(tmp_path)
    done = command("verify", finished, "--resample", "all")
    assert done.code == 0, done.out
    (tmp_path / "mine.py").write_text(METRIC.replace("samples.mean", "2 * samples.mean"))
    assert command("verify", finished, "--resample", "all").code == 0, "not that of another folder"


def test_a_network_and_its_checkpoint_are_found_from_any_folder(command, tmp_path, monkeypatch):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.py").write_text(NETWORK)
    torch.save({"weight": torch.full((1,), 0.9)}, tmp_path / "nets" / "net.pth")
    monkeypatch.chdir(tmp_path / "nets")
    asked = ("--scale", 4, "--limit", 1, "--crop", 32, "--metrics", "psnr", "--out", tmp_path / "run")
    assert command("run", "--models", "net.py:Net:net.pth", *asked).code == 0
    monkeypatch.chdir(tmp_path)
    assert command("verify", tmp_path / "run", "--resample", "all").code == 0
    (tmp_path / "net.py").write_text(NETWORK.replace("self.weight *", "0.5 * self.weight *"))
    assert command("verify", tmp_path / "run", "--resample", "all").code == 0, "not that of another folder"
    (tmp_path / "nets" / "net.py").write_text(NETWORK.replace("self.weight *", "0.8 * self.weight *"))
    assert command("verify", tmp_path / "run", "--resample", "all").code == 3
