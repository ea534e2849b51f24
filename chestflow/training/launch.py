"""Starting a stage in several processes, which torch.distributed then knows as one group."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing

from chestflow.core.errors import UserError
from chestflow.parameters.stage import one_line


def spread(name: str, processes: int, function: Callable[..., None], *arguments: object) -> None:
    """Call a function in so many processes; but where torchrun has started this one, it joins those
    that torchrun was asked for, on this machine and others. name: of the stage, for errors."""
    if dist.is_torchelastic_launched():
        with _group(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])):
            function(*arguments)
    elif processes > 1:
        _spawn(name, processes, function, arguments)
    else:
        function(*arguments)


def _spawn(name: str, processes: int, function: Callable[..., None], arguments: tuple) -> None:
    """Like `torchrun --standalone`, but a user's mistake is one line, not pages of traceback."""
    _check_gpus(processes)
    mistakes = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        task = (name, processes, function, arguments, meeting, mistakes)
        try:
            multiprocessing.spawn(_member, task, processes)
        except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException):
            if mistakes.empty():  # else the others have failed only because one has left
                raise
    if not mistakes.empty():
        sys.exit(mistakes.get())


def _member(rank: int, name: str, processes: int, function, arguments, meeting: str, mistakes):
    with _group(rank, processes, init_method=meeting, rank=rank, world_size=processes):
        try:
            with one_line(name):
                function(*arguments)
        except SystemExit as ended:
            mistakes.put(ended.code)


@contextmanager
def _group(place: int, places: int, **where) -> Iterator[None]:
    """Membership of the group, as number `place` of the `places` processes on this machine. Each
    has a GPU of its own, or none has."""
    _check_gpus(places)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if on_gpu else "gloo", **where)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _check_gpus(processes: int) -> None:
    gpus = torch.cuda.device_count() or int(torch.backends.mps.is_available())  # Apple's is one
    if 0 < gpus < processes:
        raise UserError(f"processes = {processes}, but GPUs = {gpus}; accepted: 1 to {gpus}")
