"""Reading and checking params.yaml and datasets.yaml. No stage depends on this package, because
checks do not change any output.
"""
