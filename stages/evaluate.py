"""Stage: score each training of a run on the test images. Threshold and calibration are chosen on
validation images."""

from pathlib import Path

import numpy as np
import torch

from chestflow import files, history, stage
from chestflow.data import arrays, captions
from chestflow.metrics import calibration, scores
from chestflow.models import checkpoint, cnn, device, inference


def evaluate(
    run: str,
    about: Path,
    images: Path,
    trained: Path,
    metrics: Path,
    out: Path,
    *,
    threads: int,
) -> None:
    here, data = device.prepare(threads), captions.of_report(files.read_json(about))
    epochs = files.read_csv(trained / "history.csv")
    losses = history.kept(epochs, "val_loss")
    test, val = (arrays.read(images, split) for split in ("test", "val"))
    probability, choices = [], []
    for k in range(len(losses)):
        folder = checkpoint.training(trained, k)
        model = checkpoint.load_classifier(folder).to(here)
        labelled = val[checkpoint.labelled(folder)["val"]]
        probability.append(probabilities(model, test, here))
        share = trained_share(folder, arrays.read(images, "train"))
        choices.append(
            calibration.choose(labelled.labels, probabilities(model, labelled, here), share)
        )
    write_curves(out, test.labels, probability)
    report = scores.report(
        test.labels, np.stack(probability), choices, history.representative(losses)
    )
    report |= {"weights": checkpoint.digest(trained)} | training_record(epochs)
    report["parameters"] = cnn.n_parameters(model)
    architecture = files.read_json(trained / "architecture.json")
    report["trainable_parameters"] = architecture["trainable_parameters"]
    files.write_json(out / "scores.json", data.record() | report)
    headline = {name: report[name] for name in scores.HEADLINE}
    files.write_json(metrics, {"data": data.caption} | headline)
    means = f"mean AUROC {report['auroc']:.3f}, accuracy {report['accuracy']:.3f}"
    print(f"evaluate: {run}: {len(losses)} trainings, {means}, {data.caption}")


def probabilities(model: cnn.Classifier, split: arrays.Split, here: torch.device) -> np.ndarray:
    return inference.probabilities(model, torch.from_numpy(split.images).to(here))


def trained_share(folder: Path, train: arrays.Split) -> float:
    """The share of disease in the loss: one half with class weights, else that of the images."""
    if checkpoint.read(folder)[1]["class_weights"]:
        return 0.5
    return float(train[checkpoint.labelled(folder)["train"]].labels.mean())


def training_record(epochs: history.Columns) -> dict:
    """Means over the trainings: validation scores of the weights that were kept and, if timed, the
    seconds that a training took."""
    values = {name: history.kept(epochs, name) for name in ("val_auroc", "val_loss")}
    if "seconds" in epochs:
        values["train_seconds"] = [one["seconds"][-1] for one in history.by_training(epochs)]
    return {name: float(np.mean(each)) for name, each in values.items()}


def write_curves(out: Path, labels: np.ndarray, probability: list[np.ndarray]) -> None:
    """Predictions, ROC, precision-recall and reliability: a table each, with all trainings."""
    curves = [scores.curves(labels, row) for row in probability]
    for name in curves[0]:
        rows = ({"training": k, **row} for k, one in enumerate(curves) for row in one[name])
        files.write_csv(out / f"{name}.csv", rows)


if __name__ == "__main__":
    stage.run(evaluate)
