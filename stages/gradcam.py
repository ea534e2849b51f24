"""Stage: explain one run's decisions with GradCAM, and measure whether the maps mean anything."""

from pathlib import Path

import numpy as np
import torch

from stages.lib import command, data, explanation, figures, model, resampling, runtime, tables
from stages.lib.parameters import Params


def gradcam(
    run: str, params: Params, films: Path, weights: Path, metrics: Path, plot: Path
) -> None:
    device, about = runtime.prepare(params.threads), data.read_about(films)
    classifier, test = model.load_classifier(weights).to(device), data.read(films, "test")
    images = torch.from_numpy(np.array(test.images)).to(device)
    layer, wanted = params.gradcam.layer, params.gradcam.films
    maps = [explanation.grad_cams(classifier, layer, images, target) for target in (0, 1)]
    random = explanation.reinitialised(classifier, params.seed)
    random_maps = explanation.grad_cams(random, layer, images, target=1)
    scores = {"rank_correlation": explanation.rank_correlations(maps[1], random_maps)}
    report = {"n": len(images), "empty_maps": float((maps[1].max(axis=(1, 2)) == 0).mean())}
    if about.is_phantom:
        located, beside = localisation(maps[1], random_maps, test.masks)
        scores, report = scores | located, report | beside
    report |= means_with_intervals(scores, params)
    tables.write_json(metrics, {"data": about.caption(), **report})
    probability = model.probabilities(classifier, images)
    shown = example_films(test.labels, probability, wanted, params.seed)
    figure = figures.gradcam(test[shown], probability[shown], [m[shown] for m in maps], about, run)
    figures.save(figure, plot)
    print(f"gradcam: {run}: {len(images)} films explained, {about.caption()}")


def localisation(
    maps: np.ndarray, random_maps: np.ndarray, masks: np.ndarray
) -> tuple[dict[str, np.ndarray], dict]:
    """On the phantom's diseased films, where the truth is known: does the map lie on the finding?

    Returns each film's scores, and what stands beside their means: the chance level, which is the
    finding's share of the film, and what the same network scores with random weights.
    """
    diseased = masks.any(axis=(1, 2))
    maps, random_maps, masks = maps[diseased], random_maps[diseased], masks[diseased]
    measures = {"pointing_hits": explanation.pointing_hits, "mass_inside": explanation.mass_inside}
    beside = {
        "n_masks": len(masks),
        "chance": float(masks.mean()),
        "random_weights": {
            name: [float(measure(random_maps, masks).mean())] for name, measure in measures.items()
        },
    }
    return {name: measure(maps, masks) for name, measure in measures.items()}, beside


def means_with_intervals(scores: dict[str, np.ndarray], params: Params) -> dict:
    """Mean of each score over the films that have one, and under `ci95` their 95 % intervals."""
    report = {"ci95": {}}
    for name, values in scores.items():
        values = values[~np.isnan(values)]
        if not len(values):
            report[name], report["ci95"][name] = np.nan, [np.nan, np.nan]
            continue
        counts = resampling.counts(len(values), params.evaluation.bootstrap, params.seed)
        report[name] = float(values.mean())
        report["ci95"][name] = resampling.interval(counts @ values / len(values))
    return report


def example_films(labels: np.ndarray, probability: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of n films drawn by seed: half of each class, and at least one error if there is
    one; healthy films first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    wrong = (probability >= 0.5) != labels
    half = {0: n - n // 2, 1: n // 2}
    drawn = {c: list(order[labels[order] == c][: half[c]]) for c in half}
    errors = order[wrong[order]]
    if len(errors) and not wrong[drawn[0] + drawn[1]].any():
        drawn[int(labels[errors[0]])][-1] = errors[0]
    return np.array(drawn[0] + drawn[1])


if __name__ == "__main__":
    command.run(gradcam)
