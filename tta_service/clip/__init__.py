"""The frozen CLIP: the only room that knows open_clip and timm."""
