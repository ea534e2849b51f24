"""Markdown -> one HTML page with its pictures inside, for use offline, on a phone and on paper."""

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markupsafe import Markup
from PIL import Image

# Kept on one line: an interval, a range, a product, mean ± sd, a percentage.
WHOLE = re.compile(r"\[[+\N{MINUS SIGN}\d., ]+\]|\(\S+ to \S+\)|\S+ [×±] \S+|[\d.]+ %")


def slug(heading: str) -> str:
    """The id of a heading, as GitHub makes it, so that a link to it works there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def html(markdown: str, folder: Path, below: dict[str, str] | None = None) -> str:
    """The page; folder: what the pictures' paths are relative to; below: markup to set below a
    figure, by the name of its picture's file.

    HTML within the Markdown is escaped.
    """
    options = {"html": False, "xhtmlOut": False}
    parser = MarkdownIt("commonmark", options, renderer_cls=Renderer).enable("table")
    env: dict = {"folder": folder, "below": below or {}, "headings": []}
    body = Markup(parser.render(markdown, env))
    title = next((text for level, text in env["headings"] if level == "h1"), "Report")
    return template("page.html.jinja").render(body=body, title=title, headings=env["headings"])


def template(name: str) -> jinja2.Template:
    """A template of this folder; HTML in the values is escaped."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["slug"] = slug
    return environment.get_template(name)


class Renderer(RendererHTML):
    """markdown-it's own, but headings have an id, and pictures are figures within the page: a
    paragraph that begins with one is a figure, and the rest of it the caption."""

    def heading_open(self, tokens: Sequence[Token], i: int, options, env) -> str:
        text = "".join(part.content for part in tokens[i + 1].children or [])
        env["headings"].append((tokens[i].tag, text))
        tokens[i].attrSet("id", slug(text))
        return self.renderToken(tokens, i, options, env)

    def paragraph_open(self, tokens: Sequence[Token], i: int, options, env) -> str:
        children = tokens[i + 1].children
        is_figure = children and children[0].type == "image"
        return "<figure>" if is_figure else self.renderToken(tokens, i, options, env)

    def image(self, tokens: Sequence[Token], i: int, options, env) -> str:
        path = Path(str(tokens[i].attrs["src"]))
        source, width, height = data_uri(env["folder"] / path)
        tokens[i].attrs |= {"src": source, "width": width, "height": height}
        env["figure"] = path.name
        return super().image(tokens, i, options, env) + "<figcaption>"

    def paragraph_close(self, tokens: Sequence[Token], i: int, options, env) -> str:
        if figure := env.pop("figure", None):
            return "</figcaption></figure>\n" + env["below"].get(figure, "")
        return self.renderToken(tokens, i, options, env)

    def text(self, tokens: Sequence[Token], i: int, options, env) -> str:
        unbroken = WHOLE.sub(lambda match: match[0].replace(" ", "\xa0"), tokens[i].content)
        return escapeHtml(unbroken)


def data_uri(path: Path) -> tuple[str, int, int]:
    """A picture as lossless WebP, half the size of its PNG and equal in every pixel; with its
    width and height, so that the page does not jump while it loads."""
    with Image.open(path) as image:
        buffer = io.BytesIO()
        opaque = image.mode != "RGBA" or image.getchannel("A").getextrema()[0] == 255
        image.convert("RGB" if opaque else "RGBA").save(buffer, "WEBP", lossless=True, exact=True)
        text = base64.b64encode(buffer.getvalue()).decode()
        return f"data:image/webp;base64,{text}", image.width, image.height
