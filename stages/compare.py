"""Stage: compare the runs: paired differences, similarity of latent spaces, label efficiency."""

from itertools import combinations
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from chestflow import files, history, stage
from chestflow.config.schema import Comparison, Question
from chestflow.metrics import intervals
from chestflow.metrics.comparison import (
    Pair,
    cka_within,
    linear_cka,
    paired_difference,
    paired_differences,
)
from chestflow.metrics.scores import predictions as from_table

CURVES = ("roc", "precision_recall", "reliability")
POINTS = 60  # per training and curve in the panels of all runs: Git keeps these tables
# Runs that differ only in these can be compared; any other difference would be a confounder.
COMPARABLE = ("name", "init", "strategy")

Predictions = tuple[np.ndarray, np.ndarray]  # labels (N,), probabilities (K, N)


def compare(
    settings: Path,
    results: Path,
    latent: Path,
    models: Path,
    few_labels: Path,
    metrics: Path,
    details: Path,
    label_efficiency: Path,
    curves: Path,
    *,
    comparison: Comparison,
) -> None:
    declared = files.read_json(settings)["runs"]
    # Read declared runs only: the folders may still hold files of others.
    reports = {run: files.read_json(results / run / "scores.json") for run in declared}
    predicted = {run: predictions(results / run) for run in declared}
    answers = answer(comparison, declared, predicted)
    pairs = [
        {"space": name, **pair}
        for name, runs in comparison.spaces.items()
        for pair in similarities(runs, declared, latent)
    ]
    points = efficiency_points(declared, predicted, few_labels, models)
    data = " and ".join(dict.fromkeys(report["data"] for report in reports.values()))
    found = {f"{e['run']}-{e['against']}": e["difference"] for e in answers["primary"]}
    files.write_json(metrics, {"data": data, "auroc_difference": found})
    files.write_json(details, {"data": data, **answers, "cka": pairs})
    files.write_json(label_efficiency, {"data": data, "points": points})
    write_curves(curves, reports, results, models)
    rows = [{key: point[key] for key in COLUMNS} for point in points]
    files.write_csv(curves / "label_efficiency.csv", rows)
    print(f"compare: {len(reports)} runs, {len(found)} tests, {data}")


def predictions(folder: Path) -> Predictions:
    return from_table(files.read_csv(folder / "predictions.csv"))


# -------------------------------------------------------------------------------- differences


def answer(
    comparison: Comparison, declared: dict, predicted: dict[str, Predictions]
) -> dict[str, list[dict]]:
    """The paired differences of AUROC on the same test images: `primary` ones are tested together,
    `further` ones have intervals alone."""
    measured = {run: intervals.auroc(*pair) for run, pair in predicted.items()}

    def pairs(questions: list[Question]) -> list[Pair]:
        return [(measured[one.run], measured[one.against]) for one in questions]

    primary = paired_differences(pairs(comparison.primary))
    further = [untested(*pair) for pair in pairs(comparison.further)]
    answers = {"primary": (comparison.primary, primary), "further": (comparison.further, further)}
    return {
        kind: [asked(one, declared, measured) | found for one, found in zip(questions, differences)]
        for kind, (questions, differences) in answers.items()
    }


def asked(one: Question, declared: dict, measured: dict[str, intervals.Measured]) -> dict:
    trainings, n = measured[one.run].influence.shape
    entry = {"run": one.run, "against": one.against, "n": n, "trainings": trainings}
    differ = config_difference(declared[one.run], declared[one.against])
    return entry | {"config_difference": differ}


def untested(a: intervals.Measured, b: intervals.Measured) -> dict:
    """A paired difference without a p-value, which would be one test more."""
    return {key: value for key, value in paired_difference(a, b).items() if key != "p"}


def config_difference(a: dict, b: dict) -> dict[str, list]:
    """The settings, other than COMPARABLE ones, in which two runs differ. A setting that one of
    them does not use (null) is left out: it differs only because another listed setting does."""
    pairs = {key: [a[key], b[key]] for key in a if key not in COMPARABLE}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and None not in pair}


def alike(a: dict, b: dict) -> bool:
    """Whether two runs have the same settings, apart from the numbers of labels."""
    return not config_difference(a, b).keys() - {"labels", "val_labels"}


# ------------------------------------------------------------------------------ latent spaces


def similarities(runs: list[str], declared: dict[str, dict], latent: Path) -> list[dict]:
    """Linear CKA on the test images between all encoders of a space, and those that they started
    from: mean and sd over the trainings. For reference, of each encoder with itself after another
    training (a = b): the mean over all pairs of trainings, without an sd, since the pairs overlap.

    A frozen encoder is its start, and is left out.
    """
    stored = {run: load_file(latent / run / "embeddings.safetensors") for run in runs}
    vectors = {declared[run]["init"]: e["start"] for run, e in stored.items() if "start" in e}
    vectors |= {run: e["run"] for run, e in stored.items() if declared[run]["strategy"] != "frozen"}
    pairs = []
    for a, b in combinations(vectors, 2):
        each = [linear_cka(x, y) for x, y in zip(vectors[a], vectors[b])]
        cka = intervals.mean_sd(each)
        pairs.append({"a": a, "b": b, "cka": cka["value"], "sd": cka["sd"]})
    within = {run: cka_within(each) for run, each in vectors.items()}
    return pairs + [
        {"a": run, "b": run, "cka": cka, "sd": None}
        for run, cka in within.items()
        if cka is not None
    ]


# --------------------------------------------------------------------------- label efficiency

COLUMNS = ("dataset", "start", "strategy", "labels", "steps", "run", "trainings", "auroc", "sd")


def efficiency_points(
    declared: dict[str, dict], predicted: dict[str, Predictions], few_labels: Path, models: Path
) -> list[dict]:
    """The points of all curves, from the runs and from stage `label_efficiency`: the AUROC, and its
    difference from training from scratch with as many labels and steps. `short`: with fewer steps
    than the run, and so on no curve over labels."""
    measured: dict[tuple, tuple[str, int, bool, intervals.Measured]] = {}
    for run, entry in declared.items():
        own = len(files.read_json(models / run / "trainings/0/labelled.json")["train"])
        cells = [(own, entry["steps"] or 0, True, *predicted[run])]
        further = load_file(few_labels / f"{run}.safetensors")
        sizes = zip(further["labels"].tolist(), further["steps"].tolist())
        trained = zip(sizes, further["probability"])
        cells += [(*size, False, further["actual"], one) for size, one in trained]
        for labels, steps, is_run, actual, probability in cells:
            short = steps < (entry["steps"] or 0)
            key = (entry["dataset"], entry["init"], entry["strategy"], labels, short)
            measured.setdefault(key, (run, steps, is_run, intervals.auroc(actual, probability)))
    points = []
    for (dataset, start, strategy, labels, short), found in sorted(measured.items()):
        run, steps, is_run, auroc = found
        estimate = intervals.estimate(auroc)
        point = {"dataset": dataset, "start": start, "strategy": strategy, "labels": labels}
        point |= {"steps": steps, "short": short, "run": run, "is_run": is_run}
        point |= {"trainings": len(auroc.values), "n": auroc.influence.shape[1]}
        point |= {"auroc": estimate.pop("value"), **estimate, "each": auroc.values.tolist()}
        scratch = measured.get((dataset, "scratch", "unfrozen", labels, short))
        if scratch and start != "scratch" and alike(declared[run], declared[scratch[0]]):
            point["from_scratch"] = untested(auroc, scratch[-1])
        points.append(point)
    return points


# ------------------------------------------------------------------------------------- curves


def write_curves(out: Path, reports: dict[str, dict], results: Path, models: Path) -> None:
    """One table per kind of curve, with all runs, so that DVC plots them in one panel."""
    sources = {kind: {run: results / run / f"{kind}.csv" for run in reports} for kind in CURVES}
    sources["training"] = {run: models / run / "history.csv" for run in reports}
    for kind, paths in sources.items():
        files.write_csv(out / f"{kind}.csv", together(paths, reports))


def together(sources: dict[str, Path], reports: dict[str, dict]):
    for run, path in sources.items():
        trainings = history.by_training(files.read_csv(path))
        rows = [row for one in trainings for row in thinned(files.rows_of(one))]
        for point, row in enumerate(rows):
            yield {"run": run, "data": reports[run]["data"], "point": point, **row}


def thinned(rows: list[dict]) -> list[dict]:
    """At most POINTS of the rows, evenly spaced, the first and the last among them."""
    if len(rows) <= POINTS:
        return rows
    return [rows[i] for i in np.linspace(0, len(rows) - 1, POINTS).round().astype(int)]


if __name__ == "__main__":
    stage.run(compare)
