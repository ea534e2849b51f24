"""The published multi-reader example of Van Dyke et al. (1993): readers are trainings, treatments
are runs, and cases are images. Figures as the R package MRMCaov prints them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from chestflow.metrics import intervals

VANDYKE = Path(__file__).parents[2] / "shared/mrmc/vandyke.csv"

pytestmark = pytest.mark.skipif(not VANDYKE.exists(), reason="needs shared/mrmc/vandyke.csv")


@pytest.fixture(scope="module")
def vandyke() -> tuple[np.ndarray, np.ndarray]:
    """Truth (114,) and ratings (2 treatments, 5 readers, 114 cases)."""
    truth, ratings = np.full(114, -1), np.full((2, 5, 114), np.nan)
    with VANDYKE.open() as file:
        for row in csv.DictReader(file):
            treatment, reader, case = (int(row[key]) - 1 for key in ("treatment", "reader", "case"))
            truth[case], ratings[treatment, reader, case] = int(row["truth"]), float(row["rating"])
    return truth, ratings


@pytest.mark.parametrize(
    ("which", "value", "se", "df", "ci95"),
    [
        ("difference", -0.04380032, 0.0206825, 15.06611, [-0.0878671960, 0.0002665519]),
        (0, 0.8970370, 0.03307642, 12.59597, [0.8253461, 0.9687280]),
        (1, 0.9408374, 0.02150464, 12.56530, [0.8942155, 0.9874592]),
    ],
)
def test_intervals_of_a_treatment_and_of_the_difference(vandyke, which, value, se, df, ci95):
    truth, ratings = vandyke
    one, two = treatments = [intervals.auroc(truth, treatment) for treatment in ratings]
    measured = one - two if which == "difference" else treatments[which]
    readers, cases = intervals.variance_parts(measured)
    mean, own_se = measured.values.mean(), (readers + cases) ** 0.5
    assert (mean, own_se) == (pytest.approx(value, abs=1e-7), pytest.approx(se, abs=5e-8))
    # Degrees of freedom of Hillis (2007); this project takes a weighted mean of two quantiles.
    own_df = 4 * ((readers + cases) / readers) ** 2
    assert own_df == pytest.approx(df, abs=5.1e-6)
    half = stats.t.ppf(0.975, own_df) * own_se
    assert [mean - half, mean + half] == pytest.approx(ci95, abs=5.1e-8)
