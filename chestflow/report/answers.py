"""Who plays which part on the page, and the short answer to each question of the sheets.

`figures` is everything that stage `report` has read, by name.
"""

from collections.abc import Iterable

from chestflow import wording
from chestflow.report import borders, classifier, transfer, tuning

UNASKED = "Nothing in the parameters of this run asks this."
USERS_WORDS = ("data", "classes")  # where metrics files hold words of datasets.yaml


def parts(layers: list[dict]) -> list[dict]:
    """The network's parts, each with the parameters of its layers: the encoder's blocks, and what
    follows them. layers: as in architecture.json."""
    found: list[dict] = []
    for layer in layers:
        if layer["depth"] < 3 and layer["kind"] != "Encoder":
            found.append(dict(layer))
        elif layer["depth"] == 3:
            found[-1]["parameters"] += layer["parameters"]
    return found


def last_grid(layers: list[dict]) -> list[int]:
    """Height and width of the last convolution's output, in cells."""
    return [layer for layer in layers if layer["kind"] == "Conv2d"][-1]["shape"][1:]


def confusion(predictions: dict[str, list]) -> list[list[int]]:
    """Test images by actual (rows) and predicted class: [[tn, fp], [fn, tp]]."""
    pairs = list(zip(predictions["actual"], predictions["predicted"]))
    return [[pairs.count((actual, said)) for said in (0, 1)] for actual in (0, 1)]


def roles(figures: dict) -> dict:
    """The figures, fit for the page, and who plays which part on it: the settings say that, not the
    runs' names."""
    # Here, where all figures pass, so that no sentence and no table need think of it; the names of
    # spaces alone might be those of the fields that are looked for.
    figures = literal(figures) | {"spaces": figures["spaces"]}
    subject, runs = figures["subject"], figures["runs"]
    dataset = runs[subject]["dataset"]
    data = list(dict.fromkeys(report["data"] for report in figures["scores"].values()))
    curves = figures["efficiency"]["curves"]
    asked: dict[str, list] = {"autoencoder": [], "transfer": [], "strategy": [], "other": []}
    for question in figures["questions"]:
        asked[kind(runs, question)].append(question)
    counts = figures["counts"]
    return figures | {
        "report": figures["scores"][subject],
        "settings": runs[subject],
        "dataset": dataset,
        "positive": figures["scores"][subject]["classes"][1],
        "split": {entry["split"]: entry for entry in counts[dataset]["splits"]},
        "data": data,
        "phantoms": [caption for caption in data if borders.is_phantom(caption)],
        "asked": asked,
        "curves": {key: [row for row in curves if row["dataset"] == key] for key in counts},
    }


def literal(found, chosen: bool = False):
    """The same, with every data set's caption and class names as Markdown that shows them as the
    user wrote them; chosen: whether this is what stands under one of the user's keys."""
    if isinstance(found, dict):
        return {key: literal(value, key in USERS_WORDS) for key, value in found.items()}
    if isinstance(found, list):
        return [literal(value, chosen) for value in found]
    return wording.literal(found) if chosen and isinstance(found, str) else found


def kind(runs: dict[str, dict], question: dict) -> str:
    """What a question asks, by where its two runs start: does the "autoencoder" help, does a
    "transfer" beat scratch, which "strategy" of one start is best, or an "other"."""
    start, rival = (runs[question[key]]["init"] for key in ("run", "against"))
    if rival == "scratch":
        return {"autoencoder": "autoencoder", "scratch": "other"}.get(start, "transfer")
    return "strategy" if start == rival else "other"


def answers(figures: dict) -> dict[str, str]:
    """The short answer to each question of the sheets, in their order."""
    report, scores, asked = figures["report"], figures["scores"], figures["asked"]
    frozen = [run for run in scores if figures["runs"][run]["strategy"] == "frozen"]
    subject, positive = figures["subject"], figures["positive"]
    return {
        "architecture": classifier.architecture(report["parameters"], figures["parts"]),
        "imbalance": classifier.imbalance(figures["split"]["train"], positive),
        "scores": classifier.how_good(report, figures["confusion"], positive),
        "gradcam": classifier.maps_trusted(figures["maps"][subject]),
        "sweep": tuning.best_configuration(figures["sweep"]),
        "accuracy": classifier.is_accuracy_enough(report),
        "weights": tuning.kept(figures["histories"][subject], figures["settings"]),
        "autoencoder": transfer.reconstructs(figures["autoencoder"]),
        "few_labels": several(helped(figures, q) for q in asked["autoencoder"]),
        "frozen": several(transfer.frozen_shows(run, scores, asked["transfer"]) for run in frozen),
        "strategies": best_start(figures),
        "latent": several(
            transfer.separates_best(figures["separation"], members)
            for members in figures["spaces"].values()
        ),
        "limits": classifier.limits(report),
    }


def helped(figures: dict, question: dict) -> str:
    run = figures["runs"][question["run"]]
    rows = figures["curves"][run["dataset"]]
    again = transfer.repeated(rows, run["labels"], run["init"])
    return f"{transfer.did_it_help(question)} {again}".strip()


def best_start(figures: dict) -> str:
    asked, rows = figures["asked"]["strategy"], figures["curves"][figures["dataset"]]
    paired = [transfer.best_strategy(asked)] if asked else []
    return several(
        [*paired, *(f"In the label-efficiency curves, {line}" for line in transfer.curve(rows)[:1])]
    )


def several(sentences: Iterable[str]) -> str:
    return " ".join(sentences) or UNASKED
