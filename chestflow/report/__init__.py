"""The report, which answers the exercise sheets: its template, its verdicts, its HTML page."""
