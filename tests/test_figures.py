"""Figures: nothing cut off, no overlapping text, phantoms named, the same bytes each time."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from samples import probabilities

from chestflow.data import arrays, captions
from chestflow.metrics import scores
from chestflow.plots import classes as class_figure
from chestflow.plots import comparison as comparison_figures
from chestflow.plots import evaluation as evaluation_figure
from chestflow.plots import gradcam as gradcam_figure
from chestflow.plots import history as history_figure
from chestflow.plots import latent as latent_figures
from chestflow.plots import reconstructions as reconstructions_figure
from chestflow.plots import sweep as sweep_figure
from chestflow.plots.style import save
from stages.binarize import class_counts

TITLE = "PneumoniaMNIST"
PHANTOM = captions.About(f"{TITLE} PHANTOM", ("healthy", "pneumonia"))
IMAGES = captions.About(TITLE, ("healthy", "pneumonia"))
RUN = "lowdata_autoencoder"  # the longest name there is
RUNS = ("pneumonia", "lowdata", "chest", RUN, "frozen", "unfrozen", "headfirst")
SPACE = ("silhouette", "knn_balanced_accuracy", "probe_auroc")
SEPARATION = dict.fromkeys(SPACE, -0.123) | {"sd": dict.fromkeys(SPACE, 0.045)}
SEPARATION |= {"training": 1, "trainings": 3}
TRAININGS = 3


def counts(splits, about) -> Figure:
    listed = [{"split": name, **class_counts(split.labels)} for name, split in splits.items()]
    return class_figure.class_counts({"splits": listed}, about)


def epochs(trainings: int = TRAININGS) -> dict[str, list]:
    """The columns of history.csv: 8 epochs each; epoch 5, 6 or 7 is kept, with a loss of .5, .7 or
    .6, so that the third training has the median loss."""
    rng = np.random.default_rng(0)
    rows = [
        {"training": k, "epoch": e, "phase": 1 + (e > 4), "improved": int(e <= 5 + k)}
        | {name: rng.random() for name in ("train_loss", "val_auroc", "val_balanced_accuracy")}
        | {"val_loss": (0.5, 0.7, 0.6)[k]}
        for k in range(trainings)
        for e in range(1, 9)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def history(splits, about) -> Figure:
    return history_figure.history(epochs(), about, RUN)


def one_history(splits, about) -> Figure:
    return history_figure.history(epochs(1), about, RUN)


def probability(splits, trainings: int = TRAININGS) -> np.ndarray:
    return probabilities(splits["test"].labels, 0.8, trainings)


def report(splits, trainings: int = TRAININGS) -> dict:
    settled = [scores.Choice(0.31, scores.AS_IT_IS, (0.3, 0.2), 0.5)] * trainings
    labels = splits["test"].labels
    return scores.report(labels, probability(splits, trainings), settled, shown=trainings // 2)


def evaluation(splits, about, trainings: int = TRAININGS) -> Figure:
    labels = splits["test"].labels
    found = [scores.curves(labels, row) for row in probability(splits, trainings)]
    curves = {}
    for kind in found[0]:
        rows = [{"training": k, **row} for k, one in enumerate(found) for row in one[kind]]
        curves[kind] = {name: [row[name] for row in rows] for name in rows[0]}
    return evaluation_figure.evaluation(report(splits, trainings), curves, about, RUN)


def one_evaluation(splits, about) -> Figure:
    return evaluation(splits, about, trainings=1)


def gradcam(splits, about, n=10, layer="last") -> Figure:
    test = splits["test"]
    if not about.is_phantom:
        test = arrays.Split(test.images, test.labels)
    index = np.arange(n)
    maps = np.stack([np.random.default_rng(t).random((n, 28, 28)) for t in (0, 1)])
    p = probability(splits)[0, index]
    return gradcam_figure.gradcam(test[index], p, maps, about, RUN, "training 2 of 3", layer)


def few_gradcam(splits, about) -> Figure:
    return gradcam(splits, about, n=2, layer="encoder.1.conv2")


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
    one = report(splits) | {"data": about.caption}
    other = one | {"data": about.caption.replace("Pneumonia", "Chest")}
    return comparison_figures.run_scores({run: other if i else one for i, run in enumerate(RUNS)})


def differences(splits, about) -> Figure:
    found = {"difference": 0.031, "ci95": [-0.006, 0.061], "p_holm": 0.042}
    pairs = [(RUN, "lowdata"), ("frozen", "pneumonia"), ("headfirst", "unfrozen")]
    answers = [
        {"run": run, "against": against, "n": 22433, "auroc": found, "balanced_accuracy": found}
        | {"trainings": TRAININGS, "unlike": {"lr": [0.1, 0.2]} if run == RUN else {}}
        for run, against in pairs
    ]
    return comparison_figures.differences(answers, about.caption)


def latent_spaces(splits, about) -> Figure:
    runs, starts = ("lowdata", RUN), {"lowdata": "scratch", RUN: "autoencoder"}
    similar = [{"a": "autoencoder", "b": RUN, "cka": 0.876}]
    spaces = dict.fromkeys(runs, points(splits, about)), dict.fromkeys(runs, SEPARATION)
    return latent_figures.latent_spaces(*spaces, starts, similar, about)


def points_of(captioned: dict, trainings: int = TRAININGS) -> list[dict]:
    kinds = [("scratch", "unfrozen"), ("autoencoder", "unfrozen"), ("chest", "headfirst")]
    return [
        {"dataset": dataset, "start": start, "strategy": strategy, "labels": labels}
        | {"trainings": trainings, "n": 624, "auroc": 0.7 + k / 20, "is_run": labels == 5000}
        | {"each": [0.7 + k / 20 + i / 100 for i in range(trainings)]}
        for dataset in captioned
        for k, (start, strategy) in enumerate(kinds)
        for labels in (50, 300, 5000)
    ]


def efficiency(splits, about) -> Figure:
    captioned = {"one": about.caption, "two": about.caption.replace("Pneumonia", "Chest")}
    return comparison_figures.efficiency(points_of(captioned), captioned)


def sweep(splits, about) -> Figure:
    row = report(splits) | {"parameters": 18218, "train_seconds": 12.3}
    row |= {"val_auroc": 0.99, "val_loss": 0.1}
    behind = {"name": "no-augmentation", "val_auroc": 0.98}
    row["each"] |= {"val_auroc": [0.98, 0.99, 0.97]}
    rows = [row | {"name": name} for name in ("default", "lr-0.003")] + [row | behind]
    found = {"configurations": rows, "finalists": rows[:2], "chosen": "default"}
    return sweep_figure.sweep(found | {"data": about.caption, "n": 624, "min_delta": 0.002})


ONE_RUN = [history, one_history, evaluation, one_evaluation, gradcam, few_gradcam, latent]
SEVERAL = [run_scores, differences, latent_spaces, efficiency, sweep]
DRAWN = [counts, *ONE_RUN, reconstructions, *SEVERAL]
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


@each_figure
def test_type_is_readable_at_the_width_that_github_shows(draw, splits):
    """About 850 CSS pixels, of 96 to the inch; a narrower figure is shown as it is."""
    figure = draw(splits, PHANTOM)
    shown = min(1.0, 850 / (figure.get_figwidth() * 110))
    for text in figure.findobj(Text):
        if text.get_text().strip():
            assert text.get_fontsize() * shown * 110 / 96 >= 7, text.get_text()


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


@pytest.mark.parametrize("draw", [evaluation, one_evaluation])
def test_confusion_matrix_counts_the_images_of_the_training_that_is_shown(splits, draw):
    trainings = TRAININGS if draw is evaluation else 1
    labels, p = splits["test"].labels, probability(splits, trainings)[trainings // 2]
    confusion = draw(splits, PHANTOM).axes[0]
    shown = {text.get_position(): text.get_text().split()[0] for text in confusion.texts}
    for actual in (0, 1):
        for said in (0, 1):
            count = ((labels == actual) & ((p >= 0.5) == said)).sum()
            assert shown[said, actual] == str(count)
    assert "actual" in confusion.get_ylabel() and "predicted" in confusion.get_xlabel()
    assert f"training {trainings // 2 + 1} of {trainings}" in confusion.get_title()


def test_every_training_has_its_curve_and_the_one_shown_is_black_and_on_top(splits):
    for axes in evaluation(splits, IMAGES).axes[1:]:
        long = [line for line in axes.lines if len(line.get_xdata()) > 2]
        assert len(long) == TRAININGS
        assert [line.get_color() for line in long] == ["#bbbbbb"] * 2 + ["black"]
    labels = [text.get_text() for text in evaluation(splits, IMAGES).axes[1].get_legend().texts]
    found = report(splits)
    low, high = found["ci95"]["auroc"]
    assert f"AUROC {found['auroc']:.3f} [{low:.3f}, {high:.3f}]" in labels


def test_errors_are_marked_and_true_findings_outlined(splits):
    p, labels = probability(splits)[0, :10], splits["test"].labels[:10]
    wrong = (p >= 0.5) != labels
    assert 0 < wrong.sum() < 10
    top = gradcam(splits, PHANTOM).axes[:10]
    assert [("ERROR" in axes.get_title()) for axes in top] == wrong.tolist()
    assert [bool(axes.collections) for axes in top] == (labels == 1).tolist()
    assert not any(axes.collections for axes in gradcam(splits, IMAGES).axes[:10])


@pytest.mark.parametrize("draw", [evaluation, one_evaluation])
def test_curves_of_shares_have_the_same_ranges_with_room_for_markers(draw, splits):
    figure = draw(splits, IMAGES)
    for axes in figure.axes[1:]:
        assert axes.get_xlim() == axes.get_ylim() == (-0.04, 1.04)
    assert ("grey" in figure.get_suptitle()) == (draw is evaluation)


@pytest.mark.parametrize("draw", [run_scores, differences])
def test_panels_side_by_side_have_the_same_range(draw, splits):
    assert len({axes.get_xlim() for axes in draw(splits, IMAGES).axes}) == 1


def test_gradcam_names_its_layer(splits):
    assert "at the last convolution" in gradcam(splits, IMAGES).get_suptitle()
    assert "at convolution encoder.1.conv2" in few_gradcam(splits, IMAGES).get_suptitle()


@pytest.mark.parametrize(("draw", "kept"), [(history, 7), (one_history, 5)])
def test_history_marks_the_epoch_kept_in_the_training_with_the_median_loss(splits, draw, kept):
    figure = draw(splits, IMAGES)
    legends = [axes.get_legend().get_texts() for axes in figure.axes]
    assert any(f"kept: epoch {kept}" in text.get_text() for legend in legends for text in legend)
    title = figure.get_suptitle()
    if draw is history:
        assert title.startswith("3 trainings of") and title.endswith("; bold: training 3")
    else:
        assert title.startswith("1 training of") and "bold" not in title


@pytest.mark.parametrize("n", [1, 2, 8])
def test_history_counts_whole_epochs_however_few(n):
    few = {name: values[:n] for name, values in epochs(1).items()}
    for axes in history_figure.history(few, IMAGES, RUN).axes:
        low, high = axes.get_xlim()
        ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert ticks and all(float(tick).is_integer() for tick in ticks)
        assert axes.lines[0].get_marker() == ".", "one epoch makes no line"


@pytest.mark.parametrize("draw", [gradcam, few_gradcam])
def test_an_image_and_its_maps_are_in_one_column(draw, splits):
    figure = draw(splits, PHANTOM)
    extents(figure)
    *maps, _ = figure.axes
    rows = np.array([round(axes.get_position().x0, 3) for axes in maps]).reshape(3, -1)
    assert (rows == rows[0]).all()


def test_history_shows_what_guessing_reaches(splits):
    figure = history(splits, IMAGES)
    for axes, guess in zip(figure.axes, (np.log(2), 0.5)):
        drawn = {line.get_label(): line for line in axes.lines}
        assert guess in drawn[next(name for name in drawn if name.startswith("guess"))].get_ydata()
        assert 4.5 in drawn["further layers unfrozen"].get_xdata()
    assert figure.axes[1].get_ylim()[1] > 1 and figure.axes[1].get_ylim()[0] < 0.5


def test_each_training_is_a_mark_beside_the_mean(splits):
    found = report(splits)
    marks = [line for line in run_scores(splits, IMAGES).axes[0].lines if line.get_marker() == "|"]
    assert len(marks) == len(RUNS)
    assert list(marks[0].get_xdata()) == found["each"]["auroc"]


def test_questions_of_other_settings_have_a_star(splits):
    figure = differences(splits, IMAGES)
    ticks = [text.get_text().split("\n")[0] for text in figure.axes[0].get_yticklabels()]
    assert ticks == [f"{RUN} - lowdata*", "frozen - pneumonia", "headfirst - unfrozen"]


def test_label_efficiency_says_how_many_trainings_and_rings_the_runs(splits):
    figure = efficiency(splits, IMAGES)
    assert "dots: each of 3 trainings" in figure.get_suptitle()
    markers = [line.get_markerfacecolor() for line in figure.axes[0].lines]
    assert markers.count("white") == 3
    once = comparison_figures.efficiency(points_of({"one": TITLE}, 1), {"one": TITLE})
    assert "dots" not in once.get_suptitle()


def test_numbers_of_labels_that_are_close_do_not_run_into_each_other():
    """An NIH subset of 1,426 images beside the usual 1,000 labels, in the range of a larger set."""
    names = {"one": TITLE, "other": TITLE}
    numbers = {"one": (50, 1000, 1426), "other": (50, 1000, 4708)}
    points = []
    for name, chosen in numbers.items():
        found = points_of({name: TITLE})
        known = dict(zip(sorted({point["labels"] for point in found}), chosen, strict=True))
        points += [point | {"labels": known[point["labels"]]} for point in found]
    figure = comparison_figures.efficiency(points, names)
    FigureCanvasAgg(figure).draw()
    boxes = [t.get_window_extent() for t in figure.axes[0].get_xticklabels() if t.get_text()]
    assert len(boxes) == 2
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))


def test_a_kind_of_training_has_one_colour_in_all_panels(splits):
    points = [*points_of({"one": TITLE}), *points_of({"other": TITLE})[3:]]
    figure = comparison_figures.efficiency(points, {"one": TITLE, "other": TITLE})
    one, two = (
        {line.get_label(): line.get_color() for line in axes.lines if "," in line.get_label()}
        for axes in figure.axes
    )
    assert len(one) == 3 and len(two) == 2 and two.items() < one.items()
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim()


def test_the_sweep_marks_the_configurations_that_count_as_equal(splits):
    for axes in sweep(splits, IMAGES).axes:  # two of three rows, above the lowest, at 0
        assert 0.5 in [line.get_ydata()[0] for line in axes.lines if line.get_ls() == ":"]


def test_latent_spaces_name_the_spread_over_trainings(splits):
    figure = latent_spaces(splits, IMAGES)
    assert "mean ± sd, 3 trainings" in figure.get_suptitle()
    assert "-0.123 ± 0.045".replace("-", "\N{MINUS SIGN}") in figure.axes[2].get_xlabel()
    assert "training 2 of 3" in latent(splits, IMAGES).get_suptitle()
