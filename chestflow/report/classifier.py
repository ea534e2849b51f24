"""Sentences about the classifier: its architecture, classes, scores, maps and probabilities."""

from chestflow.report.borders import UNLIKE, apart, is_phantom, side
from chestflow.wording import between, number, percent, runs, scored, signed

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
    if abs(train["prevalence"] - test["prevalence"]) > UNLIKE:
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
    where = side(report["ci95"]["accuracy"], report["majority_accuracy"])
    word = {1: "above", 0: "not told apart from", -1: "below"}[where]
    return f"{word} the majority class ({number(report['majority_accuracy'])})"


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
        said = {"higher": "than", "not told apart": "from", "lower": "than"}
        return ", ".join(f"{k} {word} {here.count(k)}" for k, word in said.items() if k in here)

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


def calibration(report: dict, val: dict, test: dict, positive: str) -> str:
    """Whether Platt scaling is used, and what it did on test; val, test: the splits' counts."""
    scaling, (slope, shift) = report["scaling"], report["calibration"]
    before, after = scaling["val_log_loss"]
    folds = f"the log loss of the validation images in cross-validation ({number(before)} without"
    if not scaling["used"]:
        return f"It is not used here: it did not lower {folds}, {number(after)} with it)."
    side_of_zero = side(scaling["brier_difference"][1:], 0)
    word = {1: "higher", 0: "not distinguishable", -1: "lower"}[side_of_zero]
    told = (
        f"It is used (slope {number(slope)}, shift {number(shift)}), for it lowered {folds},"
        f" {number(after)} with it). On test the squared calibration error is {word} with it:"
        f" paired difference {change_of(scaling)}."
    )
    if abs(val["prevalence"] - test["prevalence"]) > UNLIKE:
        told += (
            f" Scaling carries over the share of {positive} in validation,"
            f" {percent(val['prevalence'])}, but in test it is {percent(test['prevalence'])}."
        )
    return told


def change_of(scaling: dict) -> str:
    """What scaling changed in the Brier score, and so in the squared calibration error."""
    difference, *interval = scaling["brier_difference"]
    return f"{signed(difference, 4)} {between(interval, 4, signed)}"


def shows_the_finding(report: dict) -> bool:
    """Whether a phantom's maps point at the finding more often than chance and than each of the
    networks with random weights."""
    highest = report["random_weights"]["pointing_hits"][2]
    above_chance = side(report["ci95"]["pointing_hits"], report["chance"]) == 1
    return above_chance and highest is not None and report["pointing_hits"] > highest


def maps_trusted(report: dict) -> str:
    """What GradCAM maps are worth: by the true findings where they are known, else by what random
    weights give."""
    if "pointing_hits" not in report:
        return (
            "Where the findings lie is not known for these images, so the maps cannot be checked"
            f" against the truth; {depends_on_weights(report)}."
        )
    shares = [percent(share) for share in report["random_weights"]["pointing_hits"]]
    low, high = report["ci95"]["pointing_hits"]
    hits = (
        f"{percent(report['pointing_hits'])} [{number(100 * low, 1)}, {number(100 * high, 1)}] of"
        f" the maps have their maximum on it (chance {percent(report['chance'])};"
        f" {networks(report)} with random weights: mean {shares[0]}, {shares[1]} to {shares[2]})"
    )
    if not shows_the_finding(report):
        return f"They are not shown to find the finding: {hits}."
    return f"They point at the finding as a tendency, not image by image: {hits}."


def networks(report: dict) -> str:
    return f"{len(report['random_networks']['rank_correlation'])} networks"


def depends_on_weights(report: dict) -> str:
    """Model randomisation (Adebayo et al. 2018): whether the maps are less like those of random
    networks than any of these is like the others."""
    like, (among, low, high) = (
        report["random_weights"][key] for key in ("rank_correlation", "among_themselves")
    )
    if like[0] is None or among is None:
        return "whether the maps depend on what was learnt is not defined, for they are empty"
    told = (
        f"mean rank correlation with the maps of {networks(report)} with random weights"
        f" {number(like[0])}, theirs with one another {number(low)} to {number(high)}"
    )
    if like[0] < low:
        return (
            f"the maps depend on what was learnt ({told}), which is necessary but proves no truth"
        )
    if like[0] > high:
        return f"much of what the maps show is there without any learning ({told})"
    return f"rank correlation does not show that the maps depend on what was learnt ({told})"


def limits(report: dict) -> str:
    patients = "Phantoms say nothing about patients. " if is_phantom(report["data"]) else ""
    return (
        f"{patients}Each run was trained once: an interval is about {report['n']:,} test images,"
        " not about another training."
    )
