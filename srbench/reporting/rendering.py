"""Templates of reports and pages: Markdown, where the names of users are escaped by filters, and HTML, by Jinja."""

from __future__ import annotations

from importlib.resources import files

import jinja2
from markupsafe import Markup

from srbench.reporting.ranking import RULE
from srbench.reporting.scores import header
from srbench.system import markdown


def rendered(template: str, **facts: object) -> str:
    """Text of a template with some facts, ``header`` and the rule of significance; it ends without a line break."""
    is_html = template.endswith(".html.jinja")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("srbench.reporting"),
        autoescape=is_html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    if is_html:
        rule: str = Markup(RULE).format(best=Markup("<b>Bold</b>"), second=Markup("<u>underlined</u>"), less="<")
    else:
        environment.filters |= {"escape": markdown.escape, "code": markdown.code, "block": markdown.block}
        rule = RULE.format(best="**Bold**", second="<u>underlined</u>", less="<")
    return environment.get_template(template).render(header=header, image=markdown.image, rule=rule, **facts)


def source(name: str) -> str:
    """Text of a style or a script among the templates."""
    return (files("srbench.reporting") / "templates" / name).read_text(encoding="utf-8")
