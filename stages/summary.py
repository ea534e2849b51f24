"""Print the headline figures of the last `dvc repro`, and where the rest lies."""

from pathlib import Path

from stages.lib import command, tables


def summary(metrics: Path) -> None:
    reports = {path.stem: tables.read_json(path) for path in sorted(metrics.glob("*.json"))}
    print(f"\n{'run':<22}{'AUROC [95 % interval]':<24}{'accuracy':<24}{'majority':<10}n test films")
    for run, report in reports.items():
        if "auroc" in report:
            cells = [f"{tables.scored(report, key):<24}" for key in ("auroc", "accuracy")]
            majority = f"{report['majority_accuracy']:<10.3f}"
            print(f"{run:<22}{''.join(cells)}{majority}{report['n']:,} of {report['data']}")
    print("\nFigures: plots/<run>/*.png, numbers: metrics/, compare: dvc metrics diff")


if __name__ == "__main__":
    command.run(summary)
