"""Sentences about the choice of a configuration and of an epoch."""

from chestflow.core.history import kept_epoch
from chestflow.report.borders import apart, side
from chestflow.wording import between, number, scored, signed


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
    images = f"on the test images of question 5 ({sweep['data']})"
    return f"The sweep has trained both ways, {images}: {'; '.join(told)}. {verdict}"


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
        " choose by it would be to train on the test images."
    )


def unlike_sweep(sweep: dict, settings: dict) -> list[str]:
    """Settings of a run that differ from the chosen configuration's, in words."""
    chosen: dict = next((e for e in sweep["configurations"] if e["name"] == sweep["chosen"]), {})
    changes = chosen.get("changes", {})
    return [
        f"{key} {settings[key]} instead of {value}"
        for key, value in changes.items()
        if key in settings and settings[key] != value
    ]


def epoch_kept(history: dict[str, list]) -> str:
    return f"{history['epoch'][kept_epoch(history['improved'])]:.0f} of {len(history['epoch'])}"


UNCHOSEN = {
    "last": "those of the last epoch",
    "average": "the mean of those that the last third of the training went through",
}


def kept(history: dict[str, list], settings: dict) -> str:
    """Which weights stay; settings: the `keep` and `min_delta` of the run."""
    i = kept_epoch(history["improved"])
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
        " test images are of another kind.",
    }[side(report["ci95"]["auroc"], report["val_auroc"])]
