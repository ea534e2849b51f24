"""A trained run on one's own images: reading PNG, JPEG and DICOM, overlays, and how unlike the
training images an image is. The graph uses none of it.
"""
