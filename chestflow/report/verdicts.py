"""The three verdicts on a comparison: higher, lower, not distinguishable. Every conclusion of the
report comes from one of the functions below."""

from math import hypot

ALPHA = 0.05  # of the p-value of a pair, after correction; intervals are 95 % intervals
HIGHER, LOWER, UNKNOWN = "higher", "lower", "not distinguishable"
THAN = {HIGHER: "higher than", LOWER: "lower than", UNKNOWN: "not distinguishable from"}


def against(report: dict, key: str, reference: float | None) -> str:
    """A score of a metrics file against a fixed number, such as chance: by the score's interval."""
    return _by_interval(report["ci95"][key], reference)


def between(report: dict, a: str, b: str) -> str:
    """Score a against score b, which is of other images: by the interval of their difference, from
    both intervals as of independent errors."""
    (low_a, high_a), (low_b, high_b) = report["ci95"][a], report["ci95"][b]
    if None in (low_a, high_a, low_b, high_b):
        return UNKNOWN
    difference = report[a] - report[b]
    if difference > hypot(report[a] - low_a, high_b - report[b]):
        return HIGHER
    return LOWER if -difference > hypot(high_a - report[a], report[b] - low_b) else UNKNOWN


def paired(entry: dict) -> str:
    """A difference on the same images: by its p-value after correction.

    entry: difference and p_holm, as in metrics/comparison.json.
    """
    if entry["p_holm"] is None or entry["p_holm"] >= ALPHA:
        return UNKNOWN
    return HIGHER if entry["difference"] > 0 else LOWER


def of_difference(entry: dict) -> str:
    """A difference that is not tested: by its interval."""
    return _by_interval(entry["ci95"], 0)


def _by_interval(bounds: list, reference: float | None) -> str:
    low, high = bounds
    if None in (low, high, reference):
        return UNKNOWN
    return HIGHER if low > reference else LOWER if high < reference else UNKNOWN
