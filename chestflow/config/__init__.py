"""What params.yaml and datasets.yaml may hold, and reading them. No stage depends on this package:
a check shapes no output.
"""
