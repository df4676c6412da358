"""Tokens: which are taken, with every kind of key, and from an outside issuer."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.core.checks import run_checks
from django.test import Client
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from quotes.access.credentials import jwks, logins
from quotes.access.credentials.logins import LoginRefreshToken
from quotes.access.credentials.tokens import key_fetch, own_secret, sign, verify
from quotes.access.errors import AccessDown, BadCredentials
from tests.access.issuer import AUDIENCE, CURVE, ISSUER, OTHER_RSA, RSA, Issuer, issued, outside
from tests.access.people import access_token, asha, login, past


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def claims(**others: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"user_id": "7", "sid": "s", "stamp": "p", "token_type": "access"}
    return {**good, "iat": now, "exp": now + 60, **others}


def test_own_token_says_who_its_bearer_is() -> None:
    """What was signed is verified, with the user, the log-in and the end."""
    identity = verify(sign(claims()))
    assert (identity.user, identity.login, identity.stamp) == (7, "s", "p")
    assert 50 < identity.expires - time.time() <= 60


def test_derived_secret_stays(settings: Any) -> None:
    """Tokens remain valid over releases: the secret depends on SECRET_KEY alone."""
    settings.SECRET_KEY, settings.QUOTES_JWT_KEY = "s" * 50, ""
    assert own_secret() == "54ec697be4b7bd97d375d128f85452ecbb6a8eb7fd31ab6534546702efe627b4"


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "not a valid token"),
        ("x", "not a valid token"),
        ("a.b.c", "not a valid token"),
        ("ü" * 10, "not a valid token"),
        ("e" * 9000, "not a valid token"),
        (lambda: sign(claims(token_type="refresh")), "not an access token"),
        (lambda: sign(claims(exp=time.time() - 60)), "expired"),
        (lambda: sign({k: v for k, v in claims().items() if k != "exp"}), "not a valid token"),
        (lambda: sign({k: v for k, v in claims().items() if k != "user_id"}), "names no user"),
        (lambda: sign(claims(user_id="seven")), "names no user"),
        (lambda: sign(claims(user_id=None)), "names no user"),
        (lambda: sign(claims(iat=time.time() + 3600)), "not a valid token"),
        (lambda: sign(claims(nbf=time.time() + 3600)), "not a valid token"),
        (lambda: jwt.encode(claims(), "k" * 40, algorithm="HS256"), "signature|not a valid token"),
        (lambda: jwt.encode(claims(), private_pem(RSA), algorithm="RS256"), "not a valid token"),
        (lambda: sign(claims())[:-3] + "abc", "signature"),
    ],
)
def test_bad_token_is_refused(token: Any, why: str) -> None:
    """Whatever a token is, the answer is a sentence in which it does not appear."""
    text = token() if callable(token) else token
    with pytest.raises(BadCredentials, match=why) as refused:
        verify(text)
    assert len(text) < 5 or text not in str(refused.value)


def test_alg_of_a_token_is_not_believed(settings: Any, tmp_path: Path) -> None:
    """With a pair of keys, a token that is signed with the public key as a secret is refused."""
    (tmp_path / "key.pem").write_bytes(private_pem(RSA))
    settings.QUOTES_JWT_ALGORITHM = "RS256"
    settings.QUOTES_JWT_PRIVATE_KEY_FILE = str(tmp_path / "key.pem")
    good = verify(sign(claims()))
    assert good.user == 7
    head = jwt.utils.base64url_encode(b'{"alg":"HS256","typ":"JWT"}').decode()
    body = jwt.utils.base64url_encode(
        json.dumps(claims(iss="live-prices", aud="live-prices")).encode()
    ).decode()
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    signature = algorithm.sign(f"{head}.{body}".encode(), public_pem(RSA))
    forged = f"{head}.{body}.{jwt.utils.base64url_encode(signature).decode()}"
    for token in (forged, f"{head}.{body}.", jwt.encode(claims(), "", algorithm="none")):
        with pytest.raises(BadCredentials):
            verify(token)


@pytest.mark.parametrize(("algorithm", "key"), [("RS256", RSA), ("ES256", CURVE)])
def test_keys_are_changed_without_ending_tokens(
    settings: Any, tmp_path: Path, algorithm: str, key: Any
) -> None:
    """Tokens of the key before are taken while its public key is named, and then no more."""
    new = OTHER_RSA if algorithm == "RS256" else ec.generate_private_key(ec.SECP256R1())
    files = {"old": private_pem(key), "old.pub": public_pem(key), "new": private_pem(new)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    settings.QUOTES_JWT_ALGORITHM = algorithm
    settings.QUOTES_JWT_PRIVATE_KEY_FILE = str(tmp_path / "old")
    token = sign(claims())
    settings.QUOTES_JWT_PRIVATE_KEY_FILE = str(tmp_path / "new")
    with pytest.raises(BadCredentials):
        verify(token)
    settings.QUOTES_JWT_PUBLIC_KEY_FILES = str(tmp_path / "old.pub")
    assert verify(token) and verify(sign(claims()))
    assert not [one for one in run_checks() if one.id == "quotes.E002"]


def test_secrets_are_changed_without_ending_tokens(settings: Any) -> None:
    """Tokens of a secret before are taken while it is named."""
    settings.QUOTES_JWT_KEY = "a" * 32
    token = sign(claims())
    settings.QUOTES_JWT_KEY, settings.QUOTES_JWT_OLD_KEYS = "b" * 32, "a" * 32
    assert verify(token).user == 7
    settings.QUOTES_JWT_OLD_KEYS = "c" * 32
    with pytest.raises(BadCredentials):
        verify(token)


@pytest.fixture
def issuer(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setattr(jwks, "key_sets", {})
    with Issuer() as found:
        settings.QUOTES_JWKS_URL = found.url
        settings.QUOTES_JWKS_ISSUER, settings.QUOTES_JWKS_AUDIENCE = ISSUER, AUDIENCE
        yield found


def test_token_of_an_outside_issuer_is_taken(issuer: Issuer) -> None:
    """Its user is the claim's name; its keys are fetched once; own tokens are taken besides."""
    issuer.add(RSA, "k1")
    issuer.add(CURVE, "k2", alg="ES256")
    token = issued(RSA, "RS256")
    assert key_fetch(token)
    assert verify(token).user == "asha" and not key_fetch(token)
    assert verify(issued(CURVE, "ES256", "k2", sid="x")).login == "out:x"
    assert verify(sign(claims())).user == 7
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "token",
    [
        lambda: issued(OTHER_RSA, "RS256"),
        lambda: issued(RSA, "RS512"),
        lambda: issued(RSA, "RS256", aud="somebody else"),
        lambda: issued(RSA, "RS256", iss="https://other.example.com/"),
        lambda: issued(RSA, "RS256", exp=time.time() - 60),
        lambda: issued(RSA, "RS256", sub=""),
        lambda: issued(RSA, "RS256", sub=5),
        lambda: jwt.encode(outside(), private_pem(RSA), algorithm="RS256"),
        lambda: jwt.encode(outside(), "", algorithm="none", headers={"kid": "k1"}),
        lambda: sign(claims(iss=ISSUER)),
        lambda: jwt.encode(
            claims(iss="live-prices", aud="live-prices"), RSA, "RS256", headers={"kid": "k1"}
        ),
    ],
)
def test_bad_token_of_an_outside_issuer_is_refused(issuer: Issuer, token: Any) -> None:
    """Another key, algorithm, audience or issuer, or no user; nor does its key sign own tokens."""
    issuer.add(RSA, "k1")
    if "HS256" in jwt.get_unverified_header(token())["alg"]:
        # `sign` puts the own issuer in: it is an own token, whatever it claimed.
        assert verify(token()).user == 7
        return
    with pytest.raises(BadCredentials):
        verify(token())


def test_unknown_keys_make_no_storm_of_fetches(issuer: Issuer) -> None:
    """However many tokens name keys that there are not, keys are fetched once in a while."""
    issuer.add(RSA, "k1")
    for number in range(50):
        with pytest.raises(BadCredentials):
            verify(issued(RSA, "RS256", f"unknown {number}"))
    assert issuer.fetches == 1


def test_without_its_keys_nobody_is_let_in(issuer: Issuer, settings: Any) -> None:
    """An issuer that does not answer, or answers no keys, is no reason to believe a token."""
    issuer.keys = [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]
    with pytest.raises(AccessDown):
        verify(issued(RSA, "RS256"))
    settings.QUOTES_JWKS_URL = "http://127.0.0.1:1/keys"
    with pytest.raises(AccessDown):
        verify(issued(RSA, "RS256"))


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"JWT_KEY": "short"}, "QUOTES_JWT_KEY: a secret must have at least 32 bytes"),
        ({"JWT_OLD_KEYS": "x" * 32 + ",short"}, "QUOTES_JWT_OLD_KEYS"),
        ({"JWT_ALGORITHM": "RS256"}, "set QUOTES_JWT_PRIVATE_KEY_FILE"),
        ({"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY_FILE": "/none.pem"}, "none.pem"),
        ({"JWKS_URL": "http://keys.example.com/"}, "https"),
        ({"JWKS_URL": "https://keys.example.com/"}, "QUOTES_JWKS_ISSUER"),
        ({"ANONYMOUS_SEGMENTS": "NSE"}, "QUOTES_ANONYMOUS_SEGMENTS: a segment must be"),
        ({"ANONYMOUS_SEGMENTS": "NFO@soon"}, "a delay must be"),
        ({"TRUSTED_PROXIES": "proxy"}, "QUOTES_TRUSTED_PROXIES"),
        ({"AUTH": "sometimes"}, "QUOTES_AUTH must be one of optional, required"),
        ({"JWT_ALGORITHM": "none"}, "QUOTES_JWT_ALGORITHM must be one of"),
    ],
)
def test_wrong_setting_stops_the_start(settings: Any, values: dict[str, str], part: str) -> None:
    """The check names the setting and says what it must be, never a secret."""
    for name, value in values.items():
        setattr(settings, f"QUOTES_{name}", value)
    texts = [str(one.msg) for one in run_checks() if str(one.id).startswith("quotes.E")]
    assert any(part in text for text in texts), texts
    assert not any("short" in text for text in texts)


@pytest.mark.django_db
def test_refresh_token_is_good_once(redis: Any) -> None:
    """Refreshing gives a new pair; the one before is refused, and those of an ended log-in."""
    client = Client()
    access, refresh = login(asha("NSE_EQ"))

    def ask(path: str, **values: str) -> tuple[int, Any]:
        answer = client.post(f"/api/{path}/", values, content_type="application/json")
        return answer.status_code, answer.json() if answer.content else {}

    assert ask("token/verify", token=access)[0] == ask("token/verify", token=refresh)[0] == 200
    status, pair = ask("token/refresh", refresh=refresh)
    assert status == 200 and set(pair) == {"access", "refresh"}
    assert ask("token/refresh", refresh=refresh)[0] == 401
    assert ask("token/refresh", refresh=pair["access"])[0] == 401
    assert ask("logout", refresh=pair["refresh"])[0] == 204
    for token in (access, pair["access"], pair["refresh"]):
        assert ask("token/verify", token=token)[0] == 401
    assert ask("token/refresh", refresh=pair["refresh"])[0] == 401


@pytest.mark.django_db
def test_changed_password_ends_tokens(redis: Any) -> None:
    """Neither the access nor the refresh token of before is good."""
    user = asha("NSE_EQ")
    access, refresh = login(user)
    user.set_unusable_password()
    user.save()
    client = Client(headers={"Authorization": f"Bearer {access}"})
    assert client.get("/api/prices/AAPL/").status_code == 401
    body = {"refresh": refresh}
    answer = Client().post("/api/token/refresh/", body, content_type="application/json")
    assert answer.json() == {"code": 401, "message": "the password was changed"}
    user = asha(username="gone")
    token = access_token(user)
    user.delete()
    client = Client(headers={"Authorization": f"Bearer {token}"})
    assert client.get("/api/prices/AAPL/").status_code == 401


@pytest.mark.django_db
def test_expired_refresh_tokens_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the next log-in, with their rows of the blacklist; nothing has to be started for it."""
    user = asha("NSE_EQ")
    monkeypatch.setattr(logins, "_flushed_at", float("-inf"))
    LoginRefreshToken.read(login(user)[1]).use_up()
    OutstandingToken.objects.update(expires_at=past())
    login(user)
    assert OutstandingToken.objects.count() == 2  # this process did it a moment ago
    monkeypatch.setattr(logins, "_flushed_at", float("-inf"))
    login(user)
    assert OutstandingToken.objects.filter(expires_at__lte=past()).count() == 0
    assert OutstandingToken.objects.count() == 2
    assert BlacklistedToken.objects.count() == 0
