"""Stage: write the report, which answers the exercise sheets from the results of all stages."""

from os.path import relpath
from pathlib import Path

from chestflow import files, stage
from chestflow.config.schema import Comparison, GradCAM
from chestflow.report import context, page, rendering, threshold


def report(
    settings: Path,
    metrics: Path,
    models: Path,
    data: Path,
    sweep: Path,
    sweep_plot: Path,
    plots: Path,
    markdown: Path,
    html: Path,
    *,
    comparison: Comparison,
    gradcam: GradCAM,
) -> None:
    values = context.read(files.read_json(settings), metrics, models, data) | {
        "sweep": files.read_json(sweep),
        "spaces": comparison.spaces,
        "layer": gradcam.layer,
        "plots": relpath(plots, markdown.parent),
        "sweep_plot": relpath(sweep_plot, markdown.parent),
        "pictures": True,
    }
    text = rendering.rendered(values)
    subject = values["subject"]
    predictions = files.read_csv(data / "results" / subject / "predictions.csv")
    slider = threshold.panel(subject, values["scores"][subject], predictions)
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(text, encoding="utf-8")
    html.write_text(page.html(text, markdown.parent, {"evaluation.png": slider}), encoding="utf-8")
    print(f"report: {html}, {html.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    stage.run(report)
