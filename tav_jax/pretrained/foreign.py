"""What people have that is no checkpoint of ours, named for what it is.

Each function looks at one thing, a directory or a config, and raises an
InputError that says what it is and what to do. What none of them knows is
refused later, by what is missing or does not fit.
"""

from collections.abc import Mapping
import json
import pathlib
import re
from typing import Any

from tav_jax.errors import InputError
from tav_jax.pretrained import foreign_files
from tav_jax.pretrained.reader import shown

PARTS = ("unet", "vae", "text_encoder")
"""The parts of a model that have weights."""
NEEDED = (
    "a Stable Diffusion 1.x or 2.x model as diffusers saves it, a directory "
    "with unet/, vae/, text_encoder/, tokenizer/, scheduler/")
CONVERT = (
    "convert it once where PyTorch is installed: python -c \"from diffusers "
    "import StableDiffusionPipeline as P; P.from_pretrained('{0}', "
    "safety_checker=None).save_pretrained('{0}-safe', "
    "safe_serialization=True)\"")
CONVERT_CLIP = (
    "convert it once where PyTorch is installed: python -c \"from transformers "
    "import CLIPModel, CLIPImageProcessor, CLIPTokenizer; [c.from_pretrained("
    "'{0}').save_pretrained('{0}-safe') for c in (CLIPModel, "
    "CLIPImageProcessor, CLIPTokenizer)]\"")
_CONVERT_FILE = (
    "convert it once where PyTorch is installed: python -c \"from diffusers "
    "import StableDiffusionPipeline as P; P.from_single_file('{0}')"
    ".save_pretrained('{0}-diffusers')\"")
_FUSE = (
    "fuse it into its base model once where PyTorch is installed: python -c "
    "\"from diffusers import StableDiffusionPipeline as P; p = "
    "P.from_pretrained('BASE_MODEL', safety_checker=None); "
    "p.load_lora_weights('{0}'); p.fuse_lora(); p.unload_lora_weights(); "
    "p.save_pretrained('{0}-fused')\"")
_LORA_FILES = (
    "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin",
    "adapter_model.safetensors", "adapter_model.bin", "adapter_config.json")

_SINGLE = (".safetensors", ".ckpt", ".pt", ".pth")
_ADDITIONS = ("ControlNet", "T2IAdapter", "MotionAdapter")
# Words in a class's name: what it is. The first that occurs counts.
_CLASSES = {
    "StableDiffusionXL": "Stable Diffusion XL, which has two text encoders",
    "StableDiffusion3": "Stable Diffusion 3, a transformer trained on flows",
    "Flux": "Flux, a transformer trained on flows",
    "ControlNet": "a ControlNet, an addition to a model",
    "T2IAdapter": "a T2I adapter, an addition to a model",
    "MotionAdapter": "an AnimateDiff motion module, an addition to a model",
    "UNetMotion": "an AnimateDiff model, whose U-Net is a video's already",
    "TextToVideoSD": "a ModelScope text-to-video model, whose U-Net is a "
                     "video's already",
    "SpatioTemporal": "Stable Video Diffusion, whose U-Net is a video's",
    "StableVideo": "Stable Video Diffusion, whose U-Net is a video's",
    "I2VGenXL": "I2VGen-XL, whose U-Net is a video's already",
    "UNet2DModel": "an unconditional U-Net with attention of another kind",
    "Kandinsky": "Kandinsky, which has another text encoder and a prior",
    "IFPipeline": "DeepFloyd IF, which paints pixels from T5's embeddings",
    "Transformer": "a diffusion transformer",
    "PixArt": "PixArt, a diffusion transformer",
    "InstructPix2Pix": "InstructPix2Pix, whose U-Net also sees a picture",
    "Upscale": "an upscaler, whose U-Net also sees a picture",
    "Depth2Img": "a depth-to-image model, whose U-Net also sees a depth map",
    "UnCLIP": "an unCLIP model, which also needs embeddings of pictures",
}
# Channels that a U-Net takes beside the latents.
INPUTS = {
    5: "a depth-to-image model", 7: "an upscaler", 8: "InstructPix2Pix",
    9: "an inpainting model"}


def refuse_file(path: pathlib.Path, expected: str) -> None:
  """A file where a directory was expected."""
  foreign_files.refuse_pointer(path)
  what, advice = "a file", ""
  if path.name in _LORA_FILES or _is_lora(path):
    what = "a LoRA alone, which changes a model"
    advice = "; " + _FUSE.format(path)
  elif path.suffix in _SINGLE:
    what, advice = "a single file", "; " + _CONVERT_FILE.format(path)
  elif path.suffix == ".gguf":
    what = "a GGUF file of quantized weights"
  raise InputError(
      f"checkpoint {path}: this is {what}; expected {expected}{advice}")


def refuse_directory(root: pathlib.Path) -> None:
  """A directory of something else than a Stable Diffusion model."""
  here = {f.name for f in root.iterdir()}
  kind = None
  for name in ("model_index.json", "config.json"):
    said = str(_json(root / name).get("_class_name"))
    # A pipeline with an addition has the whole model beside it.
    if not ("unet" in here and any(word in said for word in _ADDITIONS)):
      kind = kind or _named(said)
  if kind is not None:
    raise InputError(f"checkpoint {root}: this is {kind}; expected {NEEDED}")
  refuse_names(here, root)
  if "unet" in here:
    return
  config = _json(root / "config.json")
  if "_class_name" in config:
    raise InputError(
        f"checkpoint {root}: this is one part of a model, "
        f"{shown(config['_class_name'])}; expected {NEEDED}: give the "
        "directory above")
  if "model_type" in config:
    raise InputError(
        f"checkpoint {root}: this is a model of transformers; expected "
        f"{NEEDED}; a CLIP that scores videos is no checkpoint to tune")
  for name in sorted(here):
    if name.endswith(_SINGLE):
      refuse_file(root / name, NEEDED)


def refuse_names(here: set[str], where: Any) -> None:
  """Names at the top of a directory or repository that tell what it is.

  Args:
    here: The names.
    where: Directory or repository, for the error message.
  """
  kind, advice = None, ""
  loras = sorted(here & set(_LORA_FILES))
  words = sorted(x for x in here if re.match(r"learned_embeds.*\.\w+$", x))
  if "text_encoder_2" in here:
    kind = _CLASSES["StableDiffusionXL"]
  elif "unet" in here:
    return
  elif "configuration.json" in here:
    kind = "a model in ModelScope's layout"
  elif "transformer" in here:
    kind = "a diffusion transformer, such as Stable Diffusion 3 or Flux"
  elif loras:
    kind = f"a LoRA alone ({loras[0]}), which changes a model"
    advice = "; " + _FUSE.format(where)
  elif words:
    kind = f"a textual inversion ({words[0]}), a word for a model"
  if kind is not None:
    raise InputError(
        f"checkpoint {where}: this is {kind}; expected {NEEDED}{advice}")
  foreign_files.refuse_formats(where, here)


def refuse_clip_directory(root: pathlib.Path) -> None:
  """A directory of something else than a CLIP."""
  if (root / "unet").is_dir() and not (root / "clip").is_dir():
    raise InputError(
        f"checkpoint {root}: this is a diffusion model; expected a CLIP of "
        "transformers (CLIPModel), such as openai/clip-vit-large-patch14")


def refuse_unet(values: Mapping[str, Any], source: str) -> None:
  """The config of a U-Net of another family."""
  kind = _named(values.get("_class_name"))
  if kind is None and values.get("addition_embed_type") == "text_time":
    kind = _CLASSES["StableDiffusionXL"]
  if "mid_block_type" in values and values["mid_block_type"] is None:
    kind = ("a U-Net without a middle block, such as the small distilled ones "
            "(mid_block_type is null)")
  if kind is not None:
    raise InputError(f"{source}: this is {kind}; expected {NEEDED}")
  _expect_class(values, source, (
      "UNet2DConditionModel", "UNet3DConditionModel",
      "FlaxUNet2DConditionModel"))


def refuse_vae(values: Mapping[str, Any], source: str) -> None:
  """The config of another autoencoder."""
  _expect_class(values, source, ("AutoencoderKL", "FlaxAutoencoderKL"))


def _expect_class(values, source: str, known: tuple[str, ...]) -> None:
  name = values.get("_class_name")
  if name not in (None, *known):
    raise InputError(
        f"{source}: _class_name is {shown(name)}; expected {known[0]}")


def refuse_scheduler(name: Any, source: str) -> None:
  """A scheduler of another process than the noising of DDPM."""
  for word, kind in (
      ("FlowMatch", "flow matching, as Stable Diffusion 3 and Flux"),
      ("EDM", "EDM, with continuous noise levels"),
      ("Karras", "Karras et al., with continuous noise levels"),
      ("ScoreSde", "score SDEs"), ("VQDiffusion", "discrete diffusion"),
      ("CosineDPM", "EDM, with continuous noise levels")):
    if word in str(name):
      raise InputError(
          f"{source}: _class_name is {shown(name)}, of models trained with "
          f"{kind}; expected a scheduler of Stable Diffusion 1.x or 2.x, such "
          "as DDIMScheduler or PNDMScheduler")


def _named(class_name: Any) -> str | None:
  return next((
      kind for word, kind in _CLASSES.items() if word in str(class_name)), None)


def _json(file: pathlib.Path) -> dict:
  """What a JSON file holds; nothing, if it is none: readers say why."""
  if not file.is_file():  # A pipe may hang.
    return {}
  try:
    values = json.loads(file.read_bytes())
  except (OSError, ValueError, RecursionError):
    return {}
  return values if isinstance(values, dict) else {}


def _is_lora(file: pathlib.Path) -> bool:
  """Whether names in a safetensors file's header are a LoRA's."""
  if file.suffix != ".safetensors":
    return False
  with file.open("rb") as opened:
    header = opened.read(1 << 20)
  return bool(re.search(rb'"[^"]*(\blora_|lora\.|_lora)[^"]*"', header))
