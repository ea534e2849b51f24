"""What people call by hand: one module per subcommand of `chestflow`, with `add_arguments` and
`main`. Stages of the graph belong in stages/.
"""
