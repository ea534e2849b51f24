"""How a network is trained: batches, strategies, the loop, which weights are kept, and several
processes. Only what changes the weights belongs here: a new score would retrain everything.
Augmentation is a room of its own, because the autoencoder is trained without it.
"""
