"""Facts that results made elsewhere state: in manifest and report, in no key, and strictly read."""

from __future__ import annotations

import pytest

from srbench.images.io import write_png
from srbench.models.precomputed import stated_facts
from srbench.run_folder.manifest import read_manifest
from srbench.system.config import ConfigError

FACTS = 'colour_fix = "wavelet"\ntile = 0\nsteps = 1\nsource = "https://a.example/b_c"\n'


def test_all_is_optional_and_nothing_else_is_taken(tmp_path):
    assert stated_facts(tmp_path) == {}
    (tmp_path / "facts.toml").write_text(FACTS + "temperature = 1\n")
    assert stated_facts(tmp_path) == {
        "colour fix": "wavelet", "tile": "0", "steps": "1", "temperature": "1.0", "source": "https://a.example/b_c",
    }  # fmt: skip
    (tmp_path / "facts.toml").write_text("step = 1\n")
    with pytest.raises(ConfigError, match=r"facts.toml: .*unknown key 'step'.*did you mean steps"):
        stated_facts(tmp_path)
    (tmp_path / "facts.toml").write_text("tile = -8\n")
    with pytest.raises(ConfigError, match=r"facts.toml: tile is -8; it has to be 0 or more"):
        stated_facts(tmp_path)


def test_a_run_shows_them_and_measures_nothing_again(tmp_path, command, draw_image):
    for seed, name in enumerate("ab"):
        write_png(tmp_path / "hr" / f"{name}.png", draw_image(seed, 32, 32))
        write_png(tmp_path / "theirs" / f"{name}.png", draw_image(seed + 2, 32, 32))
    words = ("run", "--models", "theirs=theirs,bicubic", "--scale", 4, "--data", "hr", "--metrics", "psnr")
    words += ("--out", "out", "--workers", 1)
    assert command(*words).code == 0
    lines = (tmp_path / "out" / "rows.jsonl").read_bytes()
    assert "made elsewhere" not in (tmp_path / "out" / "report.md").read_text()
    (tmp_path / "theirs" / "facts.toml").write_text(FACTS)
    assert command(*words).code == 0
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == lines, "no value depends on them"
    assert read_manifest(tmp_path / "out").model("theirs").stated["colour fix"] == "wavelet"
    report = (tmp_path / "out" / "report.md").read_text()
    assert "- **theirs**: made elsewhere. Its folder states colour fix: wavelet; tile: 0; steps: 1; source: " in report
    assert "Its folder states colour fix: wavelet; tile: 0" in (tmp_path / "out" / "report.html").read_text()
    assert command("verify", "out").code == 0
    (tmp_path / "theirs" / "facts.toml").write_text("tiles = 1\n")
    refused = command(*words)
    assert refused.code == 1
    assert len(refused.err.strip().splitlines()) == 1
