"""Images and labels as arrays that can be mapped into memory, binary labels, and captions. NumPy
only: what needs a network, or a user's own file, belongs elsewhere (`network`, `own`).
"""
