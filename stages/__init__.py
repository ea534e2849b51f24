"""One script per stage, started by dvc.yaml as `python -m stages.<name>`."""

import sys

from chestflow.parameters import ending

if sys.argv[0] == "-m":  # being started as a command, and not imported: before any slow import
    ending.at_once()
    ending.with_dvc()
