"""Tests of GradCAM's maps: pointing game, evidence inside the finding, and comparison with networks
with random weights."""

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from scipy.stats import rankdata

from chestflow.metrics import intervals


def rank_correlations(maps: np.ndarray) -> np.ndarray:
    """Spearman's rho between all pairs of M maps of the same image: (M, N, H, W) -> (N, M, M), NaN
    where a map is constant."""
    flat = maps.reshape(*maps.shape[:2], math.prod(maps.shape[2:])).swapaxes(0, 1)
    ranks = rankdata(flat, axis=2)
    ranks -= ranks.mean(axis=2, keepdims=True)
    length = np.linalg.norm(ranks, axis=2, keepdims=True)
    unit = np.divide(ranks, length, out=np.full_like(ranks, np.nan), where=length > 0)
    return unit @ unit.swapaxes(1, 2)


def pointing_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(N,) 1 if a map's maximum lies in the true mask, else 0 (Zhang et al. 2018); of tied maxima,
    the share that does. So an empty map scores the mask's share of the image."""
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


LOCALISATION = {"pointing_hits": pointing_hits, "mass_inside": mass_inside}


def score(maps: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> dict[str, np.ndarray]:
    """Each image's scores. maps: blocks of a network's maps (N, H, W) and, of phantoms, the true
    masks. In blocks, because the maps of all images would need more memory than the images."""
    values = defaultdict(list)
    for block, masks in maps:
        scores = {"empty_maps": block.max(axis=(1, 2)) == 0}
        scores |= {} if masks is None else localisation(block, masks)
        for name, each in scores.items():
            values[name].append(each)
    return {name: np.concatenate(blocks) for name, blocks in values.items()}


def localisation(maps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Of the phantom's diseased images, where the truth is known: does the map lie on the finding?
    Each image's scores, and the chance level, which is the finding's share of the image."""
    diseased = masks.any(axis=(1, 2))
    maps, masks = maps[diseased], masks[diseased]
    scores = {name: measure(maps, masks) for name, measure in LOCALISATION.items()}
    return {"chance": masks.mean(axis=(1, 2)), **scores}


def beside_random(
    maps: Iterable[tuple[np.ndarray, np.ndarray | None]],
) -> dict[str, np.ndarray]:
    """Scores of R networks with random weights on the same images, (R,) each. A single one may hit
    the finding never or in four of ten images, so only the range of many is a baseline.

    maps: blocks of (1 + R, N, H, W), the trained network's first, and, of phantoms, the masks.
    rank_correlation: of a network's maps with the trained one's; among_themselves: with those of
    the other random networks; the scores of `localisation`, where the truth is known.
    """
    pairs, located = [], defaultdict(list)
    for networks, masks in maps:
        pairs.append(rank_correlations(networks))
        if masks is not None:
            scored = [localisation(network, masks) for network in networks[1:]]
            for name in LOCALISATION:
                located[name].append(np.stack([scores[name] for scores in scored]))
    alike = _defined_mean(np.concatenate(pairs), axis=0)
    np.fill_diagonal(alike, np.nan)  # with itself
    return {
        "rank_correlation": alike[0, 1:],
        "among_themselves": _defined_mean(alike[1:, 1:], axis=1),
        **{name: _defined_mean(np.hstack(blocks), axis=1) for name, blocks in located.items()},
    }


def _defined_mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean without NaN; NaN, without a warning, if there is nothing else."""
    return np.ma.masked_invalid(values).mean(axis=axis).filled(np.nan)


def report(scores: dict[str, np.ndarray], random: dict[str, np.ndarray]) -> dict:
    """The means of the scores from `score`; `ci95`: their 95 % intervals over images, for this
    training alone; `random_weights`: mean, lowest and highest score of the random networks;
    `random_networks`: the score of each (without intervals, since networks differ, not images)."""
    summary: dict = {
        "n": len(scores["empty_maps"]),
        "empty_maps": float(scores["empty_maps"].mean()),
    }
    summary |= {
        "random_weights": {name: mean_and_range(values) for name, values in random.items()},
        "random_networks": {name: values.tolist() for name, values in random.items()},
    }
    if "chance" in scores:
        summary |= {"n_masks": len(scores["chance"]), "chance": float(scores["chance"].mean())}
        estimates = {n: intervals.estimate(intervals.mean(scores[n][None])) for n in LOCALISATION}
        summary |= {name: estimate["value"] for name, estimate in estimates.items()}
        summary["ci95"] = {name: estimate["ci95"] for name, estimate in estimates.items()}
    return summary


def mean_and_range(values: np.ndarray) -> list[float]:
    """Mean, lowest and highest value, without NaN."""
    defined = values[~np.isnan(values)]
    return [float(f(defined)) for f in (np.mean, np.min, np.max)] if len(defined) else [np.nan] * 3


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
