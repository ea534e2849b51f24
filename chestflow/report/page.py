"""Markdown -> one HTML page that needs nothing else: pictures inside, no network, fit for a phone
and for paper."""

import base64
import io
import os
import re
from html import escape
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

HERE = Path(__file__).parent
STYLE, MENU = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "menu.js"))
# What a line must not break: an interval, a range, a product, a spread, a percentage.
WHOLE = re.compile(r"\[[+\N{MINUS SIGN}\d., ]+\]|\(\S+ to \S+\)|\S+ [×±] \S+|[\d.]+ %")
UNBROKEN = "\N{NO-BREAK SPACE}"


def slug(heading: str) -> str:
    """The id of a heading, as GitHub makes it, so that a link to it works there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def html(markdown: str, folder: Path, below: dict[str, str] | None = None) -> str:
    """The page; folder: what the pictures' paths are relative to; below: markup to set below a
    figure, by the name of its picture's file.

    A picture alone on its line becomes a figure, and the lines below it its caption. HTML within
    the Markdown is shown, not obeyed. Raises ValueError for a picture that lies neither in the
    folder nor in one beside it: no file of the user's gets into the page by mistake.
    """
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table")
    tokens = parser.parse(markdown)
    headings = _name_headings(tokens)
    _keep_whole(tokens)
    _figures(tokens, folder, below or {})
    _tables(tokens)
    body = parser.renderer.render(tokens, parser.options, {})
    title = next((text for level, text in headings if level == "h1"), "Report")
    contents = "\n".join(
        f'<a class="{level}" href="#{slug(text)}">{escape(text)}</a>'
        for level, text in headings
        if level != "h1"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE}</style>
</head>
<body>
<details class="menu"><summary>Contents</summary>
<nav aria-label="Contents">
{contents}
</nav></details>
<nav class="beside" aria-label="Contents, beside">
{contents}
</nav>
<main>
{body}</main>
<script>
{MENU}</script>
</body>
</html>
"""


def _name_headings(tokens: list[Token]) -> list[tuple[str, str]]:
    """Give every heading its id; returns level and text of each."""
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            text = _plain(inline)
            token.attrSet("id", slug(text))
            found.append((token.tag, text))
    return found


def _figures(tokens: list[Token], folder: Path, below: dict[str, str]) -> None:
    """A paragraph that begins with a picture becomes a figure: the picture, a link to its full
    size, which the style sheet shows, and the caption."""
    n, further = 0, []
    for i, (before, inline, after) in enumerate(zip(tokens, tokens[1:], tokens[2:])):
        if inline.type != "inline" or not inline.children or inline.children[0].type != "image":
            continue
        n += 1
        before.tag = after.tag = "figure"
        before.attrSet("id", f"figure-{n}")
        image, *caption = inline.children
        path = str(image.attrs["src"])
        source, width, height = data_uri(_beside(folder, path))
        image.attrs |= {"src": source, "width": width, "height": height}
        inline.children = [_raw(f'<a href="#figure-{n}">'), image, _raw("</a>")]
        inline.children.append(_raw(f'<a class="close" href="#caption-{n}">Close</a>'))
        lines = [_raw("<br>") if part.type == "softbreak" else part for part in caption[1:]]
        inline.children += [_raw(f'<figcaption id="caption-{n}">'), *lines, _raw("</figcaption>")]
        further.append((i + 3, below.get(Path(path).name)))
    for at, markup in reversed(further):
        if markup:
            tokens.insert(at, _raw(markup))


def _beside(folder: Path, source: str) -> Path:
    root, path = (Path(os.path.abspath(folder / name)) for name in (os.pardir, source))
    if not path.is_relative_to(root):
        raise ValueError(f"the picture {source} is not in {root}")
    return path


def _tables(tokens: list[Token]) -> None:
    """Figures are set right; a table wider than the screen scrolls on its own. Where every column
    has a name, each cell is given it: on a phone, rows become cards of named values."""
    table, column = tokens[0], 0
    names: list[str] = []
    for token, inline in pairwise(tokens):
        if token.type == "table_open":
            table, names = token, []
        elif token.type == "tr_open":
            column = 0
        elif token.type == "thead_close" and all(names):
            table.attrSet("class", "cards")
        if "right" in str(token.attrs.pop("style", "")):  # cells alone have a style
            token.attrSet("class", "number")
        if token.type == "th_open":
            names.append(_plain(inline))
            token.attrSet("scope", "col")
        elif token.type == "td_open":
            _cell(token, inline, names[column])
            column += 1
    for i in reversed(range(len(tokens))):
        if tokens[i].type == "table_open":
            tokens.insert(i, _raw('<div class="scroll" tabindex="0">\n'))
        elif tokens[i].type == "table_close":
            tokens.insert(i + 1, _raw("</div>\n"))


def _cell(token: Token, inline: Token, name: str) -> None:
    token.attrSet("data-label", name)
    if inline.children:  # an empty cell stays empty, so that the style sheet can leave it out
        inline.children = [_raw("<span>"), *inline.children, _raw("</span>")]


def _keep_whole(tokens: list[Token]) -> None:
    for part in (part for token in tokens for part in token.children or []):
        if part.type == "text":
            part.content = WHOLE.sub(lambda found: found[0].replace(" ", UNBROKEN), part.content)


def _plain(inline: Token) -> str:
    return "".join(part.content for part in inline.children or [])


def _raw(markup: str) -> Token:
    return Token("html_inline", "", 0, content=markup)


def data_uri(path: Path) -> tuple[str, int, int]:
    """A picture as lossless WebP, half the size of its PNG and equal in every pixel; with its
    width and height, so that the page does not jump while it loads."""
    with Image.open(path) as image:
        buffer = io.BytesIO()
        opaque = image.mode != "RGBA" or image.getchannel("A").getextrema()[0] == 255
        image.convert("RGB" if opaque else "RGBA").save(buffer, "WEBP", lossless=True, exact=True)
        text = base64.b64encode(buffer.getvalue()).decode()
        return f"data:image/webp;base64,{text}", image.width, image.height
