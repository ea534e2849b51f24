"""Stage: explain one run's decisions with GradCAM, and measure whether the maps mean anything."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from stages.lib import command, data, explanation, figures, model, resampling, runtime, tables
from stages.lib.parameters import Params

LOCALISATION = {
    "pointing_hits": explanation.pointing_hits,
    "mass_inside": explanation.mass_inside,
}


def gradcam(
    run: str, params: Params, films: Path, weights: Path, metrics: Path, plot: Path
) -> None:
    device, about = runtime.prepare(params.threads), data.read_about(films)
    classifier, test = model.load_classifier(weights).to(device), data.read(films, "test")
    images = torch.from_numpy(test.images).to(device)
    layer, wanted = params.gradcam.layer, params.gradcam.films
    networks = classifier, explanation.reinitialised(classifier, params.seed)
    found = explain(networks, layer, images, test.masks if about.is_phantom else None)
    report = {"n": len(images), "empty_maps": float(found["empty_maps"].mean())}
    report |= beside(found) if about.is_phantom else {}
    scores = {name: found[name] for name in ("rank_correlation", *LOCALISATION) if name in found}
    report |= means_with_intervals(scores, params)
    tables.write_json(metrics, {"data": about.caption(), **report})
    probability = model.probabilities(classifier, images)
    shown = example_films(test.labels, probability, wanted, params.seed)
    maps = [explanation.grad_cams(classifier, layer, images[shown], target) for target in (0, 1)]
    figures.save(figures.gradcam(test[shown], probability[shown], maps, about, run), plot)
    print(f"gradcam: {run}: {len(images)} films explained, {about.caption()}")


def explain(
    networks: tuple[model.Classifier, model.Classifier],
    layer: str,
    images: torch.Tensor,
    masks: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Each film's scores, and, with masks, those of `localisation`.

    networks: the trained one, and the same with random weights; masks: (N, H, W), of a phantom.
    A block of films at a time, for the maps of all would need more memory than the films.
    """
    found = defaultdict(list)
    for block in data.blocks(images):
        maps, random_maps = (
            explanation.grad_cams(network, layer, images[block], target=1) for network in networks
        )
        scores = {
            "empty_maps": maps.max(axis=(1, 2)) == 0,
            "rank_correlation": explanation.rank_correlations(maps, random_maps),
        }
        scores |= {} if masks is None else localisation(maps, random_maps, masks[block])
        for name, values in scores.items():
            found[name].append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def localisation(
    maps: np.ndarray, random_maps: np.ndarray, masks: np.ndarray
) -> dict[str, np.ndarray]:
    """Of the phantom's diseased films, where the truth is known: does the map lie on the finding?

    Each film's scores, what the network with random weights scores, and the chance level, which is
    the finding's share of the film.
    """
    diseased = masks.any(axis=(1, 2))
    maps, random_maps, masks = maps[diseased], random_maps[diseased], masks[diseased]
    return {
        "chance": masks.mean(axis=(1, 2)),
        **{name: measure(maps, masks) for name, measure in LOCALISATION.items()},
        **{f"random_{name}": measure(random_maps, masks) for name, measure in LOCALISATION.items()},
    }


def beside(found: dict[str, np.ndarray]) -> dict:
    """What stands beside the means of `localisation`'s scores."""
    return {
        "n_masks": len(found["chance"]),
        "chance": float(found["chance"].mean()),
        "random_weights": {name: [float(found[f"random_{name}"].mean())] for name in LOCALISATION},
    }


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
