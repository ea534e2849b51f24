"""Stage: set all runs side by side: scores, paired differences, curves, latent spaces, labels."""

from itertools import combinations
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from chestflow.core import tables
from chestflow.measures import comparison as measures
from chestflow.measures import resampling
from chestflow.parameters import stage
from chestflow.parameters.schema import Comparison, Evaluation
from chestflow.wording import change, literal, number, scored

CURVES = ("roc", "precision_recall", "reliability")


def compare(
    settings: Path,
    scores: Path,
    results: Path,
    models: Path,
    learning: Path,
    metrics: Path,
    efficiency: Path,
    table: Path,
    curves: Path,
    *,
    seed: int,
    comparison: Comparison,
    evaluation: Evaluation,
) -> None:
    declared = tables.read_json(settings)
    # Folders may still hold files of runs that are no longer declared: they are not read.
    reports = {run: tables.read_json(scores / f"{run}.json") for run in declared["runs"]}
    answers = answer(comparison, results, evaluation.bootstrap, seed)
    similar = [
        {"space": name, **pair}
        for name, runs in comparison.spaces.items()
        for pair in similarities(runs, declared["runs"], results)
    ]
    points = label_efficiency(declared["curves"], learning)
    tables.write_json(metrics, summary(reports, answers, similar))
    tables.write_json(efficiency, {"data": data_of(reports), "curves": points})
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(markdown(reports, answers), encoding="utf-8")
    write_curves(curves, reports, declared["runs"], results, models)
    tables.write_csv(curves / "label_efficiency.csv", points)
    print(f"compare: {len(reports)} runs, {len(answers)} questions, {data_of(reports)}")


def data_of(reports: dict[str, dict]) -> str:
    return " and ".join(dict.fromkeys(report["data"] for report in reports.values()))


def answer(asked: Comparison, results: Path, resamples: int, seed: int) -> list[dict]:
    """One entry per question: paired differences on the same test images, p-values corrected for
    the number of questions."""
    answers: list[dict] = []
    for question in asked.questions:
        pair = [question.run, question.against]
        first, second = (tables.read_csv(results / run / "predictions.csv") for run in pair)
        labels = np.array(first["actual"])
        a, b = (np.array(predicted["probability"]) for predicted in (first, second))
        counts = resampling.counts(len(labels), resamples, seed)
        found = measures.paired_difference(labels, a, b, counts)
        answers.append({"run": pair[0], "against": pair[1], "n": len(labels), **found})
    for measure in ("auroc", "balanced_accuracy") if answers else ():
        corrected = measures.holm([entry[measure]["p"] for entry in answers])
        for entry, p in zip(answers, corrected):
            entry[measure]["p_holm"] = p
    return answers


def similarities(runs: list[str], declared: dict[str, dict], results: Path) -> list[dict]:
    """Linear CKA, on the test images, of every two encoders of a space and of their starts."""
    found = {run: load_file(results / run / "embeddings.safetensors") for run in runs}
    starts = {
        declared[run]["init"]: held["start"] for run, held in found.items() if "start" in held
    }
    vectors = starts | {run: held["run"] for run, held in found.items()}
    return [
        {"a": a, "b": b, "cka": measures.linear_cka(vectors[a], vectors[b])}
        for a, b in combinations(vectors, 2)
    ]


def label_efficiency(declared: dict[str, dict], learning: Path) -> list[dict]:
    """Mean, standard deviation and range over the seeds of each point of each curve."""
    points = []
    for name, curve in declared.items():
        rows = tables.read_json(learning / f"{name}.json")["points"]
        for labels in dict.fromkeys(row["labels"] for row in rows):
            values = [row["auroc"] for row in rows if row["labels"] == labels]
            points.append(
                {
                    "dataset": curve["dataset"],
                    "start": f"{curve['init']}, {curve['strategy']}",
                    "labels": labels,
                    "seeds": len(values),
                    "auroc": float(np.mean(values)),
                    "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
                    "lowest": min(values),
                    "highest": max(values),
                }
            )
    return points


def write_curves(
    out: Path, reports: dict[str, dict], declared: dict[str, dict], results: Path, models: Path
) -> None:
    """The curves of all runs in one table per kind, so that DVC draws them in one panel."""
    for kind in CURVES:
        sources = {run: results / run / f"{kind}.csv" for run in declared}
        tables.write_csv(out / f"{kind}.csv", together(sources, reports))
    sources = {run: models / run / "history.csv" for run in declared}
    tables.write_csv(out / "training.csv", together(sources, reports))


def together(sources: dict[str, Path], reports: dict[str, dict]):
    for run, path in sources.items():
        for point, row in enumerate(tables.rows_of(tables.read_csv(path))):
            yield {"run": run, "data": reports[run]["data"], "point": point, **row}


def summary(reports: dict[str, dict], answers: list[dict], similar: list[dict]) -> dict:
    """Everything for the record; DVC's table lists the differences of AUROC."""
    kept = ("data", "n", "auroc", "balanced_accuracy", "accuracy", "majority_accuracy", "ci95")
    return {
        "data": data_of(reports),
        "auroc_difference": {
            f"{entry['run']}-{entry['against']}": entry["auroc"]["difference"] for entry in answers
        },
        "accuracy_not_above_majority": [r for r in reports if not beats_majority(reports[r])],
        "runs": [{"run": run} | {k: report[k] for k in kept} for run, report in reports.items()],
        "questions": answers,
        "cka": similar,
    }


def beats_majority(report: dict) -> bool:
    return report["ci95"]["accuracy"][0] > report["majority_accuracy"]


def markdown(reports: dict[str, dict], answers: list[dict]) -> str:
    """The tables of runs and of questions."""
    lines = [
        "| run | test images | AUROC | balanced accuracy | accuracy | majority class | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for run, report in reports.items():
        verdict = "above" if beats_majority(report) else "**not above** the majority class"
        cells = (scored(report, key) for key in ("auroc", "balanced_accuracy", "accuracy"))
        lines.append(
            f"| {literal(run)} | {report['n']:,} of {literal(report['data'])} | {' | '.join(cells)}"
            f" | {number(report['majority_accuracy'])} | {verdict} |"
        )
    lines += [
        "",
        "| question | n | difference of AUROC | p (Holm) | of balanced accuracy | p (Holm) |",
        "|---|---|---|---|---|---|",
    ]
    for entry in answers:
        cells = (
            f"{change(entry[key])} | {number(entry[key]['p_holm'])}"
            for key in ("auroc", "balanced_accuracy")
        )
        lines.append(
            f"| {literal(entry['run'])} - {literal(entry['against'])} | {entry['n']:,}"
            f" | {' | '.join(cells)} |"
        )
    note = (
        "Intervals: 95 %, bootstrap over the test images, of one training per run;"
        " they do not include the spread over seeds."
    )
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    stage.run(compare)
