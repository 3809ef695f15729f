"""The OpenAPI document is the interface: Schemathesis asks every route of a daemon on air, by valid and by invalid requests, as every role.

Rule: no 5xx, no status that is not declared, no body or header that is not as declared; who is not known gets 401, whose role is too low
403. A stream that never ends is read up to its first piece.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from nginx_origin import wait_until
from requests.adapters import HTTPAdapter
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from studio import STRANGER, Studio, start_studio

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = {"admin": 14, "operator": 3, "viewer": 3}
LONG_EXAMPLES = {"admin": 200, "operator": 30, "viewer": 30}
VALID, INVALID = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
SESSION, RESTART = "/api/v1/session", "/api/v1/restart"
OPEN = {"GET /healthz", "GET /readyz", f"POST {SESSION}"}
RANK = {"viewer": 0, "operator": 1, "admin": 2}


@schemathesis.serializer("application/offset+octet-stream")
def octets(_: Any, value: Any) -> bytes:
    """What is sent of a file."""
    return value if isinstance(value, bytes) else str(value).encode()


class FirstPiece(HTTPAdapter):
    """Sends from one address of this machine; of a stream of events only the first piece is read."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, source_address=(self._address, 0))

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        answer = super().send(request, *arguments, **{**options, "stream": True})
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            answer._content, answer._content_consumed = answer.raw.read1(64), True  # type: ignore[attr-defined]
            answer.raw.close()
        return answer


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    found = start_studio(tmp_path_factory.mktemp("studio"))
    try:
        yield found
    finally:
        assert found.daemon.stop() == []


@pytest.fixture(scope="module")
def operations(studio: Studio) -> list[Any]:
    """Every operation of the document, ready to be asked."""
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    schema = schemathesis.openapi.from_dict(studio.document(), config=config)
    schema.config.update(base_url=studio.daemon.admin_url)
    return [found.ok() for found in schema.get_all_operations()]


def session_from(address: str) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", FirstPiece(address))
    return session


def ask(studio: Studio, operation: Any, role: str, session: requests.Session, case: Any, *, is_near: bool) -> None:
    """One request; `is_near`: about what is there, not about a name that was made up."""
    if is_near:
        make_near(studio, case)
    headers = studio.headers(role) | ({"If-Match": "*"} if is_near and operation.method != "get" else {})
    answer = case.call(session=session, headers=headers, timeout=30)
    case.validate_response(answer, checks=CHECKS, headers=headers)
    needed = operation.definition.raw.get("x-role")
    if needed is not None:
        assert (answer.status_code == 403) == (RANK[role] < RANK[needed]), f"{answer.status_code} for a {role}, {needed} is needed"


def make_near(studio: Studio, case: Any) -> None:
    """Have the path name what is there."""
    for name in case.path_parameters or {}:
        if name == "channel":
            case.path_parameters[name] = "live1"
        elif name == "entry":
            case.path_parameters[name] = next(iter(studio.entries()), "e0")
        elif name == "profile_id":
            case.path_parameters[name] = 1  # one that comes with channeld
        elif name in ("proxy_id", "channel_id"):
            case.path_parameters[name] = "tv"


def try_out(studio: Studio, operation: Any, role: str, mode: Any, examples: int) -> str | None:
    """What is wrong with an operation; None: nothing."""
    is_sign_in = operation.label == f"POST {SESSION}"
    is_restart = operation.label == f"POST {RESTART}" and role == "admin"
    session = session_from(STRANGER if is_sign_in else "127.0.0.1")

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.explicit, Phase.generate),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_near=st.booleans())
    def asked(case: Any, is_near: bool) -> None:
        # A restart that is taken is tried by itself: the next request would have to wait for it each time.
        if not (is_restart and (case.query or {}).get("part", "control") in ("control", "hosts")):
            ask(studio, operation, role, session, case, is_near=is_near)

    try:
        asked()
    except Unsatisfiable:
        return None if mode is INVALID and takes_nothing(operation) else f"{operation.label}: nothing can be asked"
    except (FailureGroup, AssertionError) as failure:
        return "\n".join([f"{operation.label} as {role}", *map(str, getattr(failure, "exceptions", [failure]))])
    finally:
        session.close()
    return None


def takes_nothing(operation: Any) -> bool:
    """Without a parameter or a body no request can be an invalid one."""
    return not operation.definition.raw.get("parameters") and "requestBody" not in operation.definition.raw


@pytest.mark.timeout(1800)  # with --long
@pytest.mark.parametrize("mode", [VALID, INVALID], ids=["valid", "invalid"])
@pytest.mark.parametrize("role", EXAMPLES)
def test_every_route_answers_every_role_as_the_document_says(
    studio: Studio, operations: list[Any], role: str, mode: Any, request: pytest.FixtureRequest
) -> None:
    examples = (LONG_EXAMPLES if request.config.getoption("--long") else EXAMPLES)[role]
    faults = [fault for operation in operations if (fault := try_out(studio, operation, role, mode, examples)) is not None]
    assert faults == [], "\n\n".join(faults)


def test_nobody_without_a_token_gets_more_than_health_and_the_sign_in(studio: Studio, operations: list[Any]) -> None:
    """Every route, without a token and with a wrong one; each wrong one from an address of its own, as these are counted."""
    for number, operation in enumerate(operations):
        path = operation.path.replace("{channel}", "live1").replace("{entry}", "e0").replace("{name}", "wall").replace("{upload}", "0" * 32)
        with studio.client(address=f"127.0.1.{number + 1}") as client:
            without = client.request(operation.method, path)
            wrong = client.request(operation.method, path, headers={"Authorization": "Bearer chd_guessed"})
        if operation.label in OPEN:
            assert without.status_code not in (401, 403), operation.label
            continue
        assert [without.status_code, wrong.status_code] == [401, 401], operation.label
        assert without.headers["content-type"] == "application/problem+json"
        assert without.headers["www-authenticate"].startswith("Bearer")


def test_a_restart_answers_as_the_document_says_and_the_air_goes_on(studio: Studio, operations: list[Any]) -> None:
    (restart,) = [operation for operation in operations if operation.label == f"POST {RESTART}"]
    before = studio.daemon.get("/api/v1/status")["since"]
    case = restart.Case(query={"part": "control"})
    with session_from("127.0.0.1") as session:
        answer = case.call(session=session, headers=studio.headers("admin"))
    case.validate_response(answer, checks=CHECKS)
    assert answer.status_code == 202
    wait_until(lambda: studio.daemon.answers("/readyz") and studio.daemon.get("/api/v1/status")["since"] != before, what="its successor")


def test_what_nobody_asked_for_has_stayed_as_it_was(studio: Studio) -> None:
    """After all requests: the other channel's list, its state, and no failure of the daemon's in its log."""
    assert studio.lists["watched"].read_text() == studio.first_text
    assert studio.daemon.channel("watched")["state"] == "on_air"
    aired = studio.daemon.aired("watched")
    assert None not in aired[aired.index("a.mp4") :]
    assert studio.daemon.log("request_failed") == []
