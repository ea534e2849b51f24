"""Stage: answer the exercise sheets' questions from what all other stages wrote, as one page."""

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
    figures = context.read(declared, metrics, models, results)
    figures |= {
        "sweep": files.read_json(sweep),
        "spaces": comparison.spaces,
        "layer": gradcam.layer,
        "plots": Path(relpath(plots, markdown.parent)).as_posix(),
        "sweep_plot": Path(relpath(sweep_plot, markdown.parent)).as_posix(),
        "pictures": True,
    }
    text = rendering.rendered(figures)
    write(markdown, text)
    slider = threshold_of(declared["subject"], figures["scores"], results)
    write(html, page.html(text, markdown.parent, {"evaluation.png": slider}))
    print(f"report: {html}, {html.stat().st_size / 1e6:.1f} MB")


def threshold_of(run: str, scores: dict[str, dict], results: Path) -> str:
    predictions = files.read_csv(results / run / "predictions.csv")
    return threshold.panel(run, scores[run], predictions)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    stage.run(report)
