"""What params.yaml and datasets.yaml may hold, how mistakes are named, and how a stage's function
becomes a command. No stage lists this room among its deps, because a check shapes no output: what
decides a value (defaults, overrides) belongs in stage `configure`.
"""
