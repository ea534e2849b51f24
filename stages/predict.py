"""What a trained run says about films of one's own: the probability of disease, where the evidence
for it lies, and how unlike the training films each film is. Not for diagnosis."""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from stages.lib import (
    autoencoder,
    command,
    data,
    explanation,
    film,
    model,
    novelty,
    overlay,
    parameters,
    runtime,
    tables,
    trained,
)
from stages.lib.errors import UserError

BATCH = 32  # films in memory at once, each at its own resolution
KNOWN = 5000  # training films, at most, to which distances are measured
GUESS = "unlike the training films: treat the answer as a guess"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stages.predict", description=__doc__)
    add = parser.add_argument
    add("given", nargs="+", type=Path, metavar="FILM", help=f"{film.ACCEPTED}, or a folder of them")
    add("--out", type=Path, default=Path("predictions"), help="folder for overlays (%(default)s)")
    add("--json", action="store_true", help="print one JSON document for machines")
    trained.add_arguments(parser, autoencoder="models/autoencoder/model.safetensors")
    return parser.parse_args()


def predict(options: argparse.Namespace) -> bool:
    """Print what the run says of every film; returns whether all could be read."""
    params = parameters.load(options.params)
    run, device = trained.load(options, params), runtime.prepare(params.threads)
    run.classifier.to(device)
    trained.require(options.autoencoder, mend="dvc repro pretrain")
    out, answers, failures = options.out / run.run, [], []
    paths = film.find(options.given, leave=(options.out, out))
    unlikeness = measure(options, run, params.seed, device)
    with tqdm(total=len(paths), desc="predict", unit="film", disable=None) as bar:
        for start in range(0, len(paths), BATCH):
            films, unread = read(paths[start : start + BATCH])
            failures += unread
            if films:
                answers += answer(films, run, unlikeness, params.gradcam.layer, out)
            bar.update(len(films) + len(unread))
    report = document(run, unlikeness, answers, failures)
    print(json.dumps(tables.rounded(report), indent=2) if options.json else table(report, out))
    return not failures


def measure(options, run: trained.Trained, seed: int, device) -> novelty.Unlikeness:
    """What is usual among the films of the run's data set."""
    rebuilder = autoencoder.load(options.autoencoder, run.side).to(device)
    train, val = (data.read(run.films, split).images for split in ("train", "val"))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(train))[:KNOWN])
    usual = (torch.from_numpy(np.array(images)).to(device) for images in (train[drawn], val))
    return novelty.fit(run.classifier, rebuilder, *usual)


def read(paths: list[Path]) -> tuple[dict[Path, film.Film], list[dict]]:
    """The films that can be read, and why the others cannot; that is said at once."""
    films, unread = {}, []
    for path in paths:
        try:
            films[path] = film.read(path)
        except UserError as error:
            tqdm.write(f"predict: {error}", file=sys.stderr)
            unread.append({"film": str(path), "reason": str(error)})
    return films, unread


def answer(
    films: dict[Path, film.Film],
    run: trained.Trained,
    unlikeness: novelty.Unlikeness,
    layer: str,
    out: Path,
) -> list[dict]:
    """One row per film, whose overlay is written."""
    prepared = np.stack([film.prepare(each.grey, run.side) for each in films.values()])
    images = torch.from_numpy(prepared).to(next(run.classifier.parameters()).device)
    raw = model.probabilities(run.classifier, images)
    rebuilt, embedded = unlikeness.rank(images)
    heat = explanation.grad_cams(run.classifier, layer, images, target=1)
    rows = []
    for i, (path, each) in enumerate(films.items()):
        row = {
            "film": str(path),
            "probability": float(run.calibrated(raw[i])),
            "decision": run.about.classes[int(raw[i] >= run.threshold)],
            "unlike": bool(max(rebuilt[i], embedded[i]) > novelty.LIMIT),
            "reconstruction_percentile": float(rebuilt[i]),
            "embedding_percentile": float(embedded[i]),
            "raw_probability": float(raw[i]),
            "size": list(each.grey.shape[::-1]),
            "seen": list(each.square),
            "remarks": list(each.remarks),
            "overlay": str(place(out, path)),
        }
        scale, lines = words(row, run, heat[i])
        picture = overlay.draw(each, heat[i], scale, lines, GUESS * row["unlike"])
        overlay.save(picture, Path(row["overlay"]), run.notice())
        rows.append(row)
    return rows


def place(folder: Path, path: Path) -> Path:
    """Where a film's overlay lies: films of one name in different folders stay apart, and a film
    asked about again replaces its own."""
    digest = hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()
    return folder / f"{path.stem}-{digest[:8]}.png"


def words(row: dict, run: trained.Trained, heat: np.ndarray) -> tuple[str, list[str]]:
    """What stands below an overlay: the meaning of its colours, and lines."""
    disease = run.about.classes[1]
    scale = f"evidence for {disease}: none to this film's strongest (GradCAM)"
    if not heat.any():
        scale = f"no evidence for {disease} anywhere (GradCAM)"
    said = f"probability of {disease} {row['probability']:.2f}"
    said += f", threshold {run.calibrated_threshold:.2f}: {row['decision']}"
    return scale, [said, *run.notice().replace(": ", ":\n").split("\n")]


def document(
    run: trained.Trained, unlikeness: novelty.Unlikeness, films: list[dict], failed: list[dict]
) -> dict:
    """All that is said, for machines; probabilities and `threshold` are calibrated, and `seen` is
    left, top and side, in pixels, of the square that the network sees."""
    return {
        "notice": run.notice(),
        "run": run.run,
        "data": run.about.caption(),
        "classes": list(run.about.classes),
        "threshold": run.calibrated_threshold,
        "raw_threshold": run.threshold,
        "calibration": list(run.calibration),
        "unlike_above": novelty.LIMIT,
        "validation_films": len(unlikeness.errors),
        "films": films,
        "failed": failed,
    }


def table(report: dict, folder: Path) -> str:
    """The same for people; folder: where the overlays lie."""
    rows = [("film", "probability", "decision", "rebuilt", "embedded", "overlay", "remarks")]
    for row in report["films"]:
        ranks = (f"{row[f'{name}_percentile']:.1f} %" for name in ("reconstruction", "embedding"))
        remarks = "; ".join([GUESS.upper()] * row["unlike"] + row["remarks"])
        said = (f"{row['probability']:.2f}", row["decision"], *ranks)
        rows.append((row["film"], *said, Path(row["overlay"]).name, remarks))
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    disease, n, limit = report["classes"][1], report["validation_films"], report["unlike_above"]
    legend = (
        f"probability: of {disease}, calibrated on validation; {disease} from"
        f" {report['threshold']:.2f}, the threshold chosen there",
        f"rebuilt, embedded: percent of {n:,} validation films that the autoencoder rebuilds"
        f" better,\n  and that lie nearer to the training films; above {limit:.0f} % in either: a"
        " guess",
        f"overlays: in {folder}",
    )
    return "\n".join([report["notice"], "", *lines, "", *legend])


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    sys.stderr.reconfigure(errors="backslashreplace")
    with command.one_line("predict"):
        sys.exit(not predict(arguments()))
