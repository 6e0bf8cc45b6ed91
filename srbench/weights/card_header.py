"""The YAML header of a model card, from which hubs list licence, tags and results."""

from __future__ import annotations

from collections.abc import Sequence

from huggingface_hub import EvalResult, ModelCardData

from srbench.weights.metadata import WeightsMetadata

TASK = "image-to-image"
"""Task and pipeline tag of super-resolution on hubs."""
_LICENCES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0"),
    *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0"),
    *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
}
"""SPDX identifiers, in lower case, that hubs know as well;
any other licence is ``other``, as the card itself names it."""


def card_header(name: str, metadata: WeightsMetadata, results: Sequence[EvalResult]) -> str:
    """Return the header between its two lines of dashes; ``results`` go into its ``model-index`` under ``name``."""
    stated = str(metadata.licence).lower()
    facts = ModelCardData(
        license=stated if stated in _LICENCES else "unknown" if stated == "not stated" else "other",
        tags=["super-resolution", metadata.model, f"{metadata.scale}x", "srbench"],
        pipeline_tag=TASK,
        model_name=name if results else None,
        eval_results=[*results] or None,
    )
    return f"---\n{facts.to_yaml()}\n---"
