"""What `benchmarks.record` trains: changes of the default recipe, with the steps of 30 epochs."""

import copy
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import harness, recut
from chestflow import augmentation
from chestflow.network.model import Classifier
from chestflow.training import keeping, loop, strategies
from chestflow.training.batching import Samples
from chestflow.training.processes import Group

MIXED = 1.0  # share of another image's amplitudes, at most


@dataclass(frozen=True)
class Candidate:
    """What differs from the default with 30 epochs; more images take fewer, not more steps."""

    epochs: int = 30
    side: int = 28  # to which images are enlarged before the network
    balanced: bool = False  # healthy images three times per epoch, instead of a weight in the loss
    mixed: bool = False  # amplitudes of the spectrum mixed between the images of a batch
    branches: int = 0  # trained from the finished weights, whose mean is then taken
    branch_epochs: int = 8
    adapted: bool = False  # batch norm's statistics taken from the images that are judged
    cuts: int = 0  # per image, cut anew from the whole radiograph, beside the image itself


CANDIDATES = {
    "f1": Candidate(),
    "side-42": Candidate(side=42),
    "side-56": Candidate(side=56),
    "balanced": Candidate(balanced=True),
    "mixed": Candidate(mixed=True),
    "soup": Candidate(branches=4),
    "adapted": Candidate(adapted=True),
    "cut-1": Candidate(cuts=1),
    "cut-3": Candidate(cuts=3),
    "cut-1-side-42": Candidate(cuts=1, side=42),
    "cut-1-60-epochs": Candidate(cuts=1, epochs=60),
}


@dataclass(frozen=True)
class Data:
    """PneumoniaMNIST's splits, and whole radiographs of its training and validation images."""

    splits: dict[str, Samples]
    whole: dict[str, recut.Whole]


def train(candidate: Candidate, data: Data, seed: int) -> Classifier:
    train_set = data.splits["train"]
    if candidate.balanced:
        train_set = balanced(train_set)
    if candidate.cuts:
        generator = torch.Generator().manual_seed(seed)
        cuts = [recut.recut(data.whole["train"], generator) for _ in range(candidate.cuts)]
        train_set = joined([train_set, *cuts])
    epochs = round(candidate.epochs * len(data.splits["train"].labels) / len(train_set.labels))
    chosen = harness.settings().model_copy(update={"epochs": max(1, epochs)})
    if candidate.mixed:
        augmentation.STEPS["mix"] = mix
        chosen = chosen.model_copy(update={"augment": (*chosen.augment, "mix")})
    sets = {"train": train_set, "val": data.splits["val"]}
    sets = {name: enlarged(samples, candidate.side) for name, samples in sets.items()}
    torch.manual_seed(seed)
    model = Classifier(**chosen.architecture)
    fit(model, sets, chosen, seed)
    return soup(model, candidate, sets, chosen, seed) if candidate.branches else model


def fit(model: Classifier, sets: dict[str, Samples], chosen, seed: int) -> None:
    plan = strategies.phases("unfrozen", chosen.blocks, chosen.lr, 1.0, 1.0)
    deque(loop.fit(model, sets["train"], sets["val"], chosen, plan, seed), maxlen=0)


# ------------------------------------------------------------------------------------------ images


def enlarged(samples: Samples, side: int) -> Samples:
    return Samples(enlarge(samples.images, side), samples.labels)


def enlarge(images: Tensor, side: int) -> Tensor:
    """(N, H, H) uint8 -> (N, side, side) uint8, bicubic."""
    if side == images.shape[-1]:
        return images
    larger = F.interpolate(images[:, None].float(), (side, side), mode="bicubic")
    return larger[:, 0].round_().clamp_(0, 255).to(torch.uint8)


def joined(parts: list[Samples]) -> Samples:
    images, labels = zip(*((part.images, part.labels) for part in parts))
    return Samples(torch.cat(images), torch.cat(labels))


def balanced(samples: Samples) -> Samples:
    """The images of the rarer class as often as brings both classes nearest to each other."""
    counts = torch.bincount(samples.labels, minlength=2)
    times = torch.ones(2, dtype=torch.long)
    times[counts.argmin()] = round(float(counts.max() / counts.min()))
    index = torch.arange(len(samples.labels)).repeat_interleave(times[samples.labels])
    return Samples(samples.images[index], samples.labels[index])


def mix(images: Tensor, generator: torch.Generator) -> Tensor:
    """Give each image part of another's amplitude spectrum, and leave its phases, hence its
    outlines: other detectors and resizings (Xu et al. 2021, FACT, sec. 3.2)."""
    other = torch.randperm(len(images), generator=generator)
    share = torch.rand(len(images), 1, 1, 1, generator=generator) * MIXED
    spectrum = torch.fft.rfft2(images)
    amplitude = spectrum.abs()
    amplitude = torch.lerp(amplitude, amplitude[other], share)
    return torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), images.shape[-2:])


# -------------------------------------------------------------------------- weights and statistics


def soup(model: Classifier, candidate: Candidate, sets, chosen, seed: int) -> Classifier:
    """Mean of the weights of several trainings from one start (Wortsman et al. 2022)."""
    update = {"epochs": candidate.branch_epochs, "lr": chosen.lr * loop.TAIL_RATE}
    settings = chosen.model_copy(update=update)
    branches = []
    for number in range(1, candidate.branches + 1):
        branch = copy.deepcopy(model)
        torch.manual_seed(1000 * number + seed)
        fit(branch, sets, settings, 1000 * number + seed)
        branches.append(branch)
    with torch.no_grad():
        for weight, *each in zip(model.parameters(), *(b.parameters() for b in branches)):
            weight.copy_(torch.stack(each).mean(dim=0))
    generator = torch.Generator().manual_seed(seed)
    settle(model, loop.settling(sets["train"].images, chosen, generator, Group()))
    return model


def settle(model: Classifier, inputs: Iterable[Tensor]) -> None:
    """Take batch norm's statistics anew, over some inputs."""
    parts: dict[str, nn.Module] = {"encoder": model.encoder, "head": model.head}
    keeping.Average(model, parts, steps=0).settle(model, inputs)
