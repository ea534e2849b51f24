"""Errors the user can fix, and small results as text. Every stage depends on this room, so only
what hardly ever changes belongs here: no parameters, no numbers, no wording.
"""
