"""The report, which answers the exercise sheets: its template, the verdicts on comparisons, the
HTML page. All numbers come from the stages; nothing is computed from images.
"""
