"""The benchmark at its smallest scale: every part runs and is reported; no ratio is asserted."""

import platform
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import (
    clusters,
    coverage,
    growth,
    harness,
    loops,
    orchestration,
    parallel_runs,
    record,
    report,
    throughput,
    time_to_quality,
)
from chestflow.commands import repro
from chestflow.core import tables
from chestflow.network.inference import standardise
from chestflow.network.model import Classifier
from chestflow.training.batching import Samples

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def run(part, folder: Path, monkeypatch) -> dict:
    """`python -m benchmarks.<part> --quick --out folder`, in this process."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--out", str(folder)])
    harness.command(part.measure, part.markdown)
    return tables.read_json(folder / f"{part.__name__.split('.')[1]}.json")


def marked(folder: Path) -> Path:
    readme = folder / "README.md"
    readme.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    return readme


# ----------------------------------------------------------------------------------- every part


def test_throughput(tmp_path, monkeypatch):
    here = SimpleNamespace(map=map)
    monkeypatch.setattr(throughput, "pool", lambda: nullcontext(here))
    monkeypatch.setattr(throughput, "STARTED", {})
    monkeypatch.setattr(harness, "cores", lambda: 1)
    result = run(throughput, tmp_path, monkeypatch)
    assert result["images"] == "PneumoniaMNIST PHANTOM"
    assert result["ratios"].keys() == throughput.RATIOS.keys()
    rates = [entry["images_per_second"]["median"] for entry in result["variants"].values()]
    assert min(rates) > 0


def test_operations_are_counted_with_their_gradients():
    """Forward: a multiplication and an addition per weight and place; backward twice as many, but
    nothing for the gradient of the images, nor for that of local contrast: two means, each of two
    products with a matrix of as many rows as the image has."""
    places = {1: 28**2, 2: 14**2, 3: 7**2}
    maps = {1: (1, 8), 2: (8, 16), 3: (16, 32)}
    first = 2 * 9 * maps[1][0] * maps[1][1] * places[1]
    convolutions = sum(2 * 9 * (a + b) * b * places[k] for k, (a, b) in maps.items())
    head, contrast = 2 * 32 * 2, 4 * 2 * 28**3
    assert loops.flop_per_image() == 3 * (convolutions + head) - first + contrast


def test_time_to_quality(tmp_path, monkeypatch):
    monkeypatch.setattr(harness, "cores", lambda: 1)
    monkeypatch.setitem(time_to_quality.RECIPE, "epochs", 2)
    result = run(time_to_quality, tmp_path, monkeypatch)
    assert len(result["runs"][0]["epochs"]) == 2
    assert 11.1e6 < result["resnet"]["weights"] < 11.2e6


def test_quality_is_reached_where_it_stays():
    epochs = [{"seconds": i, "auroc": score} for i, score in enumerate((0.9, 0.7, 0.8, 0.9))]
    found = time_to_quality.until({"auroc": 0.8}, epochs)
    assert (found["reached_epoch"], found["reached_seconds"]) == (3, 2)
    assert time_to_quality.until({"auroc": 0.95}, epochs)["reached_seconds"] is None
    assert time_to_quality.until({"auroc": 0.5}, epochs)["reached_epoch"] == 1


def test_orchestration(tmp_path, monkeypatch):
    monkeypatch.setattr(orchestration, "scripts", lambda copy: {"stages.scratch": 1})
    result = run(orchestration, tmp_path, monkeypatch)
    assert result["start_up_seconds"] > 0 and result["share"] is None
    assert result["dvc_per_stage"]["median"] > 0
    share, graph, idle, changed = result["goals"]
    assert (share["wanted"], share["reached"]) == ("≤ 0.2", None), "only --graph measures it"
    assert graph["reached"] is None and changed["reached"] is None, "not with --quick"
    assert idle["measured"] == result["nothing_changed"]["median"]


def test_every_stage_of_the_graph_is_counted(tmp_path):
    copy = orchestration.Copy(tmp_path)
    found = orchestration.scripts(copy)
    params, datasets = copy.read("params.yaml"), copy.read("datasets.yaml")["datasets"]
    declared = copy.read("dvc.yaml")["stages"]
    repeated = dict.fromkeys(("train", "evaluate", "draw", "efficiency"), len(params["runs"]))
    repeated |= dict.fromkeys(("download", "binarize"), len(datasets))
    assert found == {f"stages.{name}": repeated.get(name, 1) for name in declared}


def test_a_copy_is_shrunk_in_both_parameter_files(tmp_path):
    copy = orchestration.Copy(tmp_path)
    kept = {path.name for path in tmp_path.iterdir()}
    assert not kept & {"dvc.lock", "metrics", "plots", "report"}, "results are not copied"
    copy.shrink()
    params, datasets = copy.read("params.yaml"), copy.read("datasets.yaml")["datasets"]
    assert params["epochs"] == params["runs"]["lowdata"]["epochs"] == 2
    assert params["trainings"] == 1
    assert params["efficiency"]["labels"] == [40] and params["latent"]["images"] == 200
    for dataset in datasets.values():
        assert max(dataset["phantom"][split] for split in ("train", "val", "test")) <= 60


def test_seconds_are_read_from_what_repro_prints(monkeypatch, capsys):
    ended = repro.Ended(0, "scratch: written"), 12.4
    monkeypatch.setattr(repro, "processes", ThreadPoolExecutor)
    monkeypatch.setattr(repro, "reproduce", lambda stage: ended)
    repro.run({"a": set(), "b": {"a"}}, jobs=2)
    assert re.findall(orchestration.SECONDS, capsys.readouterr().out) == ["12", "12"]


def test_outputs_of_two_runs_are_compared_by_path_and_hash(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text(
        "stages: {a: {outs: [{path: x, md5: 1f}]},"
        " b: {outs: [{path: y, md5: 2f}, {path: z, md5: 3f}]}}"
    )
    found = parallel_runs.hashes(lock)
    assert found == {"x": "1f", "y": "2f", "z": "3f"}
    assert not parallel_runs.unlike(found, dict(found))
    assert parallel_runs.unlike(found, {"x": "1f", "y": "0f"}) == ["y", "z"]
    assert parallel_runs.hashes(tmp_path / "none") == {}


def grow(folder: Path, monkeypatch) -> dict:
    here = SimpleNamespace(apply=lambda function, arguments: function(*arguments))
    monkeypatch.setattr(growth, "fresh", lambda: nullcontext(here))
    monkeypatch.setattr(growth, "FEW", 200)
    return run(growth, folder, monkeypatch)


@LINUX
def test_growth(tmp_path, monkeypatch):
    result = grow(tmp_path, monkeypatch)
    assert [point["images"] for point in result["over_images"]] == [200, 400]


def test_coverage(tmp_path, monkeypatch):
    """The figures themselves take thousands of repetitions."""
    monkeypatch.setattr(coverage, "AT_ONCE", 5)
    cells = run(coverage, tmp_path, monkeypatch)["cells"]
    assert {cell["k"] for cell in cells} == set(coverage.READERS)
    assert all(0 <= cell[name] <= 1 for cell in cells for name in coverage.FIGURES)
    several = [cell["interval"] for cell in cells if cell["k"] == 10]
    assert sum(several) / len(several) > 0.7, "with ten trainings most intervals hold the truth"


def test_clusters(tmp_path, monkeypatch):
    one, several = run(clusters, tmp_path, monkeypatch)["cells"]
    assert one["images"] == 1 and several["images"] > 1
    by, alone = zip(*several["covered"].values())
    assert len(by) == 7 and sum(by) / 7 > 0.85, "most intervals hold the truth"
    assert sum(by) > sum(alone), "every image as a patient of its own claims too much"


def test_growth_is_an_exponent():
    points = [{"n": n, "seconds": {"median": 3 * n**1.5}} for n in (1, 10, 100)]
    assert growth.slope(points, "n", "seconds") == pytest.approx(1.5)


# --------------------------------------------------------------------------- harness and report


def test_variants_take_turns_and_each_round_begins_with_another():
    called = []
    variants = {name: lambda n=name: called.append(n) or len(called) for name in "abc"}
    measured = harness.alternate(variants, rounds=2)
    assert "".join(called) == "abc" + "bca" + "cab"
    assert measured == {"a": [6, 8], "b": [4, 9], "c": [5, 7]}


def test_a_ratio_is_of_the_same_round():
    assert harness.ratio([2, 30], [1, 10])["values"] == [2, 3]


@LINUX
def test_report_replaces_what_stands_between_the_marks(tmp_path, monkeypatch):
    goals = [
        harness.goal("fast", 2.5, 2, at_least=True),
        harness.goal("small", 2.5, 2, at_least=False),
        harness.goal("long", None, 2, at_least=False),
    ]
    tables.write_json(tmp_path / "growth.json", grow(tmp_path, monkeypatch) | {"goals": goals})
    readme = marked(tmp_path)
    report.report(tmp_path, readme)
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| fast | ≥ 2 | 2.5 | reached |" in text
    assert "| small | ≤ 2 | 2.5 | **not reached** |" in text
    assert "| long | ≤ 2 |  | not measured |" in text
    assert "## Growth" in text
    report.report(tmp_path, readme)
    assert readme.read_text() == text


def test_the_readme_is_what_the_record_gives(tmp_path):
    """And nothing else is written: the front page is no part of the record."""
    committed, copy = ROOT / "benchmarks/README.md", tmp_path / "README.md"
    copy.write_text(committed.read_text())
    report.report(harness.RESULTS, copy)
    assert copy.read_text() == committed.read_text(), "run python -m benchmarks.report"
    assert list(tmp_path.iterdir()) == [copy]
    assert report.BEGIN not in (ROOT / "README.md").read_text()


def test_the_record_names_no_machine_and_no_path():
    for path in harness.RESULTS.glob("*.json"):
        text = path.read_text()
        assert not re.search(r'"/\w|/home|/tmp', text) and platform.node() not in text, path
        assert not tables.read_json(path)["quick"]


# ------------------------------------------------------------------------------- the record's parts


def some_samples(n: int = 60) -> Samples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8)
    return Samples(images, (torch.arange(n) % 4 > 0).long())


def test_every_candidate_of_the_record_trains_the_same_number_of_parameters(monkeypatch):
    samples = {name: some_samples() for name in ("train", "val", "test")}
    for name, candidate in record.CANDIDATES.items():
        short = replace(candidate, epochs=1, branch_epochs=1, branches=min(candidate.branches, 2))
        monkeypatch.setitem(record.CANDIDATES, name, short)
        row = record.measure(name, 0, samples, test=True)
        assert row["parameters"] == 18218 and len(row["test"]) == 60
        assert all(0 < row[key] < 1 for key in record.SIGNALS)


def test_the_record_is_chosen_without_test_scores():
    def row(name: str, seed: int, signal: float, **more) -> dict:
        return {"candidate": name, "seed": seed, **dict.fromkeys(record.SIGNALS, signal), **more}

    rows = [row("f1", 0, 0.9), row("mixed", 0, 0.8), row("mixed", 100, 1.0, test=[0.2, 0.9])]
    found = record.on_record(rows, [0, 1])
    assert found["chosen"] == "f1"
    assert [goal["measured"] for goal in found["goals"]] == [None, None], "f1 was not scored"
    rows.append(row("f1", 100, 0.1, test=[0.2, 0.4]))
    auroc, accuracy = record.on_record(rows, [0, 1])["goals"]
    assert (auroc["measured"], auroc["reached"]) == (1.0, True)
    assert (accuracy["measured"], accuracy["reached"]) == (0.5, False)


def test_balanced_samples_repeat_the_rarer_class():
    found = record.balanced(some_samples())
    assert torch.bincount(found.labels).tolist() == [45, 45]
    assert len(torch.unique(found.images, dim=0)) == 60


def test_mixed_images_keep_their_phases():
    images = standardise(some_samples().images)
    mixed = record.mix(images, torch.Generator().manual_seed(0))
    before, after = torch.fft.rfft2(images), torch.fft.rfft2(mixed)
    turned = (before.conj() * after).angle()[..., 1:-1]
    assert turned.abs().max() < 1e-2 and (mixed - images).abs().mean() > 0.05


def test_a_soup_is_the_mean_of_its_branches(monkeypatch):
    fitted = []
    model, data = Classifier(), {"train": some_samples()}
    chosen = harness.settings()

    def moved(branch, *_):
        with torch.no_grad():
            branch.head.weight.add_(len(fitted))
        fitted.append(branch)

    monkeypatch.setattr(record, "fit", moved)
    before = model.head.weight.clone()
    record.soup(model, record.Candidate(branches=3), data, chosen, 0)
    assert torch.allclose(model.head.weight, before + 1.0), "mean of 0, 1 and 2"
    assert model.encoder[0].norm1.running_mean.abs().max() > 0, "statistics were taken anew"
