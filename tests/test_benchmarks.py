"""The benchmark at its smallest scale: every part runs and is reported; no ratio is asserted."""

import math
import platform
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_run
import torch
from PIL import Image

from benchmarks import (
    clusters,
    coverage,
    growth,
    harness,
    lengths,
    loops,
    orchestration,
    parallel_runs,
    recipes,
    record,
    recut,
    report,
    sizes,
    throughput,
    time_to_quality,
)
from chestflow import files
from chestflow.commands import repro
from chestflow.errors import UserError
from chestflow.models.cnn import Classifier
from chestflow.models.inference import standardise
from chestflow.training import batches
from chestflow.training.batches import Samples

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def run(part, folder: Path, monkeypatch) -> dict:
    """`python -m benchmarks.<part> --quick --out folder`, in this process."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--out", str(folder)])
    harness.command(part.measure, part.markdown)
    return files.read_json(folder / f"{part.__name__.split('.')[1]}.json")


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
    files.write_json(tmp_path / "growth.json", grow(tmp_path, monkeypatch) | {"goals": goals})
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
        assert not files.read_json(path)["quick"]


# ------------------------------------------------------------------------------- the record's parts


def some_samples(n: int = 60) -> Samples:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 28, 28), generator=generator, dtype=torch.uint8)
    return Samples(images, (torch.arange(n) % 4 > 0).long())


def some_data() -> recipes.Data:
    samples = some_samples()
    shares = torch.linspace(0.5, 0.9, len(samples.labels))
    whole = recut.Whole(samples.images, samples.labels, shares)
    splits = dict.fromkeys(("train", "val", "test"), samples)
    return recipes.Data(splits, {"train": whole, "val": whole})


def test_every_candidate_of_the_record_trains_the_same_number_of_parameters(monkeypatch):
    monkeypatch.setattr(batches, "EPOCH", 60)
    for name, candidate in recipes.CANDIDATES.items():
        short = replace(candidate, epochs=1, branch_epochs=1, branches=min(candidate.branches, 2))
        monkeypatch.setitem(record.CANDIDATES, name, short)
        row = record.measure(name, 0, some_data(), test=True)
        assert row["parameters"] == 18218 and len(row["test"]) == 60
        assert all(0 < row[key] < 1 for key in record.SIGNALS)


def test_the_record_is_chosen_without_test_scores():
    def row(name: str, seed: int, signal: float, **more) -> dict:
        known = {"core_seconds": 60.0, "parameters": 18218}
        return {"candidate": name, "seed": seed, **known, **record_signals(signal), **more}

    def record_signals(value: float) -> dict:
        return dict.fromkeys(record.COLUMNS, value)

    images = {"labels": [0, 0, 1, 1], "found": {"train": [3, 4]}, "share": [0.8, 0.7]}
    given_up = {k: v for k, v in row("soup", 0, 0.95).items() if k != record.SIGNALS[-1]}
    rows = [given_up, row("f1", 0, 0.9), row("mixed", 0, 0.8)]
    rows.append(row("mixed", 100, 0.99, test=[0.2, 0.5, 0.9, 0.3]))
    found = record.on_record(rows, images)
    assert found["chosen"] == "f1"
    assert [goal["measured"] for goal in found["goals"]] == [None, None], "f1 was not scored"
    rows.append(row("f1", 100, 0.1, test=[0.2, 0.3, 0.4, 0.9]))
    found = record.on_record(rows, images)
    auroc, accuracy = found["goals"]
    assert (auroc["measured"], auroc["reached"]) == (1.0, True)
    assert (accuracy["measured"], accuracy["reached"]) == (0.75, False)
    page = "\n".join(record.markdown(found))
    assert "| `soup` | 1 | 0.9500 | 0.9500 | 0.9500 |  | 60 |" in page
    assert "`mixed` minus `f1`" in page and "auroc -0.2500" in page


def test_sizes_of_phantoms_and_of_images_stay_on_record_beside_each_other(tmp_path, monkeypatch):
    """Only those of other images make way."""
    monkeypatch.setattr(sizes, "OUT", tmp_path / "sizes.json")
    steps = [({"224": 1}, "A"), ({"28": 2}, "A"), ({"224": 3}, None), ({"64": 4}, "B")]
    for found, title in steps:
        files.write_json(sizes.OUT, sizes.record(found, title))
        kept = files.read_json(sizes.OUT)
        if title == "A":
            assert list(kept["sizes"])[-1] == "224", "in order of their number"
    assert kept["images"] == "B" and kept["sizes"] == {"64": 4}
    assert kept["phantoms"] == {"224": 3}


def test_lengths_are_measured_in_the_folder_of_the_graph_and_kept(
    tmp_path, shrunken, splits, monkeypatch
):
    folder = small_run.build(tmp_path, shrunken, splits, with_autoencoder=False)
    shutil.copy(ROOT / "dvc.lock", folder)
    monkeypatch.chdir(folder)
    out = tmp_path / "lengths.json"
    files.write_json(out, {"images": {"real": [length("chest", 8, 0, 0.9)]}})
    for _ in range(2):  # the second replaces what the first has found
        lengths.main(["pneumonia"], epochs=[5], trainings=2, processes=1, out=out)
    with pytest.raises(UserError, match="trainings = 1; accepted: 2 or more"):
        lengths.main(["pneumonia"], epochs=[5], trainings=1, processes=1, out=out)
    found = files.read_json(out)["images"]
    assert [row["run"] for row in found["real"]] == ["chest"]
    kinds = [(row["epochs"], row["own"], row["training"]) for row in found["phantoms"]]
    assert kinds == [(5, False, 0), (5, False, 1), (8, True, 0), (8, True, 1)]
    assert all(0 < row[key] < 1 for row in found["phantoms"] for key in ("clean", "framed"))


def test_a_length_is_no_worse_within_its_standard_error():
    """Half the error again, at random or always: only the latter is worse."""
    rows = [length("frozen", 15, k, 0.9, own=True) for k in range(3)]
    rows += [length("frozen", 8, k, framed) for k, framed in enumerate((0.85, 0.92, 0.93))]
    rows += [length("frozen", 5, k, 0.85) for k in range(3)]
    rows += [length("frozen", 30, k, 0.95) for k in range(3)]
    found = lengths.compared(rows)
    assert [(row["epochs"], lengths.verdict(row)) for row in found] == [
        *((5, "worse"), (8, "no worse"), (15, "its own length"), (30, "better"))
    ]
    assert found[0]["worse"] == pytest.approx(math.log(1.5))
    assert "| `frozen` | 5 | 3 |" in "\n".join(lengths.markdown({"images": {"real": rows}}))


def length(run: str, epochs: int, training: int, framed: float, own: bool = False) -> dict:
    scores = {"clean": framed, "framed": framed, "core_seconds": 1.0}
    return {"run": run, "epochs": epochs, "own": own, "training": training, **scores}


def test_balanced_samples_repeat_the_rarer_class():
    found = recipes.balanced(some_samples())
    assert torch.bincount(found.labels).tolist() == [45, 45]
    assert len(torch.unique(found.images, dim=0)) == 60


def test_mixed_images_keep_their_phases():
    images = standardise(some_samples().images)
    mixed = recipes.mix(images, torch.Generator().manual_seed(0))
    before, after = torch.fft.rfft2(images), torch.fft.rfft2(mixed)
    turned = (before.conj() * after).angle()[..., 1:-1]
    assert turned.abs().max() < 1e-2 and (mixed - images).abs().mean() > 0.05


def test_a_soup_is_the_mean_of_its_branches(monkeypatch):
    fitted: list[int] = []
    model, sets = Classifier(), {"train": some_samples()}

    def moved(branch, *_):
        with torch.no_grad():
            branch.head.weight.add_(len(fitted))
        fitted.append(1)

    monkeypatch.setattr(recipes, "fit", moved)
    before = model.head.weight.clone()
    recipes.soup(model, recipes.Candidate(branches=3), sets, harness.settings(), 0)
    assert torch.allclose(model.head.weight, before + 1.0), "mean of 0, 1 and 2"
    assert model.encoder[0].norm1.running_mean.abs().max() > 0, "statistics were taken anew"


def test_radiographs_are_matched_to_the_images_cut_from_them(tmp_path):
    """Each split gets its own, with the share that the cut takes; a stranger goes to none."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(9, 1, 14, 14, generator=generator)
    whole = torch.nn.functional.interpolate(coarse, (112, 112), mode="bicubic", antialias=True)
    whole = whole[:, 0].mul(255).clamp(0, 255).to(torch.uint8)
    cuts = [recut.shrunk(recut.centre(w[None], 0.5 + k / 20), "area") for k, w in enumerate(whole)]
    labels = torch.arange(9) % 2
    (tmp_path / "NORMAL").mkdir()
    for k, image in enumerate(whole):
        Image.fromarray(image.numpy()).save(tmp_path / f"NORMAL/{k}.jpeg", quality=95)
    splits = {
        "train": Samples(torch.cat(cuts[:5]), labels[:5]),
        "val": Samples(torch.cat(cuts[5:8]), labels[5:8]),
    }
    found = recut.matched(tmp_path, splits)
    assert found["train"].labels.tolist() == labels[:5].tolist() and len(found["val"].labels) == 3
    assert found["train"].shares.tolist() == pytest.approx([0.5, 0.55, 0.6, 0.65, 0.7], abs=0.021)
    anew = recut.recut(found["train"], generator)
    assert anew.images.shape == (5, 28, 28) and anew.images.dtype == torch.uint8
    with pytest.raises(UserError, match="no folder of JPEG files"):
        recut.matched(tmp_path / "nowhere", splits)
