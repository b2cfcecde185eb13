"""lego as the ACME client: how it is run, when again, and what its words mean."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.lab.certs import Authority
from turnctl.deployment.edge.acme import BACKOFF, LETS_ENCRYPT, Acme, Ca, explain
from turnctl.deployment.edge.source import Unobtainable

NAME = "turn.example.org"
DIRECTORY = "https://ca.example:14000/dir"
PROBLEM = "[turn.example.org] invalid authorization: acme: error: 400 :: urn:ietf:params:acme:error"


class Lego:
    """A program that notes how it was called, prints, issues what the test gives it, and ends."""

    def __init__(self, home: Path) -> None:
        self.path = home / "lego"
        self._home = home
        self.says("", status=0)

    def says(self, output: str, *, status: int = 1) -> None:
        (self._home / "output").write_text(output)
        self.path.write_text(
            "#!/bin/sh\n"
            f'printf "%s\\n" "$*" "$(umask)" "$LEGO_CA_CERTIFICATES" >> "{self._home}/calls"\n'
            f'cat "{self._home}/output"\n'
            f'if [ -d "{self._home}/issued" ]; then mkdir -p "$2/certificates"; '
            f'cp "{self._home}/issued/"* "$2/certificates"; fi\n'
            f"exit {status}\n"
        )
        self.path.chmod(0o755)

    def issues(self, authority: Authority, days: float = 90, starts: float = -0.1) -> None:
        made = authority.issue(
            [NAME], starts=dt.timedelta(days=starts), ends=dt.timedelta(days=days)
        )
        (self._home / "issued").mkdir(exist_ok=True)
        (self._home / "issued" / f"{NAME}.crt").write_bytes(made.chain.read_bytes())
        (self._home / "issued" / f"{NAME}.key").write_bytes(made.key.read_bytes())
        self.says("", status=0)

    @property
    def calls(self) -> list[str]:
        path = self._home / "calls"
        return path.read_text().splitlines()[::3] if path.exists() else []


class Clock:
    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += dt.timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lego(tmp_path: Path) -> Lego:
    return Lego(tmp_path)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def acme(lego: Lego, clock: Clock, ca: Ca = Ca(DIRECTORY)) -> Acme:  # noqa: B008  frozen
    home = lego.path.parent / "acme"
    return Acme(NAME, ca, home, 5002, program=str(lego.path), chance=lambda: 0.0, clock=clock)


async def test_the_first_certificate(lego: Lego, clock: Clock, authority: Authority) -> None:
    """lego runs once for it, answers challenges on loopback alone, and keeps its files private."""
    lego.issues(authority)
    source = acme(lego, clock, Ca(DIRECTORY, "me@example.org", Path("/ca.pem")))
    assert source.due(None)
    made = await source.get()
    assert (NAME,) == made.names
    assert not source.due(made)
    home = lego.path.parent / "acme" / "ca.example_14000"
    call, mask, root = (lego.path.parent / "calls").read_text().splitlines()
    assert (
        f"--path {home} --server {DIRECTORY} --accept-tos --domains {NAME} --http "
        "--http.port 127.0.0.1:5002 --email me@example.org run"
    ) == call
    assert "0077" == mask
    assert "/ca.pem" == root


async def test_what_lego_has_is_used_first(lego: Lego, clock: Clock, authority: Authority) -> None:
    """A run that was killed between lego's end and its own asks the CA for nothing."""
    lego.issues(authority)
    made = await acme(lego, clock).get()
    again = acme(lego, clock)
    assert again.due(None)
    assert made == await again.get()
    assert 1 == len(lego.calls)


async def test_renewal(lego: Lego, clock: Clock, authority: Authority) -> None:
    """Due thirty days before the end, and at once when somebody insists."""
    lego.issues(authority)
    source = acme(lego, clock)
    first = await source.get()
    clock.advance(days=59)
    assert not source.due(first)
    clock.advance(days=1.1)
    assert source.due(first)
    lego.issues(authority, days=160)
    second = await source.get()
    assert lego.calls[-1].endswith("renew --days 36500 --no-random-sleep")
    assert not source.due(second)
    source.insist()
    assert source.due(second)
    await source.get()
    assert 3 == len(lego.calls)
    assert not source.due(second)


async def test_another_ca(lego: Lego, clock: Clock, authority: Authority) -> None:
    """From staging to production: the certificate of the one does not do for the other."""
    lego.issues(authority)
    staged = await acme(lego, clock, Ca("https://staging.example/directory")).get()
    production = acme(lego, clock, Ca("https://production.example/directory"))
    assert production.due(staged)
    await production.get()
    assert 2 == len(lego.calls)


async def test_failures_stay_within_the_limits(lego: Lego, clock: Clock) -> None:
    """Five tries in the first hour, then one an hour: Let's Encrypt allows five failed ones."""
    lego.says(f"{PROBLEM}:connection :: refused")
    source = acme(lego, clock)
    begun, tries = clock(), []
    while clock() - begun < dt.timedelta(hours=4):
        if source.due(None):
            tries.append((clock() - begun) / dt.timedelta(minutes=1))
            with pytest.raises(Unobtainable):
                await source.get()
        clock.advance(minutes=1)
    assert [0, 2, 12, 27, 57, 117, 177, 237] == tries
    assert (2, 10, 15, 30, 60) == BACKOFF
    lego.says(f"{PROBLEM}:connection :: refused")
    source.insist()
    assert source.due(None), "whoever has mended it need not wait"


async def test_a_rate_limit_is_waited_for(lego: Lego, clock: Clock) -> None:
    """As long as the CA says, and an hour when it does not."""
    until = (clock() + dt.timedelta(hours=30)).replace(microsecond=0)
    for said, hours in ((f" retry after {until:%Y-%m-%d %H:%M:%S} UTC", 30), ("", 1)):
        source = acme(lego, clock)
        lego.says(f"acme: error: 429 :: urn:ietf:params:acme:error:rateLimited :: too many{said}")
        with pytest.raises(Unobtainable, match="because there were too many"):
            await source.get()
        clock.advance(hours=hours, seconds=-2)
        assert not source.due(None)
        clock.advance(seconds=4)
        assert source.due(None)
        clock.advance(hours=-hours, seconds=-2)


async def test_a_renewal_that_the_ca_fails_over(
    lego: Lego, clock: Clock, authority: Authority
) -> None:
    """Once more at once, without naming the certificate it replaces; a first one names none."""
    source = acme(lego, clock)
    lego.says("POST giving up: acme: error: 400 :: urn:ietf:params:acme:error:badNonce :: used")
    with pytest.raises(Unobtainable, match="The CA rejects the request: used"):
        await source.get()
    lego.issues(authority)
    await source.get()
    assert ["run", "run"] == [call.split("5002 ")[1].split()[0] for call in lego.calls]
    lego.says("POST giving up: acme: error: 400 :: urn:ietf:params:acme:error:badNonce :: used")
    source.insist()
    with pytest.raises(Unobtainable):
        await source.get()
    named, unnamed = lego.calls[2:]
    assert " renew " in named
    assert "--ari-disable" not in named
    assert " renew --ari-disable " in unnamed


async def test_lego_is_not_there(clock: Clock, tmp_path: Path) -> None:
    """The name of what is missing, instead of a traceback."""
    source = Acme(NAME, Ca(DIRECTORY), tmp_path, 5002, program=str(tmp_path / "lego"), clock=clock)
    with pytest.raises(Unobtainable, match="lego: No such file or directory"):
        await source.get()


async def test_what_lego_leaves_is_looked_at(
    lego: Lego, clock: Clock, authority: Authority
) -> None:
    """A certificate of tomorrow, or none at all, does not get to the edge."""
    source = acme(lego, clock)
    with pytest.raises(Unobtainable, match=r"lego's certificate can't be used: .*No such file"):
        await source.get()
    lego.issues(authority, starts=0.5)
    source.insist()
    with pytest.raises(Unobtainable, match="isn't valid before"):
        await source.get()


LONGER = "giving up after 6 attempt(s): "
GET = f"Could not create client: get directory at '{DIRECTORY}': Get \"{DIRECTORY}\": "


@pytest.mark.parametrize(
    ("output", "said"),
    [
        # As lego 4.35 printed them, before pebble 2.10 and Let's Encrypt's documented texts.
        (
            f'{PROBLEM}:connection :: Get "http://{NAME}:80/.well-known/acme-challenge/x": '
            "dial tcp 203.0.113.1:80: connect: connection refused",
            "The CA can't reach turn.example.org on port 80: open 80/tcp in the firewall",
        ),
        (
            f"{PROBLEM}:connection :: 203.0.113.1: Fetching http://{NAME}/.well-known/x: Timeout "
            "during connect (likely firewall problem)",
            "open 80/tcp in the firewall",
        ),
        (
            f'{PROBLEM}:connection :: Get "http://{NAME}:80/x": could not resolve URL "http://x"',
            "The CA can't resolve the name turn.example.org: create an A record",
        ),
        (
            f'{PROBLEM}:connection :: Get "http://{NAME}:80/x": dial tcp: lookup {NAME} on '
            "127.0.0.1:53: no such host",
            "The CA can't resolve the name",
        ),
        (
            f"{PROBLEM}:dns :: DNS problem: NXDOMAIN looking up A for {NAME} - check that a DNS "
            "record exists for this domain",
            "The CA can't resolve the name",
        ),
        (
            f"{PROBLEM}:unauthorized :: Non-200 status code from HTTP: http://{NAME} returned 404",
            "Another server answers on port 80 of turn.example.org: Non-200 status code",
        ),
        (
            f"{PROBLEM}:caa :: CAA record for {NAME} prevents issuance",
            "A CAA record of turn.example.org doesn't allow this CA",
        ),
        (
            "giving up after 1 attempt(s): acme: error: 400 :: "
            "urn:ietf:params:acme:error:rejectedIdentifier :: Order included an identifier for "
            'which issuance is forbidden by policy: "x", problem: "urn:ietf" :: x is forbidden',
            "The CA issues no certificate for turn.example.org: Order included an identifier for "
            'which issuance is forbidden by policy: "x".',
        ),
        (
            "acme: error: 429 :: urn:ietf:params:acme:error:rateLimited :: too many certificates "
            "already issued, retry after 2030-01-01 00:00:00 UTC: see https://letsencrypt.org/docs",
            "The CA rejects requests for now, because there were too many: too many certificates "
            "already issued",
        ),
        (
            'acme: error: 400 :: urn:ietf:params:acme:error:invalidContact :: contact email "x" is '
            "invalid",
            "The CA rejects the address in ACME_EMAIL: contact email",
        ),
        (
            "acme: error: 400 :: urn:ietf:params:acme:error:accountDoesNotExist :: unable to find "
            "existing account for only-return-existing request",
            "The CA rejects the account",
        ),
        (
            "acme: error: 403 :: urn:ietf:params:acme:error:unauthorized :: Account is not valid, "
            'has status "deactivated"',
            "The CA rejects the account",
        ),
        (
            "acme: error: 400 :: urn:ietf:params:acme:error:externalAccountRequired :: x",
            "external account binding",
        ),
        (
            "acme: error: 400 :: urn:ietf:params:acme:error:malformed :: illegal character: '_'",
            "The CA doesn't understand the request for turn.example.org: illegal character: '_'.",
        ),
        (
            "acme: error: 500 :: urn:ietf:params:acme:error:serverInternal :: maintenance.",
            "The CA rejects the request: maintenance.",
        ),
        (
            f"[{NAME}] acme: error presenting token: could not start HTTP server for challenge: "
            "listen tcp 127.0.0.1:5002: bind: address already in use",
            "The port ACME_PORT on 127.0.0.1 is in use",
        ),
        (
            f"{GET}{LONGER}tls: failed to verify certificate: x509: certificate signed by unknown "
            "authority",
            f"The CA's directory {DIRECTORY} has a certificate that isn't trusted",
        ),
        (
            'panic: create certificates pool: error reading "/nonexistent": open /nonexistent',
            "ACME_CA_FILE has no PEM certificates",
        ),
        (
            f"{GET}{LONGER}dial tcp: lookup ca.example on 10.0.0.53:53: no such host",
            f"The CA's directory {DIRECTORY} has a name that doesn't resolve",
        ),
        (
            f"{GET}{LONGER}dial tcp 192.0.2.1:14000: connect: connection refused",
            f"The CA's directory {DIRECTORY} doesn't answer",
        ),
        (f"{GET}404 page not found", "isn't an ACME directory: correct ACME_DIRECTORY"),
        (
            "mkdir /acme: permission denied",
            "lego can't write its files: mkdir /acme: permission denied.",
        ),
        ("giving up after 300 s", "lego didn't finish in time"),
        ("", "lego failed: it printed nothing."),
        ("first\nwhat nobody foresaw\n", "lego failed: what nobody foresaw."),
    ],
)
def test_what_lego_says(output: str, said: str) -> None:
    """Each failure becomes one line that says what to do."""
    words = explain(output, NAME, DIRECTORY)
    assert said in words
    assert "\n" not in words
    assert "{" not in words


def test_lets_encrypt_is_the_default() -> None:
    """Without ACME_DIRECTORY it is Let's Encrypt's production."""
    assert LETS_ENCRYPT == Ca().directory
