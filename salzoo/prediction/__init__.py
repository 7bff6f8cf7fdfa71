"""Images to files, in one process or in many."""
