"""Sentences about few labels: autoencoder, transfer, label efficiency, latent spaces."""

from chestflow.report.borders import apart, finding, side
from chestflow.wording import between, change, number, percent, runs, scored, signed

LOWER_IS_BETTER = {"mse"}


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
    for other, name in (("mean_image", "the mean image"), ("pca", "PCA with a code as long")):
        signs = set(better_by(test, other).values())
        word = {
            frozenset({1}): "better than",
            frozenset({-1}): "worse than",
            frozenset({0}): "not told apart from",
        }.get(frozenset(signs), "better in some measures and not in others than")
        told.append(f"{word} {name} (PSNR {number(test['psnr'][other], 1)} dB)")
    works = "Yes" if set(better_by(test, "mean_image").values()) == {1} else "No"
    explained = 1 - test["mse"]["autoencoder"] / test["mse"]["mean_image"]
    own = f"PSNR {number(test['psnr']['autoencoder'], 1)} dB"
    return (
        f"{works}: {report['code']} numbers per image keep {percent(explained)} of the variance"
        f" ({own}), {' and '.join(told)}."
    )


def difference(question: dict, key: str, asked: int) -> str:
    """A paired difference as a sentence; asked: number of questions that p was corrected for."""
    entry, label = question[key], {"auroc": "AUROC"}.get(key, key.replace("_", " "))
    a, b = question["run"], question["against"]
    figure = f"{change(entry)}, p = {entry['p_holm']:.3f}"
    return {
        "more": f"`{a}` has the higher {label} than `{b}`: {figure}.",
        "less": f"`{a}` has the lower {label} than `{b}`: {figure}.",
        "hint": f"A hint, not a finding: `{a}` against `{b}` in {label} {figure}; the interval"
        f" leaves zero out, but p does not stand correction for {asked} questions.",
        "none": f"No difference of `{a}` and `{b}` in {label} that {question['n']:,} images could"
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
        "none": f"No difference that {question['n']:,} images could show",
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
        "To see what an encoder knows before it is trained on these images. With its head alone"
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
    beaten: dict[str, str] = {}
    for question in questions:
        a, b = question["run"], question["against"]
        found = finding(question["auroc"])
        if found in ("more", "less"):
            loser = b if found == "more" else a
            beaten.setdefault(loser, signed(-abs(question["auroc"]["difference"])))
    left = [run for run in members if run not in beaten]
    if not beaten:
        return f"No difference that the test images could show between {runs(members)}."
    lost = ", ".join(f"`{run}` falls behind (AUROC {gap})" for run, gap in beaten.items())
    first = f"{runs(left)} {'leads' if len(left) == 1 else 'are not told apart'}"
    return f"{first}; {lost}."


def beats_scratch(questions: list[dict]) -> str:
    """Whether any transfer is better than starting from scratch."""
    said = {"more": "above", "less": "below", "hint": "not clearly apart", "none": "not told apart"}
    by = {kind: [q["run"] for q in questions if finding(q["auroc"]) == kind] for kind in said}
    parts = [f"{runs(by[kind])} {word}" for kind, word in said.items() if by[kind]]
    verdict = "" if by["more"] else " No transfer beats it."
    return f"Beside training from scratch, in AUROC: {'; '.join(parts)}.{verdict}"


def why(questions: list[dict], declared: dict) -> str:
    """What a difference of frozen and trainable encoders means; declared: the runs by name, each
    with its `strategy`."""
    for question in questions:
        pair = [declared[question[key]]["strategy"] for key in ("run", "against")]
        found = finding(question["auroc"])
        if "frozen" not in pair or found == "hint":
            continue
        frozen_first = pair[0] == "frozen"
        if found == "none":
            return (
                "The features that the encoder brought along suffice: to train them further shows"
                " no gain on these images, and costs all the weights instead of the head's few."
            )
        if (found == "less") == frozen_first:
            return (
                "The features that the encoder brought along do not suffice: they were learnt for"
                " another question, and only when they may change do they serve this one."
            )
        return (
            "To train the encoder further spoils what it brought along: many weights fit themselves"
            " to few images, and the head alone is the better choice."
        )
    return "Whether the encoder's features suffice as they came, these images do not decide."


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


def separates_best(reports: dict[str, dict], members: list[str]) -> str:
    """In which of several runs' latent spaces the classes lie furthest apart, by the linear probe:
    the silhouette has no interval."""
    if any(reports[run]["probe_auroc"] is None for run in members):
        return f"How well the classes separate in {runs(members)} is not defined."
    best, *others = sorted(members, key=lambda run: reports[run]["probe_auroc"], reverse=True)
    highest = reports[best]["ci95"]["probe_auroc"]
    less = [r for r in others if apart(highest, reports[r]["ci95"]["probe_auroc"]) == 1]
    equal = [run for run in others if run not in less]
    told = (
        f"Of {runs(members)}, the classes separate most in `{best}`"
        f" (linear probe: AUROC {scored(reports[best], 'probe_auroc')})"
    )
    told += f", not told apart from {runs(equal)}" if equal else ""
    behind = [f"`{run}` ({scored(reports[run], 'probe_auroc')})" for run in less]
    return f"{told}; less in {' and '.join(behind)}." if less else f"{told}."


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
    kept = [pair for pair in kept if declared[pair["b"]]["init"] == pair["a"]]
    told = [
        f"`{pair['b']}` {number(pair['cka'])} (from `{pair['a']}`)"
        for pair in sorted(kept, key=lambda pair: pair["cka"])
    ]
    return f"From the most to the least changed from its start: {', '.join(told)}." if told else ""
