"""Published scores, and the archive that they are about: no other images are compared with them."""

SOURCE = "https://doi.org/10.1038/s41597-022-01721-8"  # Yang et al. 2023, table 3
MD5 = "28209eda62fecd6e6a2d98b1501bb15f"  # of PneumoniaMNIST at 28 pixels
FIGURES = {  # AUROC and accuracy, without intervals
    "ResNet-18": (0.944, 0.854),
    "ResNet-50": (0.948, 0.854),
    "auto-sklearn": (0.942, 0.855),
    "AutoKeras": (0.947, 0.878),
    "Google AutoML Vision": (0.991, 0.946),
}
