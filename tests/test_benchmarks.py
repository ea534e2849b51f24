"""The benchmarks at their smallest scale: each runs and is reported; no speed is asserted."""

import platform
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import (
    clusters,
    coverage,
    failures,
    growth,
    harness,
    orchestration,
    report,
    throughput,
)
from chestflow import files

ROOT = Path(__file__).parents[1]
LINUX = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def run(benchmark, folder: Path, monkeypatch) -> dict:
    """`python -m benchmarks.<name> --quick --out folder`, in this process."""
    monkeypatch.setattr("sys.argv", ["benchmark", "--quick", "--out", str(folder)])
    harness.command(benchmark.measure, benchmark.markdown)
    return files.read_json(folder / f"{benchmark.__name__.split('.')[1]}.json")


# ----------------------------------------------------------------------------------- each benchmark


def test_throughput(tmp_path, monkeypatch):
    here = SimpleNamespace(map=map)
    monkeypatch.setattr(throughput, "pool", lambda: nullcontext(here))
    monkeypatch.setattr(throughput, "STARTED", {})
    monkeypatch.setattr(throughput.classifier, "EPOCH", 2)
    monkeypatch.setattr(harness, "cores", lambda: 1)
    result = run(throughput, tmp_path, monkeypatch)
    assert result["images"] == "PneumoniaMNIST PHANTOM"
    assert result["ratios"].keys() == throughput.RATIOS.keys()
    rates = [entry["images_per_second"]["median"] for entry in result["variants"].values()]
    assert min(rates) > 0


def test_orchestration(tmp_path, monkeypatch):
    monkeypatch.setattr(orchestration, "scripts_of", lambda copy: {"stages.configure": 1})
    result = run(orchestration, tmp_path, monkeypatch)
    assert result["start_up_seconds"] > 0
    assert [entry["stages"] for entry in result["lr_changed"]] == [1], "the change reran a stage"
    assert result["graph"] is None and result["share"] is None, "only --graph measures them"


@LINUX
def test_growth(tmp_path, monkeypatch):
    here = SimpleNamespace(apply=lambda function, arguments: function(*arguments))
    monkeypatch.setattr(growth, "fresh", lambda: nullcontext(here))
    monkeypatch.setattr(growth, "FEW", 200)
    result = run(growth, tmp_path, monkeypatch)
    assert [point["images"] for point in result["over_images"]] == [200, 400]
    assert result["over_images"][0]["peak_mb"]["median"] > 0


def test_growth_is_an_exponent():
    points = [{"n": n, "seconds": {"median": 3 * n**1.5}} for n in (1, 10, 100)]
    assert growth.exponent(points, "n") == pytest.approx(1.5)


def test_coverage(tmp_path, monkeypatch):
    """The figures themselves take thousands of repetitions."""
    monkeypatch.setattr(coverage, "AT_ONCE", 5)
    cells = run(coverage, tmp_path, monkeypatch)["cells"]
    assert {cell["k"] for cell in cells} == set(coverage.READERS)
    assert all(0 <= cell[name] <= 1 for cell in cells for name in coverage.FIGURES)
    several = [cell["interval"] for cell in cells if cell["k"] == 10]
    assert sum(several) / len(several) > 0.7, "with ten trainings most intervals hold the truth"


def test_failures(tmp_path, monkeypatch):
    """Of trainings that hardly vary, those that fail are named."""
    monkeypatch.setattr(failures, "AT_ONCE", 5)
    monkeypatch.setattr(coverage, "AT_ONCE", 5)
    monkeypatch.setattr(failures, "SDS", {0.95: (0.001,)})
    cells = run(failures, tmp_path, monkeypatch)["cells"]
    assert [cell["k"] for cell in cells] == list(failures.TRAININGS)
    assert all(cell["named"] == 1 and cell["wrongly_named"] == 0 for cell in cells)


def test_clusters(tmp_path, monkeypatch):
    single, several = run(clusters, tmp_path, monkeypatch)["cells"]
    assert single["images"] == 1 and several["images"] > 1
    by_patient, by_image = zip(*several["covered"].values(), strict=True)
    assert len(by_patient) == 5 and sum(by_patient) / 5 > 0.85, "most intervals hold the truth"
    assert sum(by_patient) > sum(by_image), "ignoring patients makes intervals too narrow"


# ------------------------------------------------------------------------------- harness and report


def test_variants_take_turns_and_each_round_begins_with_another():
    called: list[str] = []
    variants = {name: lambda n=name: called.append(n) or len(called) for name in "abc"}
    measured = harness.take_turns(variants, rounds=2)
    assert "".join(called) == "bca" + "cab"
    assert measured == {"a": [3, 5], "b": [1, 6], "c": [2, 4]}


def test_a_ratio_is_of_the_same_round():
    assert harness.ratio([2, 30], [1, 10])["values"] == [2, 3]


def test_the_readme_holds_the_recorded_figures(tmp_path):
    committed, copy = (ROOT / "benchmarks/README.md").read_text(), tmp_path / "README.md"
    before, after = committed.split(report.BEGIN)[0], committed.split(report.END)[1]
    copy.write_text(f"{before}{report.BEGIN}\nold\n{report.END}{after}")
    report.report(harness.RESULTS, copy)
    assert copy.read_text() == committed, "run python -m benchmarks.report"


def test_the_record_names_no_machine_and_no_path():
    for path in harness.RESULTS.glob("*.json"):
        text = path.read_text()
        assert not re.search(r'"/\w|/home|/tmp', text) and platform.node() not in text, path
        assert not files.read_json(path)["quick"]
