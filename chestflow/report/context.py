"""All results of the graph, under the names that the report's template uses."""

from pathlib import Path

from chestflow import files, history


def read(declared: dict, metrics: Path, models: Path, data: Path) -> dict:
    """declared: data/settings/all.json; the folders are those of the same names."""
    runs, subject = declared["runs"], declared["subject"]
    datasets = dict.fromkeys(run["dataset"] for run in runs.values())
    layers = files.read_json(models / subject / "architecture.json")["layers"]
    epochs = {run: files.read_csv(models / run / "history.csv") for run in runs}
    compared = files.read_json(data / "comparison.json")
    for question in compared["primary"] + compared["further"]:
        question["topic"] = topic(question, runs)

    def of_runs(path: str) -> dict:
        return {run: files.read_json(data / path.format(run)) for run in runs}

    return {
        "subject": subject,
        "runs": runs,
        "counts": {key: files.read_json(metrics / "data" / f"{key}.json") for key in datasets},
        "scores": of_runs("results/{}/scores.json"),
        "separation": of_runs("latent/{}/scores.json"),
        "maps": of_runs("gradcam/{}/scores.json"),
        "framing": of_runs("framing/{}.json"),
        "kept": {run: [int(e) for e in history.kept(epochs[run], "epoch")] for run in runs},
        "ran": {run: [len(h["epoch"]) for h in history.by_training(epochs[run])] for run in runs},
        "parts": parts(layers),
        "grid": [layer for layer in layers if layer["kind"] == "Conv2d"][-1]["shape"][1:],
        "autoencoder": files.read_json(data / "autoencoder.json"),
        "points": files.read_json(data / "label_efficiency.json")["points"],
        "compared": compared,
    }


def topic(question: dict, runs: dict) -> str:
    """What a comparison of two runs is about: their starts, what is trained, or other settings."""
    run, against = runs[question["run"]], runs[question["against"]]
    if run["init"] != against["init"]:
        return "pretraining" if run["init"] == "autoencoder" else "transfer"
    return "strategy" if run["strategy"] != against["strategy"] else "settings"


def parts(layers: list[dict]) -> list[dict]:
    """The encoder's blocks and what follows them, each with the parameters of its layers."""
    merged: list[dict] = []
    for layer in layers:
        if layer["depth"] < 3 and layer["kind"] != "Encoder":
            merged.append(dict(layer))
        elif layer["depth"] == 3:
            merged[-1]["parameters"] += layer["parameters"]
    return merged
