"""Any timm or torchvision model as a feature extractor."""

from salzoo.backbones.pretrained import pixel_statistics
from salzoo.backbones.timm_backbone import TimmBackbone

__all__ = ["TimmBackbone", "pixel_statistics"]
