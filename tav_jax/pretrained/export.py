"""Export of a tuned network in the layout of the authors' PyTorch code."""

import json
import os
import pathlib

import jax
import numpy as np
from safetensors import numpy as safetensors

from tav_jax.data import atomic
from tav_jax.models.unet import UNetConfig
from tav_jax.pretrained import configs, names
from tav_jax.types import Params


def export_unet(
    directory: str | os.PathLike, config: UNetConfig, params: Params
) -> None:
  """Writes `unet/`, which the authors' `UNet3DConditionModel` loads.

  `load_unet` reads it back.

  Args:
    directory: Where `unet/config.json` and
      `unet/diffusion_pytorch_model.safetensors` (float32) go.
    config: Config of the network.
    params: All its parameters, frozen and tuned.
  """
  unet = pathlib.Path(directory) / "unet"
  params = jax.tree.map(lambda x: np.asarray(x, np.float32), dict(params))
  text = json.dumps(configs.write_unet3d(config), indent=2, sort_keys=True)
  with atomic.replacing(unet) as partial:
    partial.mkdir()
    (partial / "config.json").write_text(text + "\n")
    safetensors.save_file(
        names.write_torch_names(params),
        partial / "diffusion_pytorch_model.safetensors",
        metadata={"format": "pt"})
