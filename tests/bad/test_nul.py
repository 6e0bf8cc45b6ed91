"""A NUL in a name, which no shell can give but every TOML file: no path can hold it."""

from __future__ import annotations

import json

import pytest

FINE = {"models": ["bicubic"], "scale": 4, "data": "photos", "limit": 1, "metrics": ["psnr"], "workers": 1}
NUL = "a\0b"
CHANGES = [
    {"data": NUL},
    {"data": None, "hr": NUL, "lr": NUL},
    {"out": NUL},
    {"models": [NUL]},
    {"models": [f"{NUL}.py:M"]},
    {"models": [f"{NUL}=bicubic"]},
    {"metrics": [NUL]},
    {"suite": NUL},
    {"degrade": NUL},
    {"engine": f"dask:{NUL}"},
    {"shard": NUL},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: " ".join(f"{k}={v}" for k, v in change.items()))
def test_in_a_bench_file(refused, tmp_path, change):
    facts = {key: value for key, value in ({"out": str(tmp_path / "run")} | FINE | change).items() if value is not None}
    (tmp_path / "nul.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items()))
    refused("run {here}/nul.toml", r"a\\x00b|a\\u0000b|NUL|null|a.?b")
    assert [path.name for path in tmp_path.iterdir()] == ["nul.toml"]
