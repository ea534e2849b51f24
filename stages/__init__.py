"""One script per stage, started by dvc.yaml as `python -m stages.<name>`."""

import signal
import sys

if sys.argv[0] == "-m":  # started as a command, not imported
    # Ctrl-C ends a stage at once: as an exception it would be a traceback while packages are
    # imported, and is lost while Python shuts down, so that DVC would start the next stage.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
