"""A Proxmox VE cluster in memory: guests, templates, tasks, locks, storages, guests' agents, permissions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

from decent_cloud.drivers.parts.password_hash import hash_password
from tests.support.clouds.iso_reader import read_iso
from tests.support.clouds.pve_contract import PREFIX, PveContract, denied, pve_contract
from tests.support.clouds.server import Answer, Call, Cloud, Handler, on

TOKEN = "agent@pve!decent=8a1f5c52-0000-4000-8000-123456789abc"
GIB = 1 << 30
VERSIONS = {8: "8.4.5", 9: "9.1.3"}
QM = "/nodes/{node}/qemu/{vmid}"
_BY_OPTION = [
    (r"cores|sockets|cpulimit|cpu", "VM.Config.CPU"),
    (r"memory|balloon", "VM.Config.Memory"),
    (r"net\d+", "VM.Config.Network"),
    (r"tags|onboot|agent|description|name|boot|protection", "VM.Config.Options"),
    (r"scsihw|serial\d+|vga|ostype", "VM.Config.HWType"),
]


class Refused(Exception):
    """What a handler raises to refuse a call, as Proxmox does: the text is all there is."""

    def __init__(self, text: str, status: int = 500, fields: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.answer = refusal(text, status, fields)


def refusal(text: str, status: int = 500, fields: dict[str, str] | None = None) -> Answer:
    """Return a refusal with its text in reason phrase and body."""
    body: dict[str, Any] = {"data": None, "message": f"{text}\n"}
    if fields:
        body["errors"] = fields
    return Answer(status, body, reason=text)


@dataclass(slots=True)
class Guest:
    """One VM; `users` are the logins that its system has after its first boot."""

    vmid: int
    node: str
    config: dict[str, str]
    running: bool = False
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    host_key: str = ""
    network: dict[str, Any] = field(default_factory=dict)
    instance: str = ""
    started_ms: int = 0
    silent: int = 0  # how many more times its agent shows no address
    kind: str = "qemu"


@dataclass(slots=True)
class Task:
    """Something that goes on until `ends_ms`; then `effect` happens and says how it ended."""

    upid: str
    kind: str
    ends_ms: int
    effect: Callable[[], str]
    outcome: str = ""


class FakeProxmox(Cloud):
    """One cluster of two nodes, with a template of 3 GiB as VM 9000 on `pve1`."""

    prefix = PREFIX

    def __init__(self, major: int = 9) -> None:
        self.schema: PveContract = pve_contract(major)
        super().__init__(self.schema)
        self.major = major
        self.nodes = ["pve1", "pve2"]
        self.guests: dict[int, Guest] = {}
        self.tasks: dict[str, Task] = {}
        self.volumes: dict[str, bytes] = {}
        self.avail = {"local": 50 * GIB, "fast": 500 * GIB}
        self.content = {"local": "iso,vztmpl,import", "fast": "images"}
        self.acl: dict[str, set[str]] | None = None  # None: may do everything
        self.root_ca = "AA:" * 31 + "01"
        self.task_ms: dict[str, int] = {}
        self.task_fails: dict[str, str] = {}
        self.slow_address = 0
        self.agent_down: set[int] = set()
        self.no_internet = False
        self.addresses: dict[str, str] = {}  # "*": what every guest has
        self._count = 0
        self.template(9000)

    # --- what tests see and do ---

    def template(self, vmid: int, name: str = "debian-12") -> None:
        self.guests[vmid] = Guest(
            vmid,
            "pve1",
            {
                "name": name,
                "template": "1",
                "boot": "order=scsi0",
                "scsi0": f"fast:base-{vmid}-disk-0,size=3G",
                "ide2": f"fast:vm-{vmid}-cloudinit,media=cdrom",
                "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
                "memory": "512",
                "agent": "1",
            },
        )

    def named(self, name: str) -> list[Guest]:
        return [each for each in self.guests.values() if each.config.get("name") == name]

    def address(self, guest: Guest) -> str:
        if "*" in self.addresses:
            return self.addresses["*"]
        static = guest.network.get("addresses")
        if static:
            return str(static[0]).split("/", maxsplit=1)[0]
        return f"45.{guest.vmid >> 16 & 255}.{guest.vmid >> 8 & 255}.{guest.vmid & 255}"

    def lets_in(self, guest: Guest, user: str, password: str) -> bool:
        kept = str(guest.users.get(user, {}).get("hash", ""))
        salt = kept.split("$")[2] if kept.count("$") == 3 else "x"
        return bool(kept) and hash_password(password, salt) == kept

    # --- the door ---

    def read_body(self, headers: dict[str, str], raw: bytes) -> Any:
        kind = headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            return _multipart(kind, raw)
        fields = parse_qs(raw.decode(), keep_blank_values=True)
        return {name: each[-1] for name, each in fields.items()} or None

    def gate(self, call: Call) -> Answer | None:
        self._settle()
        if "transfer-encoding" in call.headers:
            return refusal("chunked transfer encoding not supported", 501)
        if call.method in {"POST", "PUT"} and "content-length" not in call.headers:
            return refusal("no content length", 411)
        if call.headers.get("authorization") != f"PVEAPIToken={TOKEN}":
            return refusal("no such token", 401)
        info, given = self.schema.find(call.method, call.path)
        if info is None:
            return refusal("Method 'x' not implemented", 501)
        values = {**given, **{name: str(v) for name, v in (call.body or {}).items()}}
        missing = denied((info.get("permissions") or {}).get("check"), values, self.may)
        return refusal(f"Permission check failed ({missing})", 403) if missing else None

    def may(self, path: str, privilege: str) -> bool:
        return self.acl is None or privilege in self._own(path)

    def _own(self, path: str) -> set[str]:
        """Return the privileges on a path: those of the nearest path that has any."""
        assert self.acl is not None
        while path and path not in self.acl:
            path = path.rpartition("/")[0]
        return self.acl.get(path or "/", set())

    def need(self, path: str, privilege: str) -> None:
        if not self.may(path, privilege):
            raise Refused(f"Permission check failed ({path}, {privilege})", 403)

    def refuse(self, call: Call, violations: list[str]) -> Answer | None:
        return refusal("Parameter verification failed.", 400, {"parameter": violations[0]})

    def _handled(self, handler: Handler, call: Call) -> Answer:
        try:
            return handler(self, call)
        except Refused as refused:
            return refused.answer
        except Exception as error:
            self.violations.append(f"{call.method} {call.path}: the fake failed: {error!r}")
            return Answer(500, judged=False)

    # --- tasks ---

    def _settle(self) -> None:
        now_ms = self.clock.now_ms()
        for task in list(self.tasks.values()):
            if not task.outcome and task.ends_ms <= now_ms:
                task.outcome = self.task_fails.pop(task.kind, "") or task.effect()

    def _begin(self, node: str, kind: str, of: object, effect: Callable[[], str]) -> Answer:
        self._count += 1
        start = self.clock.now_ms() // 1_000
        user = TOKEN.partition("=")[0]
        upid = f"UPID:{node}:{self._count:08X}:{self._count:08X}:{start:08X}:{kind}:{of}:{user}:"
        ends_ms = self.clock.now_ms() + self.task_ms.pop(kind, 2_000)
        self.tasks[upid] = Task(upid, kind, ends_ms, effect)
        return ok(upid)

    @on("GET", "/nodes/{node}/tasks/{upid}/status")
    def task_status(self, call: Call) -> Answer:
        task = self.tasks.get(call.params["upid"])
        if task is None:
            raise Refused("no such task")
        said = {"status": "stopped", "exitstatus": task.outcome} if task.outcome else {}
        return ok({"status": "running", **_task_record(task), **said})

    @on("GET", "/nodes/{node}/tasks")
    def task_list(self, call: Call) -> Answer:
        assert call.one("source") == "active"
        return ok([_task_record(each) for each in self.tasks.values() if not each.outcome])

    # --- the cluster ---

    @on("GET", "/version")
    def version(self, call: Call) -> Answer:
        version = VERSIONS[self.major]
        return ok({"version": version, "release": version.rpartition(".")[0], "repoid": "deadbeef"})

    @on("GET", "/access/permissions")
    def permissions(self, call: Call) -> Answer:
        path = call.one("path")
        every = {"VM.Audit", "VM.Clone"} if self.acl is None else self._own(path)
        return ok({path: dict.fromkeys(sorted(every), 1)} if every else {})

    @on("GET", "/nodes/{node}/certificates/info")
    def certificates(self, call: Call) -> Answer:
        named = {"pve-root-ca.pem": self.root_ca, "pve-ssl.pem": "BB:" * 31 + "02"}
        return ok([{"filename": name, "fingerprint": each} for name, each in named.items()])

    @on("GET", "/cluster/resources")
    def resources(self, call: Call) -> Answer:
        return ok(
            [
                {**self._listed(each), "id": f"{each.kind}/{each.vmid}", "type": each.kind}
                | {"node": each.node}
                for each in self.guests.values()
                if self.may(f"/vms/{each.vmid}", "VM.Audit")
            ]
        )

    @on("GET", "/nodes/{node}/qemu")
    def machines(self, call: Call) -> Answer:
        return ok(
            [
                self._listed(each)
                for each in self.guests.values()
                if each.node == call.params["node"] and each.kind == "qemu"
                if self.may(f"/vms/{each.vmid}", "VM.Audit")
            ]
        )

    @on("GET", "/nodes/{node}/status")
    def node_status(self, call: Call) -> Answer:
        sizes = {"free": 60 * GIB, "total": 64 * GIB, "used": 4 * GIB}
        kernel = {"machine": "x86_64", "release": "6.8.12", "sysname": "Linux", "version": "#1"}
        cpu = {"cores": 8, "cpus": 16, "model": "Test", "sockets": 1}
        return ok(
            {
                "boot-info": {"mode": "efi"},
                "cpu": 0.1,
                "cpuinfo": cpu,
                "current-kernel": kernel,
                "loadavg": ["0.1", "0.1", "0.1"],
                "memory": {**sizes, **({"available": 60 * GIB} if self.major > 8 else {})},
                "pveversion": f"pve-manager/{VERSIONS[self.major]}",
                "rootfs": {**sizes, "avail": 60 * GIB},
            }
        )

    @on("GET", "/nodes/{node}/network")
    def network(self, call: Call) -> Answer:
        return ok([{"iface": "vmbr0", "type": "bridge", "active": 1}])

    # --- storages ---

    @on("GET", "/nodes/{node}/storage")
    def storages(self, call: Call) -> Answer:
        return ok(
            [
                {
                    "storage": name,
                    "type": "dir",
                    "content": self.content[name],
                    "active": 1,
                    "enabled": 1,
                    "avail": avail,
                    "total": 1_000 * GIB,
                    "used": 1_000 * GIB - avail,
                }
                for name, avail in self.avail.items()
                if call.one("storage", name) == name
                if self.may(f"/storage/{name}", "Datastore.Audit")
            ]
        )

    @on("GET", "/nodes/{node}/storage/{storage}/content")
    def contents(self, call: Call) -> Answer:
        begin = f"{call.params['storage']}:{call.one('content')}/"
        return ok(
            [
                {"volid": each, "format": "iso", "size": len(self.volumes[each])}
                for each in self.volumes
                if each.startswith(begin)
            ]
        )

    @on("POST", "/nodes/{node}/storage/{storage}/upload")
    def upload(self, call: Call) -> Answer:
        content, name = call.body["content"], call.body["filename"]
        volume = f"{call.params['storage']}:{content}/{name}"
        image = call.body["_file"]

        def effect() -> str:
            self.volumes[volume] = image
            return "OK"

        return self._begin(call.params["node"], "imgcopy", "", effect)

    @on("POST", "/nodes/{node}/storage/{storage}/download-url")
    def download(self, call: Call) -> Answer:
        volume = f"{call.params['storage']}:{call.body['content']}/{call.body['filename']}"
        sha = hashlib.sha256(call.body["url"].encode()).hexdigest()

        def effect() -> str:
            if call.body.get("checksum") not in {None, sha}:
                return f"checksum mismatch: got '{sha}' != expect '{call.body['checksum']}'"
            self.volumes[volume] = call.body["url"].encode()
            return "OK"

        return self._begin(call.params["node"], "download", "", effect)

    @on("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}")
    def remove_volume(self, call: Call) -> Answer:
        self.need(f"/storage/{call.params['storage']}", "Datastore.Allocate")
        volume = call.params["volume"]
        if volume not in self.volumes:
            raise Refused(f"volume '{volume}' does not exist")

        def effect() -> str:
            self.volumes.pop(volume, None)
            return "OK"

        return self._begin(call.params["node"], "imgdel", "", effect)

    # --- VMs ---

    @on("POST", "/nodes/{node}/qemu")
    def create(self, call: Call) -> Answer:
        vmid = int(call.body["vmid"])
        self._new_id(vmid)
        self._may_set(vmid, call.body)
        config = {name: each for name, each in call.body.items() if name != "vmid"}
        disk = config.get("scsi0", "")
        source = re.search(r"import-from=([^,]+)", disk)
        if source and source.group(1) not in self.volumes:
            raise Refused(f"no such volume '{source.group(1)}'")
        self.guests[vmid] = Guest(vmid, call.params["node"], {"lock": "create"})

        def effect() -> str:
            if source:
                config["scsi0"] = f"fast:vm-{vmid}-disk-0,size=3G"
            self.guests[vmid].config = config
            return "OK"

        return self._begin(call.params["node"], "qmcreate", vmid, effect)

    @on("GET", f"{QM}/config")
    def config(self, call: Call) -> Answer:
        guest = self._guest(call)
        own: dict[str, Any] = dict(guest.config)
        for name in ("cores", "sockets", "balloon", "onboot", "template", "protection"):
            if name in own:
                own[name] = int(own[name])
        if "cpulimit" in own:
            own["cpulimit"] = float(own["cpulimit"])
        return ok({**own, "digest": _digest(guest)})

    @on("PUT", f"{QM}/config")
    def configure(self, call: Call) -> Answer:
        guest = self._guest(call)
        self._unlocked(guest)
        self._may_set(guest.vmid, call.body)
        form = dict(call.body)
        if form.pop("digest", None) not in {None, _digest(guest)}:
            raise Refused(
                "detected modified configuration - file changed by other user? Try again."
            )
        for name in re.split(r"[,; ]", form.pop("delete", "")):
            self._may_drive(guest.vmid, self._kept(guest.vmid, name) if name[:3] == "ide" else "")
            guest.config.pop(name, None)
        for name, value in form.items():
            volume = value.partition(",")[0]
            if "media=cdrom" in value and ":iso/" in volume and volume not in self.volumes:
                raise Refused(f"volume '{volume}' does not exist")
            guest.config[name] = value
        return ok(None)

    @on("PUT", f"{QM}/resize")
    def resize(self, call: Call) -> Answer:
        guest = self._guest(call)
        self._unlocked(guest)
        disk, size = call.body["disk"], call.body["size"]
        if disk not in guest.config:
            raise Refused(f"disk '{disk}' does not exist")

        def effect() -> str:
            guest.config[disk] = re.sub(r"size=\w+", f"size={size}", guest.config[disk])
            return "OK"

        return self._begin(guest.node, "resize", guest.vmid, effect)

    @on("POST", f"{QM}/clone")
    def clone(self, call: Call) -> Answer:
        template = self._guest(call)
        newid, full = int(call.body["newid"]), call.body.get("full") == "1"
        if not full and "storage" in call.body:
            raise Refused("parameter 'storage' not allowed for linked clones", 400)
        self.need("/sdn/zones/localnetwork/vmbr0", "SDN.Use")
        self.need(f"/storage/{call.body.get('storage', 'fast')}", "Datastore.AllocateSpace")
        self._new_id(newid)
        node = call.body.get("target", template.node)
        # Proxmox's clones show neither name nor notes before their disks are there.
        notes = " qmclone temporary file\n"
        self.guests[newid] = Guest(newid, node, {"lock": "clone", "description": notes})

        def effect() -> str:
            guest = self.guests.get(newid)
            if guest is None:
                return "unexpected status"
            own = {name: each for name, each in template.config.items() if name != "template"}
            own["scsi0"] = f"fast:vm-{newid}-disk-0,size=3G"
            own["name"], own["description"] = call.body["name"], call.body["description"]
            guest.config = own
            return "OK"

        answer = self._begin(template.node, "qmclone", template.vmid, effect)
        failure = self.task_fails.get("qmclone")
        if failure:  # a failed clone takes its new VM away again
            del self.guests[newid]
        return answer

    @on("DELETE", QM)
    def delete(self, call: Call) -> Answer:
        guest = self._guest(call)
        self._unlocked(guest)
        if guest.config.get("protection") == "1":
            raise Refused(f"can't remove VM {guest.vmid} - protection mode enabled")
        if guest.running:
            raise Refused(f"VM {guest.vmid} is running - destroy failed")

        def effect() -> str:
            self.guests.pop(guest.vmid, None)
            return "OK"

        return self._begin(guest.node, "qmdestroy", guest.vmid, effect)

    @on("POST", f"{QM}/template")
    def to_template(self, call: Call) -> Answer:
        guest = self._guest(call)
        if guest.running:
            raise Refused("you can't convert a VM to template if VM is running")

        def effect() -> str:
            guest.config["template"] = "1"
            return "OK"

        return self._begin(guest.node, "qmtemplate", guest.vmid, effect)

    @on("GET", f"{QM}/status/current")
    def current(self, call: Call) -> Answer:
        guest = self._guest(call)
        state = "running" if guest.running else "stopped"
        return ok(
            {**self._listed(guest), "status": state, "qmpstatus": state, "ha": {"managed": 0}}
        )

    @on("POST", f"{QM}/status/start")
    def start(self, call: Call) -> Answer:
        guest = self._guest(call)
        self._unlocked(guest)

        def effect() -> str:
            drive = guest.config.get("ide2", "").partition(",")[0]
            if ":iso/" in drive and drive not in self.volumes:
                return f"volume '{drive}' does not exist"
            guest.running = True
            self._boot(guest, self.volumes.get(drive))
            return "OK"

        return self._begin(guest.node, "qmstart", guest.vmid, effect)

    @on("POST", f"{QM}/status/stop")
    @on("POST", f"{QM}/status/shutdown")
    def stop(self, call: Call) -> Answer:
        guest = self._guest(call)
        self._unlocked(guest)

        def effect() -> str:
            guest.running = False
            return "OK"

        return self._begin(guest.node, "qmstop", guest.vmid, effect)

    # --- inside a guest ---

    @on("GET", f"{QM}/agent/network-get-interfaces")
    def interfaces(self, call: Call) -> Answer:
        guest = self._inside(call)
        addresses = {"lo": "127.0.0.1"}
        if guest.silent:
            guest.silent -= 1
        else:
            addresses["ens18"] = self.address(guest)
        return ok(
            {
                "result": [
                    {
                        "name": name,
                        "hardware-address": "02:dc:00:00:00:00",
                        "ip-addresses": [
                            {"ip-address": "fe80::1", "ip-address-type": "ipv6", "prefix": 64},
                            {"ip-address": each, "ip-address-type": "ipv4", "prefix": 24},
                        ],
                    }
                    for name, each in addresses.items()
                ]
            }
        )

    @on("POST", f"{QM}/agent/set-user-password")
    def set_password(self, call: Call) -> Answer:
        guest = self._inside(call)
        user, password = call.body["username"], call.body["password"]
        if user not in guest.users:
            raise Refused("Agent error: child process has failed to set user password")
        kept = password if call.body.get("crypted") == "1" else hash_password(password)
        guest.users[user]["hash"] = kept
        return ok({"result": {}})

    # --- how a VM behaves ---

    def _guest(self, call: Call) -> Guest:
        vmid, node = int(call.params["vmid"]), call.params["node"]
        guest = self.guests.get(vmid)
        if guest is None or guest.node != node:
            raise Refused(
                f"Configuration file 'nodes/{node}/qemu-server/{vmid}.conf' does not exist"
            )
        return guest

    def _inside(self, call: Call) -> Guest:
        guest = self._guest(call)
        if guest.config.get("agent", "0") in {"0", "enabled=0"}:
            raise Refused("No QEMU guest agent configured")
        if not guest.running:
            raise Refused(f"VM {guest.vmid} not running")
        if guest.vmid in self.agent_down:
            raise Refused("QEMU guest agent is not running")
        return guest

    def _unlocked(self, guest: Guest) -> None:
        if guest.config.get("lock"):
            raise Refused(f"VM is locked ({guest.config['lock']})")

    def _new_id(self, vmid: int) -> None:
        if vmid in self.guests:
            raise Refused(f"unable to create VM {vmid}: config file already exists")

    def _may_set(self, vmid: int, form: dict[str, str]) -> None:
        for name, value in form.items():
            for pattern, privilege in _BY_OPTION:
                if re.fullmatch(pattern, name):
                    self.need(f"/vms/{vmid}", privilege)
            if re.fullmatch(r"(ide|sata|scsi)\d+", name):
                self._may_drive(vmid, value)
                self._may_drive(vmid, self._kept(vmid, name))
            if re.fullmatch(r"net\d+", name):
                self.need("/sdn/zones/localnetwork/vmbr0", "SDN.Use")

    def _kept(self, vmid: int, name: str) -> str:
        return self.guests[vmid].config.get(name, "") if vmid in self.guests else ""

    def _may_drive(self, vmid: int, drive: str) -> None:
        """Ask for what a drive takes, the old one in its place as well as the new."""
        if not drive:
            return
        wanted = ["VM.Config.CDROM"] if "media=cdrom" in drive else ["VM.Config.Disk"]
        for each in [*wanted, *(["VM.Config.Cloudinit"] if "cloudinit" in drive else [])]:
            self.need(f"/vms/{vmid}", each)

    def _listed(self, guest: Guest) -> dict[str, Any]:
        own = guest.config
        return {
            "vmid": guest.vmid,
            "name": own.get("name", f"VM {guest.vmid}"),
            "status": "running" if guest.running else "stopped",
            **({"tags": own["tags"]} if own.get("tags") else {}),
            **({"lock": own["lock"]} if own.get("lock") else {}),
            **({"template": 1} if own.get("template") == "1" else {}),
        }

    def _boot(self, guest: Guest, drive: bytes | None) -> None:
        guest.silent, self.slow_address = self.slow_address, 0
        guest.started_ms = self.clock.now_ms()
        if drive is None:
            return
        volume, files = read_iso(drive)
        assert volume.lower() == "cidata"
        instance = json.loads(files["meta-data"])["instance-id"]
        if instance == guest.instance:
            return
        guest.instance = instance
        network = json.loads(files["network-config"])["ethernets"]["primary"]
        if network["match"]["macaddress"] in guest.config.get("net0", "").lower():
            guest.network = network
        text = files["user-data"].decode()
        found = re.search(r"#cloud-config\n(\{.*?\n\})", text, re.DOTALL)
        assert found, text[:200]
        config = json.loads(found.group(1))
        if config.get("power_state") and not self.no_internet:
            guest.running = False  # what makes a template ends by switching itself off
        if "cloud-init clean --logs" in config.get("runcmd", []):
            guest.instance = ""  # what is forgotten is done again at the next start
        guest.host_key = config.get("ssh_keys", {}).get("ed25519_public", "")
        for each in config.get("users", []):
            guest.users[each["name"]] = {"keys": each.get("ssh_authorized_keys", [])}
        for each in config.get("chpasswd", {}).get("users", []):
            guest.users.setdefault(each["name"], {})["hash"] = each["password"]


def _multipart(kind: str, raw: bytes) -> dict[str, Any]:
    head = b"Content-Type: " + kind.encode() + b"\r\n\r\n"
    body: dict[str, Any] = {}
    for part in BytesParser().parsebytes(head + raw).walk():
        content = part.get_payload(decode=True)
        name = str(part.get_param("name", header="content-disposition"))
        if part.is_multipart() or not isinstance(content, bytes):
            continue
        filename = part.get_filename()
        body[name] = filename or content.decode()
        if filename:
            body["_file"] = content
    return body


def ok(data: Any) -> Answer:
    """Return a good answer."""
    return Answer(200, {"data": data})


def _task_record(task: Task) -> dict[str, Any]:
    _, node, pid, pstart, start, kind, of, user, _ = task.upid.split(":")
    return {
        "upid": task.upid,
        "node": node,
        "pid": int(pid, 16),
        "pstart": int(pstart, 16),
        "starttime": int(start, 16),
        "type": kind,
        "id": of,
        "user": user,
    }


def _digest(guest: Guest) -> str:
    text = json.dumps(sorted(guest.config.items()))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
