"""What papers are built from: the base of every model, layers, filters, optimisers."""
