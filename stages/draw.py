"""Stage: draw one run's figures from the numbers of stages `train` and `evaluate`."""

from pathlib import Path

from safetensors.numpy import load_file

from chestflow.core import tables
from chestflow.figures import evaluation, history, latent
from chestflow.figures import gradcam as cam
from chestflow.figures.style import save
from chestflow.images import captions
from chestflow.images.arrays import Split
from chestflow.parameters import stage
from chestflow.parameters.schema import GradCAM

CURVES = ("predictions", "roc", "precision_recall", "reliability")


def draw(
    run: str,
    metrics: Path,
    separation: Path,
    trained: Path,
    results: Path,
    out: Path,
    *,
    gradcam: GradCAM,
) -> None:
    report = tables.read_json(metrics)
    about = captions.of_report(report)
    curves = {name: tables.read_csv(results / f"{name}.csv") for name in CURVES}
    save(evaluation.evaluation(report, curves, about, run), out / "evaluation.png")
    save(history.history(tables.read_csv(trained / "history.csv"), about, run), out / "history.png")
    points = tables.read_csv(results / "latent.csv")
    save(latent.latent(points, tables.read_json(separation), about, run), out / "latent.png")
    shown = load_file(results / "examples.safetensors")
    split = Split(shown["images"], shown["labels"], shown.get("masks"))
    training = f"training {report['shown'] + 1} of {report['trainings']}"
    maps = shown["probability"], shown["maps"]
    figure = cam.gradcam(split, *maps, about, run, training, gradcam.layer)
    save(figure, out / "gradcam.png")
    print(f"draw: {run}, {about.caption}")


if __name__ == "__main__":
    stage.run(draw)
