"""The loops whose throughput is measured: this project's, the notebook's, and what bounds both."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from medmnist import PneumoniaMNIST
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from benchmarks import harness
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import augmentation, batches, classifier, freezing, losses

FOREVER = 10_000  # epochs: more than any number of rounds
SIDE = 1024  # of the square matrices whose product shows what a core can do
PRODUCTS = 40  # per turn


def keep_memory() -> None:
    """What a validation in larger batches does to every training, ours and the notebook's: once a
    block as large is freed, glibc keeps freed memory for the next step instead of returning it to
    the system and fetching it again, which costs a tenth of a step. Here nothing is validated."""
    torch.empty(24 << 20, dtype=torch.uint8)


def start(loop: str, folder: Path) -> tuple[float, Iterator]:
    """The work of one turn (images, or operations) and the loop itself."""
    if loop == "products":
        return 2 * SIDE**3 * PRODUCTS, products()
    kind, augmented = classifier.split("_")[0], classifier.endswith("augmented")
    images = harness.read(folder)
    n = len(images["train"].labels)
    if kind == "notebook":
        return n, notebook(folder, augmented)
    if kind == "resident":
        return n, resident(images["train"], augmented)
    return n * batches.passes(n), ours(images, augmented)


def settings(augmented: bool):
    chosen = harness.settings()
    steps = chosen.augment if augmented else []
    return chosen.model_copy(update={"augment": steps, "epochs": FOREVER, "patience": FOREVER})


def ours(images: dict[str, batches.Samples], augmented: bool) -> Iterator:
    """This project's loop; it validates after each epoch, here on so few images that it is free."""
    chosen = settings(augmented)
    plan = freezing.phases("unfrozen", chosen.blocks, chosen.lr, 1.0, 1.0)
    few = batches.Samples(images["val"].images[:64], images["val"].labels[:64])
    return classifier.fit(network(chosen), images["train"], few, chosen, plan, seed=0)


def notebook(folder: Path, augmented: bool) -> Iterator:
    """The loop of MedMNIST's own introduction, as it stands in countless notebooks."""
    chosen = settings(augmented)
    dataset = PneumoniaMNIST(split="train", transform=transform(augmented), root=str(folder))
    # medmnist insists on the published number of images; a trial has fewer.
    dataset.info = dataset.info | {"n_samples": {"train": len(dataset.labels)}}
    loader = DataLoader(dataset, chosen.batch_size, shuffle=True)
    model, criterion = network(chosen), nn.CrossEntropyLoss()
    optimiser = torch.optim.AdamW(model.parameters(), chosen.lr, weight_decay=chosen.weight_decay)
    model.train()
    while True:
        for inputs, targets in loader:
            optimiser.zero_grad()
            loss = criterion(model(inputs), targets.squeeze(1).long())
            loss.backward()
            optimiser.step()
        yield


def transform(augmented: bool) -> transforms.Compose:
    """PIL image -> normalised tensor; augmented by torchvision's nearest to ours."""
    moved = transforms.RandomAffine(
        degrees=math.degrees(augmentation.ROTATION),
        translate=(augmentation.SHIFT / 2, augmentation.SHIFT / 2),
        scale=(1 - augmentation.SCALE, 1 + augmentation.SCALE),
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    exposed = transforms.ColorJitter(augmentation.BRIGHTNESS, augmentation.CONTRAST)
    first = [moved, exposed] if augmented else []
    return transforms.Compose([*first, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])


def resident(images: batches.Samples, augmented: bool) -> Iterator:
    """The arithmetic of this project's loop on one batch that lies ready: no data path at all."""
    chosen = settings(augmented)
    model = network(chosen).to(memory_format=torch.channels_last).train()
    n, size = len(images.labels), min(chosen.batch_size, len(images.labels))
    batch, labels = standardise(images.images[:size]), images.labels[:size]
    criterion = nn.CrossEntropyLoss(losses.class_weights(images.labels))
    optimiser = torch.optim.AdamW(
        model.parameters(), chosen.lr, weight_decay=chosen.weight_decay, fused=True
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, chosen.lr, total_steps=10**9)
    generator, total = torch.Generator().manual_seed(0), torch.zeros(())
    while True:
        for length in [size] * (n // size) + [n % size] * (n % size > 0):
            inputs = batch[:length]
            inputs = augmentation.augment(inputs, chosen.augment, generator)
            loss = criterion(
                model(inputs.contiguous(memory_format=torch.channels_last)), labels[:length]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            scheduler.step()
            total += loss.detach() * length
        yield


def products() -> Iterator:
    """Products of matrices, by whichever of torch's two libraries is the faster here: MKL, or
    oneDNN, to which a 1 x 1 convolution of so many maps and places is the same product."""
    a, b = torch.randn(2, SIDE, SIDE)
    maps, kernels = (m.view(SIDE, SIDE, 1, 1) for m in (a, b))
    maps = maps.permute(2, 1, 0, 3).contiguous(memory_format=torch.channels_last)
    ways = [lambda: a @ b, lambda: nn.functional.conv2d(maps, kernels)]
    product = min(ways, key=lambda way: min(seconds(way) for _ in range(5)))
    while True:
        for _ in range(PRODUCTS):
            product()
        yield


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def network(chosen) -> Classifier:
    return Classifier(**chosen.architecture)


def flop_per_image() -> float:
    """Counted operations of forward and backward; a multiplication with its addition is two."""
    chosen = settings(False)
    model, images = network(chosen), torch.zeros(chosen.batch_size, 1, 28, 28)
    with FlopCounterMode(display=False) as counter:
        model(images).sum().backward()
    return counter.get_total_flops() / len(images)
