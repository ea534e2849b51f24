"""Stage: plot the figures about data sets, the autoencoder and several runs."""

from pathlib import Path

from safetensors.numpy import load_file

from chestflow import files, stage
from chestflow.config.schema import Comparison
from chestflow.data import captions
from chestflow.plots import classes, differences, latent, reconstructions
from chestflow.plots import framing as framing_figure
from chestflow.plots import label_efficiency as efficiency
from chestflow.plots import scores as score_figures
from chestflow.plots.style import save


def overview(
    settings: Path,
    counts: Path,
    results: Path,
    embedded: Path,
    compared: Path,
    label_efficiency: Path,
    autoencoder: Path,
    examples: Path,
    framing: Path,
    out: Path,
    *,
    comparison: Comparison,
) -> None:
    runs = files.read_json(settings)["runs"]
    datasets = dict.fromkeys(run["dataset"] for run in runs.values())
    class_counts = {name: files.read_json(counts / f"{name}.json") for name in datasets}
    for name, report in class_counts.items():
        about = captions.of_report(report)
        save(classes.class_counts(report, about), out / f"classes_{name}.png")
    report, images = files.read_json(autoencoder), load_file(examples)
    original, about = images.pop("image"), captions.of_report(report)
    figure = reconstructions.reconstructions(original, images, report["test"], about)
    save(figure, out / "reconstructions.png")
    reports = {run: files.read_json(results / run / "scores.json") for run in runs}
    answers = files.read_json(compared)
    save(score_figures.run_scores(reports, answers["data"]), out / "scores.png")
    save(differences.differences(answers), out / "differences.png")
    audits = {run: files.read_json(framing / f"{run}.json") for run in runs}
    save(framing_figure.framing(audits), out / "framing.png")
    names = {name: report["data"] for name, report in class_counts.items()}
    points = files.read_json(label_efficiency)["points"]
    save(efficiency.label_efficiency(points, names), out / "label_efficiency.png")
    for space, members in comparison.spaces.items():
        projected = {run: files.read_csv(embedded / run / "projections.csv") for run in members}
        separations = {run: files.read_json(embedded / run / "scores.json") for run in members}
        starts = {run: runs[run]["init"] for run in members}
        pairs = [pair for pair in answers["cka"] if pair["space"] == space]
        about = captions.of_report(reports[members[0]])
        figure = latent.latent_spaces(projected, separations, starts, pairs, about)
        save(figure, out / f"latent_{space}.png")
    print(f"overview: {len(runs)} runs, {', '.join(names.values())}")


if __name__ == "__main__":
    stage.run(overview)
