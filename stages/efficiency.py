"""Stage: test AUROC over the number of labels, for one start, over several seeds."""

from pathlib import Path

import torch
from tqdm import tqdm

from chestflow.core import tables
from chestflow.images import arrays, captions, labelling
from chestflow.network import checkpoint, device, inference, model
from chestflow.parameters import reading, stage
from chestflow.parameters.schema import Curve
from chestflow.training import loop, strategies
from chestflow.training.batching import Samples, passes
from chestflow.training.objectives import auroc


def efficiency(settings: Path, images: Path, init: Path, out: Path) -> None:
    curve = reading.curve(settings)
    splits = {name: arrays.read(images, name) for name in arrays.SPLITS}
    weights = checkpoint.read(init)[0]
    seeds = range(curve.seed, curve.seed + curve.points.seeds)
    cells = [(labels, seed) for labels in curve.points.labels for seed in seeds]
    rows = []
    for labels, seed in tqdm(cells, desc=f"efficiency {curve.name}", unit="training"):
        here = device.prepare(curve.threads, seed)
        n, score = measure(curve, splits, weights, labels, seed, here)
        rows.append({"labels": n, "seed": seed, "auroc": score})
    tables.write_exact_json(out, {"points": rows})
    about = captions.marked(curve.dataset, arrays.origin(images))
    print(f"efficiency: {curve.name}: {len(rows)} trainings on {about}")


def measure(
    curve: Curve, splits: dict, start: dict, labels: int | str, seed: int, here
) -> tuple[int, float]:
    """Train once, choose the epoch on a few validation images, score once on all test images;
    returns the number of labels and the AUROC."""
    train, val, test = (splits[name] for name in arrays.SPLITS)
    drawn = labelling.draw(train.labels, labels, seed, "efficiency.labels")
    enough = max(20, round(len(drawn) * curve.points.val_share))
    val_n = enough if enough < len(val) else "all"
    val_drawn = labelling.draw(val.labels, val_n, seed, "efficiency.val_share")
    network = model.Classifier(**curve.architecture).to(here)
    checkpoint.load_encoder(network, start)
    settings, plan = schedule(curve, len(drawn))
    train_set, val_set = (Samples.to(here, s) for s in (train[drawn], val[val_drawn]))
    for _ in loop.fit(network, train_set, val_set, settings, plan, seed):
        pass
    images = torch.from_numpy(test.images).to(here)
    return len(drawn), auroc(test.labels, inference.probabilities(network.eval(), images))


def schedule(curve: Curve, n: int) -> tuple[Curve, list[strategies.Phase]]:
    """Settings and phases such that every start of one or two phases sees as many images."""
    plan = strategies.phases(
        curve.strategy, curve.blocks, curve.lr, curve.lr_factor, curve.layer_decay
    )
    total = max(4, curve.points.images // (n * passes(n)))
    epochs = max(1, total // 2 * 2 // len(plan))
    return curve.model_copy(update={"epochs": epochs, "patience": epochs}), plan


if __name__ == "__main__":
    stage.run(efficiency)
