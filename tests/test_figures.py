"""Figures: nothing cut off, no overlapping text, phantoms named, and what each must show."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import samples
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from chestflow import files
from chestflow.data import captions
from chestflow.plots import classes, reconstructions, style
from chestflow.plots import differences as difference_plot
from chestflow.plots import evaluation as evaluation_plot
from chestflow.plots import framing as framing_plot
from chestflow.plots import gradcam as gradcam_plot
from chestflow.plots import history as history_plot
from chestflow.plots import label_efficiency as efficiency_plot
from chestflow.plots import latent as latent_plot
from chestflow.plots import scores as score_plot
from chestflow.plots import sweep as sweep_plot
from stages.plot import CURVES

ABOUT = captions.About("PneumoniaMNIST PHANTOM", ("healthy", "pneumonia"))
OTHER = "ChestMNIST PHANTOM"
RUN = "lowdata_autoencoder"  # the longest name there is
SPACE = ("silhouette", "knn_balanced_accuracy", "probe_auroc")
SEPARATION = dict.fromkeys(SPACE, -0.123) | {"sd": dict.fromkeys(SPACE, 0.045)}
SEPARATION |= {"training": 1, "trainings": 3, "variance_explained": [0.612, 0.243]}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder as the graph leaves it."""
    return samples.build(tmp_path_factory.mktemp("made"))


def of_runs(made: Path, path: str) -> dict[str, dict]:
    runs = files.read_json(made / "data/settings/all.json")["runs"]
    return {run: files.read_json(made / "data" / path.format(run)) for run in runs}


# ------------------------------------------------ every figure, of the folder and of phantom images


def counts(made, splits) -> Figure:
    return classes.class_counts(files.read_json(made / "metrics/data/pneumoniamnist.json"), ABOUT)


def epochs(trainings: int = 3) -> dict[str, list]:
    """The columns of history.csv: 8 epochs each; epoch 5, 6 or 7 is kept, with a loss of .5, .7 or
    .6, so that the third training has the median loss."""
    rng, names = np.random.default_rng(0), ("train_loss", "val_auroc", "val_balanced_accuracy")
    rows = [
        {"training": k, "epoch": e, "phase": 1 + (e > 4), "improved": int(e <= 5 + k), "lr": 0.01}
        | {"val_loss": (0.5, 0.7, 0.6)[k], **dict(zip(names, rng.random(3)))}
        for k in range(trainings)
        for e in range(1, 9)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def history(made, splits, trainings: int = 3) -> Figure:
    return history_plot.history(epochs(trainings), ABOUT, RUN)


def evaluation(made, splits) -> Figure:
    folder = made / "data/results" / RUN
    curves = {name: files.read_csv(folder / f"{name}.csv") for name in CURVES}
    return evaluation_plot.evaluation(files.read_json(folder / "scores.json"), curves, ABOUT, RUN)


def gradcam(made, splits, masks=True) -> Figure:
    test, n = splits["test"], 10
    examples = {"images": test.images[:n], "labels": test.labels[:n]}
    examples |= {"masks": test.masks[:n]} if masks else {}
    examples["probability"] = samples.probabilities(test.labels, 0.8, 3)[0, :n]
    examples["maps"] = np.random.default_rng(0).random((3, n, 28, 28))
    return gradcam_plot.gradcam(examples, ABOUT, RUN, 3, "last")


def projections(splits) -> dict[str, list]:
    labels = splits["test"].labels
    places = np.random.default_rng(0).normal(size=(4, len(labels)))
    table = dict(zip(("pca_1", "pca_2", "tsne_1", "tsne_2"), places.tolist()))
    return table | {"class": [ABOUT.classes[label] for label in labels]}


def latent(made, splits, runs=(RUN,)) -> Figure:
    points = dict.fromkeys(runs, projections(splits))
    return latent_plot.latent(points, dict.fromkeys(runs, SEPARATION), ABOUT)


def latent_spaces(made, splits) -> Figure:
    return latent(made, splits, ("lowdata", RUN, "frozen"))


def reconstructed(made, splits) -> Figure:
    images = splits["test"].images[:8]
    examples = {"image": images} | dict.fromkeys(reconstructions.METHODS, images // 10 * 9)
    test = {"psnr": dict.fromkeys(reconstructions.METHODS, 21.34), "n": 22433}
    return reconstructions.reconstructions(examples, {"data": ABOUT.caption, "test": test})


def run_scores(made, splits) -> Figure:
    return score_plot.run_scores(of_runs(made, "results/{}/scores.json"), ABOUT.caption)


def differences(made, splits) -> Figure:
    compared = files.read_json(made / "data/comparison.json")
    undefined = {"difference": None, "ci95_holm": [None, None], "p_holm": None}
    compared["primary"][1] |= undefined
    return difference_plot.differences(compared)


def label_efficiency(made, splits) -> Figure:
    """Two numbers of labels are close: 1,426 of a real data set beside 1,000."""
    points = files.read_json(made / "data/label_efficiency.json")["points"]
    for point in points:
        point["labels"] = 1426 if point["labels"] == 200 else point["labels"]
    points.sort(key=lambda point: point["labels"])
    data = {"pneumoniamnist": ABOUT.caption, "chestmnist": OTHER}
    return efficiency_plot.label_efficiency(points, data)


def framing(made, splits) -> Figure:
    audits = of_runs(made, "framing/{}.json")
    for audit in audits.values():
        audit["ring"]["test"] = [0.7, 0.6, 0.8] if audit["data"] == OTHER else [0.5, 0.4, 0.6]
    return framing_plot.framing(audits)


def sweep(made, splits) -> Figure:
    report = samples.swept(ABOUT)
    names = ("no-augmentation", "global-contrast", "lr-0.003")
    report["configurations"] += [report["configurations"][0] | {"name": name} for name in names]
    return sweep_plot.sweep(report)


ONE_RUN = [history, evaluation, gradcam, latent]
SEVERAL = [run_scores, differences, framing, latent_spaces, label_efficiency, sweep]


def texts(figure: Figure) -> list:
    """All that is written on a figure: titles, labels, tick labels, each legend as a whole."""
    written = [text for part in (figure, *figure.subfigs) for text in part.texts]
    for axes in figure.axes:
        written += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        written += [axes.get_legend()] if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
            written += [tick.label1 for tick in ticks]
    return [text for text in written if not hasattr(text, "get_text") or text.get_text().strip()]


@pytest.mark.parametrize("plot", [counts, reconstructed, *ONE_RUN, *SEVERAL])
def test_a_figure_is_readable_and_says_what_it_shows(plot, made, splits):
    """Texts are within the figure, apart from each other and, at the 850 CSS pixels of GitHub's
    page, of 7 pixels or more; they name the data and the run."""
    figure = plot(made, splits)
    figure.set_dpi(110)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    placed = [(text, text.get_window_extent(canvas.get_renderer())) for text in texts(figure)]
    assert len(placed) > 5
    for text, box in placed:
        assert box.x0 >= 0 and box.y0 >= 0, text
        assert box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height, text
    for (one, a), (two, b) in combinations(placed, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(width, height) <= 1, f"{one} and {two}"
    written = [text for text in figure.findobj(Text) if text.get_text().strip()]
    shrunk = min(1.0, 850 / (figure.get_figwidth() * 110))
    assert min(text.get_fontsize() for text in written) * shrunk * 110 / 96 >= 7
    everything = " ".join(text.get_text() for text in written)
    assert ABOUT.caption in everything and (RUN in everything or plot not in ONE_RUN)


# ------------------------------------------------------------------------------ what each must show


def test_the_same_figure_has_the_same_bytes(made, splits, tmp_path):
    for file in ("one.png", "two.png"):
        style.save(latent(made, splits), tmp_path / "new" / file)
    one, two = ((tmp_path / "new" / file).read_bytes() for file in ("one.png", "two.png"))
    assert one == two and one.startswith(b"\x89PNG")


def test_the_confusion_matrix_is_of_the_representative_training(made, splits):
    folder = made / "data/results" / RUN
    table = {name: np.array(c) for name, c in files.read_csv(folder / "predictions.csv").items()}
    k = files.read_json(folder / "scores.json")["representative"]
    confusion, *curves = evaluation(made, splits).axes
    cells = {text.get_position(): text.get_text().split()[0] for text in confusion.texts}
    for (column, actual), count in cells.items():
        found = (table["actual"] == actual) & (table["predicted"] == column)
        assert count == str((found & (table["training"] == k)).sum())
    assert f"training {k + 1} of 3" in confusion.get_title()
    for axes in curves:  # one per training, the representative one on top
        drawn = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert [line.get_color() for line in drawn] == ["#bbbbbb"] * 3 + ["black"]
        assert list(drawn[-1].get_ydata()) == list(drawn[k].get_ydata())


def test_errors_are_marked_and_true_findings_outlined(made, splits):
    labels = splits["test"].labels[:10]
    wrong = (samples.probabilities(splits["test"].labels, 0.8, 3)[0, :10] >= 0.5) != labels
    assert 0 < wrong.sum() < 10
    top = gradcam(made, splits).axes[:10]
    assert [("ERROR" in axes.get_title()) for axes in top] == wrong.tolist()
    assert [bool(axes.collections) for axes in top] == (labels == 1).tolist()
    assert not any(axes.collections for axes in gradcam(made, splits, masks=False).axes[:10])


@pytest.mark.parametrize(("trainings", "kept"), [(3, 7), (1, 5)])
def test_history_marks_the_epoch_kept_and_what_guessing_reaches(trainings, kept):
    for axes, guess in zip(history(None, None, trainings).axes, (np.log(2), 0.5)):
        drawn = [set(line.get_xdata()) for line in axes.lines]
        assert {4.5} in drawn and {kept} in drawn, "where the encoder is unfrozen, and the epoch"
        assert any(set(line.get_ydata()) == {guess} for line in axes.lines)


@pytest.mark.parametrize("n", [1, 2, 8])
def test_history_counts_whole_epochs_however_few(n):
    few = {name: values[:n] for name, values in epochs(1).items()}
    for axes in history_plot.history(few, ABOUT, RUN).axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(float(tick).is_integer() for tick in ticks)
        assert axes.lines[0].get_marker() == ".", "one epoch makes no line"


def test_a_linear_probe_has_no_epochs():
    one = {name: values[:1] for name, values in epochs(1).items()} | {"lr": [0.0]}
    assert not any(len(axes.get_xticks()) for axes in history_plot.history(one, ABOUT, RUN).axes)


def test_tested_differences_are_blue_with_the_corrected_interval_and_others_grey(made):
    compared = files.read_json(made / "data/comparison.json")
    (axes,) = differences(made, None).axes
    drawn = [(li.get_color(), list(li.get_xdata())) for li in axes.lines if li.get_lw() == 2]
    tested = [compared["primary"][k] for k in (0, 2)]  # the other one is not defined
    blue, grey = style.CLASS_COLOURS[0], style.GREY
    assert drawn[:2] == [(blue, question["ci95_holm"]) for question in tested]
    assert drawn[2:] == [(grey, question["ci95"]) for question in compared["further"]]
    names = [text.get_text().split("\n")[0] for text in axes.get_yticklabels()]
    assert [name for name in names if "*" in name] == ["early_stopping - lowdata*"]


def test_the_cells_of_a_run_stand_apart_and_beside_the_ring_of_its_images(made):
    for axes, ring in zip(framing(made, None).axes, (0.5, 0.7)):
        dots = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata())]
        assert len({round(line.get_ydata()[0], 3) for line in dots}) == len(dots) == 4 * 4
        assert ring in [line.get_xdata()[0] for line in axes.lines if line.get_ls() == "--"]


def test_a_kind_of_training_has_one_colour_in_all_panels(made):
    panels = label_efficiency(made, None).axes
    curves = [
        {line.get_label(): line.get_color() for line in axes.lines if "," in line.get_label()}
        for axes in panels
    ]
    one, two = curves
    assert one["scratch, unfrozen"] == two["scratch, unfrozen"]
    assert len(set((one | two).values())) == len(one | two) == 4
    rings = [
        line for axes in panels for line in axes.lines if line.get_markerfacecolor() == "white"
    ]
    assert len(rings) == 6, "the runs that are on a curve"


def test_the_sweep_marks_the_reference_and_the_choice():
    report = samples.swept(ABOUT, lead=2.0)
    assert (report["reference"], report["chosen"]) == ("default", "wide")
    for axes, score in zip(sweep_plot.sweep(report).axes, sweep_plot.PANELS):
        values = {r["name"]: sweep_plot.values(r, score)[0] for r in report["configurations"]}
        (dotted,) = (line for line in axes.lines if line.get_ls() == ":")
        assert dotted.get_xdata()[0] == values["default"]
        orange = [line for line in axes.lines if line.get_color() == style.CLASS_COLOURS[1]]
        assert values["wide"] in [x for line in orange for x in line.get_xdata()]


def test_a_collapsed_network_has_a_line_of_text_instead_of_points(splits):
    table = projections(splits)
    table |= {name: [float("nan")] * len(values) for name, values in table.items() if "_" in name}
    report = SEPARATION | {"silhouette": None, "variance_explained": [None, None]}
    figure = latent_plot.latent({RUN: table}, {RUN: report}, ABOUT)
    FigureCanvasAgg(figure).draw()
    assert all(axes.texts for axes in figure.axes)
