"""Stage: compare the runs: paired differences, similarity of latent spaces, label efficiency."""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from chestflow import files, history, stage
from chestflow.config.schema import Comparison
from chestflow.metrics import intervals, scores
from chestflow.metrics.comparison import linear_cka, paired_difference, paired_differences
from chestflow.metrics.intervals import Measured

CURVES = ("roc", "precision_recall", "reliability")
POINTS = 60  # per training and curve in the panels of all runs: Git keeps these tables
# Runs that differ only in these can be compared; any other difference would be a confounder.
COMPARABLE = ("name", "init", "strategy")


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
    captions = {run: files.read_json(results / run / "scores.json")["data"] for run in declared}
    tables = {run: files.read_csv(results / run / "predictions.csv") for run in declared}
    measured = {run: intervals.auroc(*scores.predictions(one)) for run, one in tables.items()}
    answers = answer(comparison, declared, measured)
    spaces = comparison.spaces.values()
    pairs = [pair for runs in spaces for pair in similarities(runs, declared, latent)]
    points = efficiency_points(declared, measured, few_labels, models)
    data = " and ".join(dict.fromkeys(captions.values()))
    tested = {f"{e['run']}-{e['against']}": e["difference"] for e in answers["primary"]}
    files.write_json(metrics, {"data": data, "auroc_difference": tested})
    files.write_json(details, {"data": data, **answers, "cka": pairs})
    files.write_json(label_efficiency, {"data": data, "points": points})
    write_curves(curves, captions, results, models)
    print(f"compare: {len(declared)} runs, {len(tested)} tests, {data}")


# -------------------------------------------------------------------------------- differences


def answer(
    comparison: Comparison, declared: dict, measured: dict[str, Measured]
) -> dict[str, list[dict]]:
    """The paired differences of AUROC on the same test images: `primary` ones are tested together,
    `further` ones have intervals alone."""
    questions, tested = [*comparison.primary, *comparison.further], len(comparison.primary)
    pairs = [(measured[one.run], measured[one.against]) for one in questions]
    differences = paired_differences(pairs[:tested])
    differences += [paired_difference(*pair) for pair in pairs[tested:]]
    answers = []
    for one, difference in zip(questions, differences):
        trainings, n = measured[one.run].influence.shape
        differ = config_difference(declared[one.run], declared[one.against])
        question = {"run": one.run, "against": one.against, "n": n, "trainings": trainings}
        answers.append(question | {"config_difference": differ} | difference)
    return {"primary": answers[:tested], "further": answers[tested:]}


def config_difference(a: dict, b: dict) -> dict[str, list]:
    """The settings, other than COMPARABLE ones, in which two runs differ. A setting that one of
    them does not use (null) is left out: it differs only because another listed setting does."""
    pairs = {key: [a[key], b[key]] for key in a if key not in COMPARABLE}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and None not in pair}


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
    for a, b in [*combinations(vectors, 2), *zip(vectors, vectors)]:
        trainings = zip(vectors[a], vectors[b]) if a != b else combinations(vectors[a], 2)
        each = [linear_cka(x, y) for x, y in trainings]
        if each:  # of a single training there is no other one
            cka = intervals.mean_sd(each)
            sd = cka["sd"] if a != b else None
            pairs.append({"a": a, "b": b, "cka": cka["value"], "sd": sd})
    return pairs


# --------------------------------------------------------------------------- label efficiency


def efficiency_points(
    declared: dict[str, dict], measured: dict[str, Measured], few_labels: Path, models: Path
) -> list[dict]:
    """The points of all curves, from the runs and from stage `label_efficiency`: the AUROC, and its
    difference from training from scratch with as many labels, steps and trainings. `short`: with
    fewer steps than the run, and so on no curve over labels."""
    cells: dict[tuple, tuple[str, int, Measured]] = {}
    for run, entry in declared.items():
        own = len(files.read_json(models / run / "trainings/0/labelled.json")["train"])
        few = load_file(few_labels / f"{run}.safetensors")
        further = [intervals.auroc(few["actual"], scored) for scored in few["probability"]]
        results = [(own, entry["steps"] or 0, measured[run])]
        results += zip(few["labels"].tolist(), few["steps"].tolist(), further)
        for labels, steps, auroc in results:
            short = steps < (entry["steps"] or 0)
            key = (entry["dataset"], entry["init"], entry["strategy"], labels, short)
            cells.setdefault(key, (run, steps, auroc))  # the run's own result comes first
    return [efficiency_point(key, cells, declared, measured) for key in sorted(cells)]


def efficiency_point(key: tuple, cells: dict, declared: dict, measured: dict) -> dict:
    """One of `cells`, which hold run, steps and measured AUROC of each point."""
    dataset, start, strategy, labels, short = key
    run, steps, auroc = cells[key]
    trainings, n = auroc.influence.shape
    estimate = intervals.estimate(auroc)
    point = {"dataset": dataset, "start": start, "strategy": strategy, "labels": labels}
    point |= {"steps": steps, "short": short, "run": run, "is_run": auroc is measured[run]}
    point |= {"trainings": trainings, "n": n, "each": auroc.values.tolist()}
    point |= {"auroc": estimate["value"], "ci95": estimate["ci95"]}
    scratch = cells.get((dataset, "scratch", "unfrozen", labels, short))
    if start != "scratch" and scratch and len(scratch[-1].values) == trainings:
        differ = config_difference(declared[run], declared[scratch[0]])
        if differ.keys() <= {"labels", "val_labels"}:
            point["from_scratch"] = paired_difference(auroc, scratch[-1])
    return point


# ------------------------------------------------------------------------------------- curves


def write_curves(out: Path, captions: dict[str, str], results: Path, models: Path) -> None:
    """One table per kind of curve, with all runs, so that DVC plots them in one panel."""
    sources = {kind: {run: results / run / f"{kind}.csv" for run in captions} for kind in CURVES}
    sources["training"] = {run: models / run / "history.csv" for run in captions}
    for kind, paths in sources.items():
        files.write_csv(out / f"{kind}.csv", together(paths, captions))


def together(sources: dict[str, Path], captions: dict[str, str]) -> Iterator[dict]:
    for run, path in sources.items():
        trainings = history.by_training(files.read_csv(path))
        rows = [row for one in trainings for row in thinned(files.rows_of(one))]
        for point, row in enumerate(rows):
            yield {"run": run, "data": captions[run], "point": point, **row}


def thinned(rows: list[dict]) -> list[dict]:
    """At most POINTS of the rows, evenly spaced, the first and the last among them."""
    kept = np.linspace(0, len(rows) - 1, min(len(rows), POINTS)).round().astype(int)
    return [rows[i] for i in kept]


if __name__ == "__main__":
    stage.run(compare)
