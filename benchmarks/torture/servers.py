"""Servers on this machine that answer a download in every way but the right one."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from benchmarks.torture.attempts import Failed, Kind, Limits, one_line
from chestflow.core.errors import UserError
from chestflow.sources import fetching, transfer

LIMITS = Limits(seconds=90, memory=2 << 30)
LONGEST = 30  # seconds in which a download has to end, one way or the other
QUICK = transfer.Patience(
    attempts=3, backoff=0.001, connect=0.3, answer=1, silence=0.3, slowest=1000, window=1
)
BODY = Random(0).randbytes(300_000)
MD5 = hashlib.md5(BODY).hexdigest()
STATUS = (100, 204, 206, 300, 304, 400, 401, 403, 404, 408, 416, 418, 429, 500, 503, 599, 999)
Behaviour = Callable[["Request"], None]


class Request:
    """One connection with its request, which a behaviour answers."""

    def __init__(self, connection: socket.socket, random: Random, port: int) -> None:
        self.connection, self.random, self.port, head = connection, random, port, b""
        while b"\r\n\r\n" not in head and (piece := connection.recv(4096)):
            head += piece
        lines = [line.partition(b": ") for line in head.lower().split(b"\r\n")]
        asked = next((value for key, _, value in lines if key == b"range"), b"bytes=0-")
        self.is_ranged = any(key == b"range" for key, _, _ in lines)
        self.start = int(asked.removeprefix(b"bytes=").removesuffix(b"-"))

    def send(self, content: bytes) -> None:
        self.connection.sendall(content)

    def head(self, status: object = 200, **headers: object) -> None:
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send(("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode("latin-1"))

    def some(self) -> int:
        return self.random.randrange(len(BODY))


def whole(request: Request) -> None:
    request.head(Content_Length=len(BODY))
    request.send(BODY)


def ranged(request: Request) -> None:
    """As a server does that knows ranges."""
    if request.start >= len(BODY):
        return request.head(416, Content_Length=0)
    if not request.is_ranged:
        return whole(request)
    place = f"bytes {request.start}-{len(BODY) - 1}/{len(BODY)}"
    request.head(206, Content_Length=len(BODY) - request.start, Content_Range=place)
    request.send(BODY[request.start :])


def status(request: Request) -> None:
    request.head(request.random.choice(STATUS), Content_Length=5)
    request.send(b"error")


def cut_off(request: Request) -> None:
    request.head(Content_Length=len(BODY))
    request.send(BODY[: request.some()])


def hang_up(request: Request) -> None:
    request.send(b"HTTP/1.1 200 OK\r\nContent-Length: 300"[: request.random.randrange(40)])


def stall(request: Request) -> None:
    cut_off(request)
    time.sleep(1)


def drip(request: Request) -> None:
    """The whole body, a byte at a time."""
    request.head(Content_Length=len(BODY))
    for byte in BODY[:1000]:
        request.send(bytes([byte]))
        time.sleep(0.1)


def drip_head(request: Request) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Wait: yes\r\n" * 100:
        request.send(bytes([byte]))
        time.sleep(0.1)


def wrong_length(request: Request) -> None:
    lengths = (0, 1, len(BODY) - 1, len(BODY) + 1, -5, 10**18, "many", "9" * 5000, "1, 2", "")
    request.head(Content_Length=request.random.choice(lengths))
    request.send(BODY)


def wrong_range(request: Request) -> None:
    start, size = request.some(), len(BODY)
    places = ("", "bytes", "bytes */*", f"bytes {start}-{size - 1}/{size}", "bytes 5-1/-7")
    places += (f"bytes {request.start}-{size}/{size + 9}", "x" * 5000, f"bytes {'9' * 5000}-/*")
    request.head(206, Content_Length=size - start, Content_Range=request.random.choice(places))
    request.send(BODY[start:])


def redirect(request: Request) -> None:
    here = f"http://127.0.0.1:{request.port}"
    places = (f"{here}/again", "/", "//", "file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "")
    places += (f"{here}/{'x' * 9000}", "http://127.0.0.1:1/", "http://nonexistent.invalid/", "\xff")
    request.head(
        request.random.choice((301, 302, 307, 308)), Location=request.random.choice(places)
    )
    request.send(b"x" * request.random.choice((0, 10, 1 << 20)))


def garbage(request: Request) -> None:
    request.send(request.random.randbytes(request.some()))


def page(request: Request) -> None:
    text = b"<html>Please log in to the hospital network.</html>" * request.random.randint(1, 9000)
    request.head(Content_Type="text/html", Content_Length=len(text))
    request.send(text)


def chunked(request: Request) -> None:
    sizes = (b"12c", b"0", b"-1", b"zz", b"F" * 5000, b"10000000000", b"")
    request.head(Transfer_Encoding="chunked")
    for _ in range(20):
        request.send(request.random.choice(sizes) + b"\r\n" + BODY[:300] + b"\r\n")


def encoded(request: Request) -> None:
    """Said to be compressed, though nobody has asked for it."""
    request.head(Content_Encoding=request.random.choice(("gzip", "deflate", "br", "zstd", "x")))
    request.send(BODY)


def many_headers(request: Request) -> None:
    number, length = request.random.choice(((50_000, 1), (1, 1_000_000), (99, 60_000)))
    request.head(**{f"X_{i}": "x" * length for i in range(number)})
    request.send(BODY)


def endless(request: Request) -> None:
    request.head()
    while True:
        request.send(bytes(1 << 16))


WRONG: dict[str, Behaviour] = {
    "status codes": status,
    "body cut off": cut_off,
    "hangs up": hang_up,
    "stalls": stall,
    "slow body": drip,
    "slow header": drip_head,
    "wrong length": wrong_length,
    "wrong range": wrong_range,
    "redirections": redirect,
    "garbage": garbage,
    "a web page": page,
    "broken chunks": chunked,
    "false encoding": encoded,
    "too many headers": many_headers,
    "endless body": endless,
}


class Server:
    """Answers each request by the next behaviour, and all further ones by the last."""

    def __init__(self, behaviours: list[Behaviour], random: Random) -> None:
        self.behaviours, self.random = behaviours, random
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self.socket.accept()
                behaviour = self.behaviours[0]
                self.behaviours = self.behaviours[1:] or self.behaviours
                threading.Thread(
                    target=self._answer, args=(connection, behaviour), daemon=True
                ).start()

    def _answer(self, connection: socket.socket, behaviour: Behaviour) -> None:
        with connection, suppress(OSError, ValueError):
            connection.settimeout(20)
            behaviour(Request(connection, self.random, self.port))
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):  # else the client may see a reset before the answer
                pass


def download(kind: str, random: Random, folder: Path) -> None:
    """From a server that behaves wrongly once or more, and perhaps well then; afterwards from one
    that works, for which nothing that is left may be a hindrance."""
    wrong = [WRONG[kind], *random.choices(list(WRONG.values()), k=random.randint(0, 1))]
    server = Server([*wrong, random.choice([whole, ranged, *wrong])], random)
    n_bytes, target = random.choice([len(BODY), None]), folder / "data/images.npz"
    fetching.UNKNOWN = 1 << 24  # what nobody has declared a length of is read this far
    start = time.monotonic()
    try:
        _fetch(server, target, n_bytes)
    except UserError as error:
        one_line(str(error))
        if target.exists():
            raise Failed("a file was placed, though the download has failed") from error
    if (seconds := time.monotonic() - start) > LONGEST:
        raise Failed(f"it took {seconds:.0f} s")
    _fetch(Server([ranged], random), target, n_bytes)


def _fetch(server: Server, target: Path, n_bytes: int | None) -> None:
    url = f"http://127.0.0.1:{server.port}/images.npz?download=1"
    try:
        fetching.fetch(target, [url], MD5, n_bytes, QUICK)
        left = [path.name for path in target.parent.iterdir() if path != target]
        if left or target.read_bytes() != BODY:
            raise Failed(f"not the right bytes, or something beside them: {left}")
    finally:
        server.socket.close()


def prepare(root: Path, quick: bool) -> None:
    """Nothing is needed."""


def _kind(name: str) -> Kind:
    return Kind(lambda random, folder: download(name, random, folder), 4)


KINDS = {name: _kind(name) for name in WRONG}
