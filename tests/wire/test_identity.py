"""Who calls, and what that caller may do."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.wire.test_keys import add
from tta_service.core.errors import PermissionDenied, Unauthenticated
from tta_service.wire.identity import ROLES, SERVICE, Caller, Identity, Peer, Proxies, current_caller, current_owner
from tta_service.wire.keys import KeyFile, Role, edit_keys
from tta_service.wire.v1 import tta_pb2 as pb

PROXY = Proxies((ip_network("10.0.0.0/8"),), owner_header="x-owner", role_header="x-role")


def bearer(token: str) -> Peer:
    return Peer("192.0.2.7", {"authorization": f"Bearer {token}"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_every_method_of_the_service_has_a_role():
    service = pb.DESCRIPTOR.services_by_name["AdaptationService"]
    assert service.full_name == SERVICE and set(ROLES) == {method.name for method in service.methods}


def test_nobody_is_asked_where_there_is_nothing_to_ask_for():
    identity = Identity()
    assert not identity.asks
    assert identity.check(SERVICE, "TeachSession", Peer("192.0.2.7")) == Caller("", Role.ADMIN, "192.0.2.7")


def test_a_key_gives_an_owner_and_a_role_that_includes_the_lower_ones(file: Path):
    tokens = {role: add(file, f"owner {role}", role) for role in Role}
    identity = Identity(KeyFile(file))
    for role, token in tokens.items():
        for method, needed in (("Classify", Role.INFER), ("TeachSession", Role.TEACH), ("NotYetKnown", Role.ADMIN)):
            if role >= needed:
                caller = identity.check(SERVICE, method, bearer(token))
                assert (caller.owner, caller.client, caller.role) == (f"owner {role}", f"owner {role}", role)
            else:
                with pytest.raises(PermissionDenied, match=f"{method} takes the role {needed.name.lower()}; yours is"):
                    identity.check(SERVICE, method, bearer(token))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x.y", "Basic {}", "{}", "Bearer {}x"])
def test_without_a_key_or_with_a_wrong_one_a_caller_is_not_known(header: str, file: Path):
    token = add(file)
    with pytest.raises(Unauthenticated) as refused:
        Identity(KeyFile(file)).check(SERVICE, "Classify", Peer("", {"authorization": header.format(token)}))
    assert token.partition(".")[2] not in str(refused.value)


def test_a_call_that_is_refused_has_no_owner_of_an_earlier_one(file: Path):
    token = add(file, "ann")
    identity = Identity(KeyFile(file))
    identity.check(SERVICE, "Classify", bearer(token))
    assert current_owner() == "ann" == current_caller().owner
    with pytest.raises(Unauthenticated):
        identity.check(SERVICE, "Classify", Peer())
    assert current_owner() == ""


def test_other_services_take_any_caller_but_health_which_takes_all(file: Path):
    token = add(file)
    identity = Identity(KeyFile(file))
    assert identity.check("grpc.health.v1.Health", "Check", Peer()).owner == ""
    assert identity.check("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", bearer(token))
    with pytest.raises(Unauthenticated):
        identity.check("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo", Peer())


def test_a_revoked_key_ends_a_call_that_is_open(file: Path):
    token = add(file)
    identity = Identity(KeyFile(file, recheck=0.0))
    caller = identity.check(SERVICE, "ClassifyStream", bearer(token))
    identity.recheck(caller)
    with edit_keys(file) as keys:
        keys.clear()
    with pytest.raises(Unauthenticated, match="revoked"):
        identity.recheck(caller)


@pytest.mark.parametrize(
    "organisations, role",
    [
        ((), Role.INFER),
        (("Cameras Ltd",), Role.INFER),
        (("Cameras Ltd", "tta:teach"), Role.TEACH),
        (("admin",), Role.INFER),
    ],
)
def test_a_certificate_gives_an_owner_and_a_role(organisations: tuple[str, ...], role: Role, tmp_path: Path):
    shown = Authority(tmp_path).client("gate-3", *organisations).certificate.read_bytes()
    caller = Identity(certificates=True).identify(Peer("192.0.2.7", certificate=shown))
    assert (caller.owner, caller.role, caller.client) == ("gate-3", role, "gate-3")
    with pytest.raises(Unauthenticated):
        Identity(certificates=True).identify(Peer("192.0.2.7"))


def test_a_certificate_with_a_role_that_there_is_not_is_refused(tmp_path: Path):
    shown = Authority(tmp_path).client("gate-3", "tta:king").certificate.read_bytes()
    with pytest.raises(Unauthenticated, match="'king' is no role"):
        Identity(certificates=True).identify(Peer("192.0.2.7", certificate=shown))


def test_the_word_of_a_proxy_counts_only_from_its_addresses(file: Path):
    add(file)
    identity, named = Identity(KeyFile(file), proxies=PROXY), {"x-owner": "ann", "x-role": "admin"}
    assert identity.identify(Peer("10.1.2.3", named)) == Caller("ann", Role.ADMIN, "ann")
    assert identity.identify(Peer("10.1.2.3", {"x-owner": "ann"})).role is Role.INFER
    for address in ("192.0.2.7", "127.0.0.1", ""):
        with pytest.raises(Unauthenticated):
            identity.identify(Peer(address, named))


def test_a_proxy_that_does_tls_is_the_only_way_in():
    identity = Identity(proxies=Proxies((ip_network("10.0.0.0/8"),), required=True))
    for address in ("10.1.2.3", "127.0.0.1", "::1", "::ffff:10.1.2.3"):
        identity.identify(Peer(address))
    for address in ("192.0.2.7", "2001:db8::1"):
        with pytest.raises(Unauthenticated, match="through the proxy"):
            identity.identify(Peer(address))


@pytest.mark.parametrize("address, forwarded, client", [
    ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # no proxy: anybody can write that header
    ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", "nonsense", "10.0.0.1"),
])  # fmt: skip
def test_behind_a_proxy_quotas_count_the_address_that_it_tells(address: str, forwarded: str, client: str):
    identity = Identity(proxies=Proxies(PROXY.networks))
    assert identity.identify(Peer(address, {"x-forwarded-for": forwarded})).client == client


def test_nothing_secret_is_shown():
    peer = Peer("192.0.2.7", {"authorization": "Bearer a.secret"}, b"PEM")
    assert "secret" not in repr(peer) and "PEM" not in repr(peer)
