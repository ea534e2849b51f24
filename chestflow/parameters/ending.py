"""How a command ends when it is told to: by Ctrl-C, or because DVC, which started it, is gone."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def at_once() -> None:
    """From now on, Ctrl-C ends the process without a word. Python's own way, an exception wherever
    the program happens to be, would be a traceback while packages are imported, and is lost while
    the process shuts down: DVC would then take the stage for a success and start the next."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def in_order() -> Iterator[None]:
    """Within the body, Ctrl-C raises KeyboardInterrupt, so that files can be cleaned up; it is
    raised again at the end should a library have swallowed it."""
    interrupts = []

    def interrupt(*_) -> None:
        interrupts.append(True)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
        if interrupts:
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)


def with_dvc() -> None:
    """End this process when the DVC process that has started it dies: killed alone, DVC leaves its
    stage at work, and the next `dvc repro` would start the same stage beside it."""
    if "DVC_STAGE" not in os.environ:
        return
    import psutil  # after `at_once`: the less goes before that, the better

    if starter := psutil.Process().parent():
        if "-c" in starter.cmdline():  # the shell that DVC starts commands in
            starter = starter.parent()
        threading.Thread(target=_outlive, args=(starter,), daemon=True).start()


def _outlive(starter) -> None:
    """starter: psutil.Process, or None if it is gone already."""
    while starter and starter.is_running() and starter.status() != "zombie":
        time.sleep(0.5)
    os._exit(1)
