"""Observe: watermarks by cuts, lag as a state and a time, alerts. Pure; told the ends, the progress and the time."""
