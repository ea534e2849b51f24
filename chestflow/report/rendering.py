"""The report's template, filled in."""

import re
from pathlib import Path

import jinja2

from chestflow import formatting
from chestflow.report import page, published, verdicts

TEMPLATE, CARD = (Path(__file__).with_name(f"{name}.md.jinja") for name in ("template", "card"))
USERS_WORDS = ("data", "classes")  # where results hold words of datasets.yaml


def rendered(values: dict, template: Path = TEMPLATE) -> str:
    """The Markdown of the report. values: by the names that the template uses; one that is missing
    is an error, never a gap."""
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
    environment.tests |= {"genuine": _is_genuine, "phantom": _is_phantom}
    modules = {"word": formatting, "verdicts": verdicts, "published": published}
    text = environment.from_string(template.read_text(encoding="utf-8"))
    return re.sub(r"\n{3,}", "\n\n", text.render(literal(values) | modules))


def _is_phantom(caption: str) -> bool:
    return caption.endswith(" PHANTOM")


def _is_genuine(caption: str, title: str) -> bool:
    """Whether a caption is of a data set's images, of whatever size, and not of its phantom."""
    return caption.startswith(title) and not _is_phantom(caption)


def literal(values, users: bool = False):
    """The same values, with Markdown escaped in captions and class names, so that they appear as
    the user wrote them; users: whether the value is under one of the keys in USERS_WORDS."""
    if isinstance(values, dict):
        return {key: literal(value, key in USERS_WORDS) for key, value in values.items()}
    if isinstance(values, list):
        return [literal(value, users) for value in values]
    return formatting.literal(values) if users and isinstance(values, str) else values
