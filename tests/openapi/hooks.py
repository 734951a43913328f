"""What schemathesis is told of this API beyond its OpenAPI document, by `cargo xtask openapi`."""

import os
import re
import uuid

import schemathesis

KEY = "Idempotency-Key"
ROLES = ["viewer", "operator", "admin"]
ROLE = ROLES.index(os.environ["ROLE"])
with open(os.environ["DOCUMENT"], encoding="utf-8") as file:
    DOCUMENT = file.read()
# What the document has: every other name is one of these.
KNOWN = {"name": "site", "vendor": "strongswan"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Lets requests reach what is behind the first check."""
    headers, path = case.headers or {}, case.path_parameters or {}
    # Two requests must not have one key: then the second is refused, rightly.
    if re.fullmatch("[!-~]{1,128}", str(headers.get(KEY, ""))):
        headers[KEY] = str(uuid.uuid4())
    for name in KNOWN.keys() & path.keys():
        if sum(str(path[name]).encode()) % 2 == 0:
            path[name] = KNOWN[name]
    # Revoking the token that asks would end the run without a word.
    if path.get("id") == os.environ["TOKEN"].split("_")[1]:
        path["id"] = "00000000"
    # What a cursor says is the server's: one that is made up is refused, rightly.
    query = case.query or {}
    if re.fullmatch("([0-9a-f]{2})+", str(query.get("cursor", ""))):
        del query["cursor"]
    if isinstance(case.body, dict):
        reshape(case.body)


def reshape(body):
    """The same for a body."""
    for name, value in body.items():
        # Whole to JSON Schema; JSON that this API takes writes whole numbers without a fraction.
        if isinstance(value, float) and value.is_integer():
            body[name] = int(value)
    # Any text is a document, seldom a good one; the empty one is, and would leave nothing to ask for.
    if isinstance(body.get("text"), str) and len(body["text"]) % 2 == 0:
        body["text"] = DOCUMENT
    if re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]{1,128}", str(body.get("idempotency_key", ""))):
        body["idempotency_key"] = str(uuid.uuid4())


@schemathesis.check
def errors_are_problems(context, response, case):
    """An error has its code as name and type, and the data plane that is not there is the only fault of the server."""
    if response.status_code < 400:
        return
    kind = response.headers.get("content-type", ["none"])[0]
    assert kind == "application/problem+json", f"an error of the kind {kind}"
    problem = response.json()
    assert problem["type"] == "/problems/" + problem["code"], problem
    assert problem["status"] == response.status_code, problem
    assert response.status_code < 500 or problem["code"] == "DataplaneAway", problem


@schemathesis.check
def roles_are_kept(context, response, case):
    """Nothing is done for a role below the one that the document names, and nothing refused to the others for it."""
    needed = ROLES.index(case.operation.definition.raw["x-required-role"])
    assert response.status_code >= 400 or ROLE >= needed, "the role is too low"
    assert response.status_code != 403 or ROLE < needed, "the role is enough"
