"""Check params.yaml and datasets.yaml: DVC would report an unknown `init` as a missing file, and
would not notice a misspelt key.
"""

import argparse
from pathlib import Path

from chestflow.config import reading


def main(options: argparse.Namespace) -> None:
    reading.both(Path("params.yaml"), Path("datasets.yaml"))
