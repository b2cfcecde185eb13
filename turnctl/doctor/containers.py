"""The look at the containers: whether they run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found
from turnctl.doctor.containerdata import Container
from turnctl.doctor.dockerengine import Project
from turnctl.doctor.look import Look, Unseen

__all__ = ["judge_state", "judge_states", "look", "look_at_one"]

REQUIRED = ("signal", "coturn")
"""Without these there are no calls. `init` ends by itself, and the others are optional."""


def look(project: Project | Unseen) -> Look:
    """All containers of the project."""
    if isinstance(project, Unseen):
        raise project
    seen = ", ".join(f"{one.service} {one.state}" for one in project.containers)
    return Look("containers", seen or "none", tuple(judge_states(project.containers)))


def look_at_one(one: Container) -> Look:
    """One container, whatever else its project has."""
    return Look("containers", f"{one.name} {one.state}", tuple(judge_state(one)))


def judge_states(containers: Sequence[Container]) -> Iterator[Finding]:
    """Containers that are missing or don't run as they should."""
    services = {one.service for one in containers}
    for name in REQUIRED:
        if name not in services:
            summary = f"the project has no container {name}"
            yield found("container-missing", Severity.FAIL, name, summary)
    for one in containers:
        yield from judge_state(one)


def judge_state(one: Container) -> Iterator[Finding]:
    """What is wrong with one of them."""
    evidence = {
        "image": one.image,
        "state": one.state,
        "exitCode": one.exit_code,
        "restarts": one.restarts,
        "lastWords": one.last_words,
    }
    status = f"status {one.exit_code}" + (", out of memory" if one.out_of_memory else "")
    last = f": {one.last_words}" if one.last_words else ""
    if one.state == "restarting":
        summary = f"keeps ending with {status}; {one.restarts} restarts so far{last}"
        yield found("container-restarting", Severity.FAIL, one.service, summary, **evidence)
    elif one.state != "running":
        # `init` has done its work when it has ended with 0.
        if one.state != "exited" or one.exit_code != 0 or one.service in REQUIRED:
            summary = f"is {one.state}, {status}{last}"
            yield found("container-ended", Severity.FAIL, one.service, summary, **evidence)
    else:
        if one.restarts:
            summary = f"is running, but was restarted {one.restarts} times{last}"
            yield found("container-restarting", Severity.WARN, one.service, summary, **evidence)
        if one.health == "unhealthy":
            summary = "is running, but its health check fails"
            yield found("container-unhealthy", Severity.FAIL, one.service, summary, **evidence)
