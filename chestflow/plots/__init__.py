"""One file per figure: numbers in, Matplotlib figures out. No torch and no scikit-learn, so that a
new colour retrains and rescores nothing.
"""
