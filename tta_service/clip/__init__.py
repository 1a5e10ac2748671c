"""The frozen CLIP. Only this package imports open_clip and timm."""
