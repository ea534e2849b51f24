"""The page's slider over the decision threshold: test images counted per threshold, as markup with
its data and script inside. Without a script it stays hidden."""

from bisect import bisect
from pathlib import Path

import jinja2
from markupsafe import Markup

from chestflow import history

HERE = Path(__file__).parent
STEPS = 1000  # of the slider, from 0 to 1
MILLION = 10**6  # predictions.csv has six decimals, which are compared as whole numbers


def panel(run: str, report: dict, predictions: dict[str, list]) -> str:
    """report: metrics/runs/<run>.json; predictions: the columns of its predictions.csv."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    template = environment.from_string((HERE / "threshold.html.jinja").read_text(encoding="utf-8"))
    one = history.by_training(predictions)[report["shown"]]
    counts = counted(one, report["at_val_threshold"]["threshold"])
    return template.render(
        run=run,
        n=f"{report['n']:,}",
        training=report["shown"] + 1,
        trainings=report["trainings"],
        positive=report["classes"][1],
        counts=counts,
        half=counts["thresholds"].index(0.5),
        chosen=counts["thresholds"].index(report["at_val_threshold"]["threshold"]),
        script=Markup((HERE / "threshold.js").read_text(encoding="utf-8")),
    )


def counted(predictions: dict[str, list], chosen: float) -> dict[str, list]:
    """Images of either class by the last threshold that their probability reaches.

    predictions: of one training; chosen: a threshold beside the steps from 0 to 1.
    """
    thresholds = sorted({i / STEPS for i in range(STEPS + 1)} | {chosen})
    whole = [round(threshold * MILLION) for threshold in thresholds]
    found = {actual: [0] * len(thresholds) for actual in (0, 1)}
    for actual, probability in zip(predictions["actual"], predictions["probability"]):
        found[int(actual)][bisect(whole, round(probability * MILLION)) - 1] += 1
    return {"thresholds": thresholds, "healthy": found[0], "diseased": found[1]}
