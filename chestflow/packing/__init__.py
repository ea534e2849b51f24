"""A folder of one's own as a data set: what there is to pack, its splits, its duplicates, and its
entry in datasets.yaml. Or as a validation: what a network says of it, and the page about that.
Reading and preparing a file is in `own`, writing archives in `sources`.
"""
