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


USED, REACTS, NO_SIGN = "used as a shortcut", "reacts, but no shortcut", "no sign"


def framing(audit: dict) -> str:
    """Whether a run uses the framing of the images, by the intervals of its audit.

    audit: a file of data/framing. A run *reacts* to the framing if zooming one class of the test
    images lowers the AUROC, and lowers it more than zooming the other does: zooming any image could
    merely make it harder to read. The framing is *used as a shortcut* if, besides, it can be: the
    outermost pixels alone beat chance on validation, whose images are like those it learnt from.
    """
    test = audit["test"]
    asymmetry = of_difference(test["asymmetry"])
    if asymmetry == UNKNOWN or of_difference(test["difference"][misled(audit)]) != LOWER:
        return NO_SIGN
    return USED if tells_the_class(audit) else REACTS


def misled(audit: dict) -> str:
    """The class, "healthy" or "diseased", whose zooming lowers the AUROC more."""
    return "diseased" if (audit["test"]["asymmetry"]["difference"] or 0) < 0 else "healthy"


def tells_the_class(audit: dict) -> bool:
    """Whether the outermost pixels alone beat chance on validation images."""
    return _by_interval(audit["ring"]["val"][1:], 0.5) == HIGHER


def _by_interval(bounds: list, reference: float | None) -> str:
    low, high = bounds
    if None in (low, high, reference):
        return UNKNOWN
    return HIGHER if low > reference else LOWER if high < reference else UNKNOWN
