"""Commands of a process of its own: for every case, what its folder holds afterwards and what a fresh one holds."""

from __future__ import annotations

import functools
import json
import os
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from srbench.benchmark.run import run
from srbench.plugins import code_digest
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.request import RunSpec
from srbench.run_folder.results import rows_of


def values_in(path):
    """The values of the only image, by model and metric."""
    rows = rows_of(RunFolder.read(path))
    return {f"{row.setting.folder} {row.image} {name}": value for row in rows for name, value in row.values.items()}


@contextmanager
def process_like(case):
    """The variables and the path of a case; afterwards its modules are forgotten, as if the process had ended."""
    before, path = dict(os.environ), list(sys.path)
    os.environ.update(case["environ"])
    sys.path[:0] = case["path"]
    os.chdir(case["folder"])
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(case["folder"]):
                del sys.modules[name]
        sys.path_importer_cache.clear()
        for function in vars(code_digest).values():
            if isinstance(function, functools._lru_cache_wrapper):
                function.cache_clear()


def done(case, number):
    """Run the command of a case, and the same with a fresh folder."""
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in case["spec"].items()}
    spec = RunSpec(**options, out=f"{case['folder']}.run")
    with process_like(case):
        outcome = run(spec)
    with process_like(case):
        fresh = run(replace(spec, out=f"{case['folder']}.fresh{number}")).folder
    return {
        "sampled": outcome.sampled,
        "scored": outcome.scored,
        "values": values_in(outcome.folder),
        "truth": values_in(fresh),
    }


def main():
    """Read cases, write results."""
    sys.dont_write_bytecode = True
    torch.set_num_threads(1)
    cases, number = json.loads(Path(sys.argv[1]).read_text()), sys.argv[3]
    results = {}
    for case in cases:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            try:
                results[case["name"]] = done(case, number)
            except Exception as error:
                results[case["name"]] = {"error": f"{type(error).__name__}: {error}"}
            results[case["name"]]["said"] = [str(one.message) for one in said]
    Path(sys.argv[2]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
