"""Stage: look into one run's latent space, and measure how well the classes separate there."""

from pathlib import Path

import numpy as np

from stages.lib import command, data, embedding, figures, model, resampling, runtime, tables
from stages.lib.parameters import Params


def latent(
    run: str,
    params: Params,
    films: Path,
    weights: Path,
    drawn: Path,
    metrics: Path,
    points: Path,
    plot: Path,
) -> None:
    device, about = runtime.prepare(params.threads), data.read_about(films)
    classifier = model.load_classifier(weights).to(device)
    index = np.array(tables.read_json(drawn)["train"])
    train, test = data.read(films, "train")[index], data.read(films, "test")
    known, vectors = (model.embeddings(classifier, s.images, device) for s in (train, test))
    counts = resampling.counts(len(test), params.evaluation.bootstrap, params.seed)
    report = embedding.separation(
        (known, train.labels),
        (vectors, test.labels),
        params.latent.neighbours,
        counts,
    )
    shown = np.sort(
        np.random.default_rng(params.seed).permutation(len(test))[: params.latent.films]
    )
    projections, explained = project(vectors[shown], params)
    tables.write_csv(points, rows(shown, test.labels[shown], projections, about))
    report = {"n": len(test), "variance_explained": float(explained.sum()), **report}
    tables.write_json(metrics, {"data": about.caption(), **report})
    figure = figures.latent(projections, explained, test.labels[shown], report, about, run)
    figures.save(figure, plot)
    print(f"latent: {run}: {len(shown)} films projected, {about.caption()}")


def project(vectors: np.ndarray, params: Params) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The two projections by name, and the share of the variance of each principal component."""
    components, explained = embedding.pca(vectors)
    spread = embedding.tsne(vectors, params.latent.perplexity, params.seed)
    return {"pca": components, "tsne": spread}, explained


def rows(films: np.ndarray, labels: np.ndarray, projections: dict, about: data.About):
    """One line per film: its index in the test split, its class and its coordinates."""
    for i, film in enumerate(films):
        coordinates = {
            f"{name}_{axis}": float(points[i, axis - 1])
            for name, points in projections.items()
            for axis in (1, 2)
        }
        yield {"film": int(film), "class": about.classes[labels[i]], **coordinates}


if __name__ == "__main__":
    command.run(latent)
