"""Stage: score a run's latent space, and project it with PCA and t-SNE."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from chestflow import files, history, stage
from chestflow.config.schema import Latent
from chestflow.data import arrays, captions
from chestflow.metrics import intervals
from chestflow.metrics import latent as spaces
from chestflow.models import checkpoint, device, inference


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
    train, test = (arrays.read(images, split) for split in ("train", "test"))
    vectors: dict[str, list] = {"run": [], "start": []}  # by the encoders, and by their starts
    separations = []
    for k in range(len(losses)):
        folder = checkpoint.training(trained, k)
        model = checkpoint.load_classifier(folder).to(here)
        labelled = train[checkpoint.labelled(folder)["train"]]
        known = inference.embeddings(model, labelled.images, here), labelled.labels
        own = inference.embeddings(model, test.images, here)
        vectors["run"].append(own)
        separations.append(spaces.separation(known, (own, test.labels), latent.neighbours))
        if start := checkpoint.load_start(init, k):
            vectors["start"].append(inference.embeddings(start.to(here), test.images, here))
    write_vectors(out / "embeddings.safetensors", vectors)
    each = {name: [one[name] for one in separations] for name in separations[0]}
    summary = {name: intervals.mean_sd(values) for name, values in each.items()}
    report = {
        "n": len(test),
        "trainings": len(losses),
        "training": representative,
        **{name: one["value"] for name, one in summary.items()},
        "sd": {name: one["sd"] for name, one in summary.items()},
        "each": each,
    }
    index = np.sort(np.random.default_rng(seed).permutation(len(test))[: latent.images])
    projected, report["variance_explained"] = spaces.project(
        vectors["run"][representative][index], latent.perplexity, seed
    )
    classes = [data.classes[label] for label in test.labels[index]]
    columns = {"image": index.tolist(), "class": classes, **projected}
    files.write_csv(out / "projections.csv", files.rows_of(columns))
    files.write_json(out / "scores.json", data.record() | report)
    files.write_json(metrics, {"data": data.caption, "probe_auroc": report["probe_auroc"]})
    print(f"latent: {run}: probe AUROC {report['probe_auroc']:.3f}, {data.caption}")


def write_vectors(path: Path, vectors: dict[str, list]) -> None:
    """Write the vectors of each kind as a (K, N, D) float32 array; `start` may be empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {name: np.stack(each).astype(np.float32) for name, each in vectors.items() if each}
    path.write_bytes(save(kept))


if __name__ == "__main__":
    stage.run(latent)
