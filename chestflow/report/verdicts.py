"""Estimates, and the three words that a comparison of estimates can end in. Everything that the
report concludes, it concludes by one of the functions below."""

from dataclasses import dataclass
from math import hypot

ALPHA = 0.05  # of the p-value of a pair, after correction; intervals are 95 % intervals
HIGHER, LOWER, UNKNOWN = "higher", "lower", "not distinguishable"
THAN = {HIGHER: "higher than", LOWER: "lower than", UNKNOWN: "not distinguishable from"}


@dataclass(frozen=True)
class Estimate:
    """A score of a run: its mean over the trainings, and its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int  # test images
    trainings: int

    @property
    def defined(self) -> bool:
        return None not in (self.value, self.low, self.high)


def of(report: dict, key: str) -> Estimate:
    """The estimate of a score in a metrics file."""
    low, high = report["ci95"][key]
    return Estimate(report[key], low, high, report["n"], report["trainings"])


def beside(estimate: Estimate, reference: float | None) -> str:
    """Where an estimate lies beside a fixed figure, such as chance: by its interval."""
    if not estimate.defined or reference is None:
        return UNKNOWN
    low, high = estimate.low, estimate.high
    return HIGHER if low > reference else LOWER if high < reference else UNKNOWN  # type: ignore


def unpaired(a: Estimate, b: Estimate) -> str:
    """Where a lies beside b, of other images: by the interval of their difference, whose halves add
    up as independent errors do."""
    if not (a.defined and b.defined):
        return UNKNOWN
    ahead, behind = (a, b) if a.value > b.value else (b, a)  # type: ignore[operator]
    reach = hypot(ahead.value - ahead.low, behind.high - behind.value)  # type: ignore[operator]
    if ahead.value - behind.value <= reach:  # type: ignore[operator]
        return UNKNOWN
    return HIGHER if ahead is a else LOWER


def paired(entry: dict) -> str:
    """What a difference on the same images shows: by its p-value after correction.

    entry: difference and p_holm, as in metrics/comparison.json.
    """
    if entry["p_holm"] is None or entry["p_holm"] >= ALPHA:
        return UNKNOWN
    return HIGHER if entry["difference"] > 0 else LOWER


def beside_zero(difference: dict) -> str:
    """What a difference outside of the tests shows: by its interval."""
    low, high = difference["ci95"]
    if None in (low, high):
        return UNKNOWN
    return HIGHER if low > 0 else LOWER if high < 0 else UNKNOWN
