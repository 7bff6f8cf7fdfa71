"""Images in, saliency maps out: decoding, geometry, preprocessing, and the map itself."""
