"""Made-up figures for the tests of the report's sentences."""


def scores(**given) -> dict:
    """A run's metrics file, as far as the sentences read it; an interval is ± 0.02."""
    values = {
        "accuracy": 0.9,
        "balanced_accuracy": 0.9,
        "recall": 0.9,
        "specificity": 0.9,
        "auroc": 0.95,
        "probe_auroc": 0.8,
    } | {key: value for key, value in given.items() if isinstance(value, float)}
    ci95 = {key: [value - 0.02, value + 0.02] for key, value in values.items()}
    rest = {"data": "Samples", "n": 624, "majority_accuracy": 0.625, "val_auroc": 0.95}
    return values | {"ci95": ci95} | rest | given


def question(difference: float, low: float, high: float, p: float, run="a", against="b") -> dict:
    entry = {"difference": difference, "ci95": [low, high], "p_holm": p}
    both = {"auroc": entry, "balanced_accuracy": entry}
    return {"run": run, "against": against, "n": 624, **both}


MORE = question(0.05, 0.01, 0.09, 0.01)
LESS = question(-0.05, -0.09, -0.01, 0.01)
HINT = question(0.05, 0.01, 0.09, 0.06)
NONE = question(0.01, -0.03, 0.05, 0.6)
