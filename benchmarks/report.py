"""Write the tables of benchmarks/README.md from the JSON files that the parts have written."""

import argparse
from importlib import import_module
from pathlib import Path

from benchmarks import harness
from chestflow import files

BEGIN, END = "<!-- written by benchmarks/report.py: begin -->", "<!-- end -->"


def report(results: Path, readme: Path) -> None:
    """All goals first; then every results/<part>.json is a section."""
    parts = {path.stem: files.read_json(path) for path in sorted(results.glob("*.json"))}
    replace(readme, [*goals(parts), *sections(parts)])


def replace(file: Path, lines: list[str]) -> None:
    """Put the lines in the place of what stands between the two marks."""
    before, rest = file.read_text().split(BEGIN)
    after = rest.split(END)[1]
    text = "\n".join(["", "", *lines])
    file.write_text(f"{before}{BEGIN}{text}{END}{after}")


def goals(parts: dict[str, dict]) -> list[str]:
    rows = [
        [entry["goal"], entry["wanted"], figure(entry["measured"]), verdict(entry), f"`{part}`"]
        for part, result in parts.items()
        for entry in result.get("goals", [])
    ]
    return harness.table(["goal", "wanted", "measured", "", "part"], rows)


def verdict(entry: dict) -> str:
    return {None: "not measured", True: "reached", False: "**not reached**"}[entry["reached"]]


def figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def sections(parts: dict[str, dict]) -> list[str]:
    lines = []
    for part, result in parts.items():
        module = import_module(f"benchmarks.{part}")
        lines += [f"## {part.replace('_', ' ').capitalize()}", "", *module.markdown(result)]
        lines += [f"*{harness.described(result['machine'])}*", ""]
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=harness.RESULTS)
    parser.add_argument("--readme", type=Path, default=Path(__file__).parent / "README.md")
    report(**vars(parser.parse_args()))
