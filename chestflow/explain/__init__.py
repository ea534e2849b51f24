"""GradCAM, and how it is judged: by true findings, random networks, deletion and insertion."""
