"""Everything that can go wrong, on purpose: `make torture`, about twenty minutes on two cores.

One module per campaign, each with its KINDS of attempts: kills, parameters, files, servers and
environments. An attempt must end as the user was promised: with the right results, or in one line.
"""
