"""Prior shift: a probability where disease is more or less frequent than where it was fitted."""

import math

import numpy as np

from chestflow.errors import UserError


def shifted(
    probability: np.ndarray | float, share_from: float, share_to: float
) -> np.ndarray | float:
    """Probabilities of disease, moved from images of which the share `share_from` is diseased to
    images of which `share_to` is: the odds of disease change by the factor by which its prior odds
    do (Elkan 2001, theorem 2; Saerens et al. 2002, eq. 4). It holds if only the share differs, and
    diseased images, and healthy ones, look alike in both places. Ranks stay as they are.

    probability: any shape, from 0 to 1. Returns the same shape.
    Raises UserError unless both shares are above 0 and below 1.
    """
    for name, share in (("share_from", share_from), ("share_to", share_to)):
        check(name, share)
    diseased = probability * (share_to / share_from)
    healthy = (1 - probability) * ((1 - share_to) / (1 - share_from))
    return diseased / (diseased + healthy)


def parsed(name: str, text: str) -> float:
    """A share that a user typed; UserError if it is none."""
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    return check(name, share, text)


def check(name: str, share: float, given: object = None) -> float:
    """The share, or a UserError that names what was given if it is not above 0 and below 1."""
    if not 0 < share < 1:  # no number at all (NaN) fails as well
        shown = ascii(given) if isinstance(given, str) else share
        raise UserError(f"{name} = {shown}; accepted: above 0 and below 1, such as 0.3")
    return share
