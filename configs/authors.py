r"""The authors' four examples (Tune-A-Video, ICCV 2023), with their settings.

  python -m tav_jax.tune --config=configs/authors.py:man_skiing \
      --workdir=runs/man_skiing

Their videos are `data/*.mp4` of github.com/showlab/Tune-A-Video. They report
about ten minutes of tuning and one of sampling on one A100.
"""

from ml_collections import ConfigDict

from configs import default

# The video, what it shows, the distance between its 24 frames, the edits.
EXAMPLES = {
    "man_skiing": ("data/man-skiing.mp4", "a man is skiing", 2, (
        "mickey mouse is skiing on the snow",
        "spider man is skiing on the beach, cartoon style",
        "wonder woman, wearing a cowboy hat, is skiing",
        "a man, wearing pink clothes, is skiing at sunset")),
    "man_surfing": ("data/man-surfing.mp4", "a man is surfing", 1, (
        "a panda is surfing",
        "a boy, wearing a birthday hat, is surfing",
        "a raccoon is surfing, cartoon style",
        "Iron Man is surfing in the desert")),
    "car_turn": ("data/car-turn.mp4", "a jeep car is moving on the road", 2, (
        "a jeep car is moving on the beach",
        "a jeep car is moving on the snow",
        "a jeep car is moving on the road, cartoon style",
        "a sports car is moving on the road")),
    "rabbit_watermelon": (
        "data/rabbit-watermelon.mp4", "a rabbit is eating a watermelon", 2, (
            "a tiger is eating a watermelon",
            "a rabbit is eating an orange",
            "a rabbit is eating a pizza",
            "a puppy is eating an orange")),
}


def get_config(name: str = "man_skiing") -> ConfigDict:
  if name not in EXAMPLES:
    raise ValueError(f"{name!r}: expected one of {', '.join(EXAMPLES)}")
  config = default.get_config()
  path, caption, stride, prompts = EXAMPLES[name]
  config.video.path, config.video.caption = path, caption
  config.video.stride = stride
  config.sampling.prompts = prompts
  return config
