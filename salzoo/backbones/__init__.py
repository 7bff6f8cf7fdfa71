"""Any timm or torchvision model as a feature extractor."""
