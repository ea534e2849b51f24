"""The report's template, filled in."""

import re
from pathlib import Path

import jinja2

from chestflow import formatting
from chestflow.report import page, published, verdicts

TEMPLATE, CARD = (Path(__file__).with_name(f"{name}.md.jinja") for name in ("template", "card"))


def rendered(values: dict, template: Path = TEMPLATE) -> str:
    """The Markdown of a template. values: by the names that it uses; one that is missing is an
    error, never a gap."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "grouped": "{:,}".format,
        "number": formatting.number,
        "slug": page.slug,
    }
    modules = {"word": formatting, "verdicts": verdicts, "published": published}
    text = environment.from_string(template.read_text(encoding="utf-8"))
    return re.sub(r"\n{3,}", "\n\n", text.render(values | modules))
