"""Training: what is frozen, which weights are kept, what more epochs change, and that it learns."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from chestflow.data import arrays
from chestflow.errors import UserError
from chestflow.metrics import intervals
from chestflow.models.cnn import Classifier
from chestflow.models.inference import probabilities, standardise
from chestflow.training import averaging, batches, classifier, early_stopping, freezing, losses

CPU = torch.device("cpu")
# What most tests train with; averaged weights and local contrast have tests of their own.
PLAIN = {"schedule": "onecycle", "keep": "best", "contrast": "global", "label_smoothing": 0.0}
PLAIN |= {"augment": ["move", "expose"]}


@pytest.fixture(autouse=True)
def _one_pass_is_an_epoch(monkeypatch) -> None:
    """An epoch has at least a thousand images; here it goes through the few there are only once."""
    monkeypatch.setattr(batches, "EPOCH", 1)


@pytest.fixture(scope="module")
def images(splits) -> dict[str, batches.Samples]:
    return {name: batches.Samples.to(CPU, split) for name, split in splits.items()}


@pytest.fixture(scope="module")
def fit(images, settings):
    """Start a training: returns the model and the iterator of its rows."""

    def start(strategy="unfrozen", seed=0, plan=None, train=images["train"], **changes):
        chosen = settings(**PLAIN | {"epochs": 2, "patience": 2, "batch_size": 64} | changes)
        torch.manual_seed(seed)
        model = Classifier(**chosen.architecture)
        plan = plan or freezing.phases(strategy, chosen.blocks, chosen.lr, 0.1, 0.5)
        return model, classifier.fit(model, train, images["val"], chosen, plan, seed)

    return start


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def changed(before: dict, after: dict) -> set[str]:
    """The parts of the network, `head` or `encoder.0` ..., of which any bit is different."""
    keys = {key for key in before if not torch.equal(before[key], after[key])}
    return {".".join(key.split(".")[: 2 if key.startswith("encoder") else 1]) for key in keys}


def same(one: nn.Module, two: nn.Module) -> bool:
    return not changed(state(one), state(two))


# -------------------------------------------------------------------------------- class weights


def test_both_classes_have_the_same_total_weight():
    labels = torch.tensor([1, 1, 1, 0, 1, 1, 0, 1])
    weights = losses.class_weights(labels)
    assert weights.tolist() == pytest.approx([8 / 4, 8 / 12])
    assert weights[labels].sum().item() == pytest.approx(len(labels))


# --------------------------------------------------------------------------------- the strategies


def test_phases_of_each_strategy():
    plan = {s: freezing.phases(s, 3, 0.01, 0.1, 0.5) for s in ("unfrozen", "frozen", "headfirst")}
    assert plan["unfrozen"] == [
        {"head": 0.01, "encoder.2": 0.01, "encoder.1": 0.01, "encoder.0": 0.01}
    ]
    assert plan["frozen"] == [{"head": 0.01}]
    careful = {"head": 1e-3, "encoder.2": 5e-4, "encoder.1": 2.5e-4, "encoder.0": 1.25e-4}
    assert plan["headfirst"] == [{"head": 0.01}, pytest.approx(careful)]


def test_gradual_adds_one_part_per_phase_down_to_the_image():
    plan = freezing.phases("gradual", 3, 0.01, 0.1, 0.5)
    parts = ["head", "encoder.2", "encoder.1", "encoder.0"]
    assert [list(phase) for phase in plan] == [parts[:k] for k in (1, 2, 3, 4)]
    assert plan[0] == {"head": 0.01}
    assert plan[-1] == freezing.phases("headfirst", 3, 0.01, 0.1, 0.5)[-1]


@pytest.mark.parametrize("strategy", ["unfrozen", "frozen", "headfirst", "gradual"])
def test_only_the_parts_of_a_phase_change(fit, strategy):
    """Bit for bit, and batch-norm statistics with them."""
    model, rows = fit(strategy, dropout=0.2)
    plan = freezing.phases(strategy, 3, 0.01, 0.1, 0.5)
    states = [(0, state(model))]
    for row in rows:
        states.append((row["phase"], state(model)))
    for (_, before), (phase, after) in pairwise(states):
        # A phase's first epoch starts from the best weights so far: further parts may differ.
        assert changed(before, after) <= {part for parts in plan[:phase] for part in parts}
    for (before_phase, before), (phase, after) in pairwise(states):
        if before_phase == phase:
            assert changed(before, after) == set(plan[phase - 1])
    assert {phase for phase, _ in states[1:]} == set(range(1, len(plan) + 1))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("strategy", "epochs", "each"),
    [
        ("unfrozen", 8, [8]),
        ("headfirst", 8, [4, 4]),
        ("headfirst", 9, [4, 4]),  # what is left over belongs to no phase
        ("gradual", 8, [2, 2, 2, 2]),
        ("gradual", 1, [1, 1, 1, 1]),  # no phase without an epoch
    ],
)
def test_the_phases_of_a_strategy_share_its_epochs(fit, images, strategy, epochs, each):
    """Or a strategy of more phases would be better only for being trained longer."""
    few = np.arange(40)
    train = batches.Samples(images["train"].images[few], images["train"].labels[few])
    _, rows = fit(strategy, train=train, epochs=epochs, keep="last", augment=[])
    rows = list(rows)
    phases = [row["phase"] for row in rows]
    assert [phases.count(number) for number in sorted(set(phases))] == each
    assert [row["epoch"] for row in rows] == list(range(1, sum(each) + 1))


def test_a_frozen_encoder_is_identical_after_training(fit):
    model, rows = fit("frozen", epochs=4)
    before = state(model)
    list(rows)
    assert changed(before, state(model)) == {"head"}


def test_each_part_is_trained_at_its_rate(fit, images):
    """Adam's first step moves a weight by its learning rate, whatever the gradient."""
    plan = [{"head": 0.02, "encoder.2": 0.004, "encoder.1": 0.0008, "encoder.0": 0.00016}]
    once = {"epochs": 1, "batch_size": len(images["train"].labels), "schedule": "constant"}
    model, rows = fit(plan=plan, weight_decay=0.0, **once)
    before = state(model)
    (row,) = rows
    for part, rate in plan[0].items():
        moved = [
            (before[f"{part}.{name}"] - value.detach()).abs().max().item()
            for name, value in model.get_submodule(part).named_parameters()
        ]
        assert max(moved) == pytest.approx(rate, rel=0.02)
    assert row["lr"] == pytest.approx(0.02)


# -------------------------------------------------------------------------------- early stopping


def stopped_after(scores: list[float], patience: int, min_delta: float) -> tuple[int, float]:
    """How many of the scores are looked at, and the one whose weights are restored."""
    model = nn.Linear(1, 1)
    stopping = early_stopping.EarlyStopping(model, patience, min_delta)
    looked_at = 0
    while not stopping.stop and looked_at < len(scores):
        nn.init.constant_(model.weight, scores[looked_at])
        stopping.update(scores[looked_at])
        looked_at += 1
    stopping.restore()
    return looked_at, pytest.approx(model.weight.item())


def test_patience_counts_epochs_without_a_better_score():
    scores = [0.5, 0.6, 0.6, 0.55, 0.9]
    assert stopped_after(scores, patience=2, min_delta=0.0) == (4, 0.6)
    assert stopped_after(scores, patience=3, min_delta=0.0) == (5, 0.9)


def test_gains_up_to_min_delta_do_not_count_but_add_up():
    assert stopped_after([0.5, 0.505, 0.504, 0.503], patience=2, min_delta=0.01) == (3, 0.5)
    rising = [0.500, 0.506, 0.512, 0.518, 0.524]
    assert stopped_after(rising, patience=2, min_delta=0.01) == (5, 0.524)


def test_the_lower_loss_decides_between_equal_scores():
    stopping = early_stopping.EarlyStopping(nn.Linear(1, 1), patience=5, min_delta=0.01)
    seen = [(0.9, 0.5), (0.9, 0.4), (0.9, 0.45), (0.895, 0.3), (0.886, 0.2), (0.92, 0.9)]
    assert [stopping.update(*pair) for pair in seen] == [True, True, False, True, False, True]


def test_the_kept_weights_are_those_of_the_last_improved_row(fit, images):
    model, rows = fit(epochs=40, patience=3, schedule="constant", lr=0.03)
    rows = list(rows)
    kept = [row for row in rows if row["improved"]][-1]
    assert kept == rows[-4], "it must have ended by early stopping, or this shows nothing"
    weights = losses.class_weights(images["train"].labels)
    scores = losses.validate(model, images["val"], nn.CrossEntropyLoss(weights))
    assert scores == {key: kept[key] for key in scores}
    assert kept["val_auroc"] > max(row["val_auroc"] for row in rows) - 2 * 0.0002 - 1e-9
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))


def test_ten_times_the_epochs_give_the_same_weights(fit):
    """At a constant rate, once early stopping has ended the shorter training."""
    short, rows = fit(epochs=40, patience=3, schedule="constant")
    n_epochs = len(list(rows))
    assert n_epochs < 40
    long, rows = fit(epochs=400, patience=3, schedule="constant")
    assert len(list(rows)) == n_epochs
    assert same(short, long)


def test_ten_times_the_epochs_are_no_worse_with_onecycle(fit):
    best = {}
    for epochs in (4, 40):
        _, rows = fit(epochs=epochs, patience=12)
        best[epochs] = max(row["val_auroc"] for row in rows)
    assert best[40] >= best[4] - 0.01


def test_the_last_weights_are_kept_on_request(fit, images):
    """Whatever validation says, and without early stopping."""
    model, rows = fit(epochs=6, patience=1, schedule="constant", lr=0.03, keep="last")
    rows = list(rows)
    assert [row["improved"] for row in rows] == [1] * 6
    assert max(row["val_auroc"] for row in rows) > rows[-1]["val_auroc"], "or this shows nothing"
    weights = losses.class_weights(images["train"].labels)
    scores = losses.validate(model, images["val"], nn.CrossEntropyLoss(weights))
    assert scores == {key: rows[-1][key] for key in scores}


@pytest.mark.parametrize("keep", ["best", "last", "average"])
def test_a_diverged_training_is_an_error_and_keeps_nothing(fit, keep):
    plan = [dict.fromkeys(("head", "encoder.0", "encoder.1", "encoder.2"), 1e30)]
    with pytest.raises(UserError, match=r"training diverged.*lower lr"):
        list(fit(plan=plan, schedule="constant", keep=keep)[1])


def test_the_plateau_schedule_rises_falls_and_levels_off():
    rates = [classifier.plateau(i / 1000) for i in range(1001)]
    assert rates[0] == pytest.approx(0.04) and max(rates) == rates[150] == pytest.approx(1)
    assert rates[:151] == sorted(rates[:151]) and rates[150:] == sorted(rates[150:], reverse=True)
    assert rates[650:] == pytest.approx([0.3] * 351)
    assert rates[400] == pytest.approx(0.65)  # half way down


def test_the_average_covers_the_tail_and_includes_the_last_weights():
    part = nn.Linear(1, 1, bias=False)
    average = averaging.WeightAverage(part, {"part": part}, steps=20)
    for step in range(1, 21):
        part.weight.data.fill_(step)
        average.step(part)
    assert average.mean.module.weight.item() == pytest.approx((14 + 20) / 2)


@pytest.mark.parametrize("steps", [1, 6, 7, 100, 101])
def test_the_average_equals_a_plain_running_mean(steps):
    """Of each weight, in double precision, over every sixth step of the tail, the last included."""
    torch.manual_seed(0)
    model = Classifier(4, 2)
    average = averaging.WeightAverage(model, {"head": model.head, "encoder": model.encoder}, steps)
    mean, n = [torch.zeros_like(p, dtype=torch.float64) for p in model.parameters()], 0
    for step in range(1, steps + 1):
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter))
        average.step(model)
        if steps - step <= round(0.35 * steps) and (steps - step) % 6 == 0:
            n += 1
            for total, parameter in zip(mean, model.parameters()):
                total += (parameter.detach().double() - total) / n
    assert n == 1 + round(0.35 * steps) // 6
    average.settle(model, [torch.zeros(2, 1, 28, 28)])
    for expected, parameter in zip(mean, model.parameters()):
        assert parameter.detach().numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_averaged_weights_get_batch_norm_statistics_of_their_own(fit, images):
    model, rows = fit(keep="average", augment=[], epochs=4, schedule="plateau")
    rows = list(rows)
    weights = losses.class_weights(images["train"].labels)
    scores = losses.validate(model, images["val"], nn.CrossEntropyLoss(weights))
    assert scores == {key: rows[-1][key] for key in scores}, "the last row describes what stays"
    first = model.encoder[0]
    seen = first.conv1(standardise(images["train"].images)).detach()
    expected = seen.mean((0, 2, 3)).numpy(), seen.var((0, 2, 3)).numpy()
    assert first.norm1.running_mean.numpy() == pytest.approx(expected[0], abs=1e-4)
    assert first.norm1.running_var.numpy() == pytest.approx(expected[1], rel=1e-3)
    assert first.norm1.momentum == nn.BatchNorm2d(1).momentum


def test_averaging_leaves_frozen_parts_alone(fit):
    model, rows = fit(strategy="frozen", keep="average", schedule="plateau")
    before = state(model)
    list(rows)
    assert changed(before, state(model)) == {"head"}


def test_the_loss_equals_torchs_except_for_the_weight_of_the_smoothed_share():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 2, generator=generator, requires_grad=True)
    labels = torch.randint(0, 2, (50,), generator=generator)
    even, uneven = torch.ones(2), torch.tensor([1.9, 0.7])
    pairs = [(uneven, 0.0), (even, 0.1)]
    for weight, smoothing in pairs:
        torchs = nn.functional.cross_entropy(logits, labels, weight, label_smoothing=smoothing)
        ours = losses.smoothed_loss(logits, labels, weight, smoothing)
        assert ours.item() == pytest.approx(torchs.item(), rel=1e-6)
    # Uneven weights: as if each image were repeated as often as its class weighs.
    repeated = torch.tensor([19, 7])[labels]
    images = logits.repeat_interleave(repeated, dim=0), labels.repeat_interleave(repeated)
    ours = losses.smoothed_loss(logits, labels, uneven, 0.1).item()
    many = nn.functional.cross_entropy(*images, label_smoothing=0.1).item()
    assert ours == pytest.approx(many, rel=1e-5)


def test_label_smoothing_affects_training_but_not_validation(fit, images):
    sharp, smoothed = (fit(epochs=1, label_smoothing=s) for s in (0.0, 0.4))
    rows = [next(rows) for _, rows in (sharp, smoothed)]
    assert rows[0]["train_loss"] != rows[1]["train_loss"] and not same(sharp[0], smoothed[0])
    loss = nn.CrossEntropyLoss(losses.class_weights(images["train"].labels))
    assert losses.validate(smoothed[0], images["val"], loss)["val_loss"] == rows[1]["val_loss"]


def test_validation_is_balanced_with_and_without_class_weights(fit, images):
    """Or the sweep would rank trainings by two different losses."""
    model, rows = fit(epochs=1, class_weights=False)
    row = next(rows)
    logits = model(standardise(images["val"].images)).detach()
    labels, weights = images["val"].labels, losses.class_weights(images["train"].labels)
    balanced = nn.functional.cross_entropy(logits, labels, weight=weights).item()
    bare = nn.functional.cross_entropy(logits, labels).item()
    assert bare != pytest.approx(balanced, rel=0.01), "or this shows nothing"
    assert row["val_loss"] == pytest.approx(balanced, rel=1e-4)


# ------------------------------------------------------------------------------- the loop itself


def test_weights_depend_on_the_seed_alone(fit):
    one, two, other = (fit(seed=seed, dropout=0.1) for seed in (3, 3, 4))
    histories = []
    for _, rows in (one, two, other):
        torch.manual_seed(0)  # dropout draws from torch's own generator, which the stage seeds
        histories.append(list(rows))
    assert histories[0] == histories[1] and same(one[0], two[0])
    assert histories[0] != histories[2] and not same(one[0], other[0])


def test_the_network_learns(fit, images):
    model, rows = fit(epochs=25, patience=25)
    rows = list(rows)
    labels = images["test"].labels.numpy()
    found = probabilities(model.eval(), images["test"].images)
    assert metrics.roc_auc_score(labels, found) > 0.7
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_nothing_is_learnt_from_shuffled_labels(fit, images):
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    shuffled = batches.Samples(images["train"].images, images["train"].labels[order])
    model, rows = fit(train=shuffled, epochs=4, patience=4)
    list(rows)
    labels = images["test"].labels.numpy()
    found = probabilities(model.eval(), images["test"].images)
    assert abs(metrics.roc_auc_score(labels, found) - 0.5) < 0.25


def test_a_last_batch_of_one_image_joins_the_one_before(fit, images):
    """One step an epoch, which batch norm counts, and a schedule that ends with the last one."""
    few = np.arange(33)
    train = batches.Samples(images["train"].images[few], images["train"].labels[few])
    model, rows = fit(train=train, epochs=3, patience=3, batch_size=32)
    steps = 0
    for steps, row in enumerate(rows, start=1):
        assert model.encoder[0].norm1.num_batches_tracked == steps
        assert np.isfinite(row["train_loss"])
    assert steps == 3


@pytest.mark.parametrize(("n", "passes"), [(300, 4), (1000, 1), (1001, 1), (999, 2), (50, 20)])
def test_an_epoch_goes_through_few_images_several_times(n, passes, monkeypatch):
    monkeypatch.setattr(batches, "EPOCH", 1000)
    index = torch.cat(list(batches.epoch_batches(n, 64, torch.Generator().manual_seed(0))))
    assert torch.bincount(index).tolist() == [passes] * n
    one, two = index[:n].tolist(), index[-n:].tolist()
    assert one != two or passes == 1, "the passes are in one order"


def test_the_loss_of_an_epoch_is_the_mean_over_all_images_seen(fit, images, monkeypatch):
    losses = {}
    for epoch in (1, 1000):
        monkeypatch.setattr(batches, "EPOCH", epoch)
        tiny = [{"head": 1e-9}]  # the network stays what it was, and so does its loss
        _, rows = fit(plan=tiny, epochs=1, augment=[], schedule="constant")
        losses[epoch] = next(iter(rows))["train_loss"]
    assert losses[1000] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize(("epochs", "batch_size"), [(1, 300), (1, 64), (10, 300)])
def test_onecycle_lasts_exactly_as_many_epochs(fit, epochs, batch_size):
    _, rows = fit(epochs=epochs, patience=epochs, batch_size=batch_size, schedule="onecycle")
    rates = [row["lr"] for row in rows]
    assert len(rates) == epochs
    if epochs > 1:
        assert max(rates) == pytest.approx(0.01, rel=0.05)
        assert rates[0] < max(rates) / 10 and rates[-1] < max(rates) / 10


def test_validation_scores_a_perfect_and_an_inverted_network(images):
    """The second output is the one for disease."""

    class Oracle(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def forward(self, _):
            return nn.functional.one_hot(val.labels, 2).float() * self.sign

    val = images["val"]
    loss = nn.CrossEntropyLoss()
    for sign, expected in ((1.0, 1.0), (-1.0, 0.0)):
        scores = losses.validate(Oracle(sign), val, loss)
        assert scores["val_auroc"] == scores["val_balanced_accuracy"] == expected


def test_training_never_writes_to_the_mapped_files(splits, tmp_path):
    """Nor does it warn of read-only memory."""
    arrays.write(tmp_path, "phantom", splits)
    mapped = batches.Samples.to(CPU, arrays.read(tmp_path, "val"))
    mapped.images.zero_()
    assert np.array_equal(arrays.read(tmp_path, "val").images, splits["val"].images)
    assert mapped.labels.dtype == torch.int64


@pytest.mark.parametrize("ties", [True, False])
def test_validation_scores_equal_those_of_the_measures_and_of_sklearn(ties):
    """Training has its own, so that a new measure does not count as a change of every training."""
    for seed in range(50):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(4, 80))
        labels = rng.permutation(np.r_[0, 1, rng.integers(0, 2, n - 2)])
        scores = rng.normal(labels * rng.normal(), 1.0)
        scores = np.round(scores, 1 if n > 20 else 0) if ties else scores
        assert not ties or len(np.unique(scores)) < n
        found = losses.auroc(labels, scores)
        assert isinstance(found, float)
        assert found == pytest.approx(intervals.auroc(labels, scores[None]).values[0], abs=1e-12)
        assert found == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)
        predicted = scores > 0
        found = losses.balanced_accuracy(labels, predicted)
        assert isinstance(found, float)
        ours = intervals.decisions(labels, predicted[None])["balanced_accuracy"]
        assert found == pytest.approx(ours.values[0], abs=1e-12)
        expected = metrics.balanced_accuracy_score(labels, predicted)
        assert found == pytest.approx(expected, abs=1e-12)


# --------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize(
    ("n", "size", "lengths"),
    [
        (10, 4, [4, 4, 2]),
        (8, 4, [4, 4]),
        (9, 4, [4, 5]),  # a last image by itself joins the batch before
        (129, 128, [129]),
        (3, 128, [3]),
        (1, 128, [1]),
        (5, 2, [2, 3]),
    ],
)
def test_batches_hold_every_image_once(n, size, lengths):
    found = list(batches.batches(n, size, torch.Generator().manual_seed(0)))
    assert [len(batch) for batch in found] == lengths
    assert sorted(torch.cat(found).tolist()) == list(range(n))


def test_batches_are_reshuffled_each_epoch_and_reproducible():
    def epochs(seed):
        generator = torch.Generator().manual_seed(seed)
        return [torch.cat(list(batches.batches(50, 8, generator))).tolist() for _ in range(2)]

    first, second = epochs(0)
    assert first != second != list(range(50)) and first != list(range(50))
    assert epochs(0) == [first, second] and epochs(1)[0] != first
