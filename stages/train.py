"""Stage: train one run's classifier several times, each from its start and with a seed of its own;
of each training, keep the weights that the settings ask for (best, averaged or last)."""

import shutil
import time
from pathlib import Path

from torchinfo import summary
from tqdm import tqdm

from chestflow import files, history, stage
from chestflow.config import reading
from chestflow.data import arrays, captions
from chestflow.models import checkpoint, cnn, device
from chestflow.training import classifier, freezing, setup
from chestflow.training.batches import Samples, epochs


def train(settings: Path, images: Path, init: Path, out: Path) -> None:
    run = reading.settings(settings)
    here = device.prepare(run.threads)
    splits = {name: arrays.read(images, name) for name in ("train", "val")}
    side, origin = splits["train"].images.shape[-1], arrays.origin(images)
    about = {"run": run.name, "dataset": run.dataset, "origin": origin, "side": side}
    about |= {"architecture": run.architecture, "class_weights": run.class_weights}
    phases = freezing.phases(run)
    keys = f"runs.{run.name}.labels", f"runs.{run.name}.val_labels"
    rows: list[dict] = []
    each = sum(1 if p == freezing.LINEAR_PROBE else epochs(run.steps or 0) for p in phases)
    # No bar within the first second: a mistake in the settings is one line, without it.
    bar = tqdm(total=run.trainings * each, desc=f"train {run.name}", unit="epoch", delay=1)
    for k in range(run.trainings):
        seed, started = run.seed + k, time.perf_counter()
        labelled = setup.labelled(run, splits, k, keys)
        model = setup.network(run, init, k).to(here)
        train_set, val_set = (Samples.to(here, splits[s][labelled[s]]) for s in ("train", "val"))
        for row in classifier.fit(model, train_set, val_set, run, seed):
            if run.timing:
                row["seconds"] = round(time.perf_counter() - started, 1)
            rows.append({"training": k, **row})
            files.write_csv(out / "history.csv", rows)  # each epoch, so that plots can follow it
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", val_auroc=f"{row['val_auroc']:.4f}")
            bar.update()
        folder = checkpoint.training(out, k)
        checkpoint.save(folder, model, about | {"seed": seed})
        files.write_json(folder / "labelled.json", {s: i.tolist() for s, i in labelled.items()})
    bar.close()
    recorded = files.read_csv(out / "history.csv")
    representative = history.representative(history.kept(recorded, "val_loss"))
    shutil.copy(checkpoint.training(out, representative) / checkpoint.FILE, out / checkpoint.FILE)
    trainable = freezing.trainable_parameters(model, phases)
    describe(checkpoint.load_classifier(out), side, trainable, out)
    scores = ", ".join(f"{score:.3f}" for score in history.kept(recorded, "val_auroc"))
    data = captions.marked(run.dataset, origin)
    print(f"train: {run.name}: {trainable:,} parameters, {here}, validation AUROC {scores}, {data}")


def describe(model: cnn.Classifier, side: int, trainable: int, folder: Path) -> None:
    """The layers as torchinfo's table, for people, and as data, for the report."""
    table = summary(model, (1, 1, side, side), verbose=0)
    (folder / "architecture.txt").write_text(f"{model}\n\n{table}\n", encoding="utf-8")
    layers = [
        {
            "kind": layer.class_name,
            "depth": layer.depth,
            "shape": layer.output_size[1:],
            "parameters": layer.num_params if layer.is_leaf_layer else 0,
        }
        for layer in table.summary_list
        if layer.depth
    ]
    architecture = {"trainable_parameters": trainable, "layers": layers}
    files.write_exact_json(folder / "architecture.json", architecture)


if __name__ == "__main__":
    stage.run(train)
