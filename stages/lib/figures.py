"""Figures for readers: each says the run, the data, the sample size and the units."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from stages.lib.data import About, Split

matplotlib.rcParams.update(
    {
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "figure.titlesize": 13,
        "savefig.dpi": 110,
    }
)

# Healthy and diseased, from the palette of Okabe & Ito (2008): told apart by colour-blind readers.
CLASS_COLOURS = ("#0072B2", "#D55E00")
GREY = "#777777"
SYNTHETIC = " (synthetic films, no patients)"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on nothing but the figure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": None})


def headline(report: dict) -> str:
    """AUROC and accuracy with their intervals, in one line."""
    parts = (
        f"{label} {report[key]:.3f} [{report['ci95'][key][0]:.3f}, {report['ci95'][key][1]:.3f}]"
        for key, label in (("auroc", "AUROC"), ("accuracy", "accuracy"))
    )
    return f"{', '.join(parts)}, majority class {report['majority_accuracy']:.3f}"


def class_counts(counts: dict[str, dict], about: About) -> Figure:
    """Films per class and split; counts as `binarize.class_counts` gives them."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(counts))
    for label, key in enumerate(("healthy", "positive")):
        values = [split[key] for split in counts.values()]
        bars = axes.bar(
            place + (label - 0.5) * 0.4,
            values,
            0.4,
            color=CLASS_COLOURS[label],
            label=about.classes[label],
        )
        shares = [f"{v:,}\n{v / split['n']:.1%}" for v, split in zip(values, counts.values())]
        axes.bar_label(bars, shares, fontsize=9, padding=2)
    axes.set_xticks(place, [f"{name} (n = {split['n']:,})" for name, split in counts.items()])
    axes.set_ylabel("films")
    axes.margins(y=0.18)
    axes.legend(frameon=False)
    figure.suptitle(f"Classes of {about.caption()}{SYNTHETIC * about.is_phantom}")
    return figure


def history(epochs: dict[str, list[float]], about: About, run: str) -> Figure:
    """Loss and validation score over the epochs, with the epoch whose weights were kept."""
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    chosen = int(np.flatnonzero(epochs["improved"])[-1])
    left.plot(epochs["epoch"], epochs["train_loss"], color="black", label="training")
    left.plot(epochs["epoch"], epochs["val_loss"], color=GREY, ls="--", label="validation")
    left.set(ylabel="weighted cross-entropy", ylim=(0, None))
    right.plot(epochs["epoch"], epochs["val_auroc"], color="black", label="AUROC")
    right.plot(
        epochs["epoch"], epochs["val_balanced_accuracy"], color=GREY, ls="--", label="bal. accuracy"
    )
    right.set(ylabel="validation score")
    starts = np.flatnonzero(np.diff(epochs["phase"])) + 1
    for axes in (left, right):
        axes.set(xlabel="epoch")
        axes.axvline(epochs["epoch"][chosen], color=CLASS_COLOURS[1], lw=1)
        for start in starts:
            axes.axvline(epochs["epoch"][start] - 0.5, color=GREY, lw=1, ls=":")
    right.plot(
        epochs["epoch"][chosen],
        epochs["val_auroc"][chosen],
        "o",
        color=CLASS_COLOURS[1],
        label=f"kept: epoch {epochs['epoch'][chosen]:.0f}, {epochs['val_auroc'][chosen]:.4f}",
    )
    for axes in (left, right):
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16)}
        axes.legend(frameon=False, fontsize=9, ncols=3, **below)
    figure.suptitle(f"Training of {run} on {about.caption()}")
    return figure


def evaluation(
    report: dict,
    curves: dict[str, list[dict]],
    labels: np.ndarray,
    probability: np.ndarray,
    about: About,
    run: str,
) -> Figure:
    """Confusion matrix, ROC, precision-recall and reliability of one run on its test films."""
    figure = Figure(figsize=(10, 9), layout="constrained")
    confusion, roc, recall, reliability = figure.subplots(2, 2).flat
    _confusion(confusion, labels, probability, about)
    _roc(roc, curves["roc"], report)
    _precision_recall(recall, curves["precision_recall"], report, labels.mean())
    _reliability(reliability, curves["reliability"], report)
    figure.suptitle(f"{run} on {about.caption()}, test split, n = {report['n']:,}")
    return figure


def _confusion(axes, labels: np.ndarray, probability: np.ndarray, about: About) -> None:
    predicted = probability >= 0.5
    cells = np.array([[((labels == a) & (predicted == p)).sum() for p in (0, 1)] for a in (0, 1)])
    shares = cells / cells.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (actual, said), count in np.ndenumerate(cells):
        share = shares[actual, said]
        colour = "white" if share > 0.5 else "black"
        text = f"{count:,}\n{share:.1%} of row"
        axes.text(said, actual, text, ha="center", va="center", color=colour, fontsize=12)
    axes.set_xticks((0, 1), about.classes)
    axes.set_yticks((0, 1), about.classes, rotation=90, va="center")
    axes.set(xlabel="predicted at threshold .5", ylabel="actual", title="Confusion matrix")
    axes.spines[:].set_visible(False)


def _roc(axes, points: list[dict], report: dict) -> None:
    label = f"AUROC {_with_interval(report, 'auroc')}"
    axes.plot(*_columns(points), color="black", label=label)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="chance .500")
    at = report["at_val_threshold"]
    mark = f"validation's threshold {at['threshold']:.2f}"
    axes.plot(1 - at["specificity"][0], at["recall"][0], "o", color=CLASS_COLOURS[1], label=mark)
    axes.plot(1 - report["specificity"], report["recall"], "s", color=GREY, label="threshold .5")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC curve")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _precision_recall(axes, points: list[dict], report: dict, share: float) -> None:
    label = f"average precision {_with_interval(report, 'auprc')}"
    axes.plot(*_columns(points), color="black", label=label)
    axes.axhline(share, color=GREY, ls=":", label=f"chance {share:.3f}")
    axes.set(xlabel="recall", ylabel="precision", title="Precision-recall curve", ylim=(0, 1.02))
    axes.legend(frameon=False, loc="lower left", fontsize=10)


def _reliability(axes, points: list[dict], report: dict) -> None:
    predicted, observed, n = _columns(points)
    axes.plot((0, 1), (0, 1), color=GREY, ls=":", label="perfectly calibrated")
    error, low, high = report["further"]["calibration_error"]
    label = f"calibration error {error:.3f} [{low:.3f}, {high:.3f}]"
    axes.plot(predicted, observed, "-", color="black", lw=1, label=label)
    axes.scatter(predicted, observed, s=12 + 250 * np.array(n) / sum(n), color="black", zorder=3)
    axes.set(xlabel="predicted probability", ylabel="observed share", title="Reliability")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right", fontsize=10, title="area: share of films")


def gradcam(
    films: Split, probability: np.ndarray, maps: list[np.ndarray], about: About, run: str
) -> Figure:
    """One column per film: the film (with the true finding's outline, on phantoms), and the
    evidence for either class over it."""
    n = len(films)
    figure = Figure(figsize=(max(1.35 * n + 1.6, 11.5), 5.9), layout="constrained")
    axes = figure.subplots(3, n, squeeze=False)
    for i in range(n):
        said = int(probability[i] >= 0.5)
        wrong = said != films.labels[i]
        title = f"{about.classes[films.labels[i]]}\np = {probability[i]:.2f}"
        axes[0, i].set_title(
            title + ("\nERROR" if wrong else "\n"),
            fontsize=11,
            color=CLASS_COLOURS[1] if wrong else "black",
        )
        for row in axes[:, i]:
            row.imshow(films.images[i], cmap="gray", vmin=0, vmax=255)
            row.set_xticks(())
            row.set_yticks(())
        if films.masks is not None and films.masks[i].any():
            axes[0, i].contour(films.masks[i], levels=[0.5], colors="#56B4E9", linewidths=1.5)
        for row, overlay in zip(axes[1:, i], maps):
            drawn = row.imshow(overlay[i], cmap="inferno", alpha=0.5, vmin=0, vmax=1)
    outline = "\n(blue: true finding)" if films.masks is not None else ""
    for row, text in zip(
        axes[:, 0], (f"film{outline}", *(f"evidence for\n{name}" for name in about.classes))
    ):
        row.set_ylabel(text, fontsize=12)
    bar = figure.colorbar(drawn, ax=axes[1:, :], shrink=0.8, pad=0.01)
    bar.set_label("GradCAM, each map from 0 to 1")
    figure.suptitle(
        f"GradCAM of {run} on {about.caption()}: {n} test films, true class and probability of"
        f" {about.classes[1]}"
    )
    return figure


def latent(
    projections: dict[str, np.ndarray],
    explained: np.ndarray,
    labels: np.ndarray,
    report: dict,
    about: About,
    run: str,
) -> Figure:
    """PCA and t-SNE of the test films' latent vectors side by side, coloured by class."""
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    scatter(left, projections["pca"], labels, about)
    scatter(right, projections["tsne"], labels, about)
    left.set(
        title="PCA",
        xlabel=f"component 1 ({explained[0]:.1%} of the variance)",
        ylabel=f"component 2 ({explained[1]:.1%})",
    )
    right.set(title="t-SNE (axes without units)", xticks=(), yticks=())
    left.legend(frameon=False, loc="best")
    figure.suptitle(f"Latent space of {run} on {about.caption()}, test split")
    figure.supxlabel(separation(report), fontsize=11)
    return figure


def scatter(axes, points: np.ndarray, labels: np.ndarray, about: About) -> None:
    """Points coloured by class in random order, so that neither class covers the other."""
    order = np.random.default_rng(0).permutation(len(points))
    colours = np.array(CLASS_COLOURS)[labels[order]]
    axes.scatter(*points[order].T, c=colours, s=9, alpha=0.6, linewidths=0)
    for label, name in enumerate(about.classes):
        n = int((labels == label).sum())
        axes.scatter((), (), c=CLASS_COLOURS[label], s=30, label=f"{name} (n = {n:,})")


def separation(report: dict) -> str:
    """The scores of a latent space with their intervals, in one line."""
    return " · ".join(
        f"{label} {_with_interval(report, key)}"
        for key, label in (
            ("silhouette", "silhouette"),
            ("knn_balanced_accuracy", "k-NN balanced accuracy"),
            ("probe_auroc", "linear-probe AUROC"),
        )
    )


def _with_interval(report: dict, key: str) -> str:
    low, high = report["ci95"][key]
    return f"{report[key]:.3f} [{low:.3f}, {high:.3f}]"


def _columns(rows: list[dict]) -> list[list]:
    return [list(column) for column in zip(*(row.values() for row in rows))]


def reconstructions(
    films: np.ndarray, rebuilt: dict[str, np.ndarray], scores: dict, about: About
) -> Figure:
    """One column per film: the film, and by method its reconstruction and the error there."""
    n, last = len(films), None
    titles = {"autoencoder": "autoencoder", "pca": "PCA, same code", "mean_film": "mean film"}
    figure = Figure(figsize=(1.2 * n + 2.2, 9.4), layout="constrained")
    axes = figure.subplots(1 + 2 * len(rebuilt), n, squeeze=False)
    for row in axes.flat:
        row.set_xticks(())
        row.set_yticks(())
    for i in range(n):
        axes[0, i].imshow(films[i], cmap="gray", vmin=0, vmax=1)
        for k, method in enumerate(titles):
            axes[1 + 2 * k, i].imshow(rebuilt[method][i], cmap="gray", vmin=0, vmax=1)
            error = rebuilt[method][i] - films[i]
            last = axes[2 + 2 * k, i].imshow(error, cmap="RdBu", vmin=-0.3, vmax=0.3)
    labels = ["film"]
    for method, title in titles.items():
        labels += [f"{title}\n{scores['psnr'][method]:.1f} dB", "its error"]
    for row, label in zip(axes[:, 0], labels):
        row.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=11)
    bar = figure.colorbar(last, ax=axes, shrink=0.4, pad=0.01)
    bar.set_label("reconstruction - film (films from 0 to 1)")
    figure.suptitle(
        f"Reconstructions of {n} test films of {about.caption()};"
        f" PSNR: mean over n = {scores['n']:,} test films"
    )
    return figure


def run_scores(reports: dict[str, dict]) -> Figure:
    """AUROC, balanced accuracy and accuracy of every run with its interval and its chance level."""
    figure = Figure(figsize=(11, 1.6 + 0.5 * len(reports)), layout="constrained")
    place = np.arange(len(reports))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy", "accuracy": "accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 3, sharey=True), panels.items()):
        for y, report in zip(place, reports.values()):
            chance = report["majority_accuracy"] if key == "accuracy" else 0.5
            _point(axes, y, report[key], report["ci95"][key], CLASS_COLOURS[0])
            axes.plot((chance, chance), (y - 0.35, y + 0.35), color=CLASS_COLOURS[1], lw=2)
        axes.set(xlabel=title, ylim=(-0.6, len(reports) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(place, [f"{run} (n = {r['n']:,})" for run, r in reports.items()])
    figure.suptitle(
        f"Runs on their test films, {captions(reports)}\n"
        "with 95 % intervals; orange: chance, or the majority class"
    )
    return figure


def captions(reports: dict[str, dict]) -> str:
    """The data sets that runs were tested on."""
    return " and ".join(dict.fromkeys(report["data"] for report in reports.values()))


def differences(answers: list[dict], data: str) -> Figure:
    """Paired differences of AUROC and of balanced accuracy, one row per question."""
    figure = Figure(figsize=(11, 1.6 + 0.55 * len(answers)), layout="constrained")
    place = np.arange(len(answers))[::-1]
    panels = {"auroc": "AUROC", "balanced_accuracy": "balanced accuracy"}
    for axes, (key, title) in zip(figure.subplots(1, 2, sharey=True), panels.items()):
        axes.axvline(0, color=GREY, ls=":")
        for y, entry in zip(place, answers):
            clear = entry[key]["p_holm"] < 0.05
            colour = CLASS_COLOURS[0] if clear else GREY
            _point(axes, y, entry[key]["difference"], entry[key]["ci95"], colour)
            text = f"p = {entry[key]['p_holm']:.3f}"
            axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=9)
        axes.set(xlabel=f"difference of {title}", ylim=(-0.6, len(answers) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(
        place, [f"{e['run']} - {e['against']}\n(n = {e['n']:,})" for e in answers], fontsize=10
    )
    figure.suptitle(
        f"Paired differences on the same test films, {data}\n"
        "with 95 % intervals; p after Holm, blue: p < .05"
    )
    return figure


def _point(axes, y: float, value: float, interval: list[float], colour: str) -> None:
    axes.plot(interval, (y, y), color=colour, lw=2, solid_capstyle="butt")
    axes.plot(value, y, "o", color=colour, markersize=7)


def latent_spaces(
    points: dict[str, dict],
    separations: dict[str, dict],
    starts: dict[str, str],
    similar: list[dict],
    about: About,
) -> Figure:
    """Latent spaces of several runs on the same test films: PCA above, t-SNE below, and under each
    pair how well the classes separate and how far training moved the encoder from its start."""
    n = len(points)
    figure = Figure(figsize=(4.6 * n, 9.6), layout="constrained")
    axes = figure.subplots(2, n, squeeze=False)
    cka = {(pair["a"], pair["b"]): pair["cka"] for pair in similar}
    for column, (run, table) in enumerate(points.items()):
        labels = np.array([about.classes.index(name) for name in table["class"]])
        for row, kind in zip(axes[:, column], ("pca", "tsne")):
            xy = np.column_stack([table[f"{kind}_1"], table[f"{kind}_2"]])
            scatter(row, xy, labels, about)
            row.set(xticks=(), yticks=())
        axes[0, column].set_title(f"{run}\n(from {starts[run]})")
        report = separations[run]
        lines = [
            f"silhouette {_with_interval(report, 'silhouette')}",
            f"k-NN bal. accuracy {_with_interval(report, 'knn_balanced_accuracy')}",
            f"linear-probe AUROC {_with_interval(report, 'probe_auroc')}",
        ]
        if (starts[run], run) in cka:
            lines.append(f"CKA with {starts[run]}: {cka[starts[run], run]:.3f}")
        axes[1, column].set_xlabel("\n".join(lines), fontsize=11)
    for row, name in zip(axes[:, 0], ("PCA", "t-SNE")):
        row.set_ylabel(f"{name} (no units)")
    axes[0, 0].legend(frameon=False, fontsize=10)
    figure.suptitle(f"Latent spaces of the same test films, {about.caption()}")
    return figure


CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")


def efficiency(table: list[dict], captions: dict[str, str]) -> Figure:
    """Test AUROC over the number of labels: mean, and the range over the seeds as a band."""
    figure = Figure(figsize=(5.8 * len(captions), 4.8), layout="constrained")
    for axes, (dataset, caption) in zip(
        figure.subplots(1, len(captions), squeeze=False).flat, captions.items()
    ):
        rows = [row for row in table if row["dataset"] == dataset]
        for colour, start in zip(CURVE_COLOURS, dict.fromkeys(row["start"] for row in rows)):
            curve = sorted((r for r in rows if r["start"] == start), key=lambda r: r["labels"])
            n, mean, low, high = (
                [row[key] for row in curve] for key in ("labels", "auroc", "lowest", "highest")
            )
            axes.plot(n, mean, "o-", color=colour, label=start)
            axes.fill_between(n, low, high, color=colour, alpha=0.15, lw=0)
        axes.set_xscale("log")
        ticks = sorted({row["labels"] for row in rows})
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.minorticks_off()
        axes.set(
            xlabel="labelled training films (a third more to validate)",
            ylabel="test AUROC (chance .5)",
            title=caption,
        )
        axes.grid(color="#dddddd")
        axes.legend(frameon=False, loc="lower right", fontsize=10)
    figure.suptitle(f"Label efficiency: mean and range of {table[0]['seeds']} seeds")
    return figure


def sweep(report: dict) -> Figure:
    """Every configuration of a sweep, best by validation on top: what it scored on validation and,
    with its interval, on test; the small dots are further seeds."""
    rows = report["configurations"]
    seeds = {row["name"]: row for row in report["seeds"]}
    panels = {
        "val_auroc": "validation AUROC",
        "val_loss": "validation loss",
        "auroc": "test AUROC",
        "accuracy": "test accuracy",
    }
    figure = Figure(figsize=(12, 1.6 + 0.36 * len(rows)), layout="constrained")
    place = np.arange(len(rows))[::-1]
    for axes, (score, title) in zip(figure.subplots(1, 4, sharey=True), panels.items()):
        for y, row in zip(place, rows):
            colour = CLASS_COLOURS[1] if row["name"] == report["chosen"] else CLASS_COLOURS[0]
            interval = row["ci95"].get(score, [row[score], row[score]])
            _point(axes, y, row[score], interval, colour)
            more = seeds.get(row["name"], {}).get(score, [])
            axes.plot(more, [y - 0.3] * len(more), "o", color=colour, markersize=3)
        axes.set(xlabel=title, ylim=(-0.8, len(rows) - 0.4))
        axes.grid(axis="x", color="#dddddd")
    figure.axes[0].set_yticks(
        place,
        [f"{r['name']}  ({r['parameters']:,} weights, {r['train_seconds']:.0f} s)" for r in rows],
    )
    figure.suptitle(
        f"{len(rows)} configurations on {report['data']}, best by validation on top;"
        " orange: chosen\n"
        f"lines: 95 % intervals over n = {report['n']:,} test films; small dots: further seeds"
    )
    return figure
