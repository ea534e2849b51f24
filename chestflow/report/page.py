"""Markdown -> one HTML page with its pictures inside, for use offline, on a phone and on paper."""

import base64
import io
import re
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image

# Kept on one line: an interval, a range, a product, mean ± sd, a percentage.
WHOLE = re.compile(r"\[[+\N{MINUS SIGN}\d., ]+\]|\(\S+ to \S+\)|\S+ [×±] \S+|[\d.]+ %")
HEADING = re.compile(r"<(h\d)>(.*?)</h\d>")
# A paragraph that begins with a picture: its path, further attributes, and the caption.
FIGURE = re.compile(r'<p><img src="([^"]+)"([^>]*)>(.*?)</p>', re.DOTALL)


def slug(heading: str) -> str:
    """The id of a heading, as GitHub makes it, so that a link to it works there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


# The templates of this folder; HTML in the values is escaped.
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
)
TEMPLATES.filters["slug"] = slug


def html(markdown: str, folder: Path, below: dict[str, str] | None = None) -> str:
    """The page. Headings get an id, and paragraphs that begin with a picture become figures; HTML
    within the Markdown is escaped.

    folder: what the pictures' paths are relative to; below: markup to set below a figure, by the
    name of its picture's file.
    """
    headings = []

    def heading(match: re.Match) -> str:
        tag, text = match.groups()
        headings.append((tag, Markup(text).striptags()))
        return f'<{tag} id="{slug(headings[-1][1])}">{text}</{tag}>'

    def figure(match: re.Match) -> str:
        path, attributes, caption = match.groups()
        source, width, height = data_uri(folder / path)
        image = f'<img src="{source}" width="{width}" height="{height}"{attributes}>'
        slot = (below or {}).get(Path(path).name, "")
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>\n{slot}"

    unbroken = WHOLE.sub(lambda match: match[0].replace(" ", "\xa0"), markdown)
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table")
    body = Markup(FIGURE.sub(figure, HEADING.sub(heading, parser.render(unbroken))))
    return TEMPLATES.get_template("page.html.jinja").render(body=body, headings=headings)


def data_uri(path: Path) -> tuple[str, int, int]:
    """A picture as lossless WebP, half the size of its PNG and equal in every pixel; with its
    width and height, so that the page does not jump while it loads."""
    with Image.open(path) as image:
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=True, exact=True)
        text = base64.b64encode(buffer.getvalue()).decode()
        return f"data:image/webp;base64,{text}", image.width, image.height
