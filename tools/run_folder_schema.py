"""Make the JSON schema of a run folder's files from the types that read and write them.

python tools/run_folder_schema.py    writes srbench/run_folder/schema.json; a test fails if it is out of date
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from srbench.run_folder.protocol import FORMAT, Manifest
from srbench.run_folder.records import KINDS
from srbench.voting.records import Vote

FILE = Path(__file__).parents[1] / "srbench" / "run_folder" / "schema.json"
_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}


def schema() -> dict[str, Any]:
    """Return the schema, with a definition for the manifest and each kind of line."""
    kinds = [Manifest, *KINDS, Vote]
    _, definitions = msgspec.json.schema_components(kinds, schema_hook=_path, ref_template="#/$defs/{name}")
    definitions["Manifest"]["properties"]["format"] = {"const": FORMAT}
    definitions["ScoreRecord"]["properties"]["value"] = {
        "description": "One number per sample, one for all samples, or null for a failure.",
        "anyOf": [{"type": "array", "items": _NUMBER}, *_NUMBER["anyOf"], {"type": "null"}],
    }
    for definition in definitions.values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Files of a run folder of srbench, format {FORMAT}",
        "description": "manifest.json is a Manifest; lines of environments.jsonl, pairs.jsonl, samples.jsonl, "
        "rows.jsonl and votes.jsonl are of EnvironmentRecord, PairRecord, SampleRecord, ScoreRecord and Vote.",
        "$defs": _sorted(definitions),
    }


def text() -> str:
    """Return the content of the file."""
    return json.dumps(schema(), indent=1) + "\n"


def _sorted(node: object) -> object:
    """Sort alternatives and drop empty defaults, which depend on the version of msgspec."""
    if isinstance(node, list):
        return [_sorted(item) for item in node]
    if not isinstance(node, dict):
        return node
    cleaned = {key: _sorted(value) for key, value in node.items() if (key, value) != ("default", {})}
    if isinstance(alternatives := cleaned.get("anyOf"), list):
        cleaned["anyOf"] = sorted(alternatives, key=json.dumps)
    return cleaned


def _path(kind: type) -> dict[str, Any]:
    assert kind is Path, kind
    return {"type": "string"}


if __name__ == "__main__":
    FILE.write_text(text())
