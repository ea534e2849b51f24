"""Stage: score one run on its test films, once, with the threshold chosen on validation."""

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import precision_recall_curve, roc_curve

from stages.lib import command, data, figures, model, runtime, scores, tables, training
from stages.lib.parameters import Params


def evaluate(
    run: str,
    params: Params,
    films: Path,
    weights: Path,
    drawn: Path,
    history: Path,
    metrics: Path,
    plots: Path,
) -> None:
    device, about = runtime.prepare(params.threads), data.read_about(films)
    classifier = model.load_classifier(weights).to(device)
    test, val = data.read(films, "test"), data.read(films, "val")
    val = val[np.array(tables.read_json(drawn)["val"])]
    probability, val_probability = (
        model.probabilities(classifier, torch.from_numpy(split.images).to(device))
        for split in (test, val)
    )
    threshold = scores.best_threshold(val.labels, val_probability)
    calibration = scores.calibration(val.labels, val_probability)
    report = scores.report(
        test.labels, probability, threshold, calibration, params.evaluation.bootstrap, params.seed
    )
    epochs = tables.read_csv(history)
    trained = training_record(epochs) | {"parameters": model.n_parameters(classifier)}
    tables.write_json(metrics, {"data": about.caption(), **report, **trained})
    curves = write_curves(plots, test.labels, probability, threshold)
    panels = figures.evaluation(report, curves, test.labels, probability, about, run)
    figures.save(panels, plots / "evaluation.png")
    figures.save(figures.history(epochs, about, run), plots / "history.png")
    print(f"evaluate: {run}: {figures.headline(report)}, {about.caption()}")


def training_record(epochs: dict[str, list]) -> dict[str, float]:
    """Validation scores of the weights that were kept, and, where it was timed, how many seconds
    the training took."""
    best = training.kept(epochs["improved"])
    scores = {name: epochs[name][best] for name in ("val_auroc", "val_loss")}
    return scores | ({"train_seconds": epochs["seconds"][-1]} if "seconds" in epochs else {})


def write_curves(
    plots: Path, labels: np.ndarray, probability: np.ndarray, threshold: float
) -> dict:
    """The points of every curve as tables that DVC can draw and compare; returns them."""
    false, true, _ = roc_curve(labels, probability)
    precision, recall, _ = precision_recall_curve(labels, probability)
    curves = {
        "roc": [{"false_positive_rate": x, "true_positive_rate": y} for x, y in zip(false, true)],
        "precision_recall": [{"recall": x, "precision": y} for x, y in zip(recall, precision)],
        "reliability": scores.reliability(labels, probability),
        "predictions": [
            {"film": i, "actual": int(y), "predicted": int(p >= 0.5), "probability": float(p)}
            for i, (y, p) in enumerate(zip(labels, probability))
        ],
    }
    for name, rows in curves.items():
        tables.write_csv(plots / f"{name}.csv", rows)
    return curves


if __name__ == "__main__":
    command.run(evaluate)
