"""What no linter checks: packaged files, entry points, versions."""

from __future__ import annotations

import ast
import importlib
import json
import os
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = ("srbench", "srflow", "baselines")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_readme_has_both_first_commands_and_the_version():
    readme = (ROOT / "README.md").read_text()
    assert "pip install . && srbench run --models bicubic,rrdb,esrgan,srflow --scale 8\n" in readme
    assert "pip install '.[test]' && pytest -n auto\n" in readme
    assert f"version = {{{PROJECT['version']}}}" in readme
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_packaged_files_are_installed(package):
    """Weights, parameters, photographs: what is beside the sources is beside the installed package too."""
    here = [path.relative_to(ROOT / package) for path in (ROOT / package).rglob("*") if path.is_file()]
    there = Path(str(files(package)))
    assert Path("py.typed") in here
    assert not [path for path in here if "__pycache__" not in path.parts and not (there / path).is_file()]


def test_entry_points_name_objects_that_exist():
    for group, entries in PROJECT["entry-points"].items():
        for name, target in entries.items():
            module, _, attribute = target.partition(":")
            found = importlib.import_module(module)
            assert not attribute or hasattr(found, attribute), f"{group}: {name}"


def test_an_image_is_opened_in_the_formats_that_are_named():
    """Pillow goes by contents, and knows formats that start other programs."""
    for path in (
        path for name in (*PACKAGES, "examples", "benchmarks", "tools") for path in (ROOT / name).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
                assert "formats" in [keyword.arg for keyword in node.keywords], f"{path} line {node.lineno}"


def test_the_workflow_runs_every_check_and_publishes_the_main_branch_alone():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    assert {*workflow[True]} == {"push", "pull_request"}  # YAML 1.1 reads the key ``on`` as true
    jobs = workflow["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {
        "checks": [".ci/run"],
        "docs": ["pip install '.[docs]'", "mkdocs build --strict"],
        "publish": [],
    }
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    versions = jobs["checks"]["strategy"]["matrix"]["python"]
    assert [f"Programming Language :: Python :: {version}" for version in versions] == [
        each for each in PROJECT["classifiers"] if "Python ::" in each
    ]
    publishing = [name for name, job in jobs.items() if "pages" in job.get("permissions", {})]
    assert publishing == ["publish"]
    assert jobs["publish"]["needs"] == ["checks", "docs"]
    assert jobs["publish"]["if"] == "github.ref == 'refs/heads/main' && github.event_name == 'push'"
    assert workflow["permissions"] == {"contents": "read"}


def test_the_small_requirements_are_ours_and_what_pyiqa_imports():
    small = [line for line in (ROOT / "requirements-small.txt").read_text().splitlines() if not line.startswith("#")]
    ours = [each for each in PROJECT["dependencies"] if not each.startswith(("lpips", "pyiqa"))]
    assert small == [*ours, "einops", "ftfy", "regex", "requests", "setuptools<81", "timm"]


def test_a_tag_alone_publishes_on_pypi():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert workflow[True] == {"push": {"tags": ["v*"]}}
    jobs = workflow["jobs"]
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert (jobs["publish"]["needs"], jobs["publish"]["permissions"]) == ("build", {"id-token": "write"})
    assert workflow["permissions"] == {"contents": "read"}


def test_the_hooks_before_a_commit_are_checks_of_the_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    steps = {line.removeprefix("step ") for line in (ROOT / ".ci" / "run").read_text().splitlines()}
    assert [hook["entry"] for hook in hooks] == ["ruff check .", "ruff format --check .", "mypy", "lint-imports"]
    assert steps >= {hook["entry"] for hook in hooks}


def test_the_archive_has_the_facts_of_the_citation():
    archive = json.loads((ROOT / ".zenodo.json").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert archive["description"] == citation["abstract"]
    assert [creator["name"] for creator in archive["creators"]] == [author["name"] for author in citation["authors"]]
    for fact in ("title", "license", "keywords"):
        assert archive[fact] == citation[fact]
