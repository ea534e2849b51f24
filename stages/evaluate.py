"""Stage: score each training of a run on the test images, beside a baseline without a network.
Threshold and calibration are chosen on the stress set, which is made of validation images."""

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from chestflow import files, history, stage, stress
from chestflow.data import arrays, captions
from chestflow.metrics import baselines, calibration, scores, selection
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
    train, val, test = (arrays.read(images, split) for split in arrays.SPLITS)
    folders = [checkpoint.training(trained, k) for k in range(len(losses))]
    models = [checkpoint.load_classifier(folder).to(here) for folder in folders]
    for model in models:
        model.to(memory_format=torch.channels_last)  # twice as fast on a CPU
    labelled = [checkpoint.labelled(folder) for folder in folders]
    on_device = torch.from_numpy(test.images).to(here)
    probability = np.stack([inference.probabilities(model, on_device) for model in models])
    stressed = on_stress_set(models, val, [one["val"] for one in labelled], here)
    choices = [
        calibration.choose(labels, draws, trained_share(folder, train[index["train"]]))
        for labels, draws, folder, index in zip(*stressed.values(), folders, labelled)
    ]
    write_curves(out, test.labels, list(probability))
    (out / "stress.safetensors").write_bytes(save(stressed))
    report = scores.report(test.labels, probability, choices, history.representative(losses))
    report |= {"weights": checkpoint.digest(trained)} | training_record(epochs)
    report["stress"] = selection.score(**stressed)
    by_pixels = pixel_probabilities(train, val, test, labelled)
    report["pixels"] = baselines.beside(test.labels, probability, by_pixels)
    report["parameters"] = cnn.n_parameters(models[0])
    architecture = files.read_json(trained / "architecture.json")
    report["trainable_parameters"] = architecture["trainable_parameters"]
    files.write_json(out / "scores.json", data.record() | report)
    headline = {name: report[name] for name in scores.HEADLINE}
    files.write_json(metrics, {"data": data.caption} | headline)
    means = f"mean AUROC {report['auroc']:.3f}, accuracy {report['accuracy']:.3f}"
    print(f"evaluate: {run}: {len(losses)} trainings, {means}, {data.caption}")


def on_stress_set(
    models: list[cnn.Classifier], val: arrays.Split, labelled: list[np.ndarray], here: torch.device
) -> dict[str, np.ndarray]:
    """labels (K, N) and probability (K, D, N): each training on the D draws of its own labelled
    validation images, which are the same for all trainings where all images are labelled."""
    index = [stress.chosen(one) for one in labelled]
    parts = np.unique(index, axis=0)
    probability = np.empty((len(models), stress.DRAWS, parts.shape[1]))
    for part in parts:
        of_part = [k for k, one in enumerate(index) if np.array_equal(one, part)]
        networks = [models[k] for k in of_part]
        probability[of_part] = stress.probabilities(networks, val[part].images, here)
    return {"labels": np.stack([val.labels[one] for one in index]), "probability": probability}


def pixel_probabilities(
    train: arrays.Split, val: arrays.Split, test: arrays.Split, labelled: list[dict]
) -> np.ndarray:
    """(K, N) of logistic regressions on the pixels, fitted on the same labelled images; a single
    one where all trainings have seen the same."""
    known, seen, asked = (baselines.pixels(split.images) for split in (train, val, test))
    fitted: dict[bytes, np.ndarray] = {}
    keys = [one["train"].tobytes() for one in labelled]
    for key, one in zip(keys, labelled):
        if key not in fitted:
            of_train, of_val = one["train"], one["val"]
            pairs = (known[of_train], train.labels[of_train]), (seen[of_val], val.labels[of_val])
            fitted[key] = baselines.probability(baselines.logistic(*pairs), asked)
    return np.stack([fitted[key] for key in keys])


def trained_share(folder: Path, train: arrays.Split) -> float:
    """The share of disease in the loss: one half with class weights, else that of the images."""
    if checkpoint.read(folder)[1]["class_weights"]:
        return 0.5
    return float(train.labels.mean())


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
