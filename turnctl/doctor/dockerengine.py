"""A compose project as the Docker engine has it. The SDK is the optional extra `docker`.

Files are read through the engine, so that doctor can also look into a container that doesn't run
and a volume that belongs to another user.
"""

from __future__ import annotations

import dataclasses
import datetime
import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from turnctl.doctor.containerdata import Container, Published
from turnctl.doctor.look import Unseen
from turnctl.doctor.readfile import File

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container as Handle

__all__ = ["Project", "container", "project"]

PATIENCE = 10
"""Seconds for an answer of the engine, which is on this host."""
NO_SDK = (
    "the Docker SDK isn't installed: install Signalpost with its extra `docker`, for example in a "
    "checkout with: pip install '.[docker]'"
)
LABEL = "com.docker.compose."
STARTING = 60
"""Seconds after its start in which coturn reports what it refuses. The whole log can be long."""
MOST_BYTES = 1_048_576
"""A configuration or a secret has a few kilobytes."""


@dataclass(frozen=True, slots=True)
class Project:
    """The containers of a project, with access to their files and logs."""

    containers: tuple[Container, ...]
    _client: DockerClient = field(repr=False)
    _handles: Mapping[str, Handle] = field(repr=False)

    def close(self) -> None:
        self._client.close()

    def service(self, name: str) -> Container | None:
        return next((one for one in self.containers if one.service == name), None)

    def file(self, service: str, path: str) -> File | None:
        """None if there is no such file. Raises Unseen."""
        from docker.errors import DockerException, NotFound

        try:
            stream, status = self._handle(service).get_archive(path)
            if status and status["size"] > MOST_BYTES:
                raise Unseen(f"{path} in {service} is too large")
            with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
                member = archive.next()
                content = archive.extractfile(member) if member else None
                if member is None or content is None:
                    raise Unseen(f"{path} in {service} isn't a regular file")
                return File(member.mode & 0o7777, member.uid, content.read())
        except NotFound as error:
            if error.response is not None:
                error.response.close()  # the SDK leaves the stream of an error open
            return None
        except (DockerException, OSError, tarfile.TarError) as error:
            raise Unseen(f"{path} in {service}: {error}") from error

    def log(self, service: str) -> str:
        """What the container wrote after its last start. Raises Unseen."""
        from docker.errors import DockerException

        handle = self._handle(service)
        started = datetime.datetime.fromisoformat(handle.attrs["State"]["StartedAt"])
        since = int(started.timestamp())
        if since <= 0:
            raise Unseen(f"the log of {service}: the container was never started")
        try:
            written = handle.logs(since=since, until=since + STARTING)
            return written.decode(errors="replace")
        except (DockerException, OSError) as error:
            raise Unseen(f"the log of {service}: {error}") from error

    def _handle(self, service: str) -> Handle:
        if service not in self._handles:
            raise Unseen(f"there is no container {service}")
        return self._handles[service]


def project(name: str) -> Project:
    """Ask the engine for the project's containers. Raises Unseen."""
    try:
        import docker
        from docker.errors import DockerException
    except ImportError:
        raise Unseen(NO_SDK) from None
    client = None
    try:
        client = docker.from_env(timeout=PATIENCE)
        handles = client.containers.list(all=True, filters={"label": f"{LABEL}project={name}"})
        described = [(handle, _describe(handle)) for handle in handles]
    except (DockerException, OSError) as error:
        if client is not None:
            client.close()
        raise Unseen(f"no Docker engine answers ({_reason(error)})") from error
    containers = tuple(sorted((one for _, one in described), key=lambda one: one.service))
    return Project(containers, client, {one.service: handle for handle, one in described})


def container(name: str) -> Project:
    """One container by its name or id, as if it were a project's coturn. Raises Unseen."""
    try:
        import docker
        from docker.errors import DockerException, NotFound
    except ImportError:
        raise Unseen(NO_SDK) from None
    client = None
    try:
        client = docker.from_env(timeout=PATIENCE)
        handle = client.containers.get(name)
        described = dataclasses.replace(_describe(handle), service="coturn")
    except (DockerException, OSError) as error:
        if client is not None:
            client.close()
        if isinstance(error, NotFound):
            raise Unseen(f"there is no container {name}") from error
        raise Unseen(f"no Docker engine answers ({_reason(error)})") from error
    return Project((described,), client, {"coturn": handle})


def _reason(error: Exception) -> str:
    """The innermost error: the SDK wraps what urllib3 wraps."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def _describe(handle: Handle) -> Container:
    attributes: dict[str, Any] = handle.attrs
    state = attributes["State"]
    running = state["Status"] == "running"
    restarts = int(attributes.get("RestartCount", 0))
    last_words = None
    if not running or restarts:
        lines = handle.logs(tail=1).decode(errors="replace").split("\n")
        last_words = lines[0].strip()[:300] or None
    return Container(
        service=handle.labels.get(f"{LABEL}service", handle.name or ""),
        name=handle.name or "",
        image=attributes["Config"]["Image"],
        state=state["Status"],
        exit_code=int(state.get("ExitCode", 0)),
        restarts=restarts,
        out_of_memory=bool(state.get("OOMKilled")),
        health=(state.get("Health") or {}).get("Status"),
        last_words=last_words,
        host_network=attributes["HostConfig"].get("NetworkMode") == "host",
        published=tuple(_published(attributes)),
        user=_user(attributes["Config"].get("User", "")),
        command=(
            *(attributes["Config"].get("Entrypoint") or ()),
            *(attributes["Config"].get("Cmd") or ()),
        ),
    )


def _user(text: str) -> int | None:
    """The uid; None for a name, since only the image can resolve it."""
    name = text.partition(":")[0]
    return int(name) if name.isdigit() else None if name else 0


def _published(attributes: dict[str, Any]) -> Iterator[Published]:
    """From the configuration, since a container that doesn't run has no ports yet."""
    bindings = attributes["HostConfig"].get("PortBindings") or {}
    for name, hosts in bindings.items():
        port, _, protocol = name.partition("/")
        for one in hosts or ():
            if str(one.get("HostPort", "")).isdigit():
                host = one.get("HostIp") or "0.0.0.0"  # noqa: S104  Docker's own default
                yield Published(int(port), protocol or "tcp", host, int(one["HostPort"]))
