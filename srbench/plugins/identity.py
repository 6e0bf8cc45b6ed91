"""Identities of third-party plug-ins: can it be told that nothing changed?

loaded      code, state when it was loaded
inputs      files and variables that it read, until its first call was over
unknown     why it may change all the same: then its outputs are made again by every command
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from srbench.interfaces import Evidence, SRBenchError
from srbench.plugins.sources import Sources
from srbench.plugins.state import State, state_of
from srbench.plugins.watch import Inputs, watching
from srbench.weights.files import parameters_sha256

FAILED = "its first call failed"


@dataclass(frozen=True)
class Identity:
    """Everything known of a third-party plug-in."""

    thing: object
    loaded: str
    """SHA-256 of its code and its state."""
    inputs: Inputs
    """Files and variables read while it was loaded."""
    covered: frozenset[str]
    """Real paths of its sources, which are no inputs."""
    given: bool
    """True for an object of this process, whose functions count by their compiled code."""
    state: State

    @classmethod
    def of(cls, thing: object, code: str, sources: Sources | None, seen: Inputs) -> Identity:
        """The identity of an object: its code, and its state or what its method ``digest`` returns in place of that.

        An object without ``sources`` is one of this process.
        """
        state = _state(thing, given=sources is None)
        covered = frozenset[str]() if sources is None else sources.covered
        inputs = (seen if sources is None else seen | sources.inputs).without(covered)
        return cls(thing, texts_digest(code, state.digest), inputs, covered, sources is None, state)

    def evidence(self, inputs: Inputs) -> Evidence:
        """Evidence for the object with all that it was seen to read."""
        unknown = self.state.unknown or inputs.unknown
        digest = texts_digest(self.loaded, inputs.digest())
        return Evidence(self.loaded, digest, tuple(sorted(inputs.files)), tuple(sorted(inputs.variables)), unknown)

    def confirmed(self, known: Evidence | None, *, strict: bool = False) -> Evidence | None:
        """Earlier evidence, if everything is still as it was; else None. Strictly, no file or variable may be new."""
        if known is None or known.loaded != self.loaded:
            return None
        now = Inputs(frozenset(known.files), frozenset(known.variables))
        seen = self.inputs.files <= now.files and self.inputs.variables <= now.variables
        if strict and (known.unknown == FAILED or not seen):
            return None
        unknown = self.state.unknown or self.inputs.unknown
        if texts_digest(self.loaded, now.digest()) != known.digest or (unknown and not known.unknown):
            return None
        return known

    def called(self, calls: Iterator[Callable[[], object]]) -> Evidence:
        """Evidence after the first of some calls that does not fail: all that they read is noted, and any change."""
        inputs, reason = self.inputs, FAILED
        for first_call in calls:
            with watching() as watch, suppress(SRBenchError):  # it appears again where the whole run is done
                first_call()
                reason = ""
            made = frozenset(map(os.path.realpath, watch.written - watch.files))
            inputs = inputs.without(made) | watch.inputs().without(self.covered)
            if not reason:
                break
        found = self.evidence(inputs)
        if not reason and _state(self.thing, given=self.given).digest != self.state.digest:
            reason = "changes when it is called"
        return replace(found, unknown=found.unknown or reason)


def digest_of(evidence: Evidence) -> str:
    """The digest of a plug-in: a new one every time for what may change without a trace.

    One whose first call failed has given nothing yet that could be mistaken; it is called again by the next command.
    """
    is_known = evidence.unknown in ("", FAILED)
    return evidence.digest if is_known else texts_digest(evidence.digest, uuid4().hex)


@contextmanager
def watched(is_foreign: bool) -> Iterator[Callable[[], Inputs]]:
    """Watch a third-party plug-in while it loads; gives a function that returns what it read."""
    if is_foreign:
        with watching() as watch:
            yield watch.inputs
    else:
        yield Inputs


def _state(thing: Any, *, given: bool) -> State:  # noqa: ANN401 - any object
    digest = getattr(thing, "digest", None)
    if callable(digest) and not hasattr(thing, "read"):
        parameters = parameters_sha256(thing) if hasattr(thing, "state_dict") else ""
        return State(texts_digest(str(digest()), parameters), "")
    return state_of(thing, code=given)


def texts_digest(*parts: str) -> str:
    """SHA-256 of texts, one per line."""
    return hashlib.sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()
