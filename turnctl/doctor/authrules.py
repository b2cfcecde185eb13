"""Rules for authentication: which mechanism a configuration uses, by the order of its lines, and
who gets in.

Pure: a parsed file in, findings out.
"""

from __future__ import annotations

from collections.abc import Iterator

from turnctl.coturn.options import truth
from turnctl.coturn.parsing import Conf, Line
from turnctl.diagnosis.catalogue import Finding, Severity
from turnctl.doctor.catalogue import found

__all__ = ["is_open", "judge"]

FAIL, WARN = Severity.FAIL, Severity.WARN

SECRET = ("use-auth-secret", "static-auth-secret")
DATABASES = (
    "userdb", "db", "psql-userdb", "sql-userdb", "mysql-userdb", "mongo-userdb", "redis-userdb",
)  # fmt: skip


def judge(conf: Conf) -> Iterator[Finding]:
    """An open relay, mixed mechanisms, missing credentials, a missing realm."""
    if is_open(conf) or conf.line_of("no-auth"):
        yield _open_relay(conf)
        return
    secret = next(conf.each(*SECRET), None)
    lasting, user = conf.line_of("lt-cred-mech"), next(conf.each("user"), None)
    if secret and user:
        text = f"coturn ignores user= beside {secret.option}: only a secret's credentials work"
        yield found("auth-mechanisms-mixed", WARN, conf.at(user), text)
    elif secret and lasting:
        text = (
            f"coturn ignores lt-cred-mech beside {secret.option}: only a secret's credentials work"
        )
        yield found("auth-mechanisms-mixed", WARN, conf.at(lasting), text)
    if not any(conf.each("static-auth-secret", "user", "oauth", *DATABASES)):
        lacking = "static-auth-secret" if secret else "user"
        text = f"there is no {lacking} and no database: coturn accepts nobody's credentials"
        yield found("credentials-missing", WARN, conf.place, text)
    realms = conf.values("realm")
    if not realms or not realms[-1].strip():
        lines = list(conf.each("realm"))
        text = "realm is empty" if lines else "there is no realm"
        where = conf.at(lines[-1]) if lines else conf.place
        text += ": Chromium gets no relay from a server without a realm"
        yield found("realm-missing", FAIL, where, text)


def is_open(conf: Conf) -> bool:
    """Whether coturn relays for everybody. Tried with 4.6.1 and 4.18.0: a line with a mechanism
    overrides the lines before it, and `no-auth=no` or `lt-cred-mech=no` leaves none at all.
    """
    chosen = lasting = anonymous = False
    for line in conf.lines:
        match line.option:
            case "use-auth-secret" | "static-auth-secret":
                chosen = lasting = True
            case "lt-cred-mech":
                chosen = lasting = truth(line.value) is not False
            case "no-auth":
                chosen, anonymous = False, truth(line.value) is not False
    if not lasting and not anonymous and any(conf.each("user", "oauth")):
        return False  # coturn switches lt-cred-mech on by itself
    return not chosen


def _open_relay(conf: Conf) -> Finding:
    line: Line | None = conf.line_of("no-auth")
    if line is not None:
        text = "with no-auth coturn relays for everybody"
        if others := [one for one in (*SECRET, "lt-cred-mech") if conf.line_of(one)]:
            text += f", and beside {others[0]} it doesn't even start"
        return found("open-relay", FAIL, conf.at(line), text)
    off = [one for one in conf.each("no-auth", "lt-cred-mech") if truth(one.value) is False]
    if off and any(conf.each(*SECRET, "user")):
        text = (
            f"{off[-1].option}={off[-1].value} switches off the authentication of the lines before "
            "it: coturn relays for everybody"
        )
        return found("open-relay", FAIL, conf.at(off[-1]), text)
    text = "no option requires credentials: coturn relays for everybody"
    return found("open-relay", FAIL, conf.place, text)
