"""One file per figure: numbers in, Matplotlib figures out. A new colour retrains nothing."""
