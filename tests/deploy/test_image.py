"""deploy/Dockerfile from nothing: other tests' images are made of layers that the engine keeps."""

from __future__ import annotations

import subprocess

from tests.lab.docker import Images, build

TAG = "signalpost-test/cold:latest"


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_a_cold_build(images: Images) -> None:
    """With no layer at hand both targets are built, and their programs start as users that may not
    write there."""
    build("acme", TAG, images, "--no-cache")
    try:
        start = ("docker", "run", "--rm", "--read-only", "--network", "none", TAG)
        for program in ("turnctl", "signalpost", "lego"):
            assert run(*start, program, "--version").startswith(program)
        assert "10004 10004" == run(*start, "sh", "-c", "echo $(id -u) $(id -g)").strip()
    finally:
        run("docker", "image", "rm", TAG)
