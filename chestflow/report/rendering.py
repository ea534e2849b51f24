"""The report's template, filled in."""

import re
from pathlib import Path

import jinja2

from chestflow import wording
from chestflow.report import borders, classifier, page, transfer, tuning

TEMPLATE = Path(__file__).with_name("template.md.jinja")
# What the template calls `say`: every sentence that a figure decides.
SENTENCES = {
    name: value
    for module in (borders, classifier, tuning, transfer)
    for name, value in vars(module).items()
    if not name.startswith("_")
}


def rendered(given: dict, template: Path = TEMPLATE) -> str:
    """The Markdown of the report; a name in the template that is not given is an error, never a
    gap."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "grouped": "{:,}".format,
        "slug": page.slug,
        "number": wording.number,
        "spread": wording.spread,
    }
    words = environment.from_string(template.read_text(encoding="utf-8"))
    text = words.render(given, say=SENTENCES, word=wording)
    return re.sub(r"\n{3,}", "\n\n", text)
