"""Stage: score each training of a run on the test images, beside a baseline without a network.
Threshold and calibration are chosen on the stress set, which is made of validation images."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow import files, history, stage, stress
from chestflow.data import arrays, captions
from chestflow.data.arrays import Split
from chestflow.metrics import baselines, calibration, scores, selection
from chestflow.models import checkpoint, cnn, device, inference


def evaluate(
    run: str, about: Path, images: Path, trained: Path, metrics: Path, out: Path, *, threads: int
) -> None:
    here, data = device.prepare(threads), captions.of_report(files.read_json(about))
    train, val, test = (arrays.read(images, split) for split in arrays.SPLITS)
    models = checkpoint.load_classifiers(trained, here)
    labelled = [checkpoint.labelled(folder) for folder in checkpoint.trainings(trained)]
    seen = [(train[one["train"]], val[one["val"]]) for one in labelled]
    on_device = torch.from_numpy(test.images).to(here)
    probability = np.stack([inference.probabilities(model, on_device) for model in models])
    write_curves(out, test.labels, list(probability))

    changed = [val[stress.chosen(one["val"])] for one in labelled]
    pairs = zip(models, changed)
    stressed = {
        "labels": np.stack([split.labels for split in changed]),
        "probability": np.stack([stress.probabilities(m, s.images, here) for m, s in pairs]),
    }
    (out / "stress.safetensors").write_bytes(save(stressed))
    # of disease in the loss: class weights make it one half
    weighted = checkpoint.read(trained)[1]["class_weights"]
    shares = [0.5 if weighted else float(one.labels.mean()) for one, _ in seen]
    choices = [calibration.choose(*each) for each in zip(*stressed.values(), shares)]

    epochs = files.read_csv(trained / "history.csv")
    representative = history.representative(history.kept(epochs, "val_loss"))
    report = scores.report(test.labels, probability, choices, representative)
    report |= {"weights": checkpoint.digest(trained)} | training_record(epochs)
    report["stress"] = selection.score(**stressed)
    by_pixels = pixel_probabilities(seen, test)
    report["pixels"] = baselines.beside(test.labels, probability, by_pixels)
    report["parameters"] = cnn.n_parameters(models[0])
    architecture = files.read_json(trained / "architecture.json")
    report["trainable_parameters"] = architecture["trainable_parameters"]
    files.write_json(out / "scores.json", data.record() | report)
    headline = {name: report[name] for name in scores.HEADLINE}
    files.write_json(metrics, {"data": data.caption} | headline)
    means = f"mean AUROC {report['auroc']:.3f}, accuracy {report['accuracy']:.3f}"
    print(f"evaluate: {run}: {len(models)} trainings, {means}, {data.caption}")


def pixel_probabilities(seen: list[tuple[Split, Split]], test: Split) -> np.ndarray:
    """(K, N) of logistic regressions on the pixels, fitted on the training and validation images
    that each training has seen the labels of; a single one where all have seen all."""
    of_test, probability = baselines.pixels(test.images), []
    alike = all(split is first for pair in seen for split, first in zip(pair, seen[0]))
    for pair in seen[:1] if alike else seen:
        known = [(baselines.pixels(split.images), split.labels) for split in pair]
        probability.append(baselines.probability(baselines.logistic(*known), of_test))
    return np.broadcast_to(probability, (len(seen), len(test)))


def training_record(epochs: history.Columns) -> dict:
    """Means over the trainings: validation AUROC of the weights that were kept and, if timed, the
    seconds that a training took."""
    record = {"val_auroc": float(np.mean(history.kept(epochs, "val_auroc")))}
    if "seconds" in epochs:
        seconds = [one["seconds"][-1] for one in history.by_training(epochs)]
        record["train_seconds"] = float(np.mean(seconds))
    return record


def write_curves(out: Path, labels: np.ndarray, probability: list[np.ndarray]) -> None:
    """Predictions, ROC, precision-recall and reliability: a table each, with all trainings."""
    curves = [scores.curves(labels, row) for row in probability]
    for name in curves[0]:
        rows = ({"training": k, **row} for k, one in enumerate(curves) for row in one[name])
        files.write_csv(out / f"{name}.csv", rows)


if __name__ == "__main__":
    stage.run(evaluate)
