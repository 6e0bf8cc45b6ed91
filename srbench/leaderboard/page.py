"""Page of a leaderboard: index.html, which opens offline and requests nothing from anywhere."""

from __future__ import annotations

from markupsafe import Markup

from srbench.leaderboard.contents import Index
from srbench.leaderboard.order import BORDA, RANKS
from srbench.reporting.rendering import rendered, source
from srbench.system.pages import hashes


def page(index: Index) -> str:
    """Text of index.html. Jinja escapes all names; the policy allows our style and script alone."""
    tables = [one.table for one in index.standings]
    style, script = (
        "\n".join(map(source, names)) for names in (("report.css", "leaderboard.css"), ("tables.js", "leaderboard.js"))
    )
    return rendered(
        "index.html.jinja",
        index=index,
        style=Markup(style),
        script=Markup(script),
        hashes=hashes(style, script),
        datasets=sorted({name for table in tables for name in table.datasets}),
        scales=sorted({table.protocol.scale for table in tables}),
        suites=sorted({table.protocol.suite for table in tables}),
        ranks_rule=RANKS,
        borda_rule=BORDA,
    ) + "\n"  # fmt: skip
