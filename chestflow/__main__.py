"""The command `chestflow`: what people call by hand, around the graph that DVC runs."""

import signal
import sys

if sys.argv[0].endswith(("/chestflow", "chestflow/__main__.py")):  # started, and not imported
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # see `ending.at_once`; the imports take a while

import argparse
import importlib

from chestflow.parameters import ending

COMMANDS = {  # name -> the line in the list of commands
    "repro": "run what has changed in the graph, several stages at once",
    "summary": "print the headline figures of the last run",
    "sweep": "train many configurations as experiments, and rank them by validation",
    "results": "write docs/results.md from results on real images",
    "pack": "make a data set of your own images",
    "validate": "score the released model, or a run trained here, on your own labelled images",
    "predict": "ask the released model, or a run trained here, about your own images",
    "export": "write a trained run as ONNX",
    "check": "check params.yaml, datasets.yaml, and whether this machine can run them",
}


def main() -> None:
    ending.at_once()
    from chestflow.parameters.stage import one_line

    # Names of files need not be text, and must not end a batch.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    options = parse(sys.argv[1:])
    with one_line(options.command):
        sys.exit(options.function(options))


def parse(words: list[str]) -> argparse.Namespace:
    """What the command line asks for; `function` is the command's `main`."""
    called = next((word for word in words if word in COMMANDS), None)
    parser = argparse.ArgumentParser(
        prog="chestflow",
        description="Experiments on chest radiographs. The graph itself is run by `dvc repro`.",
        epilog="chestflow COMMAND --help tells more of each.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command, line in COMMANDS.items():
        sub = commands.add_parser(
            command, help=line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if command == called:  # only this one is loaded: some need seconds for their packages
            module = importlib.import_module(f"chestflow.commands.{command}")
            sub.description = module.__doc__
            module.add_arguments(sub)
            sub.set_defaults(function=module.main, command=command)
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
