"""Mistakes in params.yaml, datasets.yaml and a sweep's grid, found by walking their own schema."""

import copy
import math
from collections.abc import Iterator
from random import Random
from typing import Any, Literal, get_args, get_origin

import yaml

from benchmarks.torture.attempts import ROOT
from chestflow.parameters.datasets import Datasets
from chestflow.parameters.schema import Block, Grid, Params

SCHEMAS = {"params.yaml": Params, "datasets.yaml": Datasets, "grid.yaml": Grid}
DECLARED = {
    name: yaml.safe_load((ROOT / place / name).read_text())
    for name, place in (("params.yaml", ""), ("datasets.yaml", ""), ("grid.yaml", "sweep"))
}
HERE = "@@here@@"  # stands for YAML that no Python value would be written as
RAW = """
~ | '' | ' ' | true | "true" | yes | on | 0 | -0.0 | -1 | 1.5 | .inf | -.inf | .nan | 1e400 | 1e-400
1e3 | 0o17 | 017 | 0x1F | 0b11 | 1_000 | 1:30 | 2001-01-01 | 2001-13-45 | 9999999999999999999999
[] | {} | [[]] | [[[[[]]]]] | {a: {b: c}} | [~] | [1, a, {}] | {1: 2} | {~: 1} | {[1, 2]: 3}
; rm -rf x | $(touch x) | `touch x` | a'b | "a\\"b" | ${seed} | ${runs} | '{key}' | -x | ../x
"a\\nb" | "\\0" | "\\e[2J" | "\\u2028" | "\\ud800" | é | 肺 | "\\U0001F600" | *x | &x [*x] | <<
!!binary aGk= | !!set {a} | !!python/object/apply:os.getcwd [] | !x y | !!int x | !!float x | ? a
"unclosed | [unclosed | {a: | @a | %a | "|" | >- | '#' | null null | 1 2 | all | ALL | autoencoder
"""
EXTREME = [
    "9" * 5000,
    "-" + "9" * 5000,
    "0." + "1" * 5000,
    "x" * 100_000,
    "[" * 3000,
    "[" * 90 + "]" * 90,
]
NAMES = [
    "a b",
    "a;b",
    "$(x)",
    "a@b",
    "a/b",
    "..",
    ".",
    "-a",
    "a'b",
    "ä",
    "肺",
    "a\nb",
    "\0",
    "",
    " ",
]
NAMES += [
    "x" * 300,
    "scratch",
    "autoencoder",
    "all",
    "1",
    "1e3",
    "true",
    "null",
    "${seed}",
    "a:b",
    "<<",
]
Place = tuple[str | int, ...]


def raw(random: Random) -> str:
    plain = [value.strip() for line in RAW.strip().splitlines() for value in line.split(" | ")]
    return random.choice(EXTREME) if random.random() < 0.15 else random.choice(plain)


# ------------------------------------------------------------------------- walking the schema


def keys(annotation: Any, value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every key that the schema knows below a value, those without a value included, with its
    type."""
    if isinstance(annotation, type) and issubclass(annotation, Block):
        for name, field in annotation.model_fields.items():
            below = value.get(name) if isinstance(value, dict) else None
            yield (*at, name), field
            yield from keys(field.annotation, below, (*at, name))
    elif get_origin(annotation) is dict and isinstance(value, dict):
        for name in value:
            yield (*at, name), get_args(annotation)[1]
            yield from keys(get_args(annotation)[1], value[name], (*at, name))
    elif get_origin(annotation) is list and isinstance(value, list):
        for i, below in enumerate(value):
            yield (*at, i), get_args(annotation)[0]
            yield from keys(get_args(annotation)[0], below, (*at, i))


def constraints(declared: Any) -> tuple[dict[str, float], list, set[type]]:
    """Bounds, literals and types of a field, wherever its annotation holds them."""
    bounds: dict[str, float] = {}
    literals: list = list(get_args(declared)) if get_origin(declared) is Literal else []
    types = {get_origin(declared) or declared} & {int, float, bool, str, list, dict}
    for name in ("ge", "gt", "le", "lt"):
        if (bound := getattr(declared, name, None)) is not None:
            bounds[name] = bound
    inner = [*getattr(declared, "metadata", ())]
    inner += [declared.annotation] if hasattr(declared, "annotation") else []
    inner += get_args(declared) if get_origin(declared) is not Literal else []
    for one in inner:
        more, others, plain = constraints(one)
        bounds, literals, types = bounds | more, literals + others, types | plain
    return bounds, literals, types


def at_the_edge(declared: Any, random: Random) -> Any:
    """A value on, just below or just above one of the field's bounds, or near a literal."""
    bounds, literals, _ = constraints(declared)
    near = [value for bound in bounds.values() for value in (bound - 1, bound, bound + 1)]
    near += [math.nextafter(bound, way) for bound in bounds.values() for way in (-9e99, 9e99)]
    near += [float(bound) for bound in bounds.values()] + [2**31, 2**32, 2**63, 2**64, 10**300]
    for value in literals:
        text = str(value)
        near += [value, text.upper(), text[:-1], text + " ", [value], [value, value], {text: value}]
    return random.choice(near)


def accepted_value(declared: Any, random: Random) -> Any:
    """A value that the schema accepts; None where it takes more than the field to know."""
    bounds, literals, types = constraints(declared)
    if literals and types <= {list, str}:
        return random.sample(literals, 1) if list in types else random.choice(literals)
    if {list, dict} & types:
        return None
    if bool in types:
        return random.random() < 0.5
    low = bounds.get("ge", bounds.get("gt", 1))
    if float in types:
        return random.uniform(low + 1e-3, bounds.get("le", bounds.get("lt", low + 50)) - 1e-3)
    if int in types:
        return random.randint(int(low), int(bounds.get("le", bounds.get("lt", low + 51) - 1)))
    return None


# ------------------------------------------------------------------------------------ mistakes


def at(content: Any, path: Place) -> Any:
    for key in path:
        content = content[key]
    return content


def put(content: Any, path: Place, value: Any) -> None:
    try:
        at(content, path[:-1])[path[-1]] = value
    except (TypeError, KeyError, IndexError):  # an earlier mistake has taken the block away
        content[str(path[-1])] = value


def written(content: Any, given: str = "") -> str:
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text.replace(HERE, given)


def wrong_value(name: str, random: Random) -> str:
    content = copy.deepcopy(DECLARED[name])
    path, _ = random.choice(list(keys(SCHEMAS[name], content)))
    put(content, path, HERE)
    return written(content, raw(random))


def out_of_range(name: str, random: Random) -> str:
    content = copy.deepcopy(DECLARED[name])
    fields = [(p, d) for p, d in keys(SCHEMAS[name], content) if any(constraints(d)[:2])]
    for path, declared in random.sample(fields, min(len(fields), random.randint(1, 2))):
        put(content, path, at_the_edge(declared, random))
    return written(content)


def wrong_key(name: str, random: Random) -> str:
    content = copy.deepcopy(DECLARED[name])
    *path, key = random.choice([p for p, _ in keys(SCHEMAS[name], content) if _has(content, p)])
    block, value = at(content, tuple(path)), at(content, (*path, key))
    what = random.choice(("missing", "unknown", "renamed", "twice"))
    if what in ("missing", "renamed"):
        del block[key]
    if what == "renamed" and isinstance(block, dict):
        block[random.choice([*NAMES, str(key).upper(), f"{key} "])] = value
    elif what == "unknown" and isinstance(block, dict):
        block[random.choice([*NAMES, 1, 1.5, None, True, "lr", "learning_rate"])] = value
    elif what == "twice" and isinstance(block, dict):
        block[HERE] = value
    return written(content, str(key))


def _has(content: Any, path: Place) -> bool:
    try:
        at(content, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def wrong_text(name: str, random: Random) -> bytes:
    text = written(DECLARED[name]).encode()
    spot, byte = random.randrange(len(text)), bytes([random.choice([0, 9, 10, 13, 27, 133, 255])])
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
    )
    return random.choice(
        [
            text[:spot],
            text[:spot] + byte + text[spot + 1 :],
            text[:spot] + random.randbytes(8) + text[spot:],
            text.replace(b"\n", b"\r\n"),
            text.replace(b": ", b":"),
            text.replace(b"  ", b"\t"),
            b"\xef\xbb\xbf" + text,
            text.decode().encode("utf-16"),
            text + b"---\n" + text,
            text + text,
            text + laughs.encode(),
            b"a: " * spot,
            b"[" * 5000,
            random.choice(
                [b"", b"\n", b"# x", b"x", b"1", b"[]", b"{}", b"null", b"\0", b"- a: 1"]
            ),
        ]
    )


def wrong_reference(name: str, random: Random) -> str:
    """Runs that start from each other or from nothing; questions about what does not exist."""
    content = copy.deepcopy(DECLARED["params.yaml"])
    runs, names = content["runs"], list(content["runs"])
    chosen = random.sample(names, random.randint(1, len(names)))
    other = random.choice([*names, *NAMES, "nobody"])
    what = random.randrange(7)
    if what == 0:  # a circle, of one or more
        for run, start in zip(chosen, chosen[1:] + chosen[:1]):
            runs[run]["init"] = start
    elif what == 1:
        runs[chosen[0]]["init"] = other
    elif what == 2:
        runs[chosen[0]]["dataset"] = other
    elif what == 3:
        content["runs"] = {run: runs[run] for run in chosen[1:]}
    elif what == 4:
        questions = [{"run": chosen[0], "against": other}] * random.randint(1, 3)
        content["comparison"]["questions"] = random.choice([questions, []])
    elif what == 5:
        spaces = {random.choice(["a", *NAMES]): random.choice([[], chosen, [other], chosen * 2])}
        content["comparison"]["spaces"] = random.choice([spaces, {}])
    else:
        content["efficiency"]["runs"] = random.choice([[other], chosen, chosen * 2, []])
    return written(content)


def right(name: str, random: Random) -> str:
    content = copy.deepcopy(DECLARED["params.yaml"])
    content["pixels"] = 128  # enough for as many blocks as the schema accepts
    fields = dict(keys(Params, content))
    for path in random.sample([path for path in fields if path[-1] != "pixels"], 5):
        if (value := accepted_value(fields[path], random)) is not None:
            put(content, path, value)
    return written(content)
