"""The image for the CPU as far as a machine without Docker can build it: the steps of docker/Dockerfile one by one."""
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.ernie.runs import ROOT

SYSTEM = ("apt-get", "useradd")  # packages and accounts of the image, which a test must not make


def instructions(device):
    """(NAME, rest) of the stages that an image for ``device`` is built of, ARG filled in."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "docker" / "Dockerfile").read_text("utf-8"))
    lines = [line.strip().replace("${DEVICE}", device) for line in text.splitlines()]
    stages = [[]]
    for line in lines:
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            if name == "FROM":
                stages.append([])
            stages[-1].append((name, rest))
    base = stages[-1][0][1]  # FROM of the last stage names another stage
    (found,) = [stage for stage in stages if stage and stage[0][1].endswith(f" AS {base}")]
    return [*found, *stages[-1][1:]]


def context(folder):
    """What `docker build` sends: the files of the checkout that .dockerignore leaves, and so nothing of git."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git checkout")
    ignored = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line]
    for name in filter(None, listed.stdout.split("\0")):
        parts = name.split("/")
        places = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        if not any(fnmatch.fnmatch(place, pattern.replace("**/", "*")) for place in places for pattern in ignored):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def test_the_image_for_either_device_installs_what_setup_declares():
    for device in ("cpu", "gpu"):
        steps = instructions(device)
        installing = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
        assert len(installing) == 1 and f"/src[{device},zh]" in installing[0]
        assert json.loads(dict(steps)["ENTRYPOINT"]) == ["ernie"] and ("USER", "1000") in steps


def test_the_libraries_of_cuda_have_the_names_that_paddle_opens(tmp_path):
    """NVIDIA's runtime image has them by their versions only."""
    (step,) = [rest for name, rest in instructions("gpu") if name == "RUN" and "libcudnn" in rest]
    system, cuda = tmp_path / "system", tmp_path / "cuda"
    files = [system / "libcudnn.so.8", system / "libcudnn.so.8.9.6", system / "libcudnn_ops_infer.so.8",
             system / "libnccl.so.2", system / "libnccl.so.2.15.5"]
    files += [cuda / f"lib{name}.so.{version}" for name in ("cublas", "cublasLt", "curand", "cusolver", "cusparse",
                                                            "cufft", "nvrtc") for version in ("11", "11.11.3.6")]
    step = step.replace("/usr/local/cuda/lib64", str(cuda)).replace("/usr/lib/x86_64-linux-gnu", str(system))
    assert subprocess.run(["sh", "-c", step]).returncode  # an image that is laid out otherwise does not build
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(file.name)
    assert subprocess.run(["sh", "-c", step]).returncode == 0
    for name in ("cublas", "cublasLt", "cudnn", "curand", "cusolver", "cusparse", "cufft", "nvrtc", "nccl"):
        assert (system / f"lib{name}.so").read_text().startswith(f"lib{name}.so.")


@pytest.mark.slow
def test_the_steps_of_the_image_install_a_package_that_runs_the_demo(tmp_path):
    environment = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    within = next((environment / "lib").glob("python*")) / "site-packages"
    # what is installed here need not be downloaded again; this checkout is not among it
    (within / "here.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    settings = {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path / "home"),
                "PIP_DISABLE_PIP_VERSION_CHECK": "1", "LANG": "C.UTF-8"}
    (tmp_path / "home").mkdir()
    place, done = tmp_path, []
    for name, rest in instructions("cpu"):
        rest = rest.replace("/src", str(tmp_path / "src")).replace("/workspace", str(tmp_path / "workspace"))
        if name == "COPY":
            assert rest.split() == [".", str(tmp_path / "src")]
            context(tmp_path / "src")
        elif name == "RUN" and not any(word in rest for word in SYSTEM):
            subprocess.run(["sh", "-c", rest], cwd=place, env=settings, check=True)
            done.append(rest)
        elif name == "WORKDIR":
            place = tmp_path / "workspace"
            place.mkdir()
        elif name == "ENTRYPOINT":
            entry = json.loads(rest)
        elif name == "CMD":
            command = json.loads(rest)
    assert len(done) == 1 and not (tmp_path / "src").exists()

    def ernie(*words):
        ran = subprocess.run([*entry, *words], cwd=place, env=settings, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout
    assert "ernie launch pretrain" in ernie(*command)
    assert str(environment) in ernie("--version")  # the installed copy, not the checkout
    small = ["--set", "iterations_per_task=4", "--set", "batch_tokens=512", "--set", "micro_batch_tokens=512"]
    said = ernie("launch", "pretrain", "--output", "output/demo_en", *small)
    assert "after stage 4" in said and (place / "output" / "demo_en" / "README.md").is_file()
