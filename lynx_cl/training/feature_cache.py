"""Projected picture features, computed once a picture: the vision tower is frozen and lies below every tap."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

FAMILIES = ("llava",)  # pictures enter only as embeddings in the place of image tokens


class FeatureCache:
    """Turns picture tensors into input embeddings, and remembers the features by the pixels' digest.

    Once `limit` bytes are full, what is in stays and the rest is computed anew. A batch with an unknown picture is
    computed whole, so that features do not depend on what the cache holds: a resumed run sees the same bits.
    """

    def __init__(self, model: Any, limit: int) -> None:
        self.model, self.limit, self.held = model, limit, 0
        self._features: dict[bytes, Tensor] = {}

    def __len__(self) -> int:
        return len(self._features)

    def embed(self, input_ids: Tensor, pixel_values: Tensor) -> Tensor:
        """Input embeddings (rows, tokens, hidden) of token ids with the pictures' features at the image tokens.

        pixel_values (pictures, channels, height, width), in the order of their image tokens.
        """
        with torch.no_grad():
            words = self.model.get_input_embeddings()(input_ids)
            features = torch.stack(self.features(pixel_values)).to(words.device, words.dtype)
            images = (input_ids == self.model.config.image_token_id).unsqueeze(-1)
            return words.masked_scatter(images, features)

    def features(self, pixel_values: Tensor) -> list[Tensor]:
        """The features of each picture, (image tokens, hidden)."""
        keys = [hashlib.blake2b(image.contiguous().cpu().numpy(), digest_size=16).digest() for image in pixel_values]
        if all(key in self._features for key in keys):
            return [self._features[key] for key in keys]
        computed = list(self.model.get_image_features(pixel_values, return_dict=True).pooler_output)
        for key, feature in zip(keys, computed, strict=True):
            size = feature.numel() * feature.element_size()
            if key not in self._features and self.held + size <= self.limit:
                self._features[key] = feature.clone()
                self.held += size
        return computed


def caches(model: Any) -> bool:
    """Whether a model's pictures can be fed as features: its family is known to take them so."""
    return getattr(model.config, "model_type", None) in FAMILIES
