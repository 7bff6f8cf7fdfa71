"""Eye-tracking data on videos: clips, who looked where in each frame, and the readers of datasets."""
