"""The command `chestflow`: tools around the graph, which DVC runs."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from chestflow.stage import one_line

COMMANDS = {  # name -> its module, and the line in the list of commands
    "repro": ("commands.repro", "run the stages that are out of date, several at once"),
    "summary": ("commands.summary", "print the main scores of the last run"),
    "sweep": ("commands.sweep", "train many configurations as experiments, and choose one"),
    "results": ("commands.results", "write docs/results.md and released/ from real images"),
    "check": ("commands.check", "check params.yaml and datasets.yaml"),
    "pack": ("own_images.pack", "make a data set of your own images"),
    "validate": ("own_images.validate", "score a trained network on your own labelled images"),
    "predict": ("own_images.predict", "apply a trained network to your own images"),
    "export": ("own_images.export", "write a trained run as ONNX"),
}


def main() -> None:
    # A file name that is not valid text must not end a batch.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    # As in an activated environment, so that DVC uses `dvc` and `python` of this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    options = parse(sys.argv[1:])
    with one_line(options.command):
        sys.exit(options.function(options))


def parse(words: list[str]) -> argparse.Namespace:
    """The parsed command line; `function` is the command's `main`."""
    called = next((word for word in words if word in COMMANDS), None)
    parser = argparse.ArgumentParser(
        prog="chestflow",
        description="Experiments on chest radiographs. The graph itself is run by `dvc repro`.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, (module_name, line) in COMMANDS.items():
        sub = commands.add_parser(
            command, help=line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if command == called:  # only this module is imported: some take seconds
            module = importlib.import_module(f"chestflow.{module_name}")
            sub.description = module.__doc__
            if hasattr(module, "add_arguments"):
                module.add_arguments(sub)
            sub.set_defaults(function=module.main, command=command)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
