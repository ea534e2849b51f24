"""Images and labels as arrays mapped into memory, binary labels, drawing a labelled subset,
captions. NumPy only.
"""
