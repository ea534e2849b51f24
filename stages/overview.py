"""Stage: draw the figures that are about more than one run."""

from pathlib import Path

from safetensors.numpy import load_file

from chestflow import files, stage
from chestflow.config.schema import Comparison
from chestflow.data import captions
from chestflow.plots import classes, latent, reconstructions
from chestflow.plots import comparison as figures
from chestflow.plots.style import save


def overview(
    settings: Path,
    counts: Path,
    scores: Path,
    separation: Path,
    projections: Path,
    compared: Path,
    label_efficiency: Path,
    autoencoder: Path,
    examples: Path,
    out: Path,
    *,
    comparison: Comparison,
) -> None:
    runs = files.read_json(settings)["runs"]
    datasets = dict.fromkeys(run["dataset"] for run in runs.values())
    reports = {run: files.read_json(scores / f"{run}.json") for run in runs}
    counted = {name: files.read_json(counts / f"{name}.json") for name in datasets}
    for name, report in counted.items():
        save(classes.class_counts(report, captions.of_report(report)), out / f"classes_{name}.png")
    draw_reconstructions(autoencoder, examples, out)
    draw_comparison(reports, files.read_json(compared), out)
    names = {name: report["data"] for name, report in counted.items()}
    points = files.read_json(label_efficiency)["points"]
    save(figures.efficiency(points, names), out / "label_efficiency.png")
    similar = files.read_json(compared)["cka"]
    for name, members in comparison.spaces.items():
        shown = {run: files.read_csv(projections / run / "projections.csv") for run in members}
        separations = {run: files.read_json(separation / f"{run}.json") for run in members}
        starts = {run: runs[run]["init"] for run in members}
        about = captions.of_report(reports[members[0]])
        pairs = [pair for pair in similar if pair["space"] == name]
        figure = latent.latent_spaces(shown, separations, starts, pairs, about)
        save(figure, out / f"latent_{name}.png")
    print(f"overview: {len(runs)} runs, {', '.join(names.values())}")


def draw_reconstructions(autoencoder: Path, examples: Path, out: Path) -> None:
    report, shown = files.read_json(autoencoder), load_file(examples)
    original, about = shown.pop("image"), captions.of_report(report)
    figure = reconstructions.reconstructions(original, shown, report["test"], about)
    save(figure, out / "reconstructions.png")


def draw_comparison(reports: dict[str, dict], compared: dict, out: Path) -> None:
    save(figures.run_scores(reports), out / "scores.png")
    save(figures.differences(compared["questions"], compared["data"]), out / "differences.png")


if __name__ == "__main__":
    stage.run(overview)
