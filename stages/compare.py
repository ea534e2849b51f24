"""Stage: set all runs side by side: scores, paired differences, latent spaces."""

from itertools import combinations
from pathlib import Path

import numpy as np

from stages.lib import command, comparison, data, figures, model, resampling, runtime, tables
from stages.lib.errors import UserError
from stages.lib.parameters import Params


def compare(
    params: Params,
    films: Path,
    weights: Path,
    scores: Path,
    separation: Path,
    predictions: Path,
    points: Path,
    metrics: Path,
    table: Path,
    plots: Path,
) -> None:
    """Paths of inputs are patterns that hold `{run}` or `{dataset}`."""
    runs = params.comparison.runs
    reports = {run: tables.read_json(command.at(scores, run=run)) for run in runs}
    predicted = {run: tables.read_csv(command.at(predictions, run=run)) for run in runs}
    answers = answer(params, predicted)
    similar = {
        name: similarities(params, name, films, weights) for name in params.comparison.spaces
    }
    tables.write_json(metrics, summary(reports, answers, similar))
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(markdown(reports, answers))
    figures.save(figures.run_scores(reports), plots / "scores.png")
    figures.save(figures.differences(answers, figures.captions(reports)), plots / "differences.png")
    for name, members in params.comparison.spaces.items():
        about = data.read_about(command.at(films, dataset=dataset_of(params, members)))
        shown = {run: tables.read_csv(command.at(points, run=run)) for run in members}
        separations = {run: tables.read_json(command.at(separation, run=run)) for run in members}
        starts = {run: params.runs[run].init for run in members}
        figure = figures.latent_spaces(shown, separations, starts, similar[name], about)
        figures.save(figure, plots / f"latent_{name}.png")
    print(f"compare: {len(runs)} runs, {len(answers)} questions, {figures.captions(reports)}")


def dataset_of(params: Params, runs: list[str]) -> str:
    """The data set that runs have in common; films of two cannot be paired."""
    datasets = {params.runs[run].dataset for run in runs}
    if len(datasets) > 1:
        raise UserError(
            f"comparison: {' and '.join(runs)} are tested on {' and '.join(sorted(datasets))};"
            " accepted: runs of one data set"
        )
    return datasets.pop()


def answer(params: Params, predicted: dict[str, dict]) -> list[dict]:
    """One entry per question: paired differences on the same test films, p-values corrected for
    the number of questions."""
    answers = []
    for question in params.comparison.questions:
        pair = [question.run, question.against]
        dataset_of(params, pair)
        labels = np.array(predicted[question.run]["actual"])
        counts = resampling.counts(len(labels), params.evaluation.bootstrap, params.seed)
        a, b = (np.array(predicted[run]["probability"]) for run in pair)
        differences = comparison.paired_difference(labels, a, b, counts)
        answers.append({"run": pair[0], "against": pair[1], "n": len(labels), **differences})
    for measure in ("auroc", "balanced_accuracy"):
        corrected = comparison.holm([entry[measure]["p"] for entry in answers])
        for entry, p in zip(answers, corrected):
            entry[measure]["p_holm"] = p
    return answers


def similarities(params: Params, space: str, films: Path, weights: Path) -> list[dict]:
    """Linear CKA, on the test films, of every two encoders of a space and of their starts."""
    runs = params.comparison.spaces[space]
    test = data.read(command.at(films, dataset=dataset_of(params, runs)), "test")
    starts = dict.fromkeys(params.runs[run].init for run in runs)
    names = list(dict.fromkeys([*(start for start in starts if start != "scratch"), *runs]))
    vectors = {name: embed(command.at(weights, run=name), test.images, params) for name in names}
    return [
        {"a": a, "b": b, "cka": comparison.linear_cka(vectors[a], vectors[b])}
        for a, b in combinations(names, 2)
    ]


def embed(weights: Path, images: np.ndarray, params: Params) -> np.ndarray:
    """Latent vectors of any model with the classifier's encoder, the autoencoder included."""
    device, (tensors, about) = runtime.prepare(params.threads), model.read(weights)
    network = model.Classifier(**about["architecture"])
    model.load_encoder(network, tensors)
    return model.embeddings(network.eval().to(device), images, device)


def summary(reports: dict[str, dict], answers: list[dict], similar: dict[str, list]) -> dict:
    """Everything for the record; DVC's table lists the differences of AUROC."""
    kept = ("data", "n", "auroc", "balanced_accuracy", "accuracy", "majority_accuracy", "ci95")
    return {
        "data": figures.captions(reports),
        "auroc_difference": {
            f"{entry['run']}-{entry['against']}": entry["auroc"]["difference"] for entry in answers
        },
        "accuracy_not_above_majority": [r for r in reports if not beats_majority(reports[r])],
        "runs": [{"run": run} | {k: report[k] for k in kept} for run, report in reports.items()],
        "questions": answers,
        "cka": [{"space": name, **pair} for name, pairs in similar.items() for pair in pairs],
    }


def beats_majority(report: dict) -> bool:
    return report["ci95"]["accuracy"][0] > report["majority_accuracy"]


def markdown(reports: dict[str, dict], answers: list[dict]) -> str:
    """The tables of runs and of questions."""
    lines = [
        "| run | test films | AUROC | balanced accuracy | accuracy | majority class | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for run, report in reports.items():
        verdict = "above" if beats_majority(report) else "**not above** the majority class"
        cells = (tables.scored(report, key) for key in ("auroc", "balanced_accuracy", "accuracy"))
        lines.append(
            f"| {run} | {report['n']:,} of {report['data']} | {' | '.join(cells)}"
            f" | {report['majority_accuracy']:.3f} | {verdict} |"
        )
    lines += [
        "",
        "| question | n | difference of AUROC | p (Holm) | of balanced accuracy | p (Holm) |",
        "|---|---|---|---|---|---|",
    ]
    for entry in answers:
        cells = (
            f"{tables.signed(entry[key])} | {entry[key]['p_holm']:.3f}"
            for key in ("auroc", "balanced_accuracy")
        )
        lines.append(
            f"| {entry['run']} - {entry['against']} | {entry['n']:,} | {' | '.join(cells)} |"
        )
    note = (
        "Intervals: 95 %, bootstrap over the test films, of one training per run;"
        " the spread over seeds is not in them."
    )
    return "\n".join([*lines, "", note, ""])


if __name__ == "__main__":
    command.run(compare)
