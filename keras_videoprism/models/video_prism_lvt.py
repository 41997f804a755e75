"""Video tower and text tower with a shared embedding space."""

from pathlib import Path
from typing import Any

import keras
from keras import ops
from keras_hub.models import Backbone

from keras_videoprism.layers.map_pooler import MAPPooler
from keras_videoprism.layers.masking import BlockVisible, TubeVisible
from keras_videoprism.layers.text_encoder import TextEncoder
from keras_videoprism.layers.transformer import Transformer
from keras_videoprism.layers.typing import Tensor
from keras_videoprism.models.video_prism import VideoPrism, refuse_unknown


@keras.saving.register_keras_serializable(package="keras_videoprism")
class VideoPrismLvT(Backbone):
    """VideoPrism with MAP pooling and a text tower, trained by contrast (section 2.3.1).

    Args:
        patch_size, position_shape, hidden_dim, num_spatial_layers, num_temporal_layers, num_heads,
        mlp_dim, logit_cap, attention: see `VideoPrism`.
        num_auxiliary_layers: Transformer layers over all tokens before the pooler. The released
            models have 2; the stage-1 model of the paper has none.
        vocabulary_size, num_text_layers, text_norm_policy: see `TextEncoder`; its MLP is 4D wide.
        dtype: dtype or policy of the computations.

    Call arguments:
        inputs: dict with "videos" [B, T, H, W, 3] and perhaps "frame_mask" [B, T], or "token_ids"
            and "padding_mask" [B, L], or all of them. In place of videos, "video_tokens"
            [B, T*N, D], what the video encoder gives for them.
        visible: see `FactorizedEncoder`; not with "frame_mask" or "video_tokens".

    Returns:
        dict with "video_embeddings" and / or "text_embeddings" [B, D], L2-normalised.
    """

    def __init__(
        self,
        patch_size: int = 18,
        position_shape: tuple[int, int, int] = (16, 16, 16),
        hidden_dim: int = 768,
        num_spatial_layers: int = 12,
        num_temporal_layers: int = 4,
        num_heads: int = 12,
        mlp_dim: int = 3072,
        num_auxiliary_layers: int = 2,
        vocabulary_size: int = 32000,
        num_text_layers: int = 12,
        text_norm_policy: str = "pre",
        logit_cap: float | None = 50.0,
        attention: str = "factorized",
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_unknown(kwargs)
        video_encoder = VideoPrism(
            patch_size=patch_size,
            position_shape=position_shape,
            hidden_dim=hidden_dim,
            num_spatial_layers=num_spatial_layers,
            num_temporal_layers=num_temporal_layers,
            num_heads=num_heads,
            mlp_dim=mlp_dim,
            logit_cap=logit_cap,
            attention=attention,
            dtype=dtype,
            name="video_encoder",
        )
        auxiliary_encoder = None
        if num_auxiliary_layers:
            auxiliary_encoder = Transformer(
                num_auxiliary_layers,
                num_heads=num_heads,
                mlp_dim=mlp_dim,
                logit_cap=logit_cap,
                query_chunk_size=AUXILIARY_CHUNK,
                dtype=dtype,
                name="auxiliary_encoder",
            )
        pooler = MAPPooler(num_heads, 4 * hidden_dim, dtype=dtype, name="pooler")
        text_encoder = TextEncoder(
            vocabulary_size=vocabulary_size,
            hidden_dim=hidden_dim,
            num_layers=num_text_layers,
            num_heads=num_heads,
            mlp_dim=4 * hidden_dim,
            logit_cap=logit_cap,
            norm_policy=text_norm_policy,
            dtype=dtype,
            name="text_encoder",
        )
        inputs = {
            "videos": keras.Input((None, None, None, 3), name="videos"),
            "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
            "padding_mask": keras.Input((None,), dtype="bool", name="padding_mask"),
        }
        tokens = video_encoder(inputs["videos"])
        if auxiliary_encoder is not None:
            tokens = auxiliary_encoder(tokens)
        outputs = {
            "video_embeddings": pooler(tokens),
            "text_embeddings": text_encoder(inputs["token_ids"], inputs["padding_mask"]),
        }
        super().__init__(inputs=inputs, outputs=outputs, dtype=dtype, **kwargs)
        self.video_encoder = video_encoder
        self.auxiliary_encoder = auxiliary_encoder
        self.pooler = pooler
        self.text_encoder = text_encoder
        self.num_auxiliary_layers = num_auxiliary_layers
        self.vocabulary_size = vocabulary_size
        self.num_text_layers = num_text_layers
        self.text_norm_policy = text_norm_policy
        self.tokenizer: Any = None
        self.input_spec = None  # one tower may be called alone

    def call(
        self,
        inputs: dict[str, Tensor],
        visible: Tensor | TubeVisible | BlockVisible = None,
        training: bool | None = None,
        mask: Tensor = None,
    ) -> dict[str, Tensor]:
        outputs, mask = {}, inputs.get("frame_mask")
        if "video_tokens" in inputs:
            tokens = ops.cast(inputs["video_tokens"], self.compute_dtype)
            outputs["video_embeddings"] = self.pool(tokens, mask)
        elif "videos" in inputs:
            tokens = self.video_encoder(inputs["videos"], frame_mask=mask, visible=visible)
            if not self.video_encoder.trainable:
                tokens = ops.stop_gradient(tokens)
            outputs["video_embeddings"] = self.pool(tokens, mask)
        if "token_ids" in inputs:
            text = self.text_encoder(inputs["token_ids"], inputs["padding_mask"])
            outputs["text_embeddings"] = l2_normalize(text)
        if not outputs:
            raise ValueError(
                "inputs must have 'videos' or 'video_tokens', or 'token_ids' and 'padding_mask', "
                f"or both; received the keys {sorted(inputs)}."
            )
        return outputs

    def pool(self, tokens: Tensor, frame_mask: Tensor = None) -> Tensor:
        """Tokens [B, S, D] of the video encoder -> embeddings [B, D], L2-normalised.

        With `frame_mask` [B, T] the tokens of other frames (S = T*N, frame by frame) are ignored.
        """
        mask = None
        if frame_mask is not None:
            patches = ops.shape(tokens)[1] // ops.shape(frame_mask)[1]
            mask = ops.repeat(frame_mask, patches, axis=1)
        if self.auxiliary_encoder is not None:
            keys = None if mask is None else ops.expand_dims(mask, 1)
            tokens = self.auxiliary_encoder(tokens, attention_mask=keys, padding_mask=mask)
        return l2_normalize(self.pooler(tokens, padding_mask=mask))

    def encode_video(self, videos: Tensor, frame_mask: Tensor = None) -> Tensor:
        """Videos [B, T, H, W, 3], float in [0, 1] or uint8 -> embeddings [B, D], L2-normalised."""
        inputs = {"videos": videos}
        if frame_mask is not None:
            inputs["frame_mask"] = frame_mask
        return self(inputs)["video_embeddings"]

    def encode_text(
        self,
        texts: list[str] | None = None,
        token_ids: Tensor = None,
        padding_mask: Tensor = None,
    ) -> Tensor:
        """Sentences, or their tokens [B, L] -> embeddings [B, D], L2-normalised.

        Of a longer sentence the tokenizer keeps its first tokens.

        Raises:
            ValueError: no tokenizer, an empty text or one of more than `MAX_CHARACTERS`.
        """
        if texts is not None:
            if self.tokenizer is None:
                raise ValueError(
                    "this model has no tokenizer: load a preset that has one, set "
                    "`model.tokenizer`, or pass token_ids and padding_mask."
                )
            _check_texts(texts)
            return self(self.tokenizer(texts))["text_embeddings"]
        return self({"token_ids": token_ids, "padding_mask": padding_mask})["text_embeddings"]

    def save_to_preset(self, preset_dir: str, **kwargs: Any) -> None:
        """KerasHub's, and the tokenizer."""
        super().save_to_preset(preset_dir, **kwargs)
        if self.tokenizer is not None:
            assets = Path(preset_dir) / "assets" / "tokenizer"
            assets.mkdir(parents=True, exist_ok=True)
            self.tokenizer.save(assets / "vocabulary.spm")

    def get_config(self) -> dict[str, Any]:
        encoder = self.video_encoder.get_config()
        for key in ("name", "trainable", "dtype"):
            encoder.pop(key)
        return {
            **super().get_config(),
            **encoder,
            "num_auxiliary_layers": self.num_auxiliary_layers,
            "vocabulary_size": self.vocabulary_size,
            "num_text_layers": self.num_text_layers,
            "text_norm_policy": self.text_norm_policy,
        }

    @classmethod
    def from_preset(cls, preset: str, load_weights: bool = True, **kwargs: Any) -> "VideoPrismLvT":
        """Load by name, `kaggle://`, `hf://`, folder or npz file; see `presets.load`."""
        from keras_videoprism import presets

        return presets.load(preset, cls, load_weights, **kwargs)


# The auxiliary encoder attends over all T*N tokens: 12 heads x 4096 x 4096 float32 scores are
# 805 MB a clip and layer, 12 x 256 x 4096 are 50 MB.
AUXILIARY_CHUNK = 256

MAX_CHARACTERS = 2000  # some 400 tokens; the released models read 64


def _check_texts(texts: list[str]) -> None:
    long = [len(text) for text in texts if len(text) > MAX_CHARACTERS]
    if long:
        raise ValueError(
            f"texts of {long} characters; at most {MAX_CHARACTERS} are taken, of which the model "
            "reads the first tokens: pass a sentence."
        )


def l2_normalize(x: Tensor) -> Tensor:
    """Unit length along the last axis; 1e-12 inside the root as in the official code."""
    x = ops.cast(x, "float32")
    return x * ops.rsqrt(ops.sum(ops.square(x), axis=-1, keepdims=True) + 1e-12)
