"""Weight files of other kinds: other runtimes, quantized, additions, pointers.

As in `foreign.py`, each function raises an InputError that says what it is.
"""

from collections.abc import Iterable
import pathlib
import re
from typing import Any

from tav_jax.errors import InputError

_FORMATS = (
    (r".*\.onnx(_data)?$", "ONNX"), (r"openvino_.*\.(xml|bin)$", "OpenVINO"),
    (r".*\.(mlpackage|mlmodelc|mlmodel)$", "Core ML"),
    (r"coreml|split_einsum|original$", "Core ML"),
    (r".*\.gguf$", "GGUF"), (r".*\.tflite$", "TensorFlow Lite"),
    (r"(tf_model|model)\.h5$|.*\.ckpt\.index$", "TensorFlow"))


def refuse_formats(where: Any, files: Iterable[str]) -> None:
  """Names of files that are made for another runtime."""
  for pattern, kind in _FORMATS:
    for name in sorted(files):
      if re.match(pattern, name):
        raise InputError(
            f"checkpoint {where}: this is made for {kind} ({name}); expected "
            "weights as safetensors; take the original that it was made from")


# What part of a weight's name tells: what the weights are, and what to do.
_WEIGHTS = (
    (r"\.scale_(weight|input)$|\.(weight|input)_scale$|^scaled_fp8$",
     "fp8 weights with scales beside them",
     "take the model's fp16 or bf16 weights"),
    (r"\.(absmax|quant_map|qweight|qzeros|weight_format)$|quant_state",
     "quantized weights", "take the model's fp16 weights"),
    (r"\bbase_model\.model\.",
     "a model still wrapped by PEFT",
     "save model.merge_and_unload() with save_pretrained"),
    (r"\blora_|_lora\.|\.lora\.", "a LoRA alone, or a model with one in it",
     "fuse it with fuse_lora() and save_pretrained()"),
    (r"controlnet_(cond_embedding|down_blocks|mid_block)",
     "a ControlNet", "take the model's own unet/"),
    (r"^transformer_in\.|\.temp_convs\.|\.temp_attentions\.",
     "a ModelScope text-to-video U-Net, a video's already",
     "take an image model"),
    (r"\bmotion_modules\.", "an AnimateDiff U-Net, a video's already",
     "take the image model that it was made from"),
    (r"^add_embedding\.", "the U-Net of Stable Diffusion XL",
     "take a model of Stable Diffusion 1.x or 2.x"),
    (r"^(model\.diffusion_model|first_stage_model|cond_stage_model|model_ema)"
     r"\.", "a whole model in the layout of a single file",
     "convert it with StableDiffusionPipeline.from_single_file(...)"
     ".save_pretrained(...)"),
    (r"^(module|_orig_mod)\.", "weights of a model still wrapped for training",
     "save the model without its wrapper (accelerator.unwrap_model)"),
)


def refuse_weights(names: Iterable[str], source: str) -> None:
  """Weights whose names tell that they are another model's."""
  names = list(names)
  for pattern, kind, advice in _WEIGHTS:
    for name in names:
      if re.search(pattern, name):
        raise InputError(f"{source}: these are {kind} ({name}); {advice}")


def refuse_pointer(file: pathlib.Path) -> None:
  """A pointer that Git LFS left in place of a file; a pipe, which may hang."""
  if file.exists() and not file.is_file():
    raise InputError(f"{file}: this is no file; expected one")
  try:
    with file.open("rb") as opened:
      start = opened.read(64)
  except OSError:
    return  # Whoever reads it says what is wrong.
  if start.startswith(b"version https://git-lfs.github.com/"):
    raise InputError(
        f"{file}: this is a pointer of Git LFS, not the file itself; run 'git "
        "lfs pull' in its repository, or download the file")
