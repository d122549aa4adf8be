"""Rules 18 and 19: strict zone names, the newest data, the machine's own zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import available_timezones

import pytest

from cronq.errors import TimezoneError
from cronq.schedule import parse, zones
from cronq.schedule.days import NEVER
from cronq.schedule.spans import spans_of
from cronq.schedule.zones import is_zone, local_zone_name, suggestions, tzdata_version, zone, zone_names


@pytest.mark.parametrize(
    "name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "GB-Eire", "EST5EDT"]
)
def test_rule_18_keys_are_accepted(name: str) -> None:
    assert zone(name).key == name
    assert zone(name) is zone(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "America",
        "Europe/",
        "/Europe/Berlin",
        "right/UTC",
        "posix/Europe/Berlin",
        "localtime",
        "Factory",
        "posixrules",
        "tzdata.zi",
        "zone.tab",
        "leapseconds",
        "+VERSION",
        "iso3166.tab",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe/../Europe/Berlin",
        "Europe//Berlin",
        "Europe/Berlin\n",
        "Europe/Berlin\0",
        "EUROPE/BERLIN",
        "Zürich",
        "x" * 65,
        "Europe/" + "x" * 10_000,
        "__init__.py",
    ],
)
def test_rule_18_anything_else_is_refused(name: str) -> None:
    assert not is_zone(name)
    with pytest.raises(TimezoneError) as raised:
        zone(name)
    assert raised.value.hint
    assert raised.value.message.isprintable()
    assert len(raised.value.message) < 120


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("new_york", "America/New_York"),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("utc", "UTC"),
    ],
)
def test_rule_18_the_nearest_key_is_suggested(name: str, expected: str) -> None:
    assert suggestions(name)[0] == expected


def test_rule_18_nothing_near_gives_the_form_of_a_name() -> None:
    with pytest.raises(TimezoneError) as raised:
        zone("qqqqqq")
    assert raised.value.hint == "zones have IANA names such as `Europe/Berlin` or `UTC`"


def test_all_names_of_the_library_are_accepted() -> None:
    names = available_timezones()
    assert {name for name in names if not is_zone(name)} <= {"Factory", "localtime", "posixrules"}
    assert set(zone_names()) >= {"UTC", "Europe/Berlin"}
    assert all(is_zone(name) for name in zone_names())


def test_rule_19_the_newest_data_is_used() -> None:
    version, source = tzdata_version()
    assert re.fullmatch(r"20\d\d[a-z]+|unknown", version)
    assert source in ("system", "package")
    found = [known.version for known, _, _ in zones._ranked()]
    assert version == max(found, key=zones._rank)


@pytest.mark.parametrize(
    ("system", "package", "expected"),
    [
        ("2025b", "2026f", "package"),
        ("2026g", "2026f", "system"),
        ("2026f", "2026f", "system"),
        ("unknown", "2020a", "package"),
    ],
)
def test_rule_19_order(
    system: str, package: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system != "unknown":
        (tmp_path / "tzdata.zi").write_text(f"# version {system}\n# rest\n")
    monkeypatch.setattr(zones, "_system_folder", lambda: tmp_path)
    monkeypatch.setattr(
        zones, "_package_folder", lambda: (zones.TzdataVersion(package, "package"), tmp_path / "package")
    )
    zones._ranked.cache_clear()
    try:
        assert tzdata_version().source == expected
    finally:
        zones._ranked.cache_clear()


def test_rule_19_versions_are_read_where_systems_keep_them(tmp_path: Path) -> None:
    assert zones._system_version(tmp_path) == "unknown"
    (tmp_path / "+VERSION").write_text("2024a\n")
    assert zones._system_version(tmp_path) == "2024a"
    (tmp_path / "tzdata.zi").write_text("no version here\n")
    assert zones._system_version(tmp_path) == "2024a"
    (tmp_path / "tzdata.zi").write_text("# version 2025b\nR ...\n")
    assert zones._system_version(tmp_path) == "2025b"


@pytest.mark.parametrize(
    ("value", "expected"), [("Europe/Paris", "Europe/Paris"), (":Asia/Tokyo", "Asia/Tokyo")]
)
def test_the_variable_tz_comes_first(value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", value)
    assert local_zone_name() == expected


def test_a_posix_tz_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    assert is_zone(local_zone_name())


def test_files_tell_the_local_zone(tmp_path: Path) -> None:
    (tmp_path / "timezone").write_text("Europe/Madrid\nrest")
    assert zones._first_line(tmp_path / "timezone") == "Europe/Madrid"
    assert zones._first_line(tmp_path / "missing") == ""
    link = tmp_path / "localtime"
    link.symlink_to("../usr/share/zoneinfo/Europe/Oslo")
    assert zones._link_key(link) == "Europe/Oslo"
    assert zones._link_key(tmp_path / "missing") == ""


@pytest.mark.parametrize(
    "tz", ["Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Tokyo"]
)
def test_spans_tell_the_offset_of_every_hour(tz: str) -> None:
    spans = spans_of(tz)
    start = int(datetime.fromisoformat("2011-01-01T00:00+00:00").timestamp())
    for second in range(start, start + 2 * 366 * 86400, 3600 * 5):
        span = spans.at(second)
        offset = datetime.fromtimestamp(second, zone(tz)).utcoffset()
        assert offset == timedelta(seconds=span.offset)
        assert span.start <= second < span.end
        assert spans.at(span.start - 1).offset == span.before


def test_spans_find_changes_to_the_second() -> None:
    (spring, autumn) = spans_of("Europe/Berlin").changes(1_767_225_600, 1_798_761_600)
    assert datetime.fromtimestamp(spring.start, zone("UTC")).isoformat() == "2026-03-29T01:00:00+00:00"
    assert datetime.fromtimestamp(autumn.start, zone("UTC")).isoformat() == "2026-10-25T01:00:00+00:00"


def test_utc_is_one_span() -> None:
    assert spans_of("UTC").at(0).end < NEVER
    assert spans_of("UTC").changes(0, 4_000_000_000) == []


def test_war_time_changes_are_found() -> None:
    # Berlin, 1945: +1, +2 on 2 April, +3 on 24 May, +2 on 24 September, +1 on 18 November.
    found = parse("0 12 * * *", tz="Europe/Berlin").between(
        datetime.fromisoformat("1945-05-23T00:00+00:00"), datetime.fromisoformat("1945-05-26T00:00+00:00")
    )
    assert [fire.hour for fire in found] == [10, 9, 9]
