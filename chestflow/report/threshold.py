"""The page's slider for the decision threshold: HTML with its data and script inside. Without
JavaScript it stays hidden."""

from chestflow import history
from chestflow.report import page


def panel(run: str, report: dict, predictions: dict[str, list]) -> str:
    """report: data/results/<run>/scores.json; predictions: the columns of predictions.csv."""
    one = history.by_training(predictions)[report["representative"]]
    probabilities: dict[str, list[float]] = {"healthy": [], "diseased": []}
    for actual, probability in zip(one["actual"], one["probability"]):
        probabilities["diseased" if actual else "healthy"].append(probability)
    template = page.TEMPLATES.get_template("threshold.html.jinja")
    return template.render(run=run, report=report, probabilities=probabilities)
