"""Figures: nothing cut off, no overlapping text, phantoms named, the same bytes each time."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import precision_recall_curve, roc_curve

from chestflow.figures import classes as class_figure
from chestflow.figures import comparison as comparison_figures
from chestflow.figures import evaluation as evaluation_figure
from chestflow.figures import gradcam as gradcam_figure
from chestflow.figures import history as history_figure
from chestflow.figures import latent as latent_figures
from chestflow.figures import reconstructions as reconstructions_figure
from chestflow.figures.style import save
from chestflow.images import arrays, captions
from chestflow.measures import resampling, scores
from chestflow.wording import scored
from stages.binarize import class_counts

TITLE = "PneumoniaMNIST"
PHANTOM = captions.About(f"{TITLE} PHANTOM", ("healthy", "pneumonia"))
IMAGES = captions.About(TITLE, ("healthy", "pneumonia"))
RUN = "lowdata_autoencoder"  # the longest name there is
RUNS = ("pneumonia", "lowdata", "chest", RUN, "frozen", "unfrozen", "headfirst")
SPACE = ("silhouette", "knn_balanced_accuracy", "probe_auroc")
SEPARATION = dict.fromkeys(SPACE, -0.123)
SEPARATION |= {"ci95": {key: [-0.234, 0.345] for key in SPACE[1:]}}  # the silhouette has none


def counts(splits, about) -> Figure:
    listed = [{"split": name, **class_counts(split.labels)} for name, split in splits.items()]
    return class_figure.class_counts({"splits": listed}, about)


def history(splits, about) -> Figure:
    rng = np.random.default_rng(0)
    curves = ("train_loss", "val_loss", "val_auroc", "val_balanced_accuracy")
    epochs = {name: list(rng.random(8)) for name in curves}
    epochs |= {"epoch": [*range(1, 9)], "phase": [1] * 4 + [2] * 4, "improved": [1] * 5 + [0] * 3}
    return history_figure.history(epochs, about, RUN)


def probability(splits) -> np.ndarray:
    labels = splits["test"].labels
    noise = np.random.default_rng(0).random(len(labels))
    return 0.6 * noise + 0.4 * labels * noise


def evaluation(splits, about) -> Figure:
    labels, p = splits["test"].labels, probability(splits)
    false, true, _ = roc_curve(labels, p)
    precision, recall, _ = precision_recall_curve(labels, p)
    bins = scores.reliability(labels, p)
    curves = {
        "predictions": {"actual": labels.tolist(), "predicted": (p >= 0.5).astype(int).tolist()},
        "roc": {"false_positive_rate": false.tolist(), "true_positive_rate": true.tolist()},
        "precision_recall": {"recall": recall.tolist(), "precision": precision.tolist()},
        "reliability": {name: [row[name] for row in bins] for name in bins[0]},
    }
    report = scores.report(labels, p, 0.31, (1.0, 0.0), resamples=100, seed=0)
    return evaluation_figure.evaluation(report, curves, about, RUN)


def gradcam(splits, about, n=10) -> Figure:
    test = splits["test"]
    if not about.is_phantom:
        test = arrays.Split(test.images, test.labels)
    index = np.arange(n)
    maps = np.stack([np.random.default_rng(t).random((n, 28, 28)) for t in (0, 1)])
    return gradcam_figure.gradcam(test[index], probability(splits)[index], maps, about, RUN)


def few_gradcam(splits, about) -> Figure:
    return gradcam(splits, about, n=2)


def points(splits, about) -> dict[str, list]:
    """The columns of latent.csv."""
    labels = splits["test"].labels
    places = np.random.default_rng(0).normal(size=(4, len(labels)))
    table = dict(zip(("pca_1", "pca_2", "tsne_1", "tsne_2"), places.tolist()))
    return table | {"class": [about.classes[label] for label in labels]}


def latent(splits, about) -> Figure:
    report = SEPARATION | {"variance_explained": [0.612, 0.243]}
    return latent_figures.latent(points(splits, about), report, about, RUN)


def reconstructions(splits, about) -> Figure:
    images = splits["test"].images[:8] / 255
    rebuilt = dict.fromkeys(("autoencoder", "pca", "mean_image"), images * 0.9)
    found = {"psnr": dict.fromkeys(rebuilt, 21.34), "n": 22433}
    return reconstructions_figure.reconstructions(images, rebuilt, found, about)


def run_scores(splits, about) -> Figure:
    labels, p = splits["test"].labels, probability(splits)
    report = scores.report(labels, p, 0.31, (1.0, 0.0), resamples=100, seed=0)
    report |= {"data": about.caption}
    other = report | {"data": about.caption.replace("Pneumonia", "Chest")}
    return comparison_figures.run_scores(
        {run: other if i else report for i, run in enumerate(RUNS)}
    )


def differences(splits, about) -> Figure:
    found = {"difference": 0.031, "ci95": [-0.006, 0.061], "p_holm": 0.042}
    pairs = [(RUN, "lowdata"), ("frozen", "pneumonia"), ("headfirst", "unfrozen")]
    answers = [
        {"run": run, "against": against, "n": 22433, "auroc": found, "balanced_accuracy": found}
        for run, against in pairs
    ]
    return comparison_figures.differences(answers, about.caption)


def latent_spaces(splits, about) -> Figure:
    runs, starts = ("lowdata", RUN), {"lowdata": "scratch", RUN: "autoencoder"}
    similar = [{"a": "autoencoder", "b": RUN, "cka": 0.876}]
    spaces = dict.fromkeys(runs, points(splits, about)), dict.fromkeys(runs, SEPARATION)
    return latent_figures.latent_spaces(*spaces, starts, similar, about)


def efficiency(splits, about) -> Figure:
    captioned = {"one": about.caption, "two": about.caption.replace("Pneumonia", "Chest")}
    starts = ("scratch, unfrozen", "autoencoder, unfrozen", "chest, headfirst")
    table = [
        {"dataset": dataset, "start": start, "labels": labels, "seeds": 3}
        | {"auroc": 0.7 + k / 20, "lowest": 0.68 + k / 20, "highest": 0.71 + k / 20}
        for dataset in captioned
        for k, start in enumerate(starts)
        for labels in (50, 300, 5000)
    ]
    return comparison_figures.efficiency(table, captioned)


ONE_RUN = [history, evaluation, gradcam, few_gradcam, latent]
DRAWN = [counts, *ONE_RUN, reconstructions, run_scores, differences, latent_spaces, efficiency]
each_figure = pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
each_origin = pytest.mark.parametrize("about", [PHANTOM, IMAGES], ids=["phantom", "images"])


def texts(figure: Figure) -> list:
    """All that is written on a figure: titles, labels, tick labels, each legend as a whole."""
    found = [text for text in figure.texts if text.get_text()]
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        found += [axes.get_legend()] if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
            found += [tick.label1 for tick in ticks]
    return [text for text in found if not hasattr(text, "get_text") or text.get_text().strip()]


def extents(figure: Figure) -> list[tuple]:
    """Where each text lies, in pixels, as it is saved."""
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [(text, text.get_window_extent(canvas.get_renderer())) for text in texts(figure)]


def name(text) -> str:
    return text.get_text() if hasattr(text, "get_text") else "legend"


@each_origin
@each_figure
def test_no_text_is_cut_off(draw, about, splits):
    figure = draw(splits, about)
    placed = extents(figure)
    assert len(placed) > 5
    for text, box in placed:
        assert box.x0 >= 0 and box.y0 >= 0, name(text)
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, name(text)


@each_origin
@each_figure
def test_no_texts_overlap(draw, about, splits):
    for (one, a), (two, b) in combinations(extents(draw(splits, about)), 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(width, height) <= 1, f"{name(one)!r} and {name(two)!r}"


@each_origin
@each_figure
def test_the_title_names_the_run_and_the_data_and_marks_phantoms(draw, about, splits):
    figure = draw(splits, about)
    title = " ".join(figure.get_suptitle().split())
    if draw is efficiency:  # one panel per data set
        title = figure.axes[0].get_title()
    assert TITLE in title
    assert ("PHANTOM" in title) == about.is_phantom
    assert RUN in title or draw not in ONE_RUN


@each_figure
def test_the_same_figure_has_the_same_bytes(draw, splits, tmp_path):
    for file in ("one.png", "two.png"):
        save(draw(splits, PHANTOM), tmp_path / "new" / file)
    one, two = ((tmp_path / "new" / file).read_bytes() for file in ("one.png", "two.png"))
    assert one == two and one.startswith(b"\x89PNG") and len(one) > 5000


@each_figure
def test_a_title_is_no_formula_and_no_name_is_missing(draw, splits, tmp_path):
    """Matplotlib takes dollars for a formula, and hides labels that begin with an underscore."""
    about = captions.About(r"Pneumonia_$\frac$ #1", ("healthy", "_$sick"))
    figure = draw(splits, about)
    save(figure, tmp_path / "figure.png")
    shown = [text.get_text() for text in figure.findobj(Text)]
    assert any(r"_$\frac$ #1" in text for text in shown)
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    if draw in (counts, latent, latent_spaces):
        assert "_$sick" in legends[0].get_texts()[1].get_text()


def test_confusion_matrix_counts_images(splits):
    labels, p = splits["test"].labels, probability(splits)
    confusion = evaluation(splits, PHANTOM).axes[0]
    shown = {text.get_position(): text.get_text().split()[0] for text in confusion.texts}
    for actual in (0, 1):
        for said in (0, 1):
            count = ((labels == actual) & ((p >= 0.5) == said)).sum()
            assert shown[said, actual] == str(count)
    assert "actual" in confusion.get_ylabel() and "predicted" in confusion.get_xlabel()


def test_errors_are_marked_and_true_findings_outlined(splits):
    p, labels = probability(splits)[:10], splits["test"].labels[:10]
    wrong = (p >= 0.5) != labels
    assert 0 < wrong.sum() < 10
    top = gradcam(splits, PHANTOM).axes[:10]
    assert [("ERROR" in axes.get_title()) for axes in top] == wrong.tolist()
    assert [bool(axes.collections) for axes in top] == (labels == 1).tolist()
    assert not any(axes.collections for axes in gradcam(splits, IMAGES).axes[:10])


def test_history_marks_the_epoch_whose_weights_were_kept(splits):
    legends = [axes.get_legend().get_texts() for axes in history(splits, IMAGES).axes]
    assert any("kept: epoch 5" in text.get_text() for legend in legends for text in legend)


def test_a_score_is_written_with_its_interval():
    labels = np.repeat([0, 1], 50)
    p = np.clip(labels * 0.5 + 0.25 + np.tile([0.2, -0.3], 50), 0, 1)
    report = scores.report(labels, p, 0.5, (1.0, 0.0), resamples=100, seed=0)
    low, high = report["ci95"]["auroc"]
    assert scored(report, "auroc") == f"{report['auroc']:.3f} [{low:.3f}, {high:.3f}]"
    assert report["majority_accuracy"] == 0.5
    assert resampling.auroc(labels, p)[0] == pytest.approx(report["auroc"])
