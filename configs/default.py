r"""The paper's table: Tune-A-Video on Stable Diffusion v1-4 (ICCV 2023).

Tunes on one captioned video and renders it with other prompts. Set the video
and the prompts, here or in a file of your own that starts from this one:

  python -m tav_jax.tune --config=configs/default.py --workdir=runs/mine \
      --config.video.path=my.mp4 --config.video.caption="a cat is walking" \
      --config.sampling.prompts="('a dog is walking', 'a robot is walking')"

Needs the checkpoint from the hub, or a local copy of it. On one TPU v5e chip
tuning takes 8.8 of 16 GB and at least 3.2 min, those of the chip's peak rates
(`python -m tav_jax.plan --config=configs/default.py`).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  config = ConfigDict()
  config.seed = 33

  config.model = ConfigDict()
  config.model.checkpoint = "CompVis/stable-diffusion-v1-4"
  config.model.revision = ""
  config.model.trainable = ("attn1/to_q", "attn2/to_q", "attn_temp")
  config.model.spatial = "sparse_causal"
  config.model.temporal = "full"
  config.model.convolution = "1x3x3"
  config.model.dtype = "auto"
  config.model.remat = True
  config.model.attention = "auto"
  config.model.attention_block = 256
  config.model.memory = "given"

  config.mesh = ConfigDict()
  config.mesh.video = 1
  config.mesh.frame = -1
  config.mesh.model = 1

  config.video = ConfigDict()
  config.video.path = ""
  config.video.caption = ""
  config.video.start = 0
  config.video.stride = 2
  config.video.frames = 24
  config.video.width = 512
  config.video.height = 512
  config.video.fit = "stretch"
  config.video.fps = 0.0

  config.optimizer = ConfigDict()
  config.optimizer.steps = 500
  config.optimizer.learning_rate = 3e-5
  config.optimizer.schedule = "constant"
  config.optimizer.warmup_steps = 0
  config.optimizer.b1 = 0.9
  config.optimizer.b2 = 0.999
  config.optimizer.eps = 1e-8
  config.optimizer.weight_decay = 1e-2
  config.optimizer.clip_norm = 1.0
  config.optimizer.accumulate = 1
  config.optimizer.steps_per_dispatch = 10

  config.sampling = ConfigDict()
  config.sampling.prompts = ("",)
  config.sampling.negative_prompt = ""
  config.sampling.start = "inversion"
  config.sampling.steps = 50
  config.sampling.guidance = 12.5
  config.sampling.batch_size = 1
  config.sampling.seed = 0

  config.run = ConfigDict()
  config.run.checkpoint_every = 100
  config.run.sample_every = 500
  config.run.keep_checkpoints = 2
  config.run.export = False

  return config.lock()
