"""The four verdicts on a comparison: equal within a margin, higher, lower, not distinguishable.
Every conclusion of the report comes from one of the functions below."""

from chestflow.formatting import MARGIN

HIGHER, LOWER, UNKNOWN = "higher", "lower", "not distinguishable"
EQUAL = f"equal within {MARGIN}"
THAN = {HIGHER: "higher than", LOWER: "lower than", UNKNOWN: "not distinguishable from"}
THAN[EQUAL] = f"{EQUAL} to"
HELPS = {HIGHER: "Yes", LOWER: "No, it harms", UNKNOWN: "It cannot be told"}  # does it help?
HELPS[EQUAL] = "No, it makes no difference that matters"


def against(report: dict, key: str, reference: float | None) -> str:
    """A score of a record against a fixed number, such as chance: by the score's interval."""
    return _by_interval(report["ci95"][key], reference)


def paired(entry: dict) -> str:
    """A difference on the same images, by its interval, after correction if it is one of several
    tests. Equal if all of the interval is within +-MARGIN, even if it leaves out 0: at least as
    strict as two one-sided tests at 5 % (Schuirmann 1987).

    entry: ci95_holm, or ci95 alone, as in data/comparison.json.
    """
    low, high = entry.get("ci95_holm", entry["ci95"])
    if None not in (low, high) and max(-low, high) < MARGIN:
        return EQUAL
    return _by_interval([low, high], 0)


def of_difference(entry: dict) -> str:
    """A difference in a unit of its own, such as dB: by its interval, without a margin."""
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
