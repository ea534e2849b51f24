"""Run the campaigns, print the table of attempts and failures, and put it on record."""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.torture.attempts import ROOT, Attempt, carry_out, module

CAMPAIGNS = ("parameters", "files", "servers", "environments", "kills", "pages")
FEW = 1  # attempts of each kind of a trial
SHOWN = 5  # failures of a campaign whose first line is printed
PAGE = ROOT / "docs/torture.md"


def planned(campaign: str, quick: bool, seed: int) -> list[Attempt]:
    """Every kind in turn, so that a run that is broken off has seen a bit of all."""
    kinds = module(campaign).KINDS
    counts = {
        name: min(kind.planned, FEW) if quick else kind.planned for name, kind in kinds.items()
    }
    turns = range(max(counts.values()))
    return [Attempt(campaign, k, n, seed) for n in turns for k in kinds if n < counts[k]]


def campaign(name: str, attempts: list[Attempt], root: Path, quick: bool) -> list[Attempt]:
    """Make one campaign's attempts."""
    module(name).prepare(root, quick)
    ended, failures = [], 0
    with tqdm(total=len(attempts), desc=name, smoothing=0) as bar:
        for attempt in carry_out(attempts, module(name).LIMITS, root):
            ended.append(attempt)
            bar.update()
            failures += bool(attempt.failed)
            if attempt.failed and failures <= SHOWN:
                bar.write(f"{attempt.name}: {attempt.failed.strip().splitlines()[0][:150]}")
            bar.set_postfix_str(f"{failures} failed")
    return ended


def rows(ended: list[Attempt]) -> list[list[str]]:
    """One row per kind, then one per campaign."""
    found = []
    for name in dict.fromkeys(attempt.campaign for attempt in ended):
        ours = [attempt for attempt in ended if attempt.campaign == name]
        for kind in module(name).KINDS:
            found.append(_row(name, kind, [a for a in ours if a.kind == kind]))
        found.append([f"**{cell}**" for cell in _row(name, "all", ours)])
    return [row for row in found if row[2] != "0"]


def table(ended: list[Attempt]) -> list[str]:
    from benchmarks import harness  # not above: the workers, which load this file, need no torch

    return harness.table(["campaign", "kind", "attempts", "failures", "skipped"], rows(ended))


def _row(name: str, kind: str, attempts: list[Attempt]) -> list[str]:
    skipped = [attempt.skipped for attempt in attempts if attempt.skipped]
    made, failed = len(attempts) - len(skipped), sum(bool(a.failed) for a in attempts)
    why = f" ({', '.join(sorted(set(skipped)))})" if skipped else ""
    return [name, kind, str(made), str(failed), f"{len(skipped)}{why}"]


def write_page(page: Path, name: str, lines: list[str], about: str) -> None:
    """Replace what stands between a campaign's marks; the rest stays."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, _, rest = page.read_text().partition(begin)
    after = rest.partition(end)[2]
    page.write_text(before + begin + "\n" + "\n".join([*lines, about, ""]) + end + after)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.torture", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial: one attempt of each kind")
    parser.add_argument("--only", help=f"of {','.join(CAMPAIGNS)}")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    parser.add_argument("--attempt", help="make this one again, by the name of its folder")
    parser.add_argument(
        "--page", type=Path, help="where the table goes, by default docs/torture.md"
    )
    given = parser.parse_args(words)
    names = given.only.split(",") if given.only else list(CAMPAIGNS)
    if given.attempt:
        names = [given.attempt.partition("/")[0]]
    if unknown := set(names) - set(CAMPAIGNS):
        parser.error(f"no campaign: {', '.join(sorted(unknown))}; there is {', '.join(CAMPAIGNS)}")
    from benchmarks import harness

    here = harness.described(harness.machine())
    print(f"torture: seed {given.seed}; {here}", flush=True)
    root, ended = Path(tempfile.mkdtemp(prefix="torture-")).resolve(), []
    page = given.page or (None if given.quick or given.attempt else PAGE)
    for name in names:
        attempts, start = planned(name, given.quick, given.seed), time.monotonic()
        if given.attempt:
            attempts = [attempt for attempt in attempts if attempt.name == given.attempt]
        made = campaign(name, attempts, root, given.quick)
        minutes = (time.monotonic() - start) / 60
        if page:  # at once: what ended stays on record when the next campaign is broken off
            about = f"*Seed {given.seed}, {minutes:.0f} minutes; {here}*"
            write_page(page, name, table(made), about)
        ended += made
    print("\n".join(["", *table(ended)]))
    failed = [attempt.name for attempt in ended if attempt.failed]
    if not failed:
        shutil.rmtree(root)
        return 0
    for place in root.iterdir():
        if place.is_dir() and place.name not in CAMPAIGNS:
            shutil.rmtree(place)
    print(f"{len(failed)} failed; what happened is in {root}: {', '.join(failed[:20])}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
