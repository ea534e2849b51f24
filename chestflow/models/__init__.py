"""The classifier and the autoencoder, their checkpoints, and inference. Nothing here trains
(`training`), explains (`explain`) or scores (`metrics`).
"""
