"""Prior shift: a probability where disease is more or less frequent than where it was fitted."""

import numpy as np

from chestflow.errors import UserError


def shifted(probability: np.ndarray, share_from: float, share_to: float) -> np.ndarray:
    """Probabilities of disease, moved from images of which the share `share_from` is diseased to
    images of which `share_to` is: the odds of disease change by the factor by which its prior odds
    do (Elkan 2001, theorem 2; Saerens et al. 2002, eq. 4). It holds if only the share differs, and
    diseased images, and healthy ones, look alike in both places. Ranks stay as they are.

    probability: any shape, from 0 to 1. UserError unless both shares are above 0 and below 1.
    """
    for share in (share_from, share_to):
        if not 0 < share < 1:
            raise UserError(f"share = {share}; accepted: above 0 and below 1, such as 0.3")
    diseased = probability * (share_to / share_from)
    healthy = (1 - probability) * ((1 - share_to) / (1 - share_from))
    return diseased / (diseased + healthy)
