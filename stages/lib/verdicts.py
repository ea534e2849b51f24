"""Sentences chosen by figures and their intervals: figures in, words out.

The words that are the same whatever came out stand in the report's template; what a figure decides
is decided here, so that both sides of every border can be tested. An interval is [low, high]; a
figure that is not defined is None, as in the metrics files.
"""

from math import comb

from stages.lib.wording import between, number, percent, runs, scored, signed, with_interval

ALPHA = 0.05  # p-values below it, after correction, count as a difference
LOWER_IS_BETTER = {"mse"}
# AUC and accuracy on PneumoniaMNIST at 28 pixels (Yang et al. 2023).
PUBLISHED_AT = "https://doi.org/10.1038/s41597-022-01721-8"
PUBLISHED = {
    "ResNet-18": (0.944, 0.854),
    "ResNet-50": (0.948, 0.854),
    "auto-sklearn": (0.942, 0.855),
    "AutoKeras": (0.947, 0.878),
    "Google AutoML Vision": (0.991, 0.946),
}

# --------------------------------------------------------------------------------------- borders


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


# ------------------------------------------------------------------ the network, the data, classes


def is_phantom(caption: str) -> bool:
    """Whether a data set's caption, as `data.About` writes it, names a phantom."""
    return caption.endswith(" PHANTOM")


def is_published(caption: str) -> bool:
    """Whether published figures are about this very data."""
    return caption == "PneumoniaMNIST"


def architecture(weights: int, parts: list[dict]) -> str:
    maps = [str(part["shape"][0]) for part in parts if part["kind"] == "ConvBlock"]
    blocks = f"{len(maps)} convolutional blocks of {', '.join(maps)} maps"
    return f"{weights:,} trainable weights: {blocks}, average pooling, one linear layer."


def class_weights(split: dict) -> tuple[float, float]:
    """Weights of the healthy and of the positive films in the loss: n / (2 n_c)."""
    return split["n"] / (2 * split["healthy"]), split["n"] / (2 * split["positive"])


def imbalance(split: dict, positive: str) -> str:
    larger, smaller = sorted((split["healthy"], split["positive"]), reverse=True)
    names = [positive, "healthy"] if split["positive"] == larger else ["healthy", positive]
    weights = dict(zip(("healthy", positive), class_weights(split)))
    if larger / smaller < 1.2:
        state = f"Hardly: {percent(split['prevalence'])} of the training films show {positive}"
    else:
        state = f"{larger / smaller:.1f} {names[0]} films for every {names[1]} one in training"
    told = " and ".join(f"{weights[name]:.3f} for {name}" for name in names)
    return f"{state}; weights of {told} let both classes count the same in the loss."


def shift(train: dict, test: dict, positive: str) -> str:
    """Whether the share of the positive class carries over from training to test."""
    shares = f"{percent(train['prevalence'])} of the training and {percent(test['prevalence'])}"
    if abs(train["prevalence"] - test["prevalence"]) > 0.05:
        return (
            f"The share of {positive} is not the same everywhere: {shares} of the test films."
            " Scores that move with it, accuracy and precision before all, do not carry over from"
            " one split to the other."
        )
    return f"The share of {positive} is about the same in training and test: {shares} of the films."


# ------------------------------------------------------------------------------------ the scores


def guessing(prevalence: float) -> dict[str, tuple[float | None, float | None]]:
    """What each score is by tossing a coin, and by naming every film the larger class."""
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
    """A run's accuracy beside that of naming every film the larger class."""
    where = {
        1: "above",
        0: "not told apart from",
        -1: "below",
    }[side(report["ci95"]["accuracy"], report["majority_accuracy"])]
    return f"{where} the majority class ({number(report['majority_accuracy'])})"


def not_above_majority(reports: dict[str, dict]) -> str:
    """Which runs' accuracy is not shown to be above naming every film the larger class."""
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
        f" AUROC {scored(report, 'auroc')}. It misses {missed:,} of {diseased:,} {positive} films"
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
    return f"The classes are not read equally well: the network is better at {which} films, {both}."


def without_weights(sweep: dict) -> str:
    """What the class weights change, if the sweep has trained with and without them and nothing
    else changed."""
    trained = {str(entry["changes"]): entry for entry in sweep["configurations"]}
    weighted, bare = trained.get("{}"), trained.get(str({"class_weights": False}))
    if not weighted or not bare:
        return "No configuration was trained without the weights, so what they change is not known."
    keys = ("recall", "specificity", "balanced_accuracy")
    told = [
        f"{name} " + ", ".join(f"{key.replace('_', ' ')} {scored(entry, key)}" for key in keys)
        for name, entry in (("with the weights", weighted), ("without them", bare))
    ]
    ahead = apart(*(entry["ci95"]["balanced_accuracy"] for entry in (weighted, bare)))
    verdict = {
        1: "The weights help.",
        0: "One training each does not tell the two apart.",
        -1: "The weights did harm.",
    }[ahead]
    films = f"on the test films of question 5 ({sweep['data']})"
    return f"The sweep has trained both ways, {films}: {'; '.join(told)}. {verdict}"


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
        f"Not alone: naming every film the larger class already scores {majority}; {here} {agree}."
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
    told += f"; after Platt scaling on the validation films {with_interval(scaled[0], scaled[1:])}"
    verdict = {
        -1: "scaling made the probabilities more honest",
        0: f"no difference that {n:,} films could show",
        1: "scaling made the probabilities worse: validation and test films are not alike",
    }[apart(scaled[1:], raw[1:])]
    return f"{told}: {verdict}."


# ------------------------------------------------------------------------------------- the maps


def shows_the_finding(report: dict) -> bool:
    """Whether a phantom's maps point at the finding more often than both yardsticks."""
    random = report["random_weights"]["pointing_hits"][0]
    return side(report["ci95"]["pointing_hits"], max(report["chance"], random)) == 1


def maps_trusted(report: dict) -> str:
    """What GradCAM maps are worth: by the true findings where they are known, else by what random
    weights give."""
    if "pointing_hits" not in report:
        return (
            "Where the findings lie is not known for these films, so the maps cannot be checked"
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
    return f"They point at the finding as a tendency, not film by film: {hits} ({beside})."


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


# ------------------------------------------------------------------------- the best configuration


def best_configuration(sweep: dict) -> str:
    """Which configuration won on validation, and whether its lead on test is more than luck.

    sweep: as in sweep.json, whose `differences` are paired by seed.
    """
    chosen = f"`{sweep['chosen']}`, chosen on validation among {len(sweep['configurations'])}"
    others = [beside_chosen(entry) for entry in sweep["differences"]]
    if not others:
        return f"{chosen}; no other was trained on as many seeds to set beside it."
    return f"{chosen}. Over the seeds its test AUROC is {'; it is '.join(others)}."


def beside_chosen(entry: dict) -> str:
    difference, interval = entry["auroc"]["difference"], entry["auroc"]["ci95"]
    words = {1: "higher than", 0: "not told apart from", -1: "lower than"}[side(interval, 0)]
    figure = f"{signed(difference)} {between(interval, show=signed)}"
    return f"{words} that of `{entry['against']}` ({figure})"


def runner_up(sweep: dict) -> str:
    """How many configurations count as equal on validation, and what test would have chosen."""
    entries = sweep["configurations"]
    highest = max(entry["val_auroc"] for entry in entries)
    equal = sum(highest - entry["val_auroc"] <= sweep["min_delta"] for entry in entries)
    best = max(entries, key=lambda entry: entry["auroc"])
    told = (
        f"{equal} of {len(entries)} configurations lie within {sweep['min_delta']} of the highest"
        f" validation AUROC, {number(highest)}, and count as equal; among these the validation loss"
        " decides."
    )
    if best["name"] == sweep["chosen"]:
        return f"{told} It has the highest test AUROC too, which was not looked at to choose it."
    return (
        f"{told} The highest test AUROC, {number(best['auroc'])}, belongs to `{best['name']}`; to"
        " choose by it would be to train on the test films."
    )


def unlike_sweep(sweep: dict, settings: dict) -> list[str]:
    """Settings of a run that differ from the chosen configuration's, in words."""
    chosen = next((e for e in sweep["configurations"] if e["name"] == sweep["chosen"]), {})
    changes = chosen.get("changes", {})
    return [
        f"{key} {settings[key]} instead of {value}"
        for key, value in changes.items()
        if key in settings and settings[key] != value
    ]


# --------------------------------------------------------------------------------- best weights


def kept_epoch(history: dict[str, list]) -> int:
    """Index of the epoch whose weights were kept: the last that was an improvement."""
    return max(i for i, improved in enumerate(history["improved"]) if improved)


def epoch_kept(history: dict[str, list]) -> str:
    return f"{history['epoch'][kept_epoch(history)]:.0f} of {len(history['epoch'])}"


UNCHOSEN = {
    "last": "those of the last epoch",
    "average": "the mean of those that the last third of the training went through",
}


def kept(history: dict[str, list], settings: dict) -> str:
    """Which weights stay; settings: the `keep` and `min_delta` of the run."""
    i = kept_epoch(history)
    if settings["keep"] in UNCHOSEN:
        return (
            f"Validation chooses none here (`keep = {settings['keep']}`): they are"
            f" {UNCHOSEN[settings['keep']]}, with a validation AUROC of"
            f" {number(history['val_auroc'][i], 4)}."
        )
    scores, losses, epochs = (history[key] for key in ("val_auroc", "val_loss", "epoch"))
    highest = scores.index(max(scores))
    told = (
        f"By their validation score, those of epoch {epoch_kept(history)}:"
        f" AUROC {number(scores[i], 4)}"
    )
    if highest == i:
        return f"{told}, the highest."
    loss = ", and its loss is lower" if losses[i] < losses[highest] else ""
    return (
        f"{told}. Epoch {epochs[highest]:.0f} had {number(scores[highest], 4)}; so close"
        f" (min_delta {settings['min_delta']}) counts as equal{loss}."
    )


def stopped(history: dict[str, list], epochs: int) -> str:
    """Whether patience ended a training; epochs: how many each phase might have had."""
    ran, most = len(history["epoch"]), epochs * int(max(history["phase"]))
    if ran < most:
        return f"Patience ended the training after {ran} of at most {most} epochs."
    return f"The training used all {most} epochs it was given; patience did not end it."


def flattering(report: dict) -> str:
    """Whether the validation score, by which the weights were chosen, holds on test."""
    told = (
        f"Validation AUROC of the kept weights {number(report['val_auroc'])}, test"
        f" {scored(report, 'auroc')}"
    )
    return {
        1: f"{told}: test is even higher.",
        0: f"{told}: the validation score holds.",
        -1: f"{told}: validation flatters, because the weights were chosen by it or because the"
        " test films are of another kind.",
    }[side(report["ci95"]["auroc"], report["val_auroc"])]


# -------------------------------------------------------------------------------- the autoencoder


def better_by(test: dict, other: str) -> dict[str, int]:
    """By measure: 1 where the autoencoder is better than another method, their intervals apart, -1
    where it is worse, 0 where they overlap."""
    return {
        measure: apart(by_method["autoencoder"], by_method[other])
        * (-1 if measure in LOWER_IS_BETTER else 1)
        for measure, by_method in test["ci95"].items()
    }


def reconstructs(report: dict) -> str:
    test, told = report["test"], []
    for other, name in (("mean_film", "the mean film"), ("pca", "PCA with a code as long")):
        signs = set(better_by(test, other).values())
        word = {
            frozenset({1}): "better than",
            frozenset({-1}): "worse than",
            frozenset({0}): "not told apart from",
        }.get(frozenset(signs), "better in some measures and not in others than")
        told.append(f"{word} {name} (PSNR {number(test['psnr'][other], 1)} dB)")
    works = "Yes" if set(better_by(test, "mean_film").values()) == {1} else "No"
    explained = 1 - test["mse"]["autoencoder"] / test["mse"]["mean_film"]
    own = f"PSNR {number(test['psnr']['autoencoder'], 1)} dB"
    return (
        f"{works}: {report['code']} numbers per film keep {percent(explained)} of the variance"
        f" ({own}), {' and '.join(told)}."
    )


# ------------------------------------------------------------------------- differences, transfer


def difference(question: dict, key: str, asked: int) -> str:
    """A paired difference as a sentence; asked: number of questions that p was corrected for."""
    entry, label = question[key], {"auroc": "AUROC"}.get(key, key.replace("_", " "))
    a, b = question["run"], question["against"]
    figure = (
        f"{signed(entry['difference'])} {between(entry['ci95'], show=signed)},"
        f" p = {entry['p_holm']:.3f}"
    )
    return {
        "more": f"`{a}` has the higher {label} than `{b}`: {figure}.",
        "less": f"`{a}` has the lower {label} than `{b}`: {figure}.",
        "hint": f"A hint, not a finding: `{a}` against `{b}` in {label} {figure}; the interval"
        f" leaves zero out, but p does not stand correction for {asked} questions.",
        "none": f"No difference of `{a}` and `{b}` in {label} that {question['n']:,} films could"
        f" show: {figure}.",
    }[finding(entry)]


def did_it_help(question: dict) -> str:
    """The short answer to whether a start helped, by the AUROC."""
    entry = question["auroc"]
    word = {
        "more": "Yes",
        "less": "No, it did harm",
        "hint": "Not shown; there is a hint that it "
        + ("helped" if entry["difference"] > 0 else "did harm"),
        "none": f"No difference that {question['n']:,} films could show",
    }[finding(entry)]
    return (
        f"{word}: difference of AUROC {signed(entry['difference'])}"
        f" {between(entry['ci95'], show=signed)}, p = {entry['p_holm']:.3f} (Holm)."
    )


def frozen_shows(run: str, scores: dict[str, dict], questions: list[dict]) -> str:
    """What a head on a frozen encoder reaches; questions: about runs from scratch."""
    report, against = scores[run], [q for q in questions if q["run"] == run]
    word = {1: "above", 0: "not told apart from", -1: "below"}[side(report["ci95"]["auroc"], 0.5)]
    told = (
        "To see what an encoder knows before it is trained on these films. With its head alone"
        f" trained, `{run}` reaches AUROC {scored(report, 'auroc')}, {word} chance (0.5)"
    )
    for question in against:
        beside = {
            "less": "below",
            "more": "above",
            "hint": "not clearly apart from",
            "none": "not told apart from",
        }[finding(question["auroc"])]
        told += f" and {beside} `{question['against']}`, trained from scratch"
    return f"{told}."


def best_strategy(questions: list[dict]) -> str:
    """Which of several runs, compared in pairs, no other was found to beat in AUROC."""
    members = dict.fromkeys(run for q in questions for run in (q["run"], q["against"]))
    beaten = {}
    for question in questions:
        a, b = question["run"], question["against"]
        found = finding(question["auroc"])
        if found in ("more", "less"):
            loser = b if found == "more" else a
            beaten.setdefault(loser, signed(-abs(question["auroc"]["difference"])))
    left = [run for run in members if run not in beaten]
    if not beaten:
        return f"No difference that the test films could show between {runs(members)}."
    lost = ", ".join(f"`{run}` falls behind (AUROC {gap})" for run, gap in beaten.items())
    first = f"{runs(left)} {'leads' if len(left) == 1 else 'are not told apart'}"
    return f"{first}; {lost}."


def beats_scratch(questions: list[dict]) -> str:
    """Whether any transfer is better than starting from scratch."""
    by = {
        kind: [q["run"] for q in questions if finding(q["auroc"]) == kind]
        for kind in ("more", "less", "hint", "none")
    }
    parts = [
        f"{runs(by[kind])} {words}"
        for kind, words in (
            ("more", "above"),
            ("less", "below"),
            ("hint", "not clearly apart"),
            ("none", "not told apart"),
        )
        if by[kind]
    ]
    verdict = "" if by["more"] else " No transfer beats it."
    return f"Beside training from scratch, in AUROC: {'; '.join(parts)}.{verdict}"


def why(questions: list[dict], declared: dict) -> str:
    """What a difference of frozen and trainable encoders means; declared: the runs by name, each
    with its `strategy`."""
    for question in questions:
        pair = [declared[question[key]].strategy for key in ("run", "against")]
        found = finding(question["auroc"])
        if "frozen" not in pair or found == "hint":
            continue
        frozen_first = pair[0] == "frozen"
        if found == "none":
            return (
                "The features that the encoder brought along suffice: to train them further shows"
                " no gain on these films, and costs all the weights instead of the head's few."
            )
        if (found == "less") == frozen_first:
            return (
                "The features that the encoder brought along do not suffice: they were learnt for"
                " another question, and only when they may change do they serve this one."
            )
        return (
            "To train the encoder further spoils what it brought along: many weights fit themselves"
            " to few films, and the head alone is the better choice."
        )
    return "Whether the encoder's features suffice as they came, these films do not decide."


# ---------------------------------------------------------------------- curves over the labels


def curve(rows: list[dict]) -> list[str]:
    """One sentence per number of labels, ascending: the best start beside training from scratch.

    rows: of one data set, as in efficiency.json; apart are two starts whose seeds do not overlap.
    """
    told = []
    for labels in sorted({row["labels"] for row in rows}):
        here = [row for row in rows if row["labels"] == labels]
        best = max(here, key=lambda row: row["auroc"])
        scratch = next((row for row in here if row["start"].startswith("scratch")), None)
        told.append(f"with {labels:,} labels, {_leader(best, scratch, len(here))}")
    return told


def _leader(best: dict, scratch: dict | None, n: int) -> str:
    if scratch is None or n == 1:
        return f"{_start(best)} reaches {_range(best)}."
    if best is scratch:
        return f"no start is higher than training from scratch, {_range(scratch)}."
    told = f"{_start(best)} is highest, {_range(best)}; from scratch {_range(scratch)}"
    if best["seeds"] == 1:
        return f"{told}; with one seed, nothing says how much of that is luck."
    if best["lowest"] > scratch["highest"]:
        return f"{told}: every seed of it lies above."
    return f"{told}: the seeds overlap."


def _range(row: dict) -> str:
    if row["seeds"] == 1:
        return number(row["auroc"])
    return f"{number(row['auroc'])} ({number(row['lowest'])} to {number(row['highest'])})"


def _start(row: dict) -> str:
    init, strategy = row["start"].split(", ")
    return f"`{init}` ({strategy})"


def repeated(rows: list[dict], labels: int, init: str) -> str:
    """What the seeds of the curves say of a start beside scratch at a number of labels; nothing
    where the curves do not hold it."""
    by_init = {row["start"].split(", ")[0]: row for row in rows if row["labels"] == labels}
    if not {init, "scratch"} <= by_init.keys() or by_init[init]["seeds"] == 1:
        return ""
    row, scratch = by_init[init], by_init["scratch"]
    if row["lowest"] > scratch["highest"]:
        word = "every seed lies above"
    elif row["highest"] < scratch["lowest"]:
        word = "every seed lies below"
    else:
        word = "the seeds overlap"
    return (
        f"Over {row['seeds']} seeds of the label-efficiency curve, AUROC {_range(row)} against"
        f" {_range(scratch)} from scratch: {word}."
    )


def by_luck(seeds: int) -> str:
    """How often all seeds of one start lie above all of another's though nothing differs."""
    return f"1 in {comb(2 * seeds, seeds):,}"


# -------------------------------------------------------------------------------- latent spaces


def separates_best(reports: dict[str, dict], members: list[str]) -> str:
    """In which of several runs' latent spaces the classes lie furthest apart, by the silhouette."""
    if any(reports[run]["silhouette"] is None for run in members):
        return f"How well the classes separate in {runs(members)} is not defined."
    order = sorted(members, key=lambda run: reports[run]["silhouette"], reverse=True)
    best, others = order[0], order[1:]
    less = {
        r
        for r in others
        if apart(reports[best]["ci95"]["silhouette"], reports[r]["ci95"]["silhouette"]) == 1
    }
    alike = [run for run in others if run not in less]
    told = (
        f"Of {runs(members)}, the classes separate most in `{best}`"
        f" (silhouette {scored(reports[best], 'silhouette')})"
    )
    if alike:
        told += f", not told apart from {runs(alike)}"
    if less:
        clearly = [
            f"`{run}` ({scored(reports[run], 'silhouette')})" for run in others if run in less
        ]
        told += f"; less in {' and '.join(clearly)}"
    return f"{told}."


def alike(cka: float | None) -> str:
    """How alike two latent spaces are, in words; the borders are this page's own."""
    if cka is None:
        return "not defined"
    if cka > 0.9995:
        return "the same"
    if cka > 0.9:
        return "nearly the same"
    return "alike in part" if cka > 0.5 else "hardly alike"


def moved(pairs: list[dict], declared: dict) -> str:
    """How much of its start's latent space each run kept; pairs: a, b and cka, as in
    comparison.json; declared: the runs by name, each with its `init`."""
    kept = [pair for pair in pairs if pair["b"] in declared and pair["cka"] is not None]
    kept = [pair for pair in kept if declared[pair["b"]].init == pair["a"]]
    told = [
        f"`{pair['b']}` {number(pair['cka'])} (from `{pair['a']}`)"
        for pair in sorted(kept, key=lambda pair: pair["cka"])
    ]
    return f"From the most to the least changed from its start: {', '.join(told)}." if told else ""


# --------------------------------------------------------------------------------------- limits


def limits(report: dict) -> str:
    patients = "Phantoms say nothing about patients. " if is_phantom(report["data"]) else ""
    return (
        f"{patients}Each run was trained once: an interval is about {report['n']:,} test films, not"
        " about another training."
    )
