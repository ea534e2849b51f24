"""GradCAM, and tests of its maps: true findings, random networks, deletion and insertion."""
