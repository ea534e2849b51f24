"""A folder as the graph leaves it, made up in seconds: the tests of the report and of comparisons
read what the stages' own functions wrote, without any training."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.numpy import save_file
from scipy import special

from chestflow import files, history
from chestflow.commands import sweep
from chestflow.config import reading
from chestflow.config.schema import Comparison, Training
from chestflow.data.arrays import SPLITS
from chestflow.data.captions import About, marked
from chestflow.explain import localisation
from chestflow.metrics import intervals, scores
from chestflow.models import cnn
from chestflow.report import context as report_of
from stages import compare, reconstruct, train
from stages.binarize import class_counts
from stages.configure import configure

ROOT = Path(__file__).parents[1]
SUBJECT, RESULTS = "pneumonia", "data/results"
SIZES = {"train": 200, "val": 60, "test": 80}
DECLARED = reading.datasets(ROOT / "datasets.yaml")


def labels_of(split: str) -> np.ndarray:
    """Five of eight images are diseased."""
    return (np.arange(SIZES[split]) % 8 < 5).astype(np.int64)


def probabilities(labels: np.ndarray, signal: float, trainings: int, seed: int = 0) -> np.ndarray:
    """(K, N): images differ in how hard they are, and trainings in what they make of them."""
    rng = np.random.default_rng(seed)
    hard, luck = rng.normal(size=len(labels)), rng.normal(size=(trainings, len(labels)))
    return special.expit(signal * (2 * labels - 1) + hard + 0.4 * luck)


def about_of(dataset: str, origin: str) -> About:
    return About(marked(DECLARED[dataset].title, origin), ("healthy", DECLARED[dataset].positive))


def scored(out: Path, signal: float, seed: int, trainings: int, shown: int) -> dict:
    """What `evaluate.score` returns, and the curves it writes; calibration fitted nowhere."""
    labels = labels_of("test")
    probability = probabilities(labels, signal, trainings, seed)
    found = [scores.curves(labels, row) for row in probability]
    for name in found[0]:
        rows = ({"training": k, **row} for k, one in enumerate(found) for row in one[name])
        files.write_csv(out / f"{name}.csv", rows)
    settled = [
        scores.Choice(0.4 + 0.01 * k, (1.1, 0.1) if k else scores.AS_IT_IS, (0.3, 0.2), 0.7)
        for k in range(trainings)
    ]
    return scores.report(labels, probability, settled, shown)


def build(folder: Path, trainings: int = 3, origin: str = "phantom", pictures=(8, 8)) -> Path:
    """All that stages `compare` and `report` read; pictures are grey and of this size."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"trainings": trainings}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    places = (folder / "params.yaml", ROOT / "datasets.yaml", folder / "data/settings")
    configure(SUBJECT, *places)
    declared = files.read_json(folder / "data/settings/all.json")["runs"]
    for dataset in {run["dataset"] for run in declared.values()}:
        write_counts(folder, dataset, origin)
    for seed, (run, settings) in enumerate(declared.items()):
        write_run(folder, run, settings, seed, trainings, about_of(settings["dataset"], origin))
    train.describe(
        cnn.Classifier(**Training(**declared[SUBJECT]).architecture),
        28,
        folder / "models" / SUBJECT,
    )
    write_autoencoder(folder, trainings, about_of("chestmnist", origin))
    compare_runs(folder)
    write_sweep(folder)
    draw(folder, declared, pictures)
    return folder


def write_counts(folder: Path, dataset: str, origin: str) -> None:
    counts = [{"split": split, **class_counts(labels_of(split))} for split in SPLITS]
    found = about_of(dataset, origin).record() | {"md5": "0" * 32, "pixels": 28}
    files.write_json(folder / f"metrics/data/{dataset}.json", found | {"splits": counts})


def write_run(
    folder: Path, run: str, settings: dict, seed: int, trainings: int, about: About
) -> None:
    models, results = folder / "models" / run, folder / "data/results" / run
    files.write_csv(models / "history.csv", epochs(settings["strategy"], trainings))
    n = SIZES["train"] if settings["labels"] == "all" else settings["labels"]
    for k in range(trainings):
        drawn = {"train": list(range(n)), "val": list(range(SIZES["val"]))}
        files.write_json(models / f"trainings/{k}/labelled.json", drawn)
    signal = 0.7 + 0.1 * seed
    shown = history.representative(history.kept(files.read_csv(models / "history.csv"), "val_loss"))
    record = {"weights": "0" * 12, "val_auroc": 0.9, "val_loss": 0.2, "parameters": 18218}
    found = {
        "runs": scored(results, signal, seed, trainings, shown) | record,
        "gradcam": {"training": shown} | explained(about.is_phantom),
        "latent": separated(trainings, shown),
    }
    for kind, values in found.items():
        files.write_json(folder / f"metrics/{kind}/{run}.json", about.record() | values)
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(trainings, SIZES["test"], 3)).astype(np.float32)
    start = {} if settings["init"] == "scratch" else {"start": vectors + np.float32(0.1)}
    save_file({"run": vectors, **start}, results / "embeddings.safetensors")
    write_points(folder, run, signal, trainings)


def epochs(strategy: str, trainings: int) -> list[dict]:
    """Three epochs of each phase of each training, the last but one of which is the best; the
    first training has the median loss of three."""
    phases = {"headfirst": 2, "gradual": 4}.get(strategy, 1)
    aurocs, losses = (0.8, 0.95, 0.9), (0.5, 0.3, 0.4)
    return [
        {"training": k, "phase": phase, "epoch": 3 * (phase - 1) + i}
        | {"val_loss": loss + (0, 0.1, -0.1)[k % 3], "val_auroc": auroc, "improved": int(i < 3)}
        for k in range(trainings)
        for phase in range(1, phases + 1)
        for i, (auroc, loss) in enumerate(zip(aurocs, losses), start=1)
    ]


def explained(masks: bool) -> dict:
    """What stage `evaluate` writes of the maps, of 20 networks with random weights beside them."""
    rng = np.random.default_rng(0)
    random = {"rank_correlation": rng.normal(0, 0.2, 20)}
    random |= {"among_themselves": rng.normal(0, 0.1, 20)}
    found = {"empty_maps": rng.random(80) < 0.03}
    if masks:
        random |= {"pointing_hits": rng.random(20) / 4, "mass_inside": rng.random(20) / 5}
        found |= {"chance": np.full(50, 0.1), "pointing_hits": (rng.random(50) < 0.6) * 1.0}
        found |= {"mass_inside": rng.random(50) / 2}
    perturbation = {"n": 40, "draws": 5, "deletion": [0.4, 0.3, 0.5], "insertion": [0.6, 0.5, 0.7]}
    perturbation |= {"deletion_difference": [-0.1111111, -0.15, -0.07]}
    perturbation |= {"insertion_difference": [0.0512345, 0.0212345, 0.0812345]}
    return localisation.report(found, random) | {"n_random": 80, "perturbation": perturbation}


def separated(trainings: int, shown: int) -> dict:
    names = ("silhouette", "knn_balanced_accuracy", "probe_auroc")
    rng = np.random.default_rng(0)
    each = {name: rng.uniform(0.6, 0.9, trainings).tolist() for name in names}
    told = {name: intervals.mean_sd(values) for name, values in each.items()}
    values = {name: one["value"] for name, one in told.items()}
    sd = {name: one["sd"] for name, one in told.items()}
    which = {"n": SIZES["test"], "trainings": trainings, "training": shown}
    return which | values | {"sd": sd, "each": each, "variance_explained": [0.6123456, 0.2]}


def write_points(folder: Path, run: str, signal: float, trainings: int) -> None:
    """As stage `efficiency` does: two numbers of labels for the runs that are to have a curve."""
    wanted = files.read_json(folder / f"data/settings/efficiency/{run}.json")["labels"]
    labels, actual = wanted[:2], labels_of("test")
    found = [probabilities(actual, signal * n / 200, trainings, seed=n) for n in labels]
    kept = {
        "labels": np.array(labels, np.int64),
        "actual": actual,
        "probability": np.array(found).reshape(len(labels), trainings, len(actual)),
    }
    path = folder / f"data/efficiency/{run}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path)


def write_autoencoder(folder: Path, trainings: int, about: About) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((12, 28, 28)).astype(np.float32)
    noise = rng.normal(0, 1, (trainings, 1, 1, 1)) * 0.001

    def rebuild(block):
        block = block.numpy()
        own = np.clip(block + 0.05 + noise, 0, 1)
        return block, {
            name: np.clip(own + more, 0, 1)
            for name, more in (("autoencoder", 0), ("pca", 0.1), ("mean_image", 0.3))
        }

    found = reconstruct.fidelities(rebuild, torch.from_numpy(images))
    record = about.record() | {"code": 10, "trainings": trainings, "training": 0}
    files.write_json(folder / "metrics/autoencoder.json", record | {"val": found, "test": found})


def compare_runs(folder: Path, comparison: Comparison | None = None) -> None:
    """Stage `compare`."""
    compare.compare(
        folder / "data/settings/all.json",
        folder / "metrics/runs",
        folder / "data/results",
        folder / "models",
        folder / "data/efficiency",
        folder / "metrics/comparison.json",
        folder / "metrics/efficiency.json",
        folder / "metrics/comparison.md",
        folder / "plots/curves",
        comparison=comparison or reading.params(folder / "params.yaml").comparison,
    )


def write_sweep(folder: Path) -> None:
    """A sweep of two configurations, of which the subject and another run play the experiments."""
    places = {"wide": "unfrozen", "plain": SUBJECT}
    changes = {"wide": {"width": 4321}, "plain": {"schedule": "constant", "lr": 0.001}}
    reports = {name: folder / f"metrics/runs/{run}.json" for name, run in places.items()}
    predicted = {name: folder / RESULTS / run / "predictions.csv" for name, run in places.items()}

    def experiment(name: str) -> SimpleNamespace:
        report = files.read_json(reports[name]) | {"train_seconds": 12.34567}
        report |= {"val_auroc": {"wide": 0.9961234, "plain": 0.9912345}[name]}
        text = predicted[name].read_text()
        return SimpleNamespace(file=lambda _: report, output=lambda _: text)

    done = {(name, 1): experiment(name) for name in places}
    params = reading.params(folder / "params.yaml")
    rows = sweep.ranked(done, changes, params.min_delta)
    found = sweep.differences(rows, done)
    report = sweep.summarise(rows, rows, found, "plain", params)
    files.write_json(folder / "sweep/sweep.json", report)


def draw(folder: Path, runs: dict, size: tuple[int, int]) -> None:
    spaces = reading.params(folder / "params.yaml").comparison.spaces
    overview = ["scores", "reconstructions", "differences", "label_efficiency"]
    overview += [f"latent_{space}" for space in spaces]
    overview += [f"classes_{run['dataset']}" for run in runs.values()]
    first = folder / "sweep/sweep.png"
    Image.new("RGB", size, "grey").save(first)
    for name in [f"overview/{name}" for name in overview] + [
        f"runs/{SUBJECT}/{name}" for name in ("evaluation", "history", "gradcam", "latent")
    ]:
        path = folder / f"plots/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, path)


def figures(folder: Path, pictures: bool = True) -> dict:
    """What the report's template is given, as stage `report` reads it."""
    declared = files.read_json(folder / "data/settings/all.json")
    found = report_of.read(declared, *(folder / name for name in ("metrics", "models", RESULTS)))
    spaces = reading.params(folder / "params.yaml").comparison.spaces
    found |= {"sweep": files.read_json(folder / "sweep/sweep.json"), "spaces": spaces}
    found |= {"plots": "../plots", "sweep_plot": "../sweep/sweep.png"}
    return found | {"layer": "last", "pictures": pictures}
