"""Commands that are killed in the middle, or refused."""

from __future__ import annotations

import os
import traceback
from contextlib import contextmanager

import pytest

from srbench.benchmark import first_calls, tasks
from srbench.run_folder import RunFolderError, folder, manifest


@contextmanager
def dying(at):
    """Let this process end at its ``at``-th write, sample or value, in the middle of it if it is a write."""
    left = at

    def before(function):
        def call(*arguments, **named):
            nonlocal left
            left -= 1
            if left == 0:
                if function.__name__ == "append":
                    with (arguments[0] / "rows.jsonl").open("ab") as file:
                        file.write(b'{"key": "torn')
                elif function.__name__.startswith("write"):
                    path, content = arguments
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.with_name(f".{path.name}.4194305").write_bytes(content[: len(content) // 2])
                os._exit(9)
            return function(*arguments, **named)

        return call

    places = [
        (folder.records, "append"),
        (folder, "write_whole"),
        (folder, "write_synced"),
        (manifest, "write_synced"),
        (tasks, "sample"),
        (tasks, "measure"),
        (first_calls, "measure"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for module, name in places:
            patch.setattr(module, name, before(getattr(module, name)))
        yield


@pytest.fixture
def refused():
    """Run a command; the sentence with which it was refused, or nothing."""

    def call(command):
        try:
            command()
        except RunFolderError as error:
            return str(error)
        return ""

    return call


@pytest.fixture
def killed(refused):
    """Run a command in a process that dies; False if it ended before."""

    def call(command, at):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with dying(at):
                    refused(command)
                code = 0
            except BaseException:
                traceback.print_exc()  # which pytest shows
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), "it ends by itself only as it would in this process"
        return code == 9

    return call
