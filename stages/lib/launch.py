"""Starting a stage in several processes, which torch.distributed then knows as one group."""

import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing

from stages.lib import command
from stages.lib.errors import UserError

Stage = Callable[..., None]


def spread(stage: Stage) -> Stage:
    """The stage, in as many processes as its `params.processes` says; but where torchrun has
    started this one, it joins those that torchrun was asked for, on this machine and others."""

    @functools.wraps(stage)
    def start(**given) -> None:
        processes = given["params"].processes
        if dist.is_torchelastic_launched():
            with _group(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])):
                stage(**given)
        elif processes > 1:
            _spawn(stage, given, processes)
        else:
            stage(**given)

    return start


def _spawn(stage: Stage, given: dict, processes: int) -> None:
    """Like `torchrun --standalone`, but without its pages of traceback for what a user can mend."""
    _check_gpus(processes)
    mistakes = multiprocessing.get_context("spawn").SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        meeting = (Path(folder) / "meeting").as_uri()
        try:
            multiprocessing.spawn(_member, (stage, given, processes, meeting, mistakes), processes)
        except (multiprocessing.ProcessRaisedException, multiprocessing.ProcessExitedException):
            if mistakes.empty():  # else the others have failed only because one has left
                raise
    if not mistakes.empty():
        sys.exit(mistakes.get())


def _member(rank: int, stage: Stage, given: dict, processes: int, meeting: str, mistakes) -> None:
    with _group(rank, processes, init_method=meeting, rank=rank, world_size=processes):
        try:
            with command.one_line(stage.__name__):
                stage(**given)
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
