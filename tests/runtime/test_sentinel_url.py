"""Sentinel URLs: what they say, and what is said of wrong ones."""

import os
import subprocess
import sys

import pytest

from quotes.runtime.sentinel_url import BadRedisURL, SentinelURL, parse_sentinel_url
from tests.programs import ROOT


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            "redis+sentinel://a:26379,b:26380/prices",
            SentinelURL((("a", 26379), ("b", 26380)), "prices"),
        ),
        ("redis+sentinel://a/prices", SentinelURL((("a", 26379),), "prices")),
        ("redis+sentinel://a/prices?db=3", SentinelURL((("a", 26379),), "prices", 3)),
        ("redis+sentinel://a/prices/3", SentinelURL((("a", 26379),), "prices", 3)),
        (
            "redis+sentinel://[::1]:1,[fe80::2]/m",
            SentinelURL((("::1", 1), ("fe80::2", 26379)), "m"),
        ),
        (
            "redis+sentinel://:p%40ss%2Fw@a/my%20prices",
            SentinelURL((("a", 26379),), "my prices", password="p@ss/w"),
        ),
        (
            "redis+sentinel://u:p@a/m?sentinel_username=s&sentinel_password=t%26%3F",
            SentinelURL(
                (("a", 26379),),
                "m",
                username="u",
                password="p",
                sentinel_username="s",
                sentinel_password="t&?",
            ),
        ),
        (
            "rediss+sentinel://a/m?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=False",
            SentinelURL(
                (("a", 26379),),
                "m",
                tls=True,
                tls_options=(("ssl_ca_certs", "/etc/ca.pem"), ("ssl_check_hostname", False)),
            ),
        ),
    ],
)
def test_url_names_sentinels_and_master(url: str, target: SentinelURL) -> None:
    assert parse_sentinel_url(url) == target


WRONG = [
    ("redis+sentinel:a/m", "looks like redis+sentinel://HOST"),
    ("redis+sentinel://a:26379", "name the master behind the hosts"),
    ("redis+sentinel://:hush@a:26379/", "name the master behind the hosts"),
    ("redis+sentinel:///m", "Sentinel 1 has no host"),
    ("redis+sentinel://:hush@a,,b/m", "Sentinel 2 has no host"),
    ("redis+sentinel://:hush@a,b:x/m", "the port of Sentinel 2 must be from 1 to 65535"),
    ("redis+sentinel://:hush@a:/m", "the port of Sentinel 1 must be"),
    ("redis+sentinel://:hush@a:0/m", "the port of Sentinel 1 must be"),
    ("redis+sentinel://:hush@a:65536/m", "the port of Sentinel 1 must be"),
    ("redis+sentinel://:hush@::1:26379/m", "Sentinel 1: an IPv6 address looks like [::1]"),
    ("redis+sentinel://:hush@[::1/m", "Sentinel 1: an IPv6 address looks like [::1]"),
    ("redis+sentinel://:hush@[::1]x/m", "Sentinel 1: an IPv6 address looks like [::1]"),
    ("redis+sentinel://" + ",".join("abc" * 20) + "/m", "at most 32"),
    ("redis+sentinel://hush@a/m", "a user name needs a password"),
    ("redis+sentinel://:hu@sh@a/m", "percent-encode @"),
    ("redis+sentinel://:hu/sh@a/m", "percent-encode special characters"),
    ("redis+sentinel://:hu?sh=1@a/m", "percent-encode special characters"),
    ("redis+sentinel://:hu#sh@a/m", "percent-encode special characters"),
    ("redis+sentinel://:hu sh@a/m", "no spaces"),
    ("redis+sentinel://:hush\n@a/m", "no spaces"),
    ("redis+sentinel://:hush@a/m?db=hush", "db must be the number"),
    ("redis+sentinel://:hush@a/m?db=-1", "db must be the number"),
    ("redis+sentinel://:hush@a/m/hush", "db must be the number"),
    ("redis+sentinel://:hush@a/m/1?db=1", "give the database once"),
    ("redis+sentinel://:hush@a/m?db=1&db=2", "give each option of a Sentinel URL once"),
    ("redis+sentinel://:hush@a/m?hush=1", "options of a Sentinel URL are db, sentinel_username,"),
    ("redis+sentinel://:hush@a/m?sentinel_password=", "an option of a Sentinel URL has no value"),
    ("redis+sentinel://a/m?sentinel_username=hush", "needs a sentinel_password"),
    ("redis+sentinel://a/m?ssl_ca_certs=/hush", "begin with ssl_ need rediss+sentinel"),
    ("rediss+sentinel://a/m?ssl_cert_reqs=hush", "must be one of none, optional, required"),
    ("rediss+sentinel://a/m?ssl_check_hostname=hush", "must be true or false"),
]


@pytest.mark.parametrize(("url", "sentence"), WRONG)
def test_wrong_url_is_refused_with_what_to_write(url: str, sentence: str) -> None:
    """And no part of it is shown, since it may be one of a password."""
    with pytest.raises(BadRedisURL) as caught:
        parse_sentinel_url(url)
    assert sentence in str(caught.value)
    assert "hush" not in str(caught.value)


def test_target_shows_no_password() -> None:
    target = parse_sentinel_url("redis+sentinel://u:hush@a,[::1]/m?sentinel_password=hush-too")
    assert str(target) == "master m of the Sentinels at a:26379, [::1]:26379"
    assert "hush" not in repr(target)


def test_wrong_setting_stops_the_start() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={**os.environ, "REDIS_URL": "redis+sentinel://:hush@a"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("manage.py: REDIS_URL: name the master behind the hosts")
    assert "hush" not in done.stderr
