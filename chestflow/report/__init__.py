"""The answers to the exercise sheets: the template, the verdicts that a number decides, the page.
A number here comes from the metrics files; nothing is computed from images.
"""
