"""Write the tables of benchmarks/README.md from the JSON files of the benchmarks."""

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks import harness
from chestflow import files

BEGIN, END = "<!-- written by benchmarks/report.py: begin -->", "<!-- end -->"


def report(results: Path, readme: Path) -> None:
    """Replace what stands between the two marks by one section for each <benchmark>.json."""
    lines = ["", ""]
    for path in sorted(results.glob("*.json")):
        result, module = files.read_json(path), import_module(f"benchmarks.{path.stem}")
        lines += [f"## {path.stem.capitalize()}", "", *module.markdown(result)]
        lines += [f"*{harness.described(result['machine'])}*", ""]
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END)[1]
    readme.write_text("".join([before, BEGIN, "\n".join(lines), END, after]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=harness.RESULTS)
    parser.add_argument("--readme", type=Path, default=Path(__file__).parent / "README.md")
    report(**vars(parser.parse_args()))
