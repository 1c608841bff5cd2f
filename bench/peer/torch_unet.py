"""Tune-A-Video's network in PyTorch, from diffusers' modules.

The fastest that a PyTorch user would write it: diffusers' U-Net, channels last,
with `scaled_dot_product_attention` in all three attentions. Frames are batch
entries, `(b f) c h w`; parameters have the names of the authors' code.
"""

from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
import torch
from torch.nn import functional as F

TRAINABLE = ("attn1.to_q.", "attn2.to_q.", "attn_temp.")


def inflate(unet: UNet2DConditionModel, frames: int) -> None:
  """Turns an image network into one for clips of `frames` frames, in place."""
  for module in list(unet.modules()):
    if isinstance(module, BasicTransformerBlock):
      width, heads = module.attn1.query_dim, module.attn1.heads
      module.__class__ = VideoBlock
      module.attn1.set_processor(SparseCausal(frames))
      module.attn2.set_processor(Cross(frames))
      module.norm_temp = torch.nn.LayerNorm(width)
      module.attn_temp = Attention(
          width, heads=heads, dim_head=width // heads,
          processor=Temporal(frames))
      torch.nn.init.zeros_(module.attn_temp.to_out[0].weight)
      torch.nn.init.zeros_(module.attn_temp.to_out[0].bias)
    if isinstance(module, ResnetBlock2D):
      module.norm1 = ClipGroupNorm.of(module.norm1, frames)
      module.norm2 = ClipGroupNorm.of(module.norm2, frames)
  unet.conv_norm_out = ClipGroupNorm.of(unet.conv_norm_out, frames)
  unet.to(memory_format=torch.channels_last)
  for name, parameter in unet.named_parameters():
    parameter.requires_grad_(any(part in name for part in TRAINABLE))


class VideoBlock(BasicTransformerBlock):
  """diffusers' block, then temporal attention."""

  def forward(self, *args, **kwargs) -> torch.Tensor:
    x = super().forward(*args, **kwargs)
    return x + self.attn_temp(self.norm_temp(x))


class ClipGroupNorm(torch.nn.GroupNorm):
  """GroupNorm over all frames of a clip.

  With channels last, a clip is one picture, as many times as high as it has
  frames, so that no array is copied.
  """

  @classmethod
  def of(cls, norm: torch.nn.GroupNorm, frames: int) -> "ClipGroupNorm":
    """A norm over clips with the parameters of `norm`, the image model's."""
    new = cls(norm.num_groups, norm.num_channels, norm.eps)
    new.weight, new.bias, new.frames = norm.weight, norm.bias, frames
    return new

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(-1, self.frames * h, w, c)
    y = super().forward(x.permute(0, 3, 1, 2))
    return y.permute(0, 2, 3, 1).reshape(n, h, w, c).permute(0, 3, 1, 2)


class SparseCausal:
  """Attention of each frame to the first frame and to the one before it."""

  def __init__(self, frames: int):
    self._seen = torch.tensor(
        [[0, max(i - 1, 0)] for i in range(frames)]).flatten()
    self._frames = frames

  def __call__(
      self, attn, hidden_states, encoder_hidden_states=None,
      attention_mask=None,
  ):
    n, s, c = hidden_states.shape
    see = lambda x: x.view(-1, self._frames, s, c).index_select(
        1, self._seen).view(n, 2 * s, c)
    y = _attend(
        attn, attn.to_q(hidden_states), see(attn.to_k(hidden_states)),
        see(attn.to_v(hidden_states)))
    return attn.to_out[0](y)


class Cross:
  """Attention of all frames at once to the text, projected once a clip."""

  def __init__(self, frames: int):
    self._frames = frames

  def __call__(
      self, attn, hidden_states, encoder_hidden_states=None,
      attention_mask=None,
  ):
    n, s, c = hidden_states.shape
    query = attn.to_q(hidden_states).view(-1, self._frames * s, c)
    y = _attend(
        attn, query, attn.to_k(encoder_hidden_states),
        attn.to_v(encoder_hidden_states))
    return attn.to_out[0](y.view(n, s, c))


class Temporal:
  """Attention of each position over all frames."""

  def __init__(self, frames: int):
    self._frames = frames

  def __call__(
      self, attn, hidden_states, encoder_hidden_states=None,
      attention_mask=None,
  ):
    n, s, c = hidden_states.shape
    x = hidden_states.view(-1, self._frames, s, c).transpose(1, 2)
    x = x.reshape(-1, self._frames, c)
    y = attn.to_out[0](_attend(attn, attn.to_q(x), attn.to_k(x), attn.to_v(x)))
    return y.view(-1, s, self._frames, c).transpose(1, 2).reshape(n, s, c)


def _attend(attn, query, key, value):
  """Attention of `b s c` in heads."""
  split = lambda x: x.unflatten(2, (attn.heads, -1)).transpose(1, 2)
  y = F.scaled_dot_product_attention(*map(split, (query, key, value)))
  return y.transpose(1, 2).flatten(2)
