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

STYLE = """
:root { color-scheme: light; --ink: #1b1b1b; --soft: #5c5c5c; --line: #d9d9d9; --blue: #0072b2; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: #fff; overflow-wrap: break-word;
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 48rem; margin: 0 auto; padding: 1rem 1rem 4rem; }
nav { display: none; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; scroll-margin-top: 1rem; }
h1 { font-size: 1.9rem; margin: 1rem 0; }
h2 { font-size: 1.45rem; margin: 3rem 0 1rem; padding-top: .6rem;
  border-top: 2px solid var(--ink); }
h3 { font-size: 1.15rem; margin: 2.5rem 0 .8rem; }
a { color: var(--blue); text-underline-offset: .15em; }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
li { margin: .3rem 0; }
ul { padding-left: 1.3rem; }
blockquote { margin: 1rem 0; padding: .7rem 1rem; background: #eef5fa;
  border-left: 4px solid var(--blue); }
blockquote p { margin: 0; }
h1 + blockquote { background: #fdf1e8; border-color: #d55e00; }
.scroll { overflow-x: auto; margin: 1.2rem 0; background:  /* a shadow where more is to come */
  linear-gradient(to right, #fff 1.5rem, #fff0) left / 3rem 100% no-repeat local,
  linear-gradient(to left, #fff 1.5rem, #fff0) right / 3rem 100% no-repeat local,
  linear-gradient(to right, #0003, #0000) left / .7rem 100% no-repeat scroll,
  linear-gradient(to left, #0003, #0000) right / .7rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .55rem; text-align: left; vertical-align: top; min-width: 4rem;
  border-bottom: 1px solid var(--line); }
th { vertical-align: bottom; border-bottom: 2px solid var(--ink); }
th:first-child, td:first-child { padding-left: 0; }
td.number, th.number { text-align: right; }
td.number, code { white-space: nowrap; }
figure { margin: 1.8rem 0; }
figure .scroll { margin: 0; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { margin-top: .5rem; color: var(--soft); font-size: .875rem; line-height: 1.45; }
figcaption em { font-style: normal; }
@media screen and (max-width: 44rem) { figure img { min-width: 40rem; } }
@media (min-width: 75rem) {
  body { display: grid; grid-template-columns: 18rem minmax(0, 1fr); }
  nav { display: block; position: sticky; top: 0; height: 100vh; overflow-y: auto;
    padding: 1.6rem 1rem 2rem 1.6rem; font-size: .85rem; line-height: 1.4; }
  nav a { display: block; padding: .25rem 0; color: var(--soft); text-decoration: none; }
  nav a:hover { color: var(--blue); text-decoration: underline; }
  nav .h2 { margin-top: .7rem; color: var(--ink); font-weight: 600; }
  nav .h3 { padding-left: .8rem; }
  main { max-width: 58rem; padding-left: 2.5rem; padding-right: 2.5rem; }
}
@page { margin: 16mm 15mm; }
@media print {
  body { display: block; font-size: 9.5pt; line-height: 1.45; }
  nav { display: none; }
  main { max-width: none; padding: 0; }
  h2, h3 { break-after: avoid; }
  h1 { font-size: 19pt; } h2 { font-size: 14pt; } h3 { font-size: 11.5pt; }
  p, li, blockquote { orphans: 3; widows: 3; }
  blockquote { break-after: avoid; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, tr, blockquote { break-inside: avoid; }
  .scroll { overflow: visible; background: none; }
  figcaption { font-size: 8pt; }
  table { font-size: 7.5pt; width: 100%; }
  th, td { padding: .25rem .35rem; min-width: 0; }
  figure img { width: auto; max-height: 125mm; }
  a { color: inherit; text-decoration: none; }
}
"""


def slug(heading: str) -> str:
    """The id of a heading, as GitHub makes it, so that a link to it works there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def html(markdown: str, folder: Path) -> str:
    """The page; folder: what the pictures' paths are relative to.

    A picture alone on its line becomes a figure, and the line below it its caption. HTML within
    the Markdown is shown, not obeyed. Raises ValueError for a picture that lies neither in the
    folder nor in one beside it: no file of the user's gets into the page by mistake.
    """
    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable("table")
    tokens = parser.parse(markdown)
    headings = _name_headings(tokens)
    _figures(tokens, folder)
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
<style>{STYLE}</style>
</head>
<body>
<nav aria-label="Contents">
{contents}
</nav>
<main>
{body}</main>
</body>
</html>
"""


def _name_headings(tokens: list[Token]) -> list[tuple[str, str]]:
    """Give every heading its id; returns level and text of each."""
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            text = "".join(part.content for part in inline.children or [])
            token.attrSet("id", slug(text))
            found.append((token.tag, text))
    return found


def _figures(tokens: list[Token], folder: Path) -> None:
    """A paragraph that begins with a picture becomes a figure with the picture inside."""
    for before, inline, after in zip(tokens, tokens[1:], tokens[2:]):
        if inline.type != "inline" or not inline.children or inline.children[0].type != "image":
            continue
        before.tag = after.tag = "figure"
        image, *caption = inline.children
        source, width, height = data_uri(_beside(folder, str(image.attrs["src"])))
        image.attrs |= {"src": source, "width": width, "height": height}
        inline.children = [_raw('<div class="scroll" tabindex="0">'), image, _raw("</div>")]
        if caption:
            inline.children += [_raw("<figcaption>"), *caption[1:], _raw("</figcaption>")]


def _beside(folder: Path, source: str) -> Path:
    root, path = (Path(os.path.abspath(folder / name)) for name in (os.pardir, source))
    if not path.is_relative_to(root):
        raise ValueError(f"the picture {source} is not in {root}")
    return path


def _tables(tokens: list[Token]) -> None:
    """A table wider than the screen scrolls on its own; figures are set right."""
    for i in reversed(range(len(tokens))):
        token = tokens[i]
        if token.type in ("th_open", "td_open") and "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "number")
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        elif token.type == "table_open":
            tokens.insert(i, _raw('<div class="scroll" tabindex="0">\n'))
        elif token.type == "table_close":
            tokens.insert(i + 1, _raw("</div>\n"))


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
