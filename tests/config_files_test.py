"""Config files of the authors, and texts on the command line."""

import shlex
import subprocess

from absl import flags
from conftest import ROOT
from ml_collections import config_flags, ConfigDict
import pytest

from configs import authors
from tav_jax import cli
from tav_jax.errors import InputError, printable
from tav_jax.pretraining import checks
from tav_jax.runs import authors_yaml, config_files, settings

# With the keys of configs/man-skiing.yaml in github.com/showlab/Tune-A-Video.
THEIRS = """
pretrained_model_path: "./checkpoints/stable-diffusion-v1-4"
output_dir: "./outputs/mine"
train_data:
  video_path: "data/man-skiing.mp4"
  prompt: "a man is skiing"
  n_sample_frames: 24
  width: 512
  height: 512
  sample_start_idx: 0
  sample_frame_rate: 2
validation_data:
  prompts:
    - "mickey mouse is skiing on the snow"
    - "spider man is skiing on the beach, cartoon style"
    - "wonder woman, wearing a cowboy hat, is skiing"
    - "a man, wearing pink clothes, is skiing at sunset"
  video_length: 24
  width: 512
  height: 512
  num_inference_steps: 50
  guidance_scale: 12.5
  use_inv_latent: True
  num_inv_steps: 50
learning_rate: 3e-5  # A text for YAML 1.1.
train_batch_size: 1
max_train_steps: 500
checkpointing_steps: 1000
validation_steps: 100
trainable_modules:
  - "attn1.to_q"
  - "attn2.to_q"
  - "attn_temp"
seed: 33
mixed_precision: fp16
use_8bit_adam: False
gradient_checkpointing: True
enable_xformers_memory_efficient_attention: True
"""
# With those of configs/loveu-tgve-2023/ in github.com/showlab/loveu-tgve-2023.
OF_LOVEU = """
pretrained_model_path: ./checkpoints/stable-diffusion-v1-4
train_data:
  video_path: ./data/loveu-tgve-2023/DAVIS_480p/480p_frames/dog
  prompt: A dog runs.
  height: 480
  width: 480
  num_frames: 32
  frame_rate: 1
validation_data:
  prompts:
    style: A dog runs, with a long description of
      the style.
    object: 'A cat: it''s running.'
    background: A dog runs on the moon.
    multiple: A cat runs on the moon.
  num_inference_steps: 50
  guidance_scale: 12.5
  use_inv_latent: true
  num_inv_steps: 50
learning_rate: 3.0e-05
"""


def read(tmp_path, text):
  path = tmp_path / "theirs.yaml"
  path.write_text(text, encoding="utf-8")
  return authors_yaml.read(path)


def test_a_file_of_the_authors_says_what_our_config_does(tmp_path):
  """Which was written by hand from the same example of theirs."""
  found, left = read(tmp_path, THEIRS)
  expected = ConfigDict(authors.get_config("man_skiing").to_dict())
  expected.model.checkpoint = "./checkpoints/stable-diffusion-v1-4"
  expected.run.checkpoint_every, expected.run.sample_every = 1000, 100
  assert settings.of(found.to_dict()) == settings.of(expected.to_dict())
  settings.check(settings.of(found.to_dict()))
  assert [key.split("=")[0] for key in left.split(", ")] == [
      "output_dir", "mixed_precision",
      "enable_xformers_memory_efficient_attention"]


def test_a_file_of_the_loveu_benchmark(tmp_path):
  found, left = read(tmp_path, OF_LOVEU)
  assert left == "" and found.video.frames == 32 and found.video.stride == 1
  assert found.video.width == found.video.height == 480
  assert found.sampling.prompts == (
      "A dog runs, with a long description of the style.",
      "A cat: it's running.", "A dog runs on the moon.",
      "A cat runs on the moon.")


def test_what_a_file_leaves_out_is_as_in_their_code(tmp_path):
  found, _ = read(tmp_path, """
pretrained_model_path: sd
train_data: {video_path: a.mp4, prompt: a cat}
validation_data: {prompts: a dog}
mixed_precision: no
""")
  assert found.video.frames == 8 and found.video.stride == 1
  assert (found.sampling.start, found.sampling.guidance) == ("random", 7.5)
  assert found.sampling.prompts == ("a dog",)
  assert found.model.dtype == "float32"
  assert (found.run.checkpoint_every, found.run.sample_every) == (500, 100)


@pytest.mark.parametrize("old,new,told", [
    ("max_train_steps: 500", "max_train_step: 500",
     "max_train_step=500 is not known here; leave it out, or the nearest known "
     "key is max_train_steps"),
    ("max_train_steps: 500", "max_train_steps: many",
     "max_train_steps='many': expected int"),
    ("width: 512", "width: [512]", "train_data.width=[512]: expected int"),
    ("video_length: 24", "video_length: 8",
     "validation_data.video_length=8: expected 24, as video.frames is"),
    ("num_inv_steps: 50", "num_inv_steps: 100", "num_inv_steps=100: expected"),
    ("video_path: ", "path: ", "no train_data.video_path"),
    ("  prompts:\n", "  texts:\n", "validation_data.prompts=[]: expected"),
    ('"a man is skiing"', "${other}", "expected a value, not a reference"),
    ("seed: 33", "seed: 33\nseed: 34", "line 35: it cannot be read as YAML "
     "('seed' is there twice)"),
    ("seed: 33", "seed: &a 33\nx: *a", "an alias (*)"),
    ("seed: 33", "seed: [", "it cannot be read as YAML"),
    ("seed: 33", "seed: !!python/object:a.B {}", "cannot be read as YAML"),
    ("trainable_modules:", "trainable_modules: all\nx:", "expected a list"),
    (THEIRS, "- a\n", "it has no keys and values"),
    (THEIRS, "[" * 9999, "it cannot be read as YAML"),
    (THEIRS, "", "it has no keys and values"),
])
def test_a_file_that_will_not_do(tmp_path, old, new, told):
  assert old in THEIRS
  with pytest.raises(InputError, match=r"theirs\.yaml") as error:
    read(tmp_path, THEIRS.replace(old, new, 1))
  assert told in str(error.value) and "\n" not in str(error.value)


def parse(flag):
  """What the parser of an entry point makes of a flag, or its error."""
  config = ConfigDict({"sampling": {"prompts": ("",)}, "sizes": (1, 2)})
  values, argv = flags.FlagValues(), ["tune", flag]
  holder = config_flags.DEFINE_config_dict(
      "config", config, flag_values=values, sys_argv=argv)
  values(argv)
  return holder.value.sampling.prompts


@pytest.mark.parametrize("given,meant", [
    ("('a dog's bone',)", ("a dog's bone",)),
    ("('a dog's bone', 'a cat')", ("a dog's bone", "a cat")),
    ("['it's','b', 'o'clock' ]", ("it's", "b", "o'clock")),
    ("a dog's bone", ("a dog's bone",)),
    ("a dog, cartoon style", ("a dog, cartoon style",)),
    ("(a dog, a cat)", ("a dog", "a cat")),
    ("('a \"big\" dog's bone', 'a')", ('a "big" dog\'s bone', "a")),
    ("('\u732b's $HOME `x` \\\\ !',)", ("\u732b's $HOME `x` \\\\ !",)),
])
def test_advice_on_an_apostrophe_is_what_a_shell_takes(given, meant):
  with pytest.raises(flags.Error) as error:
    parse(f"--config.sampling.prompts={given}")
  told = config_files.quoted(error.value, {"sampling.prompts": ("",)})
  assert f"sampling.prompts={given}: expected texts" in told
  advice = told[told.index("--config."):]
  assert parse(*shlex.split(advice)) == meant
  shown = subprocess.run(
      ["bash", "-c", f"printf %s {advice}"], capture_output=True, check=True)
  assert parse(shown.stdout.decode()) == meant


def test_numbers_get_no_advice_on_texts():
  with pytest.raises(flags.Error) as error:
    parse("--config.sizes=1, 2 x")
  assert config_files.quoted(error.value, {"sizes": (1, 2)}) == ""


def test_an_error_is_one_line_that_commands_no_terminal(capsys):
  with pytest.raises(SystemExit):
    cli._fail("a\nb\x1b[31m\r\u2028: the paths\n  c\n  d \u732b")
  assert capsys.readouterr().err == (
      "error: a\\nb\\x1b[31m\\r\\u2028: the paths\n  c\n  d \u732b\n")
  long = printable("key=" + "x" * 10**6 + "; expected less")
  assert len(long) < 3100 and long.endswith("x; expected less")


def test_a_yaml_file_is_a_config(tmp_path, capsys):
  path = tmp_path / "theirs.yml"
  path.write_text(THEIRS)
  config = config_files.read(str(path))
  assert config.video.stride == 2 and config.is_locked
  assert "not honoured: output_dir=" in capsys.readouterr().err
  with pytest.raises(InputError, match="no such file"):
    config_files.read(str(ROOT / "nope.yaml"))


def test_a_config_of_tuning_is_none_of_pretraining(tmp_path):
  config = authors.get_config("man_skiing")
  with pytest.raises(InputError, match="expected a config of pretraining"):
    checks.check(config, tmp_path)


def test_a_config_in_a_folder_with_a_colon(tmp_path):
  path = tmp_path / "12:30.py"
  path.touch()
  with pytest.raises(InputError, match="expected a path without ':'"):
    config_files.read(str(path))
