"""All results of the graph, under the names that the report's template uses."""

from pathlib import Path

from chestflow import files, history


def read(declared: dict, metrics: Path, models: Path, data: Path) -> dict:
    """declared: data/settings/all.json; the folders are those of the same names."""
    runs, subject = declared["runs"], declared["subject"]
    datasets = dict.fromkeys(run["dataset"] for run in runs.values())

    def of_runs(kind: str) -> dict:
        return {run: files.read_json(data / kind / run / "scores.json") for run in runs}

    layers = files.read_json(models / subject / "architecture.json")["layers"]
    predictions = files.read_csv(data / "results" / subject / "predictions.csv")
    scores = of_runs("results")
    epochs = {run: files.read_csv(models / run / "history.csv") for run in runs}
    return {
        "subject": subject,
        "runs": runs,
        "counts": {key: files.read_json(metrics / "data" / f"{key}.json") for key in datasets},
        "scores": scores,
        "separation": of_runs("latent"),
        "maps": {run: files.read_json(data / "gradcam" / run / "scores.json") for run in runs},
        "framing": {run: files.read_json(data / "framing" / f"{run}.json") for run in runs},
        "kept": {run: [int(e) for e in history.kept(epochs[run], "epoch")] for run in runs},
        "ran": {run: [len(h["epoch"]) for h in history.by_training(epochs[run])] for run in runs},
        "parts": parts(layers),
        "grid": [layer for layer in layers if layer["kind"] == "Conv2d"][-1]["shape"][1:],
        "confusion": confusion(predictions, scores[subject]["representative"]),
        "autoencoder": files.read_json(data / "autoencoder.json"),
        "points": files.read_json(data / "label_efficiency.json")["points"],
        "compared": with_topics(files.read_json(data / "comparison.json"), runs),
    }


def with_topics(compared: dict, runs: dict) -> dict:
    """The comparisons, each with the topic that it belongs to in the report."""
    kinds = ("primary", "further")
    asked = {kind: [q | {"topic": topic(q, runs)} for q in compared[kind]] for kind in kinds}
    return compared | asked


def topic(question: dict, runs: dict) -> str:
    """What a comparison of two runs is about: pretraining by the autoencoder, transfer from another
    run, the strategy of transfer, or other settings."""
    run, against = runs[question["run"]], runs[question["against"]]
    if run["init"] != against["init"]:
        return "pretraining" if run["init"] == "autoencoder" else "transfer"
    return "strategy" if run["strategy"] != against["strategy"] else "settings"


def parts(layers: list[dict]) -> list[dict]:
    """The network's parts, each with the parameters of its layers: the encoder's blocks, and what
    follows them. layers: as in architecture.json."""
    merged: list[dict] = []
    for layer in layers:
        if layer["depth"] < 3 and layer["kind"] != "Encoder":
            merged.append(dict(layer))
        elif layer["depth"] == 3:
            merged[-1]["parameters"] += layer["parameters"]
    return merged


def confusion(predictions: dict[str, list], training: int) -> list[list[int]]:
    """One training's test images by actual (rows) and predicted class: [[tn, fp], [fn, tp]]."""
    one = history.by_training(predictions)[training]
    pairs = list(zip(one["actual"], one["predicted"]))
    return [[pairs.count((actual, predicted)) for predicted in (0, 1)] for actual in (0, 1)]
