"""PneumoniaMNIST's training images once more, cut and shrunk from larger files in other ways.

MedMNIST cuts the centre square out of radiographs that are wider than high, those with pneumonia
more so: the frame gives the class away. A folder of the whole radiographs (Kermany et al. 2018,
each stretched to a square) shows what lies outside that square.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from chestflow.core.errors import UserError
from chestflow.training.batching import Samples

SHARES = np.arange(0.4, 1.001, 0.02)  # of the stretched width that the centre square may take
CERTAIN = 0.97  # correlation from which on two images are taken for the same
FILTERS = ("bilinear", "bicubic", "area")


@dataclass(frozen=True)
class Whole:
    """Whole radiographs of one split, (N, S, S) uint8, stretched to squares; their labels, and the
    share of the width that PneumoniaMNIST's centre square takes, (N,) each."""

    images: Tensor
    labels: Tensor
    shares: Tensor


def matched(folder: Path, splits: dict[str, Samples]) -> dict[str, Whole]:
    """The files of `folder/*/*` that are images of the training or validation split, by split.

    A file belongs to the image that one of its centre cuts resembles most, by correlation: so no
    file of a validation image comes into training. What resembles none is left out. Raises
    UserError if there are no files.
    """
    files = sorted(folder.glob("*/*.jp*g"))
    if not files:
        raise UserError(f"{folder}: no folder of JPEG files by class; accepted: Kermany's train")
    shown = tqdm(files, desc="read", unit="image", delay=1)
    images = torch.from_numpy(np.stack([np.asarray(Image.open(f).convert("L")) for f in shown]))
    known = torch.cat([unit(splits[name].images) for name in ("train", "val")])
    best, place, share = (torch.zeros(len(files)) for _ in range(3))
    for width in tqdm(SHARES, desc="match", unit="cut", delay=1):
        cuts = torch.cat([shrunk(centre(c, width), "bilinear") for c in images.split(512)])
        found, where = (unit(cuts) @ known.T).max(dim=1)
        better = found > best
        best[better], place[better] = found[better], where[better].float()
        share[better] = width
    n_train = len(splits["train"].labels)
    labels = torch.cat([splits[name].labels for name in ("train", "val")])[place.long()]
    sure = best > CERTAIN
    return {
        name: Whole(images[chosen], labels[chosen], share[chosen])
        for name, chosen in (
            ("train", sure & (place < n_train)),
            ("val", sure & (place >= n_train)),
        )
    }


def recut(whole: Whole, generator: torch.Generator) -> Samples:
    """Each radiograph cut anew, (N, 28, 28): full height, at any place, as wide as the cut of any
    other image, so that frame and proportions say nothing of the class; shrunk by any filter."""
    n, side = len(whole.labels), whole.images.shape[-1]
    widths = whole.shares[torch.randperm(n, generator=generator)].mul(side).round().long()
    starts = (torch.rand(n, generator=generator) * (side - widths + 1)).long()
    kinds = torch.randint(0, len(FILTERS), (n,), generator=generator)
    cut = [
        shrunk(image[None, :, start : start + width], FILTERS[kind])
        for image, start, width, kind in zip(whole.images, starts, widths, kinds)
    ]
    return Samples(torch.cat(cut), whole.labels)


def centre(images: Tensor, share: float) -> Tensor:
    width = round(images.shape[-1] * share)
    start = (images.shape[-1] - width) // 2
    return images[..., start : start + width]


def shrunk(images: Tensor, kind: str) -> Tensor:
    """(N, H, W) uint8 -> (N, 28, 28) uint8."""
    smooth = {} if kind == "area" else {"antialias": True}
    small = F.interpolate(images[:, None].float(), (28, 28), mode=kind, **smooth)
    return small[:, 0].round_().clamp_(0, 255).to(torch.uint8)


def unit(images: Tensor) -> Tensor:
    """(N, H, W) -> (N, H W) with mean 0 and length 1: products are correlations."""
    flat = images.flatten(1).float()
    return F.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)
