"""The training loops, and what they are made of. Only what changes the weights belongs here: a new
score in this package would retrain everything (`metrics` is the place for it). The exception is the
stress set, which is made with the augmentations.
"""
