"""Whether GradCAM's maps mean anything: pointing game, evidence inside the finding, and how far
they resemble those of random weights."""

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.stats import rankdata

from chestflow.measures import resampling


def rank_correlations(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rho of each pair of (N, H, W) maps: (N,), NaN where a map is constant."""
    a, b = (_centred_ranks(_flat(m)) for m in (maps, others))
    product = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), product, out=np.full(len(a), np.nan), where=product > 0)


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) 1 where a map's maximum lies in the true mask (Zhang et al. 2018), ties sharing; an
    empty map points everywhere, so it scores the mask's share of the image."""
    flat, inside = _flat(maps), _flat(masks)
    top = flat == flat.max(axis=1, keepdims=True)
    return (top & inside).sum(axis=1) / top.sum(axis=1)


def mass_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) share of each map's sum that lies in the mask; of an empty map, the mask's share."""
    flat, inside = _flat(maps), _flat(masks)
    flat = np.where(flat.sum(axis=1, keepdims=True) > 0, flat, 1.0)
    return (flat * inside).sum(axis=1) / flat.sum(axis=1)


def _flat(maps: np.ndarray) -> np.ndarray:
    """(N, H, W) -> (N, H W), even if N is 0, for which reshape cannot infer a length."""
    return maps.reshape(len(maps), math.prod(maps.shape[1:]))


def _centred_ranks(flat: np.ndarray) -> np.ndarray:
    ranks = rankdata(flat, axis=1)
    return ranks - ranks.mean(axis=1, keepdims=True)


LOCALISATION = {"pointing_hits": pointing_hits, "mass_inside": mass_inside}


def score(
    maps: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]],
) -> dict[str, np.ndarray]:
    """Each image's scores. maps: blocks of the trained network's maps (N, H, W), those of the same
    network with random weights, and, of phantoms, the true masks. In blocks, because the maps of
    all images would need more memory than the images."""
    found = defaultdict(list)
    for trained, random, masks in maps:
        scores = {
            "empty_maps": trained.max(axis=(1, 2)) == 0,
            "rank_correlation": rank_correlations(trained, random),
        }
        scores |= {} if masks is None else localisation(trained, random, masks)
        for name, values in scores.items():
            found[name].append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def localisation(maps: np.ndarray, random: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Of the phantom's diseased images, where the truth is known: does the map lie on the finding?

    Each image's scores, what the network with random weights scores, and the chance level, which is
    the finding's share of the image.
    """
    diseased = masks.any(axis=(1, 2))
    maps, random, masks = maps[diseased], random[diseased], masks[diseased]
    return {
        "chance": masks.mean(axis=(1, 2)),
        **{name: measure(maps, masks) for name, measure in LOCALISATION.items()},
        **{f"random_{name}": measure(random, masks) for name, measure in LOCALISATION.items()},
    }


def report(found: dict[str, np.ndarray], resamples: int, seed: int) -> dict:
    """The means of what `score` gave, under `ci95` their 95 % intervals, and, of phantoms, chance
    and random weights beside them."""
    told: dict = {"n": len(found["empty_maps"]), "empty_maps": float(found["empty_maps"].mean())}
    if "chance" in found:
        told |= {
            "n_masks": len(found["chance"]),
            "chance": float(found["chance"].mean()),
            "random_weights": {
                name: [float(found[f"random_{name}"].mean())] for name in LOCALISATION
            },
        }
    told["ci95"] = {}
    for name in ("rank_correlation", *LOCALISATION):
        if name in found:
            told[name], told["ci95"][name] = _mean(found[name], resamples, seed)
    return told


def _mean(values: np.ndarray, resamples: int, seed: int) -> tuple[float, list[float]]:
    """Over the images that have a value."""
    values = values[~np.isnan(values)]
    if not len(values):
        return np.nan, [np.nan, np.nan]
    counts = resampling.counts(len(values), resamples, seed)
    return float(values.mean()), resampling.interval(counts @ values / len(values))


def examples(labels: np.ndarray, probability: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Indices of n images drawn by seed: half of each class, and at least one error if there is
    one; healthy images first."""
    order = np.random.default_rng(seed).permutation(len(labels))
    wrong = (probability >= 0.5) != labels
    half = {0: n - n // 2, 1: n // 2}
    drawn = {c: list(order[labels[order] == c][: half[c]]) for c in half}
    errors = order[wrong[order]]
    if len(errors) and not wrong[drawn[0] + drawn[1]].any():
        drawn[int(labels[errors[0]])][-1] = errors[0]
    return np.array(drawn[0] + drawn[1])
