"""Stage: plot one run's scores, training, GradCAM maps and latent space."""

from pathlib import Path

from safetensors.numpy import load_file

from chestflow import files, stage
from chestflow.config.schema import GradCAM
from chestflow.data import captions
from chestflow.plots import evaluation, history, latent
from chestflow.plots import gradcam as cam
from chestflow.plots.style import save

CURVES = ("predictions", "roc", "precision_recall", "reliability")


def plot(
    run: str,
    trained: Path,
    results: Path,
    examples: Path,
    embedded: Path,
    out: Path,
    *,
    gradcam: GradCAM,
) -> None:
    report = files.read_json(results / "scores.json")
    about = captions.of_report(report)
    curves = {name: files.read_csv(results / f"{name}.csv") for name in CURVES}
    save(evaluation.evaluation(report, curves, about, run), out / "evaluation.png")
    save(history.history(files.read_csv(trained / "history.csv"), about, run), out / "history.png")
    points = {run: files.read_csv(embedded / "projections.csv")}
    separation = {run: files.read_json(embedded / "scores.json")}
    save(latent.latent(points, separation, about), out / "latent.png")
    maps = load_file(examples)
    figure = cam.gradcam(maps, about, run, report["trainings"], gradcam.layer)
    save(figure, out / "gradcam.png")
    print(f"plot: {run}, {about.caption}")


if __name__ == "__main__":
    stage.run(plot)
