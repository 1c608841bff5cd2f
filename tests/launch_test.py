"""The launch files, without a network, a TPU or a real gcloud."""

import json
import math
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import tarfile

import pytest
import yaml

from tav_jax import startup

ROOT = pathlib.Path(__file__).parents[1]
TOOLS = (
    "bash", "basename", "cat", "chmod", "cksum", "cp", "dirname", "git", "grep",
    "gzip", "ln", "mkdir", "mktemp", "mv", "paste", "rm", "sed", "tar", "xargs")
GCLOUD_TPU_VM = ["gcloud", "compute", "tpus", "tpu-vm"]
SCRIPTS = ("tpu_vm.sh", "local.sh", "venv.sh")
PROMPTS = """--config.prompts=('a cat, on snow','it'\\''s "$HOME" `x` \\ é')"""
FLAGS = [PROMPTS, "--workdir=runs/a b", "", "*", "--config.x=a\nb"]

# A gcloud whose TPU VM is the directory $VM; ssh joins words as sshd does.
GCLOUD = r"""#!/usr/bin/env bash
echo "$*" >>"$VM.log"
shift 3
cd "$VM"
case $1 in
  scp) cp "$2" "$VM" ;;
  ssh)
    for word; do
      case $word in --command=*) HOME=$VM bash -c "${word#--command=}" ;; esac
    done ;;
esac
"""

# A Python 3.{minor} that makes virtual environments of itself.
PYTHON = r"""#!/usr/bin/env bash
case "$*" in
  *version_info*) [ {minor} -ge 11 ] ;;
  *python_version*) echo 3.{minor}.0 ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip --version") ;;
  "-m pip install"*)
    echo "$*" >>"$LOG"
    for word; do [ ! -f "$word" ] || cat "$word" >>"$LOG"; done
    case ${{PIP-}} in
      fail) exit 1 ;;
      killed) kill -KILL $PPID ;;
    esac ;;
  *) shift; printf '%s\0' "$@" ;;
esac
"""

# A uv that makes a virtual environment of a Python newer than the machine's.
UV = r"""#!/usr/bin/env bash
echo "uv $*" >>"$LOG"
[ "$1" = venv ] || exit 0
python=${@: -1}/bin/python
mkdir -p "${python%/*}"
sed 's/10/11/' "$(command -v python3)" >"$python"
chmod +x "$python"
"""


class Machine:
  """A repository with the launch scripts, and a PATH of chosen programs."""

  def __init__(self, directory: pathlib.Path):
    self.root = directory / "repo"
    self.bin = directory / "bin"
    self.vm = directory / "vm"
    self.log = directory / "log"
    self.log.touch()
    self.vm.mkdir()
    shutil.copytree(ROOT / "launch", self.root / "launch")
    (self.root / "requirements.txt").write_text("jax==0.10.2\n")
    (self.root / "requirements-tpu.txt").write_text("-r requirements.txt\n")
    self.bin.mkdir()
    for tool in TOOLS:
      (self.bin / tool).symlink_to(shutil.which(tool))
    self.program("gcloud", "#!/bin/sh\necho real >&2\nexit 99\n")

  def program(self, name: str, text: str) -> None:
    (self.bin / name).write_text(text)
    (self.bin / name).chmod(0o755)

  def python(self, name: str = "python3", minor: int = 12) -> None:
    self.program(name, PYTHON.format(minor=minor))

  def run(self, script: str, *args: str, **env: str):
    return subprocess.run(
        [self.root / "launch" / script, *args], capture_output=True,
        text=True, cwd=self.root, check=False, timeout=30,
        env={"PATH": str(self.bin), "HOME": str(self.vm), "VM": str(self.vm),
             "LOG": str(self.log), "GIT_CONFIG_GLOBAL": os.devnull, **env})

  def dry(self, *args: str, **env: str) -> list[list[str]]:
    """The words of each command that tpu_vm.sh prints."""
    done = self.run("tpu_vm.sh", *args, DRY_RUN="1", **env)
    assert done.returncode == 0, done.stderr
    words = shlex.split(done.stdout.replace("\ngcloud ", "\n; gcloud "))
    commands = [[]]
    for word in words:
      if word == ";":
        commands.append([])
      else:
        commands[-1].append(word)
    return commands


@pytest.fixture
def machine(tmp_path):
  return Machine(tmp_path)


def command_of(words: list[str]) -> str:
  [command] = [word for word in words if word.startswith("--command=")]
  return command.removeprefix("--command=")


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_parses_and_says_its_usage(machine, script):
  path = ROOT / "launch" / script
  subprocess.run(["bash", "-n", path], check=True)
  assert os.access(path, os.X_OK)
  assert max(map(len, path.read_text().splitlines())) <= 80
  done = machine.run(script)
  assert done.returncode == 2
  assert done.stdout == ""
  assert f"launch/{script} " in done.stderr
  assert done.stderr.count("\n") < 20


@pytest.mark.parametrize("args", [
    "create", "create a b", "create --help", "setup", "setup a b", "mount a",
    "mount a b c", "run a", "run a train", "fetch a b", "fetch a b c d",
    "delete", "delete a b", "usage a", "ssh a"])
def test_wrong_tpu_arguments_exit_2_and_run_nothing(machine, args):
  done = machine.run("tpu_vm.sh", *args.split())
  assert done.returncode == 2
  assert "launch/tpu_vm.sh create NAME" in done.stderr
  assert "real" not in done.stderr


def test_wrong_local_entry_and_missing_requirements_exit_2(machine):
  assert machine.run("local.sh", "train").returncode == 2
  done = machine.run("venv.sh", "absent.txt")
  assert done.returncode == 2
  assert "no file absent.txt" in done.stderr
  assert not (machine.root / ".venv").exists()


@pytest.mark.parametrize(("kind", "version"), [
    (None, "v2-alpha-tpuv5-lite"), ("v5litepod-4", "v2-alpha-tpuv5-lite"),
    ("v6e-4", "v2-alpha-tpuv6e"), ("v5p-8", "v2-alpha-tpuv5"),
    ("v4-8", "tpu-ubuntu2204-base"), ("v3-8", "tpu-ubuntu2204-base")])
def test_create_chooses_the_runtime_of_the_type(machine, kind, version):
  [words] = machine.dry("create", "t", **({"TPU_TYPE": kind} if kind else {}))
  assert words == [
      *GCLOUD_TPU_VM, "create", "t",
      f"--accelerator-type={kind or 'v5litepod-1'}", f"--version={version}"]


def test_create_takes_version_zone_project_and_spot(machine):
  [words] = machine.dry("create", "t", TPU_TYPE="tpu9-1", VERSION="v9",
                        ZONE="z-a", PROJECT="p", SPOT="1")
  assert words[6:] == ["--accelerator-type=tpu9-1", "--version=v9", "--spot",
                       "--zone=z-a", "--project=p"]
  [words] = machine.dry("create", "t", SPOT="0")
  assert "--spot" not in words


def test_create_of_an_unknown_type_asks_for_the_version(machine):
  done = machine.run("tpu_vm.sh", "create", "t", TPU_TYPE="tpu9-1")
  assert done.returncode == 2
  assert "tpu9-1" in done.stderr.splitlines()[0]


def test_setup_sends_the_archive_to_every_worker(machine):
  archive, scp, ssh = machine.dry("setup", "t", ZONE="z-a", PROJECT="p")
  assert archive[:4] == ["git", "-C", str(machine.root), "archive"]
  [output] = [word for word in archive if word.startswith("--output=")]
  assert scp == [
      *GCLOUD_TPU_VM, "scp", output.removeprefix("--output="), "t:",
      "--worker=all", "--zone=z-a", "--project=p"]
  assert ssh[4:7] == ["ssh", "t", "--worker=all"]
  assert ssh[8:] == ["--zone=z-a", "--project=p"]
  assert "launch/venv.sh requirements-tpu.txt" in command_of(ssh)
  subprocess.run(["bash", "-n", "-c", command_of(ssh)], check=True)


def test_mount_on_a_pretended_vm(machine):
  """Once; what every worker compiles is then in the bucket."""
  [words] = machine.dry("mount", "t", "gs://it", ZONE="z-a")
  assert words[4:7] == ["ssh", "t", "--worker=all"]
  assert words[8:] == ["--zone=z-a"]

  machine.program("gcloud", GCLOUD)
  machine.program("gcsfuse", '#!/bin/bash\necho "$*" >>"$LOG"\n')
  machine.program("mountpoint", '#!/bin/bash\ngrep -q "$2" "$LOG"\n')
  cache = machine.vm / startup.CACHE.relative_to(pathlib.Path.home())
  (cache / "old").mkdir(parents=True)
  for _ in range(2):
    done = machine.run("tpu_vm.sh", "mount", "t", "gs://it")
    assert done.returncode == 0, done.stderr
    assert cache.resolve() == machine.vm / "tav_jax/bucket/xla"
  [mounted] = machine.log.read_text().splitlines()
  assert mounted.endswith(" it tav_jax/bucket")


def test_run_goes_to_every_worker_with_its_flags_intact(machine):
  [words] = machine.dry("run", "t", "tune", *FLAGS, ZONE="z-a")
  assert words[4:7] == ["ssh", "t", "--worker=all"]
  assert words[8:] == ["--zone=z-a"]
  start, flags = command_of(words).split("tav_jax.tune ")
  assert start == "cd tav_jax && exec .venv/bin/python -m "
  code = "import sys; print(ascii(sys.argv[1:]))"
  read = subprocess.run(
      ["bash", "-c", f"{sys.executable} -S -c '{code}' {flags}"],
      capture_output=True, text=True, check=True).stdout
  assert read.strip() == ascii(FLAGS)


def test_run_without_flags_passes_none(machine):
  [words] = machine.dry("run", "t", "plan")
  assert command_of(words).endswith("-m tav_jax.plan")


def test_fetch_copies_from_worker_0_of_the_checkout(machine):
  done = machine.run("tpu_vm.sh", "fetch", "t", "runs/x", "my results",
                     DRY_RUN="1", ZONE="z-a")
  mkdir, scp = map(shlex.split, done.stdout.splitlines())
  assert mkdir == ["mkdir", "-p", "my results"]
  assert scp[4:] == ["scp", "t:tav_jax/runs/x", "my results", "--recurse",
                     "--worker=0", "--zone=z-a"]
  assert "t:/data/x" in machine.dry("fetch", "t", "/data/x", "out")[-1]
  assert not (machine.root / "my results").exists()


def test_delete_leaves_the_question_to_gcloud(machine):
  [words] = machine.dry("delete", "t", ZONE="z-a")
  assert words[4:] == ["delete", "t", "--zone=z-a"]


def test_setup_and_run_on_a_pretended_vm(machine):
  """Tracked files as edited arrive, deleted ones go, flags survive."""
  machine.program("gcloud", GCLOUD)
  machine.python("python3.12")
  machine.python("python3")
  git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C",
         str(machine.root)]
  (machine.root / "old.py").write_text("")
  for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "m"]):
    subprocess.run([*git, *args], check=True)
  assert machine.run("tpu_vm.sh", "setup", "t").returncode == 0
  checkout = machine.vm / "tav_jax"
  (checkout / "runs").mkdir()
  assert (checkout / "old.py").exists()

  (machine.root / "old.py").unlink()
  (machine.root / "requirements.txt").write_text("jax==0.10.3\n")
  (machine.root / "untracked.py").write_text("")
  done = machine.run("tpu_vm.sh", "setup", "t")
  assert done.returncode == 0, done.stderr
  assert "with uncommitted changes" in done.stderr
  with tarfile.open(machine.vm / "tav_jax.tar.gz") as tar:
    assert not {"old.py", "untracked.py"} & set(tar.getnames())
  assert (checkout / "requirements.txt").read_text() == "jax==0.10.3\n"
  assert not (checkout / "old.py").exists()
  assert (checkout / "runs").is_dir()

  done = machine.run("tpu_vm.sh", "run", "t", "tune", *FLAGS)
  assert done.stdout.split("\0")[:-1] == ["tav_jax.tune", *FLAGS]


def test_venv_needs_a_new_python_or_uv(machine):
  machine.python("python3", minor=10)
  done = machine.run("venv.sh", "requirements.txt")
  assert done.returncode == 1
  assert done.stderr.count("\n") == 1
  assert "3.11" in done.stderr and "3.10.0" in done.stderr
  assert not (machine.root / ".venv").exists()

  machine.program("uv", UV)
  done = machine.run("venv.sh", "requirements.txt")
  assert done.returncode == 0, done.stderr
  venv, install = machine.log.read_text().splitlines()
  assert venv.startswith("uv venv --quiet --python 3.11 ")
  assert install.startswith("uv pip install ")


def test_venv_without_any_python_says_so(machine):
  done = machine.run("venv.sh", "requirements.txt")
  assert done.returncode == 1
  assert "python3 is missing" in done.stderr


def test_venv_takes_the_newest_python_that_works(machine):
  machine.program("python3.13", "#!/bin/sh\nexit 127\n")
  machine.python("python3.12", minor=12)
  machine.python("python3.11", minor=11)
  machine.python("python3", minor=10)
  done = machine.run("venv.sh", "requirements.txt")
  assert "Python 3.12.0: installing requirements.txt" in done.stderr
  assert done.stderr.splitlines()[-1].startswith("venv.sh: installed in ")


def test_venv_installs_only_when_requirements_change(machine):
  machine.python()
  run = lambda: machine.run("venv.sh", "requirements-tpu.txt").stderr
  assert "making" in run()
  assert run() == "venv.sh: .venv is up to date\n"
  # A change in a file that the given one includes.
  (machine.root / "requirements.txt").write_text("jax==0.10.3\n")
  assert "updating" in run()
  assert run() == "venv.sh: .venv is up to date\n"
  assert machine.log.read_text().count("pip install") == 2


@pytest.mark.parametrize("harm", ["killed", "no python", "empty"])
def test_venv_makes_a_half_made_one_anew(machine, harm):
  machine.python()
  venv = machine.root / ".venv"
  if harm == "killed":
    machine.run("venv.sh", "requirements.txt", PIP="killed")
  elif harm == "no python":
    machine.run("venv.sh", "requirements.txt")
    (venv / "bin/python").unlink()
  else:
    venv.mkdir()
  (venv / "rest").touch()
  done = machine.run("venv.sh", "requirements.txt")
  assert done.returncode == 0
  assert "making" in done.stderr
  assert not (venv / "rest").exists()


def test_venv_keeps_what_is_there_when_pip_fails(machine):
  machine.python()
  requirements = machine.root / "requirements.txt"
  run = lambda **env: machine.run("venv.sh", "requirements.txt", **env)
  run()
  requirements.write_text("jax==0\n")
  done = run(PIP="fail")
  assert done.returncode == 1
  assert "error: the installation failed" in done.stderr
  # Part of it may be installed, so going back is an installation too.
  requirements.write_text("jax==0.10.2\n")
  assert "updating" in run().stderr
  assert "up to date" in run().stderr


def test_local_installs_for_the_cpu_and_passes_flags(machine):
  machine.python()
  machine.program("nvidia-smi", "#!/bin/sh\nexit 9\n")  # No driver.
  done = machine.run("local.sh", "sample", *FLAGS)
  assert done.stdout.split("\0")[:-1] == ["tav_jax.sample", *FLAGS]
  assert "cuda" not in machine.log.read_text()


def test_local_installs_cuda_at_the_pinned_version(machine):
  machine.python()
  machine.program("nvidia-smi", "#!/bin/sh\n")
  assert machine.run("local.sh", "plan").returncode == 0
  assert "jax[cuda12]==0.10.2\n" in machine.log.read_text()
  assert "up to date" in machine.run("local.sh", "plan").stderr
  (machine.root / "requirements.txt").write_text("jax>=0.10\n")
  done = machine.run("local.sh", "plan")
  assert done.returncode == 1
  assert "jax==VERSION" in done.stderr


# Slices of several hosts.

JOBSET = yaml.safe_load((ROOT / "launch/jobset.yaml").read_text())
SKY = yaml.safe_load((ROOT / "launch/sky.yaml").read_text())
JOB = JOBSET["spec"]["replicatedJobs"][0]["template"]["spec"]
POD = JOB["template"]["spec"]
CONTAINER = POD["containers"][0]
TOPOLOGY = POD["nodeSelector"]["cloud.google.com/gke-tpu-topology"]
CHIPS = math.prod(map(int, TOPOLOGY.split("x")))

# What an entry point makes of its flags, as the only one of several processes.
READ = """
import json
from tav_jax import cli
from tav_jax.parallel import placement
from tav_jax.parallel.mesh import make_mesh

def main(config, workdir):
  placement.check_frames(make_mesh(**config.mesh), config.video.frames)
  print(json.dumps([
      str(workdir), cli._MULTI_HOST.value, config.video.path,
      config.video.caption, config.sampling.prompts]))

cli.run(main, multi_host=True)
"""


def make_image(directory: pathlib.Path) -> None:
  """What the Dockerfile copies, and nothing else."""
  text = (ROOT / "launch/Dockerfile").read_text()
  assert "-r requirements-tpu.txt" in text
  for line in text.splitlines():
    match line.split():
      case ["COPY", *names, "./"]:
        for name in names:
          (directory / name).symlink_to(ROOT / name)
      case ["COPY", source, target]:
        (directory / target).symlink_to(ROOT / source)
  assert (directory / "requirements-tpu.txt").exists()
  assert (directory / "requirements.txt").exists()  # The other includes it.


def sky_words(machine) -> list[str]:
  """The arguments that the shell gives to Python."""
  python = machine.root / ".venv/bin/python"
  python.parent.mkdir(parents=True)
  python.write_text("#!/bin/bash\nprintf '%s\\0' \"$@\"\n")
  python.chmod(0o755)
  return subprocess.run(
      ["bash", "-euc", SKY["run"]], cwd=machine.root, check=True, text=True,
      capture_output=True).stdout.split("\0")[:-1]


def test_slices_run_the_same_command_which_fits_them(machine, tmp_path):
  """Read in the image, with as many devices as the slice has chips."""
  python, *words = CONTAINER["command"] + CONTAINER["args"]
  assert python == "python"
  assert words == sky_words(machine)
  assert words[:2] == ["-m", "tav_jax.tune"]
  image = tmp_path / "image"
  image.mkdir()
  make_image(image)
  assert (image / "tav_jax/tune.py").exists()
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  done = subprocess.run(
      [sys.executable, "-c", READ, *words[2:]], cwd=image, check=False,
      capture_output=True, text=True, env=environment | {
          "JAX_PLATFORMS": "cpu", "JAX_NUM_PROCESSES": "1",
          "JAX_PROCESS_ID": "0", "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
          "XLA_FLAGS": f"--xla_force_host_platform_device_count={CHIPS}"})
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout) == [
      "/bucket/runs/cat", True, "/bucket/cat.mp4", "a cat is walking",
      ["a dog is walking"]]


def test_jobset_has_a_pod_for_every_host_of_the_slice():
  assert JOBSET["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
  hosts, chips = JOB["parallelism"], CONTAINER["resources"]["limits"]
  assert hosts > 1
  assert hosts * chips["google.com/tpu"] == CHIPS
  assert JOB["completions"] == hosts
  assert JOB["completionMode"] == "Indexed"
  [rule] = JOB["podFailurePolicy"]["rules"]
  assert rule["onExitCodes"]["containerName"] == CONTAINER["name"]
  assert POD["restartPolicy"] == "Never"  # A failure policy wants it.


def test_jobset_mounts_the_bucket_where_the_run_and_its_cache_are():
  [volume], [mounted] = POD["volumes"], CONTAINER["volumeMounts"]
  assert mounted == {"name": volume["name"], "mountPath": "/bucket"}
  options = volume["csi"]["volumeAttributes"]["mountOptions"].split(",")
  assert options == [
      "implicit-dirs", "metadata-cache:ttl-secs:0",
      "metadata-cache:negative-ttl-secs:0"]
  annotations = JOB["template"]["metadata"]["annotations"]
  assert annotations == {"gke-gcsfuse/volumes": "true"}
  [variable] = CONTAINER["env"]
  assert variable == {
      "name": "JAX_COMPILATION_CACHE_DIR", "value": "/bucket/xla"}
  # What the command in its comment puts in.
  text = (ROOT / "launch/jobset.yaml").read_text()
  assert f"s|{CONTAINER['image']}|" in text
  assert f"s|{volume['csi']['volumeAttributes']['bucketName']}|" in text


def test_sky_asks_for_the_same_slice_with_its_runtime(machine):
  assert SKY["resources"]["accelerators"] == f"tpu-v5litepod-{CHIPS}"
  [words] = machine.dry("create", "t", TPU_TYPE=f"v5litepod-{CHIPS}")
  version = SKY["resources"]["accelerator_args"]["runtime_version"]
  assert f"--version={version}" in words
  assert SKY["num_nodes"] == 1
  assert SKY["file_mounts"] == {
      "/bucket": {"source": "gs://${BUCKET}", "mode": "MOUNT"}}
  assert SKY["envs"] == {
      "BUCKET": None, "JAX_COMPILATION_CACHE_DIR": "/bucket/xla"}


def test_sky_sets_up_where_python_is_too_old(machine):
  machine.python("python3", minor=10)
  machine.program("uv", UV)
  done = subprocess.run(
      ["bash", "-c", SKY["setup"]], cwd=machine.root, check=False, text=True,
      capture_output=True, env={
          "PATH": str(machine.bin), "HOME": str(machine.vm),
          "LOG": str(machine.log)})
  assert done.returncode == 0, done.stderr
  assert "requirements-tpu.txt" in machine.log.read_text().splitlines()[-1]


@pytest.mark.parametrize("name", ["Dockerfile", "jobset.yaml", "sky.yaml"])
def test_launch_file_fits_in_80_columns(name):
  lines = (ROOT / "launch" / name).read_text().splitlines()
  assert max(map(len, lines)) <= 80
