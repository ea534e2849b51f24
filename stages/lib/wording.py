"""Figures as the report writes them; one that is not defined is None, as in the metrics files."""

from collections.abc import Iterable


def number(value: float | None, digits: int = 3) -> str:
    """A figure with a real minus sign; a rounded zero has none."""
    if value is None:
        return "not defined"
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference: its sign is always shown, but a rounded zero has none."""
    text = number(value, digits)
    return f"+{text}" if value is not None and float(f"{value:.{digits}f}") > 0 else text


def percent(share: float | None, digits: int = 1) -> str:
    return "not defined" if share is None else f"{number(100 * share, digits)} %"


def between(interval: list, digits: int = 3, show=number) -> str:
    return f"[{show(interval[0], digits)}, {show(interval[1], digits)}]"


def with_interval(value: float | None, interval: list, digits: int = 3) -> str:
    return (
        "not defined" if value is None else f"{number(value, digits)} {between(interval, digits)}"
    )


def scored(report: dict, key: str) -> str:
    """A score of a metrics file with its interval."""
    return with_interval(report[key], report["ci95"][key])


def runs(names: Iterable[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))
