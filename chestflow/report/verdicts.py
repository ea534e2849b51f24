"""The words in which a comparison ends: every conclusion of the report comes from here."""

from chestflow.formatting import MARGIN

HIGHER, LOWER, UNKNOWN = "higher", "lower", "not distinguishable"
EQUAL = f"equal within {MARGIN}"
THAN = {HIGHER: "higher than", LOWER: "lower than", UNKNOWN: "not distinguishable from"}
THAN[EQUAL] = f"{EQUAL} to"
HELPS = {HIGHER: "Yes", LOWER: "No, it harms", UNKNOWN: "It cannot be told"}  # does it help?
HELPS[EQUAL] = "No, it makes no difference that matters"


def by_interval(bounds: list, reference: float = 0) -> str:
    """A score or a difference beside a fixed number, such as chance: by its 95 % interval."""
    low, high = bounds
    if None in (low, high):
        return UNKNOWN
    return HIGHER if low > reference else LOWER if high < reference else UNKNOWN


def of_difference(entry: dict) -> str:
    """A difference that is not tested, or has a unit of its own, such as dB: without a margin."""
    return by_interval(entry["ci95"])


def paired(entry: dict) -> str:
    """A tested difference, by its corrected interval. Equal if all of it is within +-MARGIN, even
    if it leaves out 0: at least as strict as two one-sided tests at 5 % (Schuirmann 1987)."""
    low, high = entry["ci95_holm"]
    if None not in (low, high) and max(-low, high) < MARGIN:
        return EQUAL
    return by_interval([low, high])


USED, REACTS, NO_SIGN = "used as a shortcut", "reacts, but no shortcut", "no sign"


def framing(audit: dict) -> str:
    """Whether a run uses the framing of the images. audit: a file of data/framing.

    A run *reacts* if zooming one class of the test images lowers the AUROC, and lowers it more than
    zooming the other does: zooming any image could merely make it harder to read. The framing is
    *used as a shortcut* if, besides, it can be: the outermost pixels alone beat chance on
    validation, whose images are like those it learnt from.
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
    return by_interval(audit["ring"]["val"][1:], 0.5) == HIGHER
