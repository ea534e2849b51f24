"""Get one file, known by its MD5, from the first of several sources that can give it."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import requests
from tqdm import tqdm

from chestflow.core.errors import UserError

CHUNK = 1 << 15
UNKNOWN = 1 << 34  # bytes at most where none are declared; ChestMNIST at 224 unpacks to 6 GB
TRANSIENT_STATUS = {408, 429, *range(500, 600)}
TRANSIENT_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # the body broke off
)


class SourceError(Exception):
    """A source cannot give the file; another one may."""


class TransientError(SourceError):
    """A source did not give the file this time; asking again may help."""


class Patience(NamedTuple):
    """With one address: how often it is asked, and the seconds it is given."""

    attempts: int = 4
    backoff: float = 1.0  # pause before the second attempt, doubled before each further one
    connect: float = 10.0
    silence: float = 30.0


PATIENCE = Patience()


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
                _copy(Path(os.path.expanduser(source)), part, md5)
        except SourceError as failure:
            failures.append(f"{source} ({failure})")
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


def _copy(source: Path, part: Path, md5: str) -> None:
    try:
        fault = _fault(source, md5) if source.is_file() else "no such file"
    except OSError as error:
        raise SourceError(error.strerror) from error
    if fault:
        raise SourceError(fault)
    shutil.copyfile(source, part)


def _download(url: str, part: Path, md5: str, n_bytes: int | None, patience: Patience) -> None:
    limit = 2 * n_bytes if n_bytes else UNKNOWN
    # disable=None: no bar where nobody watches; leave=False: a failure leaves its one line only
    bar = tqdm(
        desc=file_name(url), total=n_bytes, unit="B", unit_scale=True, disable=None, leave=False
    )
    with bar:
        for attempt in range(1, patience.attempts + 1):
            try:
                return _attempt(url, part, md5, limit, patience, bar)
            except TransientError as reason:
                if attempt == patience.attempts:
                    raise SourceError(f"{reason}; {attempt} attempts") from reason
                bar.set_postfix_str(str(reason))
                time.sleep(patience.backoff * 2 ** (attempt - 1))


def _attempt(url: str, part: Path, md5: str, limit: int, patience: Patience, bar: tqdm) -> None:
    """One request, which resumes `part` where there is one; `part` is the whole file afterwards."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # so that ranges and lengths count the file's bytes
    timeout = (patience.connect, patience.silence)
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            resumed = _is_rest(response, part)
            _receive(response, part, start if resumed else 0, limit, bar)
    except TRANSIENT_ERRORS as error:
        raise TransientError(_short(error)) from error
    except requests.RequestException as error:
        raise SourceError(_short(error)) from error
    if fault := _fault(part, md5):
        part.unlink()
        # After a resumption the fault may lie in the older half: a whole download can still do.
        raise (TransientError if resumed else SourceError)(fault)


def _is_rest(response: requests.Response, part: Path) -> bool:
    """Whether the answer continues `part`; raises SourceError or TransientError for a failure."""
    status, reason = response.status_code, f"HTTP {response.status_code} {response.reason}"
    if status == 416:  # our part is no beginning of their file
        part.unlink(missing_ok=True)
    if status in TRANSIENT_STATUS or status == 416:
        raise TransientError(reason)
    if status not in (200, 206):
        raise SourceError(reason)
    return status == 206


def _receive(response: requests.Response, part: Path, start: int, limit: int, bar: tqdm) -> None:
    announced = start + (response.raw.length_remaining or 0)
    bar.n, bar.total = start, bar.total or announced or None
    with part.open("ab" if start else "wb") as file:
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            if max(announced, file.tell()) > limit:
                break
    if max(announced, part.stat().st_size) > limit:
        part.unlink()
        raise SourceError(f"more than {limit:,} bytes, far more than expected")


def _fault(path: Path, md5: str) -> str:
    """What is wrong with the file's contents; empty if nothing is."""
    with path.open("rb") as file:
        received = hashlib.file_digest(file, "md5").hexdigest()
    return "" if received == md5 else f"its MD5 is {received}, expected {md5}"


def _short(error: BaseException) -> str:
    """The innermost reason, which requests and urllib3 wrap in layers of their own."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _short(inner)
    return re.sub(r"^HTTPS?Connection.*?\): ", "", " ".join(str(error).split()))
