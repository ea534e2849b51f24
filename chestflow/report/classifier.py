"""Sentences about the classifier: its architecture, classes, scores, maps and probabilities."""

from chestflow.report.borders import apart, is_phantom, side
from chestflow.wording import number, percent, runs, scored, with_interval

# AUC and accuracy on PneumoniaMNIST at 28 pixels (Yang et al. 2023).
PUBLISHED_AT = "https://doi.org/10.1038/s41597-022-01721-8"
PUBLISHED = {
    "ResNet-18": (0.944, 0.854),
    "ResNet-50": (0.948, 0.854),
    "auto-sklearn": (0.942, 0.855),
    "AutoKeras": (0.947, 0.878),
    "Google AutoML Vision": (0.991, 0.946),
}


def is_published(caption: str) -> bool:
    """Whether published figures are about this very data."""
    return caption == "PneumoniaMNIST"


def architecture(parameters: int, parts: list[dict]) -> str:
    channels = [str(part["shape"][0]) for part in parts if part["kind"] == "ConvBlock"]
    blocks = f"{len(channels)} convolutional blocks of {', '.join(channels)} channels"
    return f"{parameters:,} trainable parameters: {blocks}, average pooling, one linear layer."


def class_weights(split: dict) -> tuple[float, float]:
    """Weights of the healthy and of the positive images in the loss: n / (2 n_c)."""
    return split["n"] / (2 * split["healthy"]), split["n"] / (2 * split["positive"])


def imbalance(split: dict, positive: str) -> str:
    larger, smaller = sorted((split["healthy"], split["positive"]), reverse=True)
    names = [positive, "healthy"] if split["positive"] == larger else ["healthy", positive]
    weights = dict(zip(("healthy", positive), class_weights(split)))
    if larger / smaller < 1.2:
        state = f"Hardly: {percent(split['prevalence'])} of the training images show {positive}"
    else:
        state = f"{larger / smaller:.1f} {names[0]} images for every {names[1]} one in training"
    told = " and ".join(f"{weights[name]:.3f} for {name}" for name in names)
    return f"{state}; weights of {told} let both classes count the same in the loss."


def shift(train: dict, test: dict, positive: str) -> str:
    """Whether the share of the positive class carries over from training to test."""
    shares = f"{percent(train['prevalence'])} of the training and {percent(test['prevalence'])}"
    if abs(train["prevalence"] - test["prevalence"]) > 0.05:
        return (
            f"The share of {positive} is not the same everywhere: {shares} of the test images."
            " Scores that move with it, accuracy and precision before all, do not carry over from"
            " one split to the other."
        )
    return (
        f"The share of {positive} is about the same in training and test: {shares} of the images."
    )


def guessing(prevalence: float) -> dict[str, tuple[float | None, float | None]]:
    """What each score is by tossing a coin, and by naming every image the larger class."""
    p, positive = prevalence, prevalence >= 0.5
    return {
        "accuracy": (0.5, max(p, 1 - p)),
        "balanced_accuracy": (0.5, 0.5),
        "precision": (p, p if positive else None),
        "recall": (0.5, float(positive)),
        "specificity": (0.5, float(not positive)),
        "f1": (p / (p + 0.5), 2 * p / (1 + p) if positive else 0.0),
        "auroc": (0.5, 0.5),
        "auprc": (p, p),
    }


def against_majority(report: dict) -> str:
    """A run's accuracy beside that of naming every image the larger class."""
    where = {
        1: "above",
        0: "not told apart from",
        -1: "below",
    }[side(report["ci95"]["accuracy"], report["majority_accuracy"])]
    return f"{where} the majority class ({number(report['majority_accuracy'])})"


def not_above_majority(reports: dict[str, dict]) -> str:
    """Which runs' accuracy is not shown to be above naming every image the larger class."""
    below = [
        run
        for run, report in reports.items()
        if side(report["ci95"]["accuracy"], report["majority_accuracy"]) < 1
    ]
    if not below:
        return "The accuracy of every run lies above the majority class, its interval included."
    return f"Not shown to be above the majority class in accuracy: {runs(below)}."


def how_good(report: dict, cells: list[list[int]], positive: str) -> str:
    (_, false_alarms), (missed, _) = cells
    healthy, diseased = map(sum, cells)
    return (
        f"Accuracy {scored(report, 'accuracy')}, {against_majority(report)};"
        f" AUROC {scored(report, 'auroc')}. It misses {missed:,} of {diseased:,} {positive} images"
        f" and raises {false_alarms:,} false alarms on {healthy:,} healthy ones."
    )


def even_handed(report: dict) -> str:
    """Whether both classes are read equally well, which is what the class weights are for."""
    recall, specificity = report["recall"], report["specificity"]
    both = f"recall {scored(report, 'recall')}, specificity {scored(report, 'specificity')}"
    ahead = apart(report["ci95"]["recall"], report["ci95"]["specificity"])
    if ahead == 0:
        return f"Both classes are read about equally well: {both}."
    which = "diseased" if recall > specificity else "healthy"
    return (
        f"The classes are not read equally well: the network is better at {which} images, {both}."
    )


def published(report: dict) -> list[dict]:
    """One row per published system: its figures, and on which side of them this network lies."""
    words = {1: "higher", 0: "not told apart", -1: "lower"}
    return [
        {
            "name": name,
            "auroc": auroc,
            "accuracy": accuracy,
            "auroc_here": words[side(report["ci95"]["auroc"], auroc)],
            "accuracy_here": words[side(report["ci95"]["accuracy"], accuracy)],
        }
        for name, (auroc, accuracy) in PUBLISHED.items()
    ]


def beside_published(report: dict) -> str:
    def told(key: str) -> str:
        here = [row[f"{key}_here"] for row in published(report)]
        parts = [
            f"{words} {here.count(kind)}"
            for kind, words in (
                ("higher", "higher than"),
                ("not told apart", "not told apart from"),
                ("lower", "lower than"),
            )
            if here.count(kind)
        ]
        return ", ".join(parts)

    n = len(PUBLISHED)
    return (
        f"Of the {n} published systems, this network's AUROC is {told('auroc')}; its accuracy is"
        f" {told('accuracy')}."
    )


def is_accuracy_enough(report: dict) -> str:
    majority = number(report["majority_accuracy"])
    gap = abs(report["accuracy"] - report["balanced_accuracy"])
    here = (
        f"here accuracy {number(report['accuracy'])} and balanced accuracy"
        f" {number(report['balanced_accuracy'])}"
    )
    agree = "happen to agree" if gap < 0.02 else "differ"
    if report["majority_accuracy"] < 0.55:
        return (
            f"Nearly, for the classes are about equal (majority class {majority}); {here} {agree}."
        )
    return (
        f"Not alone: naming every image the larger class already scores {majority}; {here} {agree}."
        " Balanced accuracy, AUROC, and recall with specificity say what accuracy hides."
    )


def most_deceptive(reports: dict[str, dict]) -> str:
    """The run whose accuracy says least of how the two classes fare."""
    run = max(reports, key=lambda r: abs(reports[r]["recall"] - reports[r]["specificity"]))
    report = reports[run]
    return (
        f"The clearest case on this page is `{run}`: accuracy {number(report['accuracy'])}, but"
        f" recall {number(report['recall'])} and specificity {number(report['specificity'])}, which"
        f" is a balanced accuracy of {number(report['balanced_accuracy'])}."
    )


def calibration(report: dict) -> str:
    """Whether the probabilities can be taken at their word, and whether Platt scaling helped."""
    n, raw = report["n"], report["further"]["calibration_error"]
    told = f"The calibration error is {with_interval(raw[0], raw[1:])}"
    scaled = report["further"].get("calibrated_calibration_error")
    if scaled is None:
        return f"{told}."
    told += f"; after Platt scaling on the validation images {with_interval(scaled[0], scaled[1:])}"
    verdict = {
        -1: "scaling made the probabilities more honest",
        0: f"no difference that {n:,} images could show",
        1: "scaling made the probabilities worse: validation and test images are not alike",
    }[apart(scaled[1:], raw[1:])]
    return f"{told}: {verdict}."


def shows_the_finding(report: dict) -> bool:
    """Whether a phantom's maps point at the finding more often than both baselines."""
    random = report["random_weights"]["pointing_hits"][0]
    return side(report["ci95"]["pointing_hits"], max(report["chance"], random)) == 1


def maps_trusted(report: dict) -> str:
    """What GradCAM maps are worth: by the true findings where they are known, else by what random
    weights give."""
    if "pointing_hits" not in report:
        return (
            "Where the findings lie is not known for these images, so the maps cannot be checked"
            f" against the truth; {depends_on_weights(report)}."
        )
    low, high = report["ci95"]["pointing_hits"]
    hits = (
        f"{percent(report['pointing_hits'])} [{number(100 * low, 1)}, {number(100 * high, 1)}] of"
        " the maps have their maximum on it"
    )
    beside = (
        f"chance {percent(report['chance'])},"
        f" random weights {percent(report['random_weights']['pointing_hits'][0])}"
    )
    if not shows_the_finding(report):
        return (
            f"They do not show where the finding lies, no better than guessing: {hits} ({beside})."
        )
    return f"They point at the finding as a tendency, not image by image: {hits} ({beside})."


def depends_on_weights(report: dict) -> str:
    """Model randomisation (Adebayo et al. 2018); the borders are Cohen's for small and large."""
    rho, interval = report["rank_correlation"], report["ci95"]["rank_correlation"]
    if rho is None:
        return "whether the maps depend on what was learnt is not defined, for they are empty"
    told = f"rank correlation with the maps of random weights {with_interval(rho, interval)}"
    size = max(map(abs, interval))
    if size < 0.3:
        return (
            f"the maps depend on what was learnt ({told}), which is necessary but proves no truth"
        )
    if size < 0.5:
        return f"the maps depend on what was learnt only in part ({told})"
    return f"much of what the maps show is there without any learning ({told})"


def limits(report: dict) -> str:
    patients = "Phantoms say nothing about patients. " if is_phantom(report["data"]) else ""
    return (
        f"{patients}Each run was trained once: an interval is about {report['n']:,} test images,"
        " not about another training."
    )
