"""Stage: answer the exercise sheets' questions from what all other stages wrote, as one page."""

import re
from collections.abc import Iterable
from os.path import relpath
from pathlib import Path

import jinja2

from stages.lib import command, experiments, page, tables, verdicts, wording
from stages.lib.parameters import Params, entry

PART = re.compile(r"[│├└─ ]*(\w+): (\d)-\d+ +\[1, ([\d, ]+)\] +(--|[\d,]+)")  # of torchinfo's table
UNASKED = "Nothing in the parameters of this run asks this."


def report(
    subject: str,
    params: Params,
    template: Path,
    counts: Path,
    scores: Path,
    separation: Path,
    explanations: Path,
    histories: Path,
    architecture: Path,
    predictions: Path,
    autoencoder: Path,
    efficiency: Path,
    comparison: Path,
    sweep: Path,
    sweep_plot: Path,
    plots: Path,
    markdown: Path,
    html: Path,
) -> None:
    """subject: the run that the first sheet is about. Paths of inputs are patterns that hold
    `{run}` or `{dataset}`."""
    entry(params.runs, subject, "run")
    names = list(dict.fromkeys([subject, *params.comparison.runs]))

    def of_runs(pattern: Path, read=tables.read_json) -> dict:
        return {run: read(command.at(pattern, run=run)) for run in names}

    layers = architecture_of(architecture.read_text())
    compared = tables.read_json(comparison)
    figures = {
        "counts": {
            key: tables.read_json(command.at(counts, dataset=key)) for key in params.datasets
        },
        "scores": of_runs(scores),
        "separation": of_runs(separation),
        "maps": of_runs(explanations),
        "histories": of_runs(histories, tables.read_csv),
        "parts": parts(layers),
        "grid": last_grid(layers),
        "confusion": confusion(tables.read_csv(predictions)),
        "autoencoder": tables.read_json(autoencoder),
        "efficiency": tables.read_json(efficiency),
        "questions": compared["questions"],
        "cka": compared["cka"],
        "sweep": tables.read_json(sweep),
    }
    figures |= roles(subject, params, figures)
    pictures = {
        name: Path(relpath(path, markdown.parent)).as_posix()
        for name, path in (("plots", plots), ("sweep_plot", sweep_plot))
    }
    given = {"params": params, "answers": answers(params, figures), **figures, **pictures}
    text = rendered(template, given)
    write(markdown, text)
    write(html, page.html(text, markdown.parent))
    print(f"report: {html}, {html.stat().st_size / 1e6:.1f} MB, {compared['data']}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def rendered(template: Path, given: dict) -> str:
    """The template filled in; a name in it that is not given is an error, never a gap."""
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "grouped": "{:,}".format,
        "slug": page.slug,
        "spread": experiments.spread,
    }
    words = environment.from_string(template.read_text(encoding="utf-8"))
    text = words.render(given, say=verdicts, word=wording)
    return re.sub(r"\n{3,}", "\n\n", text)


def architecture_of(text: str) -> list[dict]:
    """The layers that `architecture.txt` lists: kind, depth, shape of the output, weights."""
    return [
        {
            "kind": kind,
            "depth": int(depth),
            "shape": [int(n) for n in shape.split(",")],
            "weights": 0 if weights == "--" else int(weights.replace(",", "")),
        }
        for kind, depth, shape, weights in PART.findall(text)
    ]


def parts(layers: list[dict]) -> list[dict]:
    """The network's parts, each with the weights of its layers: the encoder's blocks, and what
    follows them."""
    found = []
    for layer in layers:
        if layer["depth"] < 3 and layer["kind"] != "Encoder":
            found.append(dict(layer))
        elif layer["depth"] == 3:
            found[-1]["weights"] += layer["weights"]
    return found


def last_grid(layers: list[dict]) -> list[int]:
    """Height and width of the last convolution's maps, in cells."""
    return [layer for layer in layers if layer["kind"] == "Conv2d"][-1]["shape"][1:]


def confusion(predictions: dict[str, list]) -> list[list[int]]:
    """Test films by actual (rows) and predicted class: [[tn, fp], [fn, tp]]."""
    pairs = list(zip(predictions["actual"], predictions["predicted"]))
    return [[pairs.count((actual, said)) for said in (0, 1)] for actual in (0, 1)]


def roles(subject: str, params: Params, figures: dict) -> dict:
    """Who plays which part on the page: the parameters say it, not the runs' names."""
    dataset = params.runs[subject].dataset
    data = list(dict.fromkeys(report["data"] for report in figures["scores"].values()))
    curves = figures["efficiency"]["curves"]
    asked = {"autoencoder": [], "transfer": [], "strategy": [], "other": []}
    for question in figures["questions"]:
        asked[kind(params, question)].append(question)
    return {
        "subject": subject,
        "report": figures["scores"][subject],
        "settings": params.settings_of(subject).model_dump(),
        "dataset": dataset,
        "positive": params.datasets[dataset].positive,
        "split": {entry["split"]: entry for entry in figures["counts"][dataset]["splits"]},
        "data": data,
        "phantoms": [caption for caption in data if verdicts.is_phantom(caption)],
        "asked": asked,
        "curves": {
            key: [row for row in curves if row["dataset"] == key] for key in params.datasets
        },
    }


def kind(params: Params, question: dict) -> str:
    """What a question asks, by where its two runs start: does the "autoencoder" help, does a
    "transfer" beat scratch, which "strategy" of one start is best, or an "other"."""
    start, rival = (params.runs[question[key]].init for key in ("run", "against"))
    if rival == "scratch":
        return {"autoencoder": "autoencoder", "scratch": "other"}.get(start, "transfer")
    return "strategy" if start == rival else "other"


def answers(params: Params, figures: dict) -> dict[str, str]:
    """The short answer to each question of the sheets, in their order."""
    report, scores, asked = figures["report"], figures["scores"], figures["asked"]
    frozen = [run for run in scores if params.runs[run].strategy == "frozen"]
    subject, positive = figures["subject"], figures["positive"]
    return {
        "architecture": verdicts.architecture(report["parameters"], figures["parts"]),
        "imbalance": verdicts.imbalance(figures["split"]["train"], positive),
        "scores": verdicts.how_good(report, figures["confusion"], positive),
        "gradcam": verdicts.maps_trusted(figures["maps"][subject]),
        "sweep": verdicts.best_configuration(figures["sweep"]),
        "accuracy": verdicts.is_accuracy_enough(report),
        "weights": verdicts.kept(figures["histories"][subject], figures["settings"]),
        "autoencoder": verdicts.reconstructs(figures["autoencoder"]),
        "few_labels": several(helped(params, figures, q) for q in asked["autoencoder"]),
        "frozen": several(verdicts.frozen_shows(run, scores, asked["transfer"]) for run in frozen),
        "strategies": best_start(figures),
        "latent": several(
            verdicts.separates_best(figures["separation"], members)
            for members in params.comparison.spaces.values()
        ),
        "limits": verdicts.limits(report),
    }


def helped(params: Params, figures: dict, question: dict) -> str:
    run = params.runs[question["run"]]
    again = verdicts.repeated(figures["curves"][run.dataset], run.labels, run.init)
    return f"{verdicts.did_it_help(question)} {again}".strip()


def best_start(figures: dict) -> str:
    asked, rows = figures["asked"]["strategy"], figures["curves"][figures["dataset"]]
    paired = [verdicts.best_strategy(asked)] if asked else []
    return several(
        [*paired, *(f"In the label-efficiency curves, {line}" for line in verdicts.curve(rows)[:1])]
    )


def several(sentences: Iterable[str]) -> str:
    return " ".join(sentences) or UNASKED


if __name__ == "__main__":
    command.run(report)
