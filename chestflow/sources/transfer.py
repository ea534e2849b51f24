"""One HTTP request that is watched: an answer has to come in time, its body at a floor of speed."""

import queue
import re
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import HTTPError

CHUNK = 1 << 16
AHEAD = 16  # chunks that may wait to be written
LONGEST = 200  # characters of a reason that are shown
TRANSIENT_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    HTTPError,  # urllib3's: the body broke off, or cannot be decoded
)


class SourceError(Exception):
    """A source cannot give the file; another one may."""


class TransientError(SourceError):
    """A source did not give the file this time; asking again may help."""


class Patience(NamedTuple):
    """With one address: how often it is asked, and how slow it may be (in seconds)."""

    attempts: int = 4  # in a row that bring less than `slowest`
    backoff: float = 1.0  # pause before the second attempt, doubled before each further one
    connect: float = 10.0
    answer: float = 60.0  # until the headers are complete, after all redirections
    silence: float = 30.0
    slowest: int = 1000  # bytes per second,
    window: float = 60.0  # measured over so long


PATIENCE = Patience()


class Answer(NamedTuple):
    """What came before the body."""

    status: int
    reason: str
    length: int  # of the body, as announced, or else 0
    content_range: str


@contextmanager
def request(
    url: str, headers: dict[str, str], patience: Patience
) -> Iterator[tuple[Answer, Iterator[bytes]]]:
    """The answer, and the body in pieces as they arrive; all that came before a failure is given.

    A thread of its own reads: a socket's time limit begins anew with every byte, so that headers,
    or the lines between two chunks, could come one byte at a time and nobody would notice.
    Raises TransientError or SourceError, here and where the pieces are taken.
    """
    received: queue.Queue = queue.Queue(AHEAD)
    is_over = threading.Event()

    def give(item: Any) -> bool:
        """Hand an item over; false where nobody waits for it any more."""
        while not is_over.is_set():
            try:
                received.put(item, timeout=1)
            except queue.Full:
                continue
            return True
        return False

    reader = threading.Thread(target=_read, args=(url, headers, patience, give), daemon=True)
    reader.start()
    try:
        try:
            answer = _take(received, patience.answer)
        except queue.Empty:
            raise TransientError(f"no complete answer within {patience.answer:g} s") from None
        yield answer, _watched(received, patience)
    finally:
        is_over.set()


def one_line(text: str) -> str:
    """Text of somebody else's, without line breaks and not without end."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.shorten(printable, LONGEST, placeholder=" ...")


def _read(
    url: str, headers: dict[str, str], patience: Patience, give: Callable[[Any], bool]
) -> None:
    """Give an Answer, pieces of the body and an empty one at its end; or else the exception."""
    timeout, hooks = (patience.connect, patience.silence), {"response": _skip_body}
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=timeout, hooks=hooks
        ) as response:
            length, reason = response.raw.length_remaining or 0, one_line(response.reason or "")
            place = response.headers.get("Content-Range", "")
            is_wanted = give(Answer(response.status_code, reason, length, place))
            while is_wanted:
                # not read(), which keeps what came until it has as much as it was asked for
                piece = response.raw.read1(CHUNK, decode_content=True)
                is_wanted = give(piece) and bool(piece)
    except Exception as error:
        give(error)


def _skip_body(response: requests.Response, **_) -> None:
    """Of a redirection, which requests would read to its end, if it has one."""
    if response.is_redirect:
        response.close()


def _watched(received: queue.Queue, patience: Patience) -> Iterator[bytes]:
    """The pieces of a body; raises TransientError where they come too slowly."""
    while True:
        n_bytes, end = 0, time.monotonic() + patience.window
        while (left := end - time.monotonic()) > 0:
            try:
                piece = _take(received, left)
            except queue.Empty:
                break
            if not piece:
                return
            n_bytes += len(piece)
            yield piece
        if n_bytes < patience.slowest * patience.window:
            speed = f"{n_bytes / patience.window:,.0f} bytes per second"
            accepted = f"accepted: {patience.slowest:,} or more"
            raise TransientError(f"{speed} over {patience.window:g} s; {accepted}")


def _take(received: queue.Queue, seconds: float) -> Any:
    """The next item, or what it tells of a failure; raises queue.Empty where none comes in time."""
    item = received.get(timeout=seconds)
    if isinstance(item, TRANSIENT_ERRORS):
        raise TransientError(_short(item)) from item
    if isinstance(item, (OSError, ValueError)):  # an address that cannot be asked, a certificate
        raise SourceError(_short(item)) from item
    if isinstance(item, Exception):
        raise item
    return item


def _short(error: BaseException) -> str:
    """The innermost reason, which requests and urllib3 wrap in layers of their own."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _short(inner)
    return re.sub(r"^HTTPS?Connection.*?\): ", "", one_line(str(error)))
