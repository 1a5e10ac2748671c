"""Who calls, and what a caller may do: one check for every transport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from cryptography import x509
from cryptography.x509.oid import NameOID

from ..core.errors import PermissionDenied, Unauthenticated
from .keys import KeyFile, Role, check_owner

ROLES: Mapping[str, Role] = {  # of the methods of tta.v1.AdaptationService; one that is not here takes an admin
    "Classify": Role.INFER,
    "ClassifyStream": Role.INFER,
    "Embed": Role.INFER,
    "PutLabelSet": Role.INFER,
    "GetLabelSet": Role.INFER,
    "ListLabelSets": Role.INFER,
    "DeleteLabelSet": Role.INFER,
    "ListStrategies": Role.INFER,
    "ListReducers": Role.INFER,
    "GetServerInfo": Role.INFER,
    "GetSession": Role.INFER,
    "ListSessions": Role.INFER,
    "ResetSession": Role.INFER,
    "CloseSession": Role.INFER,
    "SnapshotSession": Role.INFER,
    "RestoreSession": Role.INFER,
    "TeachSession": Role.TEACH,
    "Unlearn": Role.TEACH,
    "ListLessons": Role.TEACH,
    "ListQuestions": Role.TEACH,
    "GetLessonSums": Role.TEACH,
    "PutLessonSums": Role.TEACH,
    "SetStrategyState": Role.ADMIN,
    "DeleteOwner": Role.ADMIN,
}
OPEN_SERVICES = ("grpc.health.v1.Health",)  # load balancers and probes show no key
SERVICE = "tta.v1.AdaptationService"
ROLE_PREFIX = "tta:"  # of the organisation in a client certificate that names a role


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call."""

    owner: str  # of sessions and label sets; "" where callers are not asked who they are
    role: Role
    client: str  # whom quotas count: the owner, or the address where there is none
    key: str = ""  # the id of its API key, if it shows one

    def require(self, role: Role, what: str) -> None:
        """Raises `PermissionDenied` unless the caller has that role or a higher one."""
        if self.role < role:
            raise PermissionDenied(f"{what} takes the role {role.name.lower()}; yours is {self.role.name.lower()}")


NOBODY = Caller("", Role.ADMIN, "")  # where callers are not asked who they are, and no transport is between


@dataclass(frozen=True, slots=True)
class Peer:
    """What a transport knows of the other end of one call."""

    address: str = ""  # without the port; "" where there is none, as of a socket in the file system
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)  # by lower-case name
    certificate: bytes = field(default=b"", repr=False)  # PEM; verified by the transport


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies in front of this server, and what they are believed.

    `networks`: their addresses, whose X-Forwarded-For is believed. `required`: calls come from them or this machine
    only. A proxy that has checked the caller itself names it in `owner_header`, and its role in `role_header`.
    """

    networks: Sequence[IPv4Network | IPv6Network] = ()
    required: bool = False
    owner_header: str = ""
    role_header: str = ""

    def trusts(self, address: str) -> bool:
        """Whether it is the address of a proxy."""
        return _is_in(address, self.networks)


class Identity:
    """Knows callers by API key, by client certificate, or by the word of a trusted proxy.

    With none of these, callers are not asked who they are: all of them are one owner, "", and may do everything.
    """

    def __init__(self, keys: KeyFile | None = None, certificates: bool = False, proxies: Proxies | None = None) -> None:
        self._keys, self._certificates, self._proxies = keys, certificates, proxies or Proxies()
        self.asks = keys is not None or certificates or bool(self._proxies.owner_header)

    def check(self, service: str, method: str, peer: Peer) -> Caller:
        """Who calls a method, from now on `current_caller`. Raises `Unauthenticated`, `PermissionDenied`."""
        set_caller(unknown := Caller("", Role.INFER, peer.address))  # not the one of an earlier call in this task
        if service in OPEN_SERVICES:
            return unknown
        caller = self.identify(peer)
        set_caller(caller)
        caller.require(ROLES.get(method, Role.ADMIN) if service == SERVICE else Role.INFER, method)
        return caller

    def identify(self, peer: Peer) -> Caller:
        """Who calls. A key says it, else the proxy, else the certificate. Raises `Unauthenticated`."""
        proxies = self._proxies
        if proxies.required and not proxies.trusts(peer.address) and not _is_in(peer.address, LOOPBACK):
            raise Unauthenticated("calls come through the proxy here, and this one does not")
        if not self.asks:
            return Caller("", Role.ADMIN, self._client_address(peer))
        if self._keys is not None and (header := peer.headers.get("authorization")):
            return self._of_key(self._keys, header)
        if proxies.owner_header and proxies.trusts(peer.address) and proxies.owner_header in peer.headers:
            return _of_words(peer.headers[proxies.owner_header], peer.headers.get(proxies.role_header, "infer"))
        if self._certificates and peer.certificate:
            return _of_words(*_subject(peer.certificate))
        raise Unauthenticated("who is asking? Calls need an API key, as a bearer token, or a client certificate")

    def recheck(self, caller: Caller) -> None:
        """Raises `Unauthenticated` when the caller's key was revoked since its call began."""
        if caller.key and self._keys is not None and self._keys.find(caller.key) is None:
            raise Unauthenticated("this API key was revoked")

    def _of_key(self, keys: KeyFile, header: str) -> Caller:
        scheme, _, token = header.partition(" ")
        key = keys.verify(token.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise Unauthenticated("this API key is not known here, or was revoked")
        return Caller(key.owner, key.role, key.owner, key.id)

    def _client_address(self, peer: Peer) -> str:
        """The peer's, or behind trusted proxies the last one in X-Forwarded-For that is not one of them."""
        address, named = peer.address, peer.headers.get("x-forwarded-for")
        for hop in reversed(named.split(",")) if named and self._proxies.networks else ():
            if not self._proxies.trusts(address) or not _is_address(hop.strip()):
                break
            address = hop.strip()
        return address


LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_caller: ContextVar[Caller] = ContextVar("caller")


def set_caller(caller: Caller) -> None:
    """That caller makes the call that runs in this task."""
    _caller.set(caller)


def current_caller() -> Caller:
    """Who makes the call that runs in this task. Raises LookupError where no transport has checked."""
    return _caller.get()


def current_owner() -> str:
    """The owner of the call that runs in this task, "" where that is not known."""
    return _caller.get(NOBODY).owner


def _of_words(owner: str, role: str) -> Caller:
    try:
        return Caller(check_owner(owner), Role.of(role), owner)
    except ValueError as error:
        raise Unauthenticated(str(error)) from None


@lru_cache(1024)
def _subject(certificate: bytes) -> tuple[str, str]:
    """The owner and the role in a client certificate: its common name, and an organisation `tta:ROLE`, else infer."""
    subject = x509.load_pem_x509_certificate(certificate).subject

    def values(kind: x509.ObjectIdentifier) -> list[str]:
        return [str(one.value) for one in subject.get_attributes_for_oid(kind)]

    names, organisations = values(NameOID.COMMON_NAME), values(NameOID.ORGANIZATION_NAME)
    roles = [name.removeprefix(ROLE_PREFIX) for name in organisations if name.startswith(ROLE_PREFIX)]
    return next(iter(names), ""), next(iter(roles), "infer")


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def _is_in(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    ip = ip_address(address) if _is_address(address) else None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return ip is not None and any(ip in network for network in networks)
