"""The history of a run: one row per epoch of each training, as stage `train` writes them. Columns
by name, as `files.read_csv` returns them."""

Columns = dict[str, list]


def by_training(history: Columns) -> list[Columns]:
    """The history of each training, in their order."""
    rows: dict[float, list[int]] = {}
    for row, training in enumerate(history["training"]):
        rows.setdefault(training, []).append(row)
    return [
        {name: [column[i] for i in at] for name, column in history.items()} for at in rows.values()
    ]


def kept_epoch(improved: list[float]) -> int:
    """Index of the epoch whose weights were kept: the last with improved = 1."""
    return max(i for i, better in enumerate(improved) if better)


def kept(history: Columns, score: str) -> list[float]:
    """A column's value at the epoch whose weights were kept, for each training."""
    return [one[score][kept_epoch(one["improved"])] for one in by_training(history)]


def representative(values: list[float]) -> int:
    """Index of the training with the median value (of an even number, the lower one): the one that
    figures of a single network show."""
    return sorted(range(len(values)), key=lambda k: values[k])[(len(values) - 1) // 2]
