"""The user's own radiographs: reading PNG, JPEG and DICOM, predictions with overlays, data sets
made of them, validation, ONNX export. The graph uses none of it.
"""
