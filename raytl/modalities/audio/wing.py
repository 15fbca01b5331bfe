"""The wing of sounds, over the wing of images.

Legend: M mel bands, T frames, C channels, H height, W width.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raytl.config import AugmentConfig, SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.fitting import AudioOptions, fitted_scale, fitted_spectrogram
from raytl.modalities.audio.transform import (
    AudioFacts,
    AudioTransform,
    Spectrogram,
    audio_transform,
)
from raytl.modalities.audio.wav import mixed
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.image.augmentation import augment
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.wing import Image
from raytl.modalities.options import options_of
from raytl.modalities.ragged import as_rows
from raytl.rows import Rows


class Audio(Modality):
    """Sounds, seen as spectrograms by any image network. With weights learnt from photographs, that
    is transfer from one modality to another (Gong et al. 2021, "AST", section 2.2; Palanisamy et
    al. 2020, "Rethinking CNN Models for Audio Classification")."""

    name = "audio"
    column = AudioColumn
    packages = (*Image.packages, "scipy")
    # More change neither scale nor length, and a spectrogram of each costs a millisecond
    most_fitted = 4096
    mixes = True
    augments = frozenset({"crop"})

    def __init__(self) -> None:
        self._images = Image()

    def augmented(self, rows: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Tensor:
        """Return spectrograms_BMT shifted by up to `config.crop` bands and frames, what comes in
        from outside their mean, 0. Backwards no sound is the same, so none is flipped."""
        assert isinstance(rows, Tensor)
        shifted = config.model_copy(update={"flip": False})
        return torch.from_numpy(augment(rows.numpy()[..., None], shifted, draws_B3)[..., 0])

    def backbones(self) -> Mapping[str, Any]:
        """Return those of images."""
        return self._images.backbones()

    def check(self, config: SourceModelConfig) -> None:
        if config.path is not None:
            return
        options_of(AudioOptions, config.transform, "transform")
        if config.normalization is not None:
            raise ModelError(
                "normalization is of images; sounds are scaled by their own mean and deviation: "
                "remove it"
            )
        self._images.check(_of_images(config))

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> AudioTransform:
        """Return the transform; length and scale of spectrograms are fitted to the sample. The size
        of images is `input_size`, or what the network asks for, or else the longer of M and T."""
        assert isinstance(column, AudioColumn)
        options = options_of(AudioOptions, config.transform, "transform")
        sounds = sample()
        spectrogram = fitted_spectrogram(options, column.rate, sounds)
        mean, std = (0.0, 1.0) if options.per_row else fitted_scale(spectrogram, sounds)
        shape = self._input_shape(config, spectrogram)
        return AudioTransform(
            AudioFacts(
                spectrogram=spectrogram, mean=mean, std=std, input_shape=shape,
                per_row=options.per_row,
            )
        )  # fmt: skip

    def _input_shape(
        self, config: SourceModelConfig, spectrogram: Spectrogram
    ) -> tuple[int, int, int]:
        """Return the (C, H, W) that the network is fed for grey images of (M, T) pixels."""
        grey = ImageColumn(shape=(spectrogram.n_mels, spectrogram.frames, 1), dtype="float32")
        return self._images.fit(_of_images(config), grey, lambda: np.empty(0)).input_shape

    def transform(self, facts: Mapping[str, Any]) -> AudioTransform:
        return audio_transform(facts)

    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        return self._images.build(backbone, self._as_images(transform), args)

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        return self._images.load(_of_images(config), self._as_images(transform))

    def _as_images(self, transform: Transform) -> Transform:
        """Return a transform of images that gives what `transform` gives of sounds."""
        assert isinstance(transform, AudioTransform)
        shape = list(transform.input_shape)
        return self._images.transform({"input_shape": shape, "mean": [0.0], "std": [1.0]})

    def mix(self, own: np.ndarray, partner: np.ndarray, share: float) -> np.ndarray:
        """Return the weighted sums of sounds, in the type of `own`; silence follows the shorter."""
        return as_rows(mixed(a, b, share) for a, b in zip(own, partner, strict=True))


def _of_images(config: SourceModelConfig) -> SourceModelConfig:
    """Return the configuration without what images do not have."""
    return config.model_copy(update={"transform": {}})
