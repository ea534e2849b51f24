"""Figures: nothing cut off, no overlapping text, phantoms named, and what each must show."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from samples import audit, probabilities, swept

from chestflow.data import arrays, captions
from chestflow.metrics import calibration, scores
from chestflow.plots import classes, reconstructions, style
from chestflow.plots import differences as difference_plot
from chestflow.plots import evaluation as evaluation_plot
from chestflow.plots import framing as framing_plot
from chestflow.plots import gradcam as gradcam_plot
from chestflow.plots import history as history_plot
from chestflow.plots import label_efficiency as efficiency_plot
from chestflow.plots import latent as latent_plots
from chestflow.plots import scores as score_plot
from chestflow.plots import sweep as sweep_plot
from stages.binarize import class_counts

TITLE = "PneumoniaMNIST"
PHANTOM = captions.About(f"{TITLE} PHANTOM", ("healthy", "pneumonia"))
IMAGES = captions.About(TITLE, ("healthy", "pneumonia"))
RUN = "lowdata_autoencoder"  # the longest name there is
RUNS = ("pneumonia", "lowdata", "chest", RUN, "frozen", "unfrozen", "headfirst")
SPACE = ("silhouette", "knn_balanced_accuracy", "probe_auroc")
SEPARATION = dict.fromkeys(SPACE, -0.123) | {"sd": dict.fromkeys(SPACE, 0.045)}
SEPARATION |= {"training": 1, "trainings": 3, "variance_explained": [0.612, 0.243]}


def columns(rows: list[dict]) -> dict[str, list]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def counts(splits, about) -> Figure:
    listed = [{"split": name, **class_counts(split.labels)} for name, split in splits.items()]
    return classes.class_counts({"splits": listed}, about)


def epochs(trainings: int = 3) -> dict[str, list]:
    """The columns of history.csv: 8 epochs each; epoch 5, 6 or 7 is kept, with a loss of .5, .7 or
    .6, so that the third training has the median loss."""
    rng = np.random.default_rng(0)
    rows = [
        {"training": k, "epoch": e, "phase": 1 + (e > 4), "improved": int(e <= 5 + k), "lr": 0.01}
        | {name: rng.random() for name in ("train_loss", "val_auroc", "val_balanced_accuracy")}
        | {"val_loss": (0.5, 0.7, 0.6)[k]}
        for k in range(trainings)
        for e in range(1, 9)
    ]
    return columns(rows)


def history(splits, about, trainings: int = 3) -> Figure:
    return history_plot.history(epochs(trainings), about, RUN)


def report(splits, trainings: int = 3) -> dict:
    labels = splits["test"].labels
    choices = [calibration.Choice(0.31, calibration.IDENTITY, 0.5)] * trainings
    return scores.report(labels, probabilities(labels, 0.8, trainings), choices, trainings // 2)


def evaluation(splits, about, trainings: int = 3) -> Figure:
    labels = splits["test"].labels
    each = [scores.curves(labels, row) for row in probabilities(labels, 0.8, trainings)]
    tables = {
        kind: columns([{"training": k, **row} for k, one in enumerate(each) for row in one[kind]])
        for kind in each[0]
    }
    return evaluation_plot.evaluation(report(splits, trainings), tables, about, RUN)


def gradcam(splits, about, n=10, layer="last") -> Figure:
    test = splits["test"]
    if not about.is_phantom:
        test = arrays.Split(test.images, test.labels)
    maps = np.random.default_rng(0).random((3, n, 28, 28))
    p = probabilities(test.labels, 0.8, 3)[0, :n]
    return gradcam_plot.gradcam(test[np.arange(n)], p, maps, about, RUN, 3, layer)


def few_gradcam(splits, about) -> Figure:
    return gradcam(splits, about, n=2, layer="encoder.1.conv2")


def projections(splits, about) -> dict[str, list]:
    labels = splits["test"].labels
    places = np.random.default_rng(0).normal(size=(4, len(labels)))
    table = dict(zip(("pca_1", "pca_2", "tsne_1", "tsne_2"), places.tolist()))
    return table | {"class": [about.classes[label] for label in labels]}


def latent(splits, about) -> Figure:
    return latent_plots.latent(projections(splits, about), SEPARATION, about, RUN)


def latent_spaces(splits, about) -> Figure:
    runs, starts = ("lowdata", RUN), {"lowdata": "scratch", RUN: "autoencoder"}
    pairs = [{"a": "autoencoder", "b": RUN, "cka": 0.876}]
    spaces = dict.fromkeys(runs, projections(splits, about)), dict.fromkeys(runs, SEPARATION)
    return latent_plots.latent_spaces(*spaces, starts, pairs, about)


def reconstructed(splits, about) -> Figure:
    images = splits["test"].images[:8]
    rebuilt = dict.fromkeys(reconstructions.METHODS, images // 10 * 9)
    psnr = {"psnr": dict.fromkeys(rebuilt, 21.34), "n": 22433}
    return reconstructions.reconstructions(images, rebuilt, psnr, about)


def run_scores(splits, about) -> Figure:
    return score_plot.run_scores(dict.fromkeys(RUNS, report(splits)), f"{about.caption} and other")


def differences(splits, about) -> Figure:
    entry = {"difference": 0.031, "ci95": [-0.006, 0.061], "n": 22433, "trainings": 3}
    tested = entry | {"ci95_holm": [-0.016, 0.071], "p_holm": 0.042, "config_difference": {}}
    undefined = {"difference": None, "ci95_holm": [None, None], "p_holm": None}
    compared = {
        "data": about.caption,
        "primary": [
            tested | {"run": RUN, "against": "lowdata", "config_difference": {"lr": [0.1, 0.2]}},
            tested | {"run": "frozen", "against": "pneumonia"} | undefined,
        ],
        "further": [entry | {"run": "headfirst", "against": "unfrozen", "config_difference": {}}],
    }
    return difference_plot.differences(compared)


def points_of(*datasets: str, trainings: int = 3, labels=(50, 300, 5000)) -> list[dict]:
    kinds = [("scratch", "unfrozen"), ("autoencoder", "unfrozen"), ("chest", "headfirst")]
    return [
        {"dataset": dataset, "start": start, "strategy": strategy, "labels": n, "n": 624}
        | {"trainings": trainings, "auroc": 0.7 + k / 20, "is_run": n == labels[-1]}
        | {"short": False}
        | {"each": [0.7 + k / 20 + i / 100 for i in range(trainings)]}
        for dataset in datasets
        for k, (start, strategy) in enumerate(kinds)
        for n in labels
    ]


def label_efficiency(splits, about) -> Figure:
    names = {"one": about.caption, "two": about.caption.replace("Pneumonia", "Chest")}
    return efficiency_plot.label_efficiency(points_of(*names), names)


def audits(*captions: str) -> dict[str, dict]:
    """Of the default's four runs of one data set and three of another."""
    data = [captions[0], captions[-1], captions[-1], captions[-1], *[captions[0]] * 3]
    return {
        run: audit(0.8, 3, seed, zoomed=1.0) | {"data": name}
        for seed, (run, name) in enumerate(zip(RUNS, data))
    }


def framing(splits, about) -> Figure:
    return framing_plot.framing(audits(about.caption, f"{about.caption} (2)"))


def sweep(splits, about) -> Figure:
    report = swept(about)
    names = ("no-augmentation", "global-contrast", "lr-0.003")
    report["configurations"] += [report["configurations"][0] | {"name": name} for name in names]
    return sweep_plot.sweep(report)


ONE_RUN = [history, evaluation, gradcam, few_gradcam, latent]
SEVERAL = [run_scores, differences, framing, latent_spaces, label_efficiency, sweep]


def texts(figure: Figure) -> list:
    """All that is written on a figure: titles, labels, tick labels, each legend as a whole."""
    written = [text for text in figure.texts if text.get_text()]
    for axes in figure.axes:
        written += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        written += [axes.get_legend()] if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = (tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)
            written += [tick.label1 for tick in ticks]
    return [text for text in written if not hasattr(text, "get_text") or text.get_text().strip()]


@pytest.mark.parametrize("about", [PHANTOM, IMAGES], ids=["phantom", "images"])
@pytest.mark.parametrize("plot", [counts, reconstructed, *ONE_RUN, *SEVERAL])
def test_a_figure_is_readable_and_says_what_it_shows(plot, about, splits):
    """Texts are within the figure, apart from each other and, at the 850 CSS pixels of GitHub's
    page, of 7 pixels or more; the title names the data, the run, and that images are phantoms."""
    figure = plot(splits, about)
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
    shrunk = min(1.0, 850 / (figure.get_figwidth() * 110))
    sizes = [t.get_fontsize() for t in figure.findobj(Text) if t.get_text().strip()]
    assert min(sizes) * shrunk * 110 / 96 >= 7
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    title = " ".join(" ".join(titles).split())
    assert TITLE in title and ("PHANTOM" in title) == about.is_phantom
    assert RUN in title or plot not in ONE_RUN


@pytest.mark.parametrize("plot", [latent, evaluation])
def test_the_same_figure_has_the_same_bytes(plot, splits, tmp_path):
    for file in ("one.png", "two.png"):
        style.save(plot(splits, PHANTOM), tmp_path / "new" / file)
    one, two = ((tmp_path / "new" / file).read_bytes() for file in ("one.png", "two.png"))
    assert one == two and one.startswith(b"\x89PNG")


@pytest.mark.parametrize("trainings", [1, 3])
def test_the_confusion_matrix_is_of_the_representative_training(splits, trainings):
    k, labels = trainings // 2, splits["test"].labels
    predicted = probabilities(labels, 0.8, trainings)[k] >= 0.5
    figure = evaluation(splits, PHANTOM, trainings)
    confusion, *curves = figure.axes
    cells = {text.get_position(): text.get_text().split()[0] for text in confusion.texts}
    for actual in (0, 1):
        for column in (0, 1):
            count = ((labels == actual) & (predicted == column)).sum()
            assert cells[column, actual] == str(count)
    assert f"training {k + 1} of {trainings}" in confusion.get_title()
    for axes in curves:  # one per training, the representative one on top
        long = [line.get_color() for line in axes.lines if len(line.get_xdata()) > 2]
        assert long == ["#bbbbbb"] * (trainings - 1) + ["black"]
        assert axes.get_xlim() == axes.get_ylim() == (-0.04, 1.04), "room for whole markers"
    assert ("grey" in figure.get_suptitle()) == (trainings > 1)


def test_errors_are_marked_and_true_findings_outlined(splits):
    labels = splits["test"].labels[:10]
    wrong = (probabilities(splits["test"].labels, 0.8, 3)[0, :10] >= 0.5) != labels
    assert 0 < wrong.sum() < 10
    top = gradcam(splits, PHANTOM).axes[:10]
    assert [("ERROR" in axes.get_title()) for axes in top] == wrong.tolist()
    assert [bool(axes.collections) for axes in top] == (labels == 1).tolist()
    assert not any(axes.collections for axes in gradcam(splits, IMAGES).axes[:10])


@pytest.mark.parametrize(("trainings", "kept"), [(3, 7), (1, 5)])
def test_history_marks_the_epoch_kept_and_what_guessing_reaches(splits, trainings, kept):
    figure = history(splits, IMAGES, trainings)
    for axes, guess in zip(figure.axes, (np.log(2), 0.5)):
        lines = {line.get_label(): line for line in axes.lines}
        guessing = next(name for name in lines if name.startswith("guessing"))
        assert guess in lines[guessing].get_ydata()
        assert 4.5 in lines["encoder unfrozen"].get_xdata()
    assert any(label.startswith(f"kept: epoch {kept},") for label in lines)
    title = figure.get_suptitle()
    assert title.startswith(f"{trainings} training") and ("bold: training 3" in title) == bool(
        trainings > 1
    )


@pytest.mark.parametrize("n", [1, 2, 8])
def test_history_counts_whole_epochs_however_few(n):
    few = {name: values[:n] for name, values in epochs(1).items()}
    for axes in history_plot.history(few, IMAGES, RUN).axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(float(tick).is_integer() for tick in ticks)
        assert axes.lines[0].get_marker() == ".", "one epoch makes no line"


def test_a_linear_probe_has_no_epochs():
    one = {name: values[:1] for name, values in epochs(1).items()} | {"lr": [0.0]}
    for axes in history_plot.history(one, IMAGES, RUN).axes:
        assert "no epochs" in axes.get_xlabel() and not len(axes.get_xticks())


def test_forest_plots_share_their_range_and_mark_each_training(splits):
    figure = run_scores(splits, IMAGES)
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "|"]
    assert len(marks) == len(RUNS)
    assert list(marks[0].get_xdata()) == report(splits)["each"]["auroc"]
    assert len({axes.get_xlim() for axes in figure.axes}) == 1


def test_a_training_far_below_the_others_is_crossed(splits):
    """In the same place in all panels, as the title says."""
    reports = {"pneumonia": report(splits), "frozen": report(splits) | {"far_below": [1]}}
    for key, axes in zip(("auroc", "balanced_accuracy"), score_plot.run_scores(reports, "").axes):
        crosses = [x for line in axes.lines if line.get_marker() == "x" for x in line.get_xdata()]
        assert crosses == [reports["frozen"]["each"][key][1]]
    figure = score_plot.run_scores(reports, "")
    assert "x: far below" in figure.get_suptitle()
    assert "x: far below" not in run_scores(splits, IMAGES).get_suptitle()


def test_tested_differences_are_blue_with_the_corrected_interval_and_others_grey(splits):
    (axes,) = differences(splits, IMAGES).axes
    drawn = {line.get_color(): list(line.get_xdata()) for line in axes.lines if line.get_lw() == 2}
    assert drawn == {style.CLASS_COLOURS[0]: [-0.016, 0.071], style.GREY: [-0.006, 0.061]}


def test_the_cells_of_a_run_stand_apart_and_beside_the_ring_of_its_images():
    given = audits("One", "Two")
    for run in ("pneumonia", "frozen", "unfrozen", "headfirst"):
        given[run]["ring"] = {"test": [0.8, 0.7, 0.9]}
    for axes, runs, ring in zip(framing_plot.framing(given).axes, (4, 3), (0.8, 0.49)):
        dots = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata())]
        assert len({round(line.get_ydata()[0], 3) for line in dots}) == len(dots) == 4 * runs
        assert ring in [line.get_xdata()[0] for line in axes.lines if line.get_ls() == "--"]


def test_questions_of_other_settings_have_a_star(splits):
    ticks = differences(splits, IMAGES).axes[0].get_yticklabels()
    names = [text.get_text().split("\n")[0] for text in ticks]
    assert names == [f"{RUN} - lowdata*", "frozen - pneumonia", "headfirst - unfrozen"]


def test_numbers_of_labels_that_are_close_do_not_run_into_each_other():
    """An NIH subset of 1,426 images beside the usual 1,000 labels, in the range of a larger set."""
    points = points_of("one", labels=(50, 1000, 1426)) + points_of("two", labels=(50, 1000, 4708))
    figure = efficiency_plot.label_efficiency(points, {"one": TITLE, "two": TITLE})
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_xticklabels() if t.get_text()]
    assert len(boxes) == 2
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_a_kind_of_training_has_one_colour_in_all_panels():
    points = [*points_of("one"), *points_of("two")[3:]]
    figure = efficiency_plot.label_efficiency(points, {"one": TITLE, "two": TITLE})
    one, two = (
        {line.get_label(): line.get_color() for line in axes.lines if "," in line.get_label()}
        for axes in figure.axes
    )
    assert len(one) == 3 and len(two) == 2 and two.items() < one.items()
    rings = [line.get_markerfacecolor() for line in figure.axes[0].lines]
    assert rings.count("white") == 3, "the runs"


def test_the_sweep_marks_the_reference_and_the_choice():
    report = swept(IMAGES, lead=2.0)
    assert (report["reference"], report["chosen"]) == ("default", "wide")
    for axes, score in zip(sweep_plot.sweep(report).axes, sweep_plot.PANELS):
        values = {r["name"]: sweep_plot.values(r, score)[0] for r in report["configurations"]}
        (dotted,) = (line for line in axes.lines if line.get_ls() == ":")
        assert dotted.get_xdata()[0] == values["default"]
        orange = [line for line in axes.lines if line.get_color() == style.CLASS_COLOURS[1]]
        assert values["wide"] in [x for line in orange for x in line.get_xdata()]


def test_a_collapsed_network_has_a_line_of_text_instead_of_points(splits):
    table = projections(splits, IMAGES)
    table |= {name: [float("nan")] * len(values) for name, values in table.items() if "_" in name}
    report = SEPARATION | {"silhouette": None, "variance_explained": [None, None]}
    figure = latent_plots.latent(table, report, IMAGES, RUN)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["all embeddings are equal"]
    assert "silhouette not defined" in figure.get_supxlabel()
