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
    results: Path,
    maps: Path,
    sweep: Path,
    sweep_plot: Path,
    plots: Path,
    markdown: Path,
    html: Path,
    *,
    comparison: Comparison,
    gradcam: GradCAM,
) -> None:
    declared = files.read_json(settings)
    subject = declared["subject"]
    values = context.read(declared, metrics, models, results, maps) | {
        "sweep": files.read_json(sweep),
        "spaces": comparison.spaces,
        "layer": gradcam.layer,
        "plots": Path(relpath(plots, markdown.parent)).as_posix(),
        "sweep_plot": Path(relpath(sweep_plot, markdown.parent)).as_posix(),
        "pictures": True,
    }
    text = rendering.rendered(values)
    predictions = files.read_csv(results / subject / "predictions.csv")
    slider = threshold.panel(subject, values["scores"][subject], predictions)
    markdown.parent.mkdir(parents=True, exist_ok=True)
    markdown.write_text(text, encoding="utf-8")
    whole = page.html(text, markdown.parent, below={"evaluation.png": slider})
    html.write_text(whole, encoding="utf-8")
    print(f"report: {html}, {html.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    stage.run(report)
