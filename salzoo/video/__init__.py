"""Videos: their frames with the time of each, smoothing over time, and overlay videos."""
