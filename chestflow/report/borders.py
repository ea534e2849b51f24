"""Where a difference begins: borders between figures and words. An interval is [low, high]; a
figure that is not defined is None, as in the metrics files."""

from math import comb

ALPHA = 0.05  # p-values below it, after correction, count as a difference
UNLIKE = 0.05  # shares of a class further apart differ between two splits


def side(interval: list, reference: float | None) -> int:
    """1 where a whole interval lies above a reference, -1 where below, 0 where it cannot be told
    or is not defined."""
    if None in (*interval, reference):
        return 0
    return int(interval[0] > reference) - int(interval[1] < reference)


def apart(a: list, b: list) -> int:
    """1 where interval a lies wholly above b, -1 where below, 0 where they overlap."""
    if None in (*a, *b):
        return 0
    return int(a[0] > b[1]) - int(a[1] < b[0])


def finding(entry: dict) -> str:
    """What a paired difference shows: "more" or "less" where its corrected p is below ALPHA, "hint"
    where only its own interval leaves zero out, "none" otherwise.

    entry: difference, ci95 and p_holm, as in comparison.json.
    """
    if entry["p_holm"] < ALPHA:
        return "more" if entry["difference"] > 0 else "less"
    return "hint" if side(entry["ci95"], 0) else "none"


def smallest_p(resamples: int, questions: int) -> float:
    """The smallest corrected p that a bootstrap can give: no resample lies on the other side."""
    return min(1.0, questions * 2 / (resamples + 1))


def by_luck(seeds: int) -> str:
    """How often all seeds of one start lie above all of another's though nothing differs."""
    return f"1 in {comb(2 * seeds, seeds):,}"


def is_phantom(caption: str) -> bool:
    """Whether a data set's caption, as `captions.marked` writes it, names a phantom."""
    return caption.endswith(" PHANTOM")
