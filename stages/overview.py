"""Stage: plot the figures about data sets, the autoencoder and several runs."""

from pathlib import Path

from safetensors.numpy import load_file

from chestflow import files, stage
from chestflow.config.schema import Comparison
from chestflow.data import captions
from chestflow.plots import classes, differences, latent, reconstructions, scores
from chestflow.plots import framing as framing_figure
from chestflow.plots import label_efficiency as efficiency
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
    names = {}
    for key in dict.fromkeys(run["dataset"] for run in runs.values()):
        report = files.read_json(counts / f"{key}.json")
        names[key] = report["data"]
        figure = classes.class_counts(report, captions.of_report(report))
        save(figure, out / f"classes_{key}.png")
    report = files.read_json(autoencoder)
    save(reconstructions.reconstructions(load_file(examples), report), out / "reconstructions.png")
    answers = files.read_json(compared)
    reports = {run: files.read_json(results / run / "scores.json") for run in runs}
    save(scores.run_scores(reports, answers["data"]), out / "scores.png")
    save(differences.differences(answers), out / "differences.png")
    audits = {run: files.read_json(framing / f"{run}.json") for run in runs}
    save(framing_figure.framing(audits), out / "framing.png")
    points = files.read_json(label_efficiency)["points"]
    save(efficiency.label_efficiency(points, names), out / "label_efficiency.png")
    for space, members in comparison.spaces.items():
        projected = {run: files.read_csv(embedded / run / "projections.csv") for run in members}
        separations = {run: files.read_json(embedded / run / "scores.json") for run in members}
        about = captions.of_report(reports[members[0]])
        save(latent.latent(projected, separations, about), out / f"latent_{space}.png")
    print(f"overview: {len(runs)} runs, {', '.join(names.values())}")


if __name__ == "__main__":
    stage.run(overview)
