"""Scores, intervals and paired tests, calibration, latent spaces: arrays in, numbers out. No torch,
no figures.
"""
