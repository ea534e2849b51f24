"""The report's template, filled in."""

import re
from pathlib import Path

import jinja2

from chestflow import formatting
from chestflow.report import page, published, verdicts

TEMPLATE, CARD, SIZES = (
    Path(__file__).with_name(f"{name}.md.jinja") for name in ("template", "card", "sizes")
)
USERS_WORDS = ("data", "classes")  # where metrics files hold words of datasets.yaml


def rendered(given: dict, template: Path = TEMPLATE) -> str:
    """The Markdown of the report; a name in the template that is not given is an error, never a
    gap. given: the figures, by the names that stage `report` gives them."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "grouped": "{:,}".format,
        "slug": page.slug,
        "number": formatting.number,
    }
    environment.tests["genuine"] = _is_genuine
    words = environment.from_string(template.read_text(encoding="utf-8"))
    names = {"word": formatting, "estimate": verdicts, "published": published}
    # The names of spaces alone might be those of the fields that are looked for.
    text = words.render(literal(given) | {"spaces": given["spaces"]} | names)
    return re.sub(r"\n{3,}", "\n\n", text)


def _is_genuine(caption: str, title: str) -> bool:
    """Whether a caption is of a data set's images, of whatever size, and not of its phantom."""
    return caption.startswith(title) and not caption.endswith(" PHANTOM")


def literal(found, chosen: bool = False):
    """The same, with every data set's caption and class names as Markdown that shows them as the
    user wrote them; chosen: whether this is what stands under one of the user's keys."""
    if isinstance(found, dict):
        return {key: literal(value, key in USERS_WORDS) for key, value in found.items()}
    if isinstance(found, list):
        return [literal(value, chosen) for value in found]
    return formatting.literal(found) if chosen and isinstance(found, str) else found
