"""Get one file, known by its MD5, from the first of several sources that can give it."""

import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from chestflow.errors import UserError
from chestflow.sources import transfer
from chestflow.sources.transfer import PATIENCE, Patience, SourceError, TransientError

UNKNOWN = 1 << 34  # bytes at most where none are declared; ChestMNIST at 224 unpacks to 6 GB
TRANSIENT_STATUS = {408, 429, *range(500, 600)}
NO_FILES = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def fetch(
    target: Path,
    sources: Sequence[str],
    md5: str,
    n_bytes: int | None = None,
    patience: Patience = PATIENCE,
) -> tuple[str, list[str]]:
    """Place the file at `target`, all or nothing; returns the source that gave it, and what was
    wrong with each one before it.

    sources: paths or http(s) addresses, tried in this order
    md5, n_bytes: of the file; an answer of more than twice `n_bytes`, or of more than UNKNOWN where
        none are declared, is not read to its end

    An interrupted download stays beside the target as a `.part` file and is resumed.
    Raises UserError, naming every source and its failure, when none gives the file; OSError when
    it cannot be written.
    """
    part = target.with_name(f"{target.name}.{md5[:8]}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for source in sources:
        try:
            if "://" in source:
                _download(source, part, md5, n_bytes, patience)
            else:
                _copy(source, part, md5)
        except SourceError as failure:
            failures.append(f"{' '.join(source.splitlines())} ({failure})")
        except OSError as error:  # the disk is full or write-protected: no other source helps
            part.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(target)) from error
        else:
            os.replace(part, target)
            return source, failures
    raise UserError(f"{target.name} could not be had from {', nor from '.join(failures)}")


def file_name(url: str) -> str:
    """`images.npz` of `https://host/folder/images.npz?download=1` or of a path."""
    return PurePosixPath(url.partition("?")[0]).name


def _copy(source: str, part: Path, md5: str) -> None:
    path = Path(os.path.expanduser(source))
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        fault = f"{NO_FILES[kind]}, not a file" if kind in NO_FILES else _fault(path, md5)
    except FileNotFoundError:
        user = path.parts[0] if path.parts else ""
        fault = f"there is no user {user[1:]}" if user.startswith("~") else "no such file"
    except OSError as error:
        raise SourceError(error.strerror) from error
    except ValueError as error:  # a character that no path can hold
        raise SourceError(str(error)) from error
    if fault:
        raise SourceError(fault)
    shutil.copyfile(path, part)


def _download(url: str, part: Path, md5: str, n_bytes: int | None, patience: Patience) -> None:
    """As many requests as it takes, while each brings bytes at the accepted speed; in a row of
    `patience.attempts` that do not, the last one's failure is the source's."""
    if _size(part) and not _fault(part, md5):
        return
    limit = 2 * n_bytes if n_bytes else UNKNOWN
    furthest, fruitless = _size(part), 0
    # disable=None: no bar where nobody watches; leave=False: a failure leaves its one line only
    bar = tqdm(
        desc=file_name(url), total=n_bytes, unit="B", unit_scale=True, disable=None, leave=False
    )
    with bar:
        for attempt in count(1):
            started = time.monotonic()
            try:
                return _attempt(url, part, md5, limit, patience, bar)
            except TransientError as reason:
                seconds = time.monotonic() - started + patience.backoff
                gained, furthest = _size(part) - furthest, max(_size(part), furthest)
                fruitless = 0 if gained >= patience.slowest * seconds else fruitless + 1
                if fruitless == patience.attempts:
                    raise SourceError(f"{reason}; {attempt} attempts") from reason
                bar.set_postfix_str(str(reason))
                time.sleep(patience.backoff * 2 ** max(fruitless - 1, 0))


def _attempt(url: str, part: Path, md5: str, limit: int, patience: Patience, bar: tqdm) -> None:
    """One request, which resumes `part` where there is one; `part` is the whole file afterwards."""
    start = _size(part)
    headers = {"Accept-Encoding": "identity"}  # so that ranges and lengths count the file's bytes
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with transfer.request(url, headers, patience) as (answer, pieces):
            resumed = _is_rest(answer, part, start)
            _write(pieces, part, start if resumed else 0, _announced(answer), limit, bar)
    except TransientError:
        # What broke off may be whole: a server can announce more than there is.
        if not _size(part) or _fault(part, md5):
            raise
        return
    if fault := _fault(part, md5):
        part.unlink()
        # After a resumption the fault may lie in the older half: a whole download can still do.
        raise (TransientError if resumed else SourceError)(fault)


def _is_rest(answer: transfer.Answer, part: Path, start: int) -> bool:
    """Whether the answer continues `part`; raises SourceError or TransientError for a failure."""
    status, reason = answer.status, f"HTTP {answer.status} {answer.reason}".rstrip()
    if status == 416:  # our part is no beginning of their file
        part.unlink(missing_ok=True)
    if status in TRANSIENT_STATUS or status == 416:
        raise TransientError(reason)
    if status not in (200, 206):
        raise SourceError(reason)
    match = re.match(r"bytes (\d{1,18})-", answer.content_range)
    begins = int(match[1]) if match else start
    if status == 206 and begins not in (0, start):
        part.unlink(missing_ok=True)
        raise TransientError(f"{reason} from byte {begins:,}, asked for from byte {start:,}")
    return status == 206 and begins == start


def _announced(answer: transfer.Answer) -> int:
    """The whole file's bytes, as far as the answer tells, or else 0."""
    if answer.status == 200:
        return answer.length
    match = re.search(r"/(\d{1,18})$", answer.content_range)
    return int(match[1]) if match else 0


def _write(
    pieces: Iterator[bytes], part: Path, start: int, announced: int, limit: int, bar: tqdm
) -> None:
    """Write what comes after the first `start` bytes of `part`; raises as the pieces do, and
    SourceError, without a `part`, where the file is larger than it may be."""
    received = start
    bar.n, bar.total = start, bar.total or announced or None
    with part.open("ab" if start else "wb") as file:
        for piece in pieces:
            received += file.write(piece)
            bar.update(len(piece))
            if max(announced, received) > limit:
                break
    if max(announced, received) > limit:
        part.unlink()
        raise SourceError(f"more than {limit:,} bytes, far more than expected")
    if received < announced:  # it sends no more than so much at a time
        raise TransientError(f"the answer ends at byte {received:,} of {announced:,}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fault(path: Path, md5: str) -> str:
    """What is wrong with the file's contents; empty if nothing is."""
    with path.open("rb") as file:
        received = hashlib.file_digest(file, "md5").hexdigest()
        is_empty = file.tell() == 0
    if received == md5:
        return ""
    return "it is empty" if is_empty else f"its MD5 is {received}, expected {md5}"
