"""The networks, their files, and what can be asked of a trained one: probabilities, embeddings,
GradCAM maps. Nothing here trains (`training`) or scores (`measures`).
"""
