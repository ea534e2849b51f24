"""Numbers about predictions, maps, reconstructions and embeddings: arrays in, scores and intervals
out. Neither torch nor figures; each measure is defined once, but for the two by which training
chooses its epoch (`training.objectives`).
"""
