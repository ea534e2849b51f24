"""The page's slider for the decision threshold: HTML with its data and script inside. Without
JavaScript it stays hidden."""

from chestflow import history
from chestflow.report import page


def panel(run: str, report: dict, predictions: dict[str, list]) -> str:
    """report: data/results/<run>/scores.json; predictions: the columns of predictions.csv."""
    training = report["representative"]
    one = history.by_training(predictions)[training]
    probabilities: dict[str, list[float]] = {"healthy": [], "diseased": []}
    for actual, probability in zip(one["actual"], one["probability"]):
        probabilities["diseased" if actual else "healthy"].append(probability)
    return page.template("threshold.html.jinja").render(
        run=run,
        n=f"{report['n']:,}",
        training=training + 1,
        trainings=report["trainings"],
        positive=report["classes"][1],
        chosen=report["at_val_threshold"]["threshold"],
        probabilities=probabilities,
    )
