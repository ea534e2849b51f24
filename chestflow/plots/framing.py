"""The audit of the framing: AUROC with images as they are, and with one class or all zoomed."""

from matplotlib.figure import Figure

from chestflow.plots.style import CLASS_COLOURS, GREY, forest, point, sized

CELLS = {  # in which images are zoomed: name and colour
    "none": ("as they are", "black"),
    "all": ("all zoomed (control)", GREY),
    "healthy": ("only the healthy zoomed", CLASS_COLOURS[0]),
    "diseased": ("only the diseased zoomed", CLASS_COLOURS[1]),
}
BASELINE = "#009E73"  # of the same palette


def framing(audits: dict[str, dict]) -> Figure:
    """The four test AUROCs of every run with their intervals, and that of the outermost pixels
    alone as a line, in a panel per data set with the same range. audits: as in data/framing."""
    groups: dict[str, dict] = {}
    for run, audit in audits.items():
        groups.setdefault(audit["data"], {})[run] = audit
    rows = max(map(len, groups.values()))
    figure = Figure(figsize=(max(5.5 * len(groups), 8), 2.1 + 0.8 * rows))
    panels = figure.subplots(1, len(groups), squeeze=False, sharex=True).flat
    for axes, (data, group) in zip(panels, groups.items()):
        _panel(axes, group)
        axes.set_title(data)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    factor = next(iter(audits.values()))["factor"]
    figure.suptitle(
        "Is the framing used? Runs (test images × trainings), with test images\n"
        f"as they are and zoomed by {factor}; means with 95 % intervals"
    )
    return figure


def _panel(axes, audits: dict[str, dict]) -> None:
    names = [sized(run, audit["test"]["n"], audit["trainings"]) for run, audit in audits.items()]
    for y, audit in zip(forest(axes, names, "test AUROC"), audits.values()):
        auroc, ci95 = audit["test"]["auroc"], audit["test"]["ci95"]
        for shift, (cell, (_, colour)) in zip((0.27, 0.09, -0.09, -0.27), CELLS.items()):
            point(axes, y + shift, auroc[cell], ci95[cell], colour)
    for name, colour in CELLS.values():
        axes.plot([], [], "o-", color=colour, lw=2, label=name)
    value, *interval = next(iter(audits.values()))["ring"]["test"]  # the same for all runs
    axes.axvspan(*interval, color=BASELINE, alpha=0.15, lw=0)
    axes.axvline(value, color=BASELINE, ls="--", label="outermost pixels alone")
    axes.axvline(0.5, color=GREY, ls=":", label="chance")
