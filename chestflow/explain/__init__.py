"""GradCAM and LayerCAM, and tests of their maps: true findings, random networks, insertion."""
