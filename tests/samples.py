"""A folder as the graph leaves it, made up in seconds: the tests of the report and of comparisons
read what the stages' own functions wrote, without any training."""

from pathlib import Path

import numpy as np
import small_run
import yaml
from PIL import Image
from safetensors.numpy import save_file
from scipy import special

from chestflow import files, framing, history
from chestflow.config import reading
from chestflow.config.schema import Training
from chestflow.data.arrays import SPLITS
from chestflow.data.captions import About, marked
from chestflow.explain import insertion, localisation
from chestflow.metrics import baselines, calibration, scores, selection
from chestflow.metrics import latent as spaces
from chestflow.models import cnn
from chestflow.report import context
from stages import compare, evaluate, train
from stages.binarize import class_counts
from stages.configure import configure

ROOT = Path(__file__).parents[1]
SUBJECT = "pneumonia"
SIZES = {"train": 200, "val": 60, "test": 80}
DECLARED = reading.datasets(ROOT / "datasets.yaml")
TRUE_HITS = {"gradcam": 0.5, "layercam": 0.95}
METHODS = {"autoencoder": 1.0, "pca": 0.9, "mean_image": 0.8}


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


def build(folder: Path, trainings: int = 3, origin: str = "phantom", pictures=(8, 8)) -> Path:
    """All that stages `compare` and `report` read; pictures are grey and of this size."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"trainings": trainings}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    places = folder / "params.yaml", ROOT / "datasets.yaml", folder / "models/scratch"
    configure(SUBJECT, *places, folder / "data/settings")
    declared = files.read_json(folder / "data/settings/all.json")["runs"]
    for dataset in {run["dataset"] for run in declared.values()}:
        counts = [{"split": split, **class_counts(labels_of(split))} for split in SPLITS]
        record = about_of(dataset, origin).record() | {"md5": "0" * 32, "pixels": 28}
        files.write_json(folder / f"metrics/data/{dataset}.json", record | {"splits": counts})
    for seed, (run, settings) in enumerate(declared.items()):
        about = about_of(settings["dataset"], origin)
        write_training(folder / "models" / run, settings, trainings)
        write_metrics(folder, run, settings, seed, trainings, about)
        write_embeddings(folder, run, settings, seed, trainings)
        write_points(folder, run, 0.7 + 0.1 * seed, trainings)
    network = cnn.Classifier(**Training(**declared[SUBJECT]).architecture)
    train.describe(network, 28, cnn.n_parameters(network), folder / "models" / SUBJECT)
    record = about_of("chestmnist", origin).record() | {"code": 10, "trainings": trainings}
    record["contrast"] = "local"
    files.write_json(folder / "data/autoencoder.json", record | {"test": reconstructed()})
    names = ["data/settings/all.json", "data/results", "data/latent", "models"]
    names += ["data/label_efficiency", "metrics/comparison.json", "data/comparison.json"]
    names += ["data/label_efficiency.json", "plots/curves"]
    comparison = reading.params(folder / "params.yaml").comparison
    compare.compare(*(folder / name for name in names), comparison=comparison)
    files.write_json(folder / "sweep/sweep.json", swept(about_of("pneumoniamnist", "images")))
    write_pictures(folder, declared, pictures)
    return folder


def write_training(models: Path, settings: dict, trainings: int) -> None:
    """Three epochs of each phase of each training, the last but one of which is the best; the
    first training has the median loss of three."""
    phases = 2 if settings["strategy"] == "headfirst" else 1
    aurocs, losses = (0.8, 0.95, 0.9), (0.5, 0.3, 0.4)
    rows = [
        {"training": k, "phase": phase, "epoch": 3 * (phase - 1) + i}
        | {"val_loss": loss + (0, 0.1, -0.1)[k % 3], "val_auroc": auroc, "improved": int(i < 3)}
        for k in range(trainings)
        for phase in range(1, phases + 1)
        for i, (auroc, loss) in enumerate(zip(aurocs, losses), start=1)
    ]
    files.write_csv(models / "history.csv", rows)
    n = SIZES["train"] if settings["labels"] == "all" else settings["labels"]
    for k in range(trainings):
        labelled = {"train": list(range(n)), "val": list(range(SIZES["val"]))}
        files.write_json(models / f"trainings/{k}/labelled.json", labelled)


def write_metrics(
    folder: Path, run: str, settings: dict, seed: int, trainings: int, about: About
) -> None:
    """What stages `evaluate`, `gradcam` and `latent` write of a run, and its curves."""
    epochs = files.read_csv(folder / f"models/{run}/history.csv")
    k = history.representative(history.kept(epochs, "val_loss"))
    labels = labels_of("test")
    probability = probabilities(labels, 0.7 + 0.1 * seed, trainings, seed)
    evaluate.write_curves(folder / "data/results" / run, labels, list(probability))
    choices = [
        calibration.Choice(0.4 + 0.01 * k, (1.1, 0.1) if k else (1.0, 0.0), 0.7)
        for k in range(trainings)
    ]
    record = {"weights": "0" * 12, "val_auroc": 0.9, "val_loss": 0.2, "parameters": 18218}
    pixels = probabilities(labels, 0.5, trainings, seed=99)
    record["pixels"] = baselines.beside(labels, probability, pixels)
    record["trainable_parameters"] = 66 if settings["strategy"] == "frozen" else 18218
    for path, values in {
        f"data/results/{run}/scores.json": scores.report(labels, probability, choices, k) | record,
        f"data/latent/{run}/scores.json": separated(settings, trainings, k),
    }.items():
        files.write_json(folder / path, about.record() | values)
    audited = about.record() | audit(0.7 + 0.1 * seed, trainings, seed)
    files.write_json(folder / f"data/framing/{run}.json", audited)
    maps = about.record() | explained(about.is_phantom, trainings)
    files.write_json(folder / f"data/gradcam/{run}/scores.json", maps)


def explained(masks: bool, trainings: int) -> dict:
    """What stage `gradcam` writes of the maps: LayerCAM's are better than what they must beat."""
    rng = np.random.default_rng(0)
    areas = rng.uniform(0.6, 0.7, (trainings, 40))
    methods = {"gradcam": areas + rng.normal(0, 0.01, areas.shape), "layercam": areas + 0.0512345}
    names = ("centred", "mean_gradcam", "mean_layercam")
    fixed = {name: areas - 0.01 * i for i, name in enumerate(names)}
    report: dict = {"trainings": trainings, "insertion": insertion.report(methods, fixed)}
    if masks:
        pixel, random = (rng.random(50) < 0.6) * 1.0, rng.random(10) / 4
        hits = {name: rng.random((trainings, 50)) < p for name, p in TRUE_HITS.items()}
        found = {
            name: localisation.report(each * 1.0, each.mean(axis=0), pixel, random)
            for name, each in hits.items()
        }
        report["hits"] = {"n": 50, "fixed_pixel": pixel.mean(), "methods": found}
    return report


def audit(signal: float, trainings: int, seed: int, zoomed: float = 0.0) -> dict:
    """What stage `framing` writes of a run; zoomed: what zooming an image adds to its logit."""
    report: dict = {"trainings": trainings, "factor": framing.FACTOR}
    for split in ("val", "test"):
        as_is = probabilities(labels_of(split), signal, trainings, seed)
        moved = special.expit(special.logit(as_is) + zoomed)
        report[split] = framing.audit(labels_of(split), as_is, moved)
    return report | {"ring": {"val": [0.51, 0.44, 0.58], "test": [0.49, 0.43, 0.55]}}


def separated(settings: dict, trainings: int, representative: int) -> dict:
    """What stage `latent` writes: probes on a run's vectors are better than those on others."""
    labels, rng = labels_of("test"), np.random.default_rng(0)
    signals = {"run": 1.5, "random": 0.1, "pixels": 0.6}
    signals |= {} if settings["init"] == "scratch" else {"start": 0.9}
    probed = {kind: probabilities(labels, s, trainings) for kind, s in signals.items()}
    names = ("silhouette", "knn_balanced_accuracy")
    separations = [dict(zip(names, row)) for row in rng.uniform(0.6, 0.9, (trainings, 2))]
    report = {"n": SIZES["test"], "trainings": trainings, "training": representative}
    report["probed"] = SIZES["train"]
    return report | spaces.report(labels, separations, probed)


def swept(about: About, lead: float = 0.0) -> dict:
    """A sweep over two configurations, on real images as the one in the repository; `wide` is
    better than the default by about `lead`."""
    signals = {"default": 0.8, "wide": 0.8 + lead}
    rows: dict[int, list[dict]] = {1: [], 3: []}
    for trainings, each in rows.items():
        for name, signal in signals.items():
            stress, *tested = predicted_by(signal, trainings)
            choices = [calibration.Choice(0.5, (1.0, 0.0), 0.7)] * trainings
            report = about.record() | scores.report(*tested, choices, 0)
            report |= {"parameters": 18218, "train_seconds": 12.3, "val_auroc": 0.99}
            report["stress"] = selection.score(**stress)
            each.append(selection.row(name, {} if name == "default" else {"width": 16}, report))
    finalists = {
        name: selection.measured(*predicted_by(signal, 3)) for name, signal in signals.items()
    }
    return selection.summarise(rows[1], rows[3], "default", finalists) | {"steps": 560}


def predicted_by(signal: float, trainings: int) -> tuple[dict, np.ndarray, np.ndarray]:
    """The arguments of `selection.measured`: of the stress set, with two draws, and of the test
    images."""
    labels, actual = labels_of("val"), labels_of("test")
    draws = [probabilities(labels, signal, trainings, seed) for seed in (5, 6)]
    stress = {"labels": np.stack([labels] * trainings), "probability": np.stack(draws, axis=1)}
    return stress, actual, probabilities(actual, signal, trainings)


def write_embeddings(folder: Path, run: str, settings: dict, seed: int, trainings: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(trainings, SIZES["test"], 3)).astype(np.float32)
    start = {} if settings["init"] == "scratch" else {"start": vectors + np.float32(0.1)}
    save(folder / f"data/latent/{run}/embeddings.safetensors", {"run": vectors, **start})


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path)


def write_points(folder: Path, run: str, signal: float, trainings: int) -> None:
    """As stage `label_efficiency` does, for the runs that have a curve."""
    points = reading.settings(folder / f"data/settings/label_efficiency/{run}.json").points
    actual = labels_of("test")
    numbers = [SIZES["train"] if point.labels == "all" else point.labels for point in points]
    each = [probabilities(actual, signal * n / 200, trainings, seed=n) for n in numbers]
    values = {
        "labels": np.array(numbers, np.int64),
        "steps": np.array([point.steps or 0 for point in points], np.int64),
        "actual": actual,
        "probability": np.array(each).reshape(len(numbers), trainings, len(actual)),
    }
    save(folder / f"data/label_efficiency/{run}.safetensors", values)


def reconstructed() -> dict:
    """The test part of data/autoencoder.json."""
    report: dict = {"n": SIZES["test"], "ci95": {}}
    for measure, value in {"mse": 0.0041234, "psnr": 24.1234567, "ssim": 0.8812345}.items():
        report[measure] = {method: value * factor for method, factor in METHODS.items()}
        report["ci95"][measure] = {k: [0.98 * v, 1.02 * v] for k, v in report[measure].items()}
    gain = {"difference": 2.4, "ci95": [2.1, 2.7]}
    return report | {"difference": {"psnr": {"pca": gain, "mean_image": dict(gain)}}}


def write_pictures(folder: Path, runs: dict, size: tuple[int, int]) -> None:
    spaces = reading.params(folder / "params.yaml").comparison.spaces
    overview = ["scores", "reconstructions", "differences", "label_efficiency", "framing"]
    overview += [f"latent_{space}" for space in spaces]
    overview += [f"classes_{run['dataset']}" for run in runs.values()]
    names = [f"plots/overview/{name}" for name in overview]
    for name in ("evaluation", "history", "gradcam", "latent"):
        names.append(f"plots/runs/{SUBJECT}/{name}")
    for name in ["sweep/sweep", *names]:
        small_run.save(folder / f"{name}.png", Image.new("RGB", size, "grey"))


def values(folder: Path) -> dict:
    """What the report's template is given, as stage `report` reads it."""
    declared = files.read_json(folder / "data/settings/all.json")
    read = context.read(declared, folder / "metrics", folder / "models", folder / "data")
    spaces = reading.params(folder / "params.yaml").comparison.spaces
    read |= {"sweep": files.read_json(folder / "sweep/sweep.json"), "spaces": spaces}
    read |= {"plots": "../plots", "sweep_plot": "../sweep/sweep.png"}
    return read | {"layer": "last", "pictures": True}
