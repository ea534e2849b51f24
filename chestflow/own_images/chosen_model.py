"""The network that is asked about a user's images: the released one, or a run trained here."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from chestflow.config.schema import Params
from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.models import device
from chestflow.own_images import out_of_distribution, released, trained

KNOWN = 5000  # training images, at most, to which distances are measured


@dataclass(frozen=True)
class Asked:
    run: trained.Trained  # on the device
    unlikeness: out_of_distribution.Unlikeness
    seen: Callable[[], set[bytes]]  # hashes of what it was trained on, validation included
    layer: str  # for GradCAM
    folder: Path | None  # of the released model; None for a run trained here


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--run", help="ask this run, trained here, instead of the released model")
    trained.add_places(parser, released=str(released.FOLDER))


def options(run: str) -> argparse.Namespace:
    """Those that ask a run where dvc.yaml puts its files."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--run", run])


def load(options: argparse.Namespace, params: Params) -> Asked:
    """What the options name, ready to be asked; UserError, with what to do, if it is not there."""
    here = device.prepare(params.threads)
    if options.run is None:
        for place in ("weights", "images", "scores"):
            if getattr(options, place) != Path(trained.PLACES[place]):
                raise UserError(f"--{place} is of a run trained here; say which: --run RUN")
        known, unlikeness, hashes = released.load(options.released, here)
        return Asked(known, unlikeness, lambda: hashes, "last", options.released)
    if options.released != released.FOLDER:
        raise UserError("--released and --run name two models; accepted: one of them")
    run = trained.load(options, params)
    run.classifier.to(here)
    images = trained.images_of(options, params)
    unlikeness = measure(run, images, params.seed, here)
    return Asked(run, unlikeness, lambda: seen(images), params.gradcam.layer, None)


def measure(
    run: trained.Trained, images: Path, seed: int, here: torch.device
) -> out_of_distribution.Unlikeness:
    """What is usual among the images of the run's data set, which lie in a folder."""
    train, val = (arrays.read(images, split).images for split in ("train", "val"))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(train))[:KNOWN])
    usual = (torch.from_numpy(np.array(found)).to(here) for found in (train[drawn], val))
    return out_of_distribution.fit(run.classifier, *usual)


def seen(images: Path) -> set[bytes]:
    """The hashes of the training and validation images in a folder."""
    splits = (arrays.read(images, split).images for split in ("train", "val"))
    return {each for split in splits for each in released.hashes(split)}
