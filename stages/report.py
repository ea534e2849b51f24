"""Stage: answer the exercise sheets' questions from what all other stages wrote, as one page."""

from os.path import relpath
from pathlib import Path

from chestflow.core import tables
from chestflow.parameters import stage
from chestflow.parameters.schema import Comparison, Efficiency, Evaluation, GradCAM
from chestflow.report import answers, page, rendering


def report(
    settings: Path,
    metrics: Path,
    models: Path,
    results: Path,
    sweep: Path,
    sweep_plot: Path,
    plots: Path,
    markdown: Path,
    html: Path,
    *,
    comparison: Comparison,
    efficiency: Efficiency,
    evaluation: Evaluation,
    gradcam: GradCAM,
) -> None:
    declared = tables.read_json(settings)
    runs, subject = declared["runs"], declared["subject"]
    compared = tables.read_json(metrics / "comparison.json")

    def of_runs(kind: str) -> dict:
        return {run: tables.read_json(metrics / kind / f"{run}.json") for run in runs}

    layers = tables.read_json(models / subject / "architecture.json")["layers"]
    curves = declared["curves"]
    datasets = dict.fromkeys(e["dataset"] for e in (*runs.values(), *curves.values()))
    figures = {
        "subject": subject,
        "runs": runs,
        "counts": {key: tables.read_json(metrics / "data" / f"{key}.json") for key in datasets},
        "scores": of_runs("runs"),
        "separation": of_runs("latent"),
        "maps": of_runs("gradcam"),
        "histories": {run: tables.read_csv(models / run / "history.csv") for run in runs},
        "parts": answers.parts(layers),
        "grid": answers.last_grid(layers),
        "confusion": answers.confusion(tables.read_csv(results / subject / "predictions.csv")),
        "autoencoder": tables.read_json(metrics / "autoencoder.json"),
        "efficiency": tables.read_json(metrics / "efficiency.json"),
        "questions": compared["questions"],
        "cka": compared["cka"],
        "sweep": tables.read_json(sweep),
        "spaces": comparison.spaces,
        "bootstrap": evaluation.bootstrap,
        "layer": gradcam.layer,
        "curve_images": efficiency.images,
        "plots": Path(relpath(plots, markdown.parent)).as_posix(),
        "sweep_plot": Path(relpath(sweep_plot, markdown.parent)).as_posix(),
    }
    figures |= answers.roles(figures)
    text = rendering.rendered(figures | {"answers": answers.answers(figures)})
    write(markdown, text)
    write(html, page.html(text, markdown.parent))
    print(f"report: {html}, {html.stat().st_size / 1e6:.1f} MB, {compared['data']}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage.run(report)
