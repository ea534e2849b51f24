"""Stage: score a run's latent space beside those of untrained encoders, and project it with PCA and
t-SNE."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from torch.optim.swa_utils import update_bn

from chestflow import files, history, stage
from chestflow.config.schema import Latent
from chestflow.data import arrays, captions
from chestflow.metrics import baselines
from chestflow.metrics import latent as spaces
from chestflow.metrics.baselines import Known
from chestflow.models import checkpoint, cnn, device, inference

# Labelled images, at most, to fit a probe. With all 4,708 of PneumoniaMNIST, probes of untrained
# encoders reach a validation AUROC of .961, .974 and .951, with 2,000 of them .954, .974 and .950.
PROBED = 2000


def latent(
    run: str,
    about: Path,
    images: Path,
    trained: Path,
    init: Path,
    metrics: Path,
    out: Path,
    *,
    seed: int,
    threads: int,
    latent: Latent,
) -> None:
    here, data = device.prepare(threads), captions.of_report(files.read_json(about))
    losses = history.kept(files.read_csv(trained / "history.csv"), "val_loss")
    representative = history.representative(losses)
    splits = {split: arrays.read(images, split) for split in arrays.SPLITS}
    labels = splits["test"].labels
    vectors = defaultdict(list)  # of the test images by each training, by kind of encoder
    probed = defaultdict(list)  # probabilities of the probes likewise, and of probes on the pixels
    separations = []
    for k, folder in enumerate(checkpoint.trainings(trained)):
        known = labelled(splits, checkpoint.labelled(folder))
        for kind, encoder in encoders(folder, init, k, known[0].images, seed).items():
            train, val, test = embedded(encoder, known, here)
            vectors[kind].append(test[0])
            probed[kind].append(baselines.probability(baselines.logistic(train, val), test[0]))
            if kind == "run":
                separations.append(spaces.separation(train, test, latent.neighbours))
        train, val, test = [(baselines.pixels(one.images), one.labels) for one in known]
        probed["pixels"].append(baselines.probability(baselines.logistic(train, val), test[0]))
    del vectors["random"]
    write_vectors(out / "embeddings.safetensors", vectors)
    report: dict = {"n": len(labels), "trainings": len(losses), "training": representative}
    report["probed"] = len(known[0])
    report |= spaces.report(labels, separations, {kind: np.stack(p) for kind, p in probed.items()})
    index = np.sort(np.random.default_rng(seed).permutation(len(labels))[: latent.images])
    projected, report["variance_explained"] = spaces.project(
        vectors["run"][representative][index], latent.perplexity, seed
    )
    classes = [data.classes[label] for label in labels[index]]
    columns = {"image": index.tolist(), "class": classes, **projected}
    files.write_csv(out / "projections.csv", files.rows_of(columns))
    files.write_json(out / "scores.json", data.record() | report)
    files.write_json(metrics, {"data": data.caption, "probe_auroc": report["probe_auroc"]})
    print(f"latent: {run}: probe AUROC {report['probe_auroc']:.3f}, {data.caption}")


def labelled(splits: dict[str, arrays.Split], index: dict[str, np.ndarray]) -> list[arrays.Split]:
    """Train, val and test: of the first two, the images whose labels a training has seen, PROBED at
    most."""
    rng = np.random.default_rng(0)
    some = {split: np.sort(rng.permutation(each)[:PROBED]) for split, each in index.items()}
    return [splits["train"][some["train"]], splits["val"][some["val"]], splits["test"]]


def encoders(
    folder: Path, init: Path, k: int, images: np.ndarray, seed: int
) -> dict[str, cnn.Classifier]:
    """Training k's own encoder, an untrained one of the same architecture, and, unless it is
    `scratch`, the one that it started from."""
    architecture = checkpoint.read(folder)[1]["architecture"]
    own = checkpoint.load_classifier(folder)
    untrained = random_encoder(architecture, images, seed + k)
    start = checkpoint.load_start(init, k)
    return {"run": own, "random": untrained} | ({"start": start} if start else {})


def random_encoder(architecture: dict, images: np.ndarray, seed: int) -> cnn.Classifier:
    """An untrained network whose batch norm has the statistics of (N, H, W) uint8 images: what the
    architecture alone is good for (Jarrett et al. 2009)."""
    torch.manual_seed(seed)
    model, inputs = cnn.Classifier(**architecture), torch.from_numpy(images)
    chunks = inputs.split(inference.batch_size(inputs, 512))
    update_bn((inference.standardise(chunk) for chunk in chunks), model)
    return model.eval()


def embedded(model: cnn.Classifier, known: list[arrays.Split], here: torch.device) -> list[Known]:
    """Vectors and labels of each split."""
    model.to(here).to(memory_format=torch.channels_last)  # twice as fast on a CPU
    return [(inference.embeddings(model, one.images, here), one.labels) for one in known]


def write_vectors(path: Path, vectors: dict[str, list[np.ndarray]]) -> None:
    """Write the vectors of each kind as a (K, N, D) float32 array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({k: np.stack(each).astype(np.float32) for k, each in vectors.items()}))


if __name__ == "__main__":
    stage.run(latent)
