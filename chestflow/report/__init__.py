"""The answers to the exercise sheets: the template, the sentences that a figure decides, the page.
A number here comes from the metrics files; nothing is computed from images.
"""
