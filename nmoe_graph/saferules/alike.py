"""What only looks alike: a version is no address, a file name is no host, a placeholder is no secret."""

from __future__ import annotations

import base64
import re

_PLACEHOLDER = re.compile(
    r"(?i)(?:your|my|the|some|any|example|sample|dummy|fake|test|foo|placeholder|redacted|removed|masked|hidden|changeme|change-me"
    r"|insert|replace|none|null|nil|true|false|required|optional|unset|undefined|empty|missing|str|string|bytes|int|bool|x{3,}|\.{3}"
    r"|\*{3})(?![a-z0-9])"
)
_CODE = re.compile(
    r"[A-Za-z_][\w.]*[(\[]|(?:os|self|args|cfg|config|settings|env|process|secrets|vault|options|request)\.[A-Za-z_]"
)


def no_secret(line: str, hit: re.Match[str]) -> bool:
    """What is assigned is a variable, a call, a placeholder or a word of prose, and no secret."""
    value = hit["value"]
    if value[0] in "$<{*%[(" or _PLACEHOLDER.match(value) or _CODE.match(value):
        return True
    if re.fullmatch(r"_?(?:[A-Z][a-z]+)+(?:\.[A-Z]\w*)+", value) or (
        ":" in hit[0] and re.fullmatch(r"_?(?:[A-Z][a-z]+)+", value) and re.match(r"\s?(?:=\s|[,|)]|\Z)", line[hit.end() :])
    ):
        return True  # a type: token: SocketOption = ...
    if re.fullmatch(r"[\d.,_]+", value) and len(value) < 12:
        return True  # a count: max_tokens=4096
    if not re.search(r"[0-9!@#%^&+=]", value) and not (re.search(r"[a-z]", value) and re.search(r"[A-Z]", value[1:])):
        return True  # one plain word
    return "/" in value and re.fullmatch(r"[./~]?[a-z0-9_\-./]+", value) is not None  # a path


def no_password(line: str, hit: re.Match[str]) -> bool:
    value = hit["value"]
    return value[0] in "$<{*%" or _PLACEHOLDER.fullmatch(value) is not None or value.lower() in ("password", "pass", "pw", "token")


def no_login(line: str, hit: re.Match[str]) -> bool:
    """In base64 stands neither `user:password`, nor a private key, nor the JSON of one of these."""
    try:
        held = base64.b64decode(
            hit["value"].rstrip("=")[: len(hit["value"].rstrip("=")) // 4 * 4],
            altchars=b"-_" if re.search("[-_]", hit["value"]) else None,
        )
        text = held.decode("ascii")
    except ValueError:
        return True
    if not text.isprintable() and not text.replace("\n", "").isprintable():
        return True
    return re.match(r"[^\s:]{0,100}:\S{2,}|\{\s*\"|-----BEGIN [A-Z0-9 ]{0,40}PRIVATE", text) is None


_VERSION_BEFORE = re.compile(
    r"(?i)(?:version|release|revision|build|toolkit|driver|firmware|fw|vbios|bios|kernel|cuda|cudnn|cu[a-z]{2,12}|nvidia-[a-z0-9\-]{1,40}"
    r"|lib[a-z0-9_\-]{1,40}|nccl|nvjpeg\w*|nvshmem|npp|nvinfer\w*|tensorrt|trt|dali|openmpi|ucx|ofed|mlnx\w*|torch|python|triton"
    r"|section|sections|chapter|clause|paragraph|appendix|figure|table|step|item|release notes|macos|ios|android|windows|chrome|edge|firefox|safari|oracle|loss|lr|ver|\bv)[\s:=/\-\"'(v]{0,30}\Z|(?:[=~<>!]=|[<>^~])\s{0,2}\Z"
)
_WHOLE_RANGES = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "fc00::/7",
    "fd00::/8",
    "fe80::/10",
)


def no_address(line: str, hit: re.Match[str]) -> bool:
    """`cuDNN 10.5.1.17` is four numbers and no address; `10.0.0.0/8` is what the RFC says of all the world."""
    rest = line[hit.end() : hit.end() + 8]
    if any(one == (hit[0] + rest)[: len(one)] and not (hit[0] + rest)[len(one) : len(one) + 1].isdigit() for one in _WHOLE_RANGES):
        return True
    if ":" not in hit[0]:
        if any(int(part) > 255 for part in hit[0].split(".")):
            return True
        if re.match(r"(?::\d{2,5}|/\d{1,2})(?!\d)", rest):
            return False  # a port or a prefix length
        if re.match(r"(?i)\s?\((?:cu|nccl|torch|build|with|for)", rest):
            return True
        if re.match(
            r"(?i)[\-+.]?(?:tar|zip|whl|rpm|deb|exe|msi|so|dll|dev|post|rc|alpha|beta)\b|-\d(?!\d{0,2}\.\d{1,3}\.)|\+", rest
        ):
            return True
    return _VERSION_BEFORE.search(line[max(0, hit.start() - 64) : hit.start()]) is not None


_FILE_ENDS = frozenset(
    [
        "py",
        "pyi",
        "pyc",
        "ipynb",
        "md",
        "rst",
        "txt",
        "log",
        "out",
        "err",
        "json",
        "jsonl",
        "yaml",
        "yml",
        "toml",
        "ini",
        "cfg",
        "conf",
        "csv",
        "tsv",
        "parquet",
        "arrow",
        "bin",
        "pt",
        "pth",
        "safetensors",
        "ckpt",
        "npy",
        "npz",
        "idx",
        "h",
        "hpp",
        "hh",
        "c",
        "cc",
        "cpp",
        "cu",
        "cuh",
        "go",
        "rs",
        "ts",
        "tsx",
        "js",
        "jsx",
        "mjs",
        "java",
        "kt",
        "rb",
        "sh",
        "bash",
        "zsh",
        "html",
        "css",
        "xml",
        "svg",
        "png",
        "jpg",
        "pdf",
        "tar",
        "gz",
        "zip",
        "zst",
        "whl",
        "so",
        "a",
        "o",
        "lock",
        "patch",
        "diff",
        "sql",
        "proto",
        "mk",
        "cmake",
        "service",
        "env",
        "template",
        "tmpl",
        "j2",
        "plist",
        "tf",
        "tfvars",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "self",
        "this",
        "cls",
        "super",
        "threading",
        "thread",
        "tls",
        "_tls",
        "torch",
        "numpy",
        "np",
        "jax",
        "jnp",
        "scipy",
        "pip",
        "setuptools",
        "google",
        "protobuf",
        "pydantic",
        "java",
        "javax",
        "com",
        "org",
        "io",
        "net",
        "dev",
        "kotlin",
        "android",
        "sun",
        "jdk",
        "gradle",
        "rust",
        "std",
        "react",
        "vue",
        "node",
        "webpack",
        "module",
        "package",
        "import",
        "from",
        "settings",
        "config",
        "configs",
        "app",
        "env",
        "compose",
        "docker-compose",
        "test",
        "tests",
        "local",
        "vite",
        "ctx",
        "context",
        "state",
        "data",
        "http",
        "https",
        "www",
        "en",
        "docs",
        "api",
    ]
)
_WORLD_NAMES = re.compile(
    r"(?i)(?:host|gateway|kubernetes)\.docker\.internal|metadata\.google\.internal|kubernetes\.default\.svc(?:\.cluster\.local)?|svc\.cluster\.local"
)


_NOBODYS = re.compile(
    r"(?:0|127|22[4-9]|2[3-5]\d)\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|(?:(\d)\.\1\.\1\.\1|1\.2\.3\.4|1\.0\.0\.1|8\.8\.4\.4)\Z"
)


def nobodys(address: str) -> bool:
    """Whether an IPv4 address is no machine's: of documentation (RFC 5737), of here, of many, of everybody's resolvers."""
    return any(int(part) > 255 for part in address.split(".")) or _NOBODYS.match(address) is not None


def no_domain(line: str, hit: re.Match[str]) -> bool:
    """Names that every machine has, attributes, modules and file names."""
    name, after = hit[0], line[hit.end() : hit.end() + 2]
    labels = name.split(".")
    if _WORLD_NAMES.fullmatch(name):
        return True
    before = line[max(0, hit.start() - 3) : hit.start()]
    if before.endswith(("://", "@")) or re.match(r":\d", line[hit.end() : hit.end() + 2]):
        return False
    if labels[-1].lower() in _FILE_ENDS or after[:1] in ("(", "[") or (after[:1] == "." and after[1:2].isalnum()):
        return True
    if labels[0].lower() in _ATTRIBUTES or re.match(r"\s*(?:from|import)\s", line):
        return True
    if _INSIDE_ENDS.fullmatch(labels[-1]) is None and _WORLD_ENDS.fullmatch(labels[-1]) is None:
        return True  # `obj.priv.value`
    return any(("-" not in label and re.search(r"[a-z][A-Z]|^[A-Z][a-z]", label)) or label.startswith("_") for label in labels)


def no_host(line: str, hit: re.Match[str]) -> bool:
    """`train-00001.parquet` is a shard, `node-18.17.0` a version, `node20` a runtime of workflows."""
    name, after = hit[0], line[hit.end() : hit.end() + 12]
    end = name.rpartition(".")[2].lower()
    if "." in name and (end in _FILE_ENDS or end.isdigit()):
        return True
    if re.match(r"(?i)(?:head|train|cpu|ip|oss|mds|master|rack|storage)-[1-9]\d*\Z|(?:cn|gn|wn)\d{1,2}\Z", name):
        return True  # a number of something, not padded as names of machines are
    if re.match(r"(?i)\s?(?:gb|gib|mb|g|%|x\b|ms|us|s\b|steps?|gpus?|cores?|bit)|-of-|[(\[]|/\d|\.\d", after):
        return True
    if re.search(
        r"(?i)(?:using|runs|node-version|uses)\S{0,3}[:=]\s{0,3}[\"']?\Z|(?:test|def|class|step|shard|split|tag|batch|fold)[_ ]\Z",
        line[: hit.start()],
    ):
        return True
    return re.fullmatch(
        r"(?i)(?:gpu|cpu|storage|train|runner|node)-?20(?:1\d|2\d)|node(?:1[0-9]|2[0-9])(?:-(?:alpine|slim))?", name
    ) is not None and bool(re.search(r"(?i)js|npm|alpine|actions|setup|using", line))


#: What the world calls the ends of its names: all two letters of countries, and these.
_WORLD_ENDS = re.compile(
    r"(?i)[a-z]{2}|com|org|net|edu|gov|mil|int|info|biz|name|pro|arpa|app|dev|page|cloud|tech|online|site|store|shop|blog|news|wiki|xyz|"
    r"run|build|sh|codes|software|systems|network|computer|science|foundation|community|academy|institute|university|global|"
    r"world|life|live|media|digital|design|agency|studio|tools|works|zone|space|website|web|host|press|help|support|services|solutions|"
    r"company|group|team|email|chat|social|link|click|top|club|fun|google|amazon|aws|azure|microsoft|apple|goog|cern|nvidia|ninja|guru|"
    r"rocks|art|bio|fyi|moe|one|vision|training|education|engineering|technology|mobi|museum|aero|jobs|travel|coop|asia|eus|cat|xn--[a-z0-9\-]{2,60}|"
    r"example|test|invalid|localhost|onion"
)
_INSIDE_ENDS = re.compile(r"(?i)internal|intranet|intra|corp|lan|localdomain|localnet|arpa|private|local|svc|consul|priv")
_NO_MACHINE = re.compile(
    r"(?i)localhost|host\d?|hosts?name|server\d?|remote|address|addr|domain|url|uri|base[_\-]?url|site|endpoint|example|test|foo|bar|baz|xyz|x+|y+|user|name|path|www|api|"
    r"(?:your|my|the|some|any)[\w\-]*|[\w\-]*example[\w\-]*|(?-i:[A-Z][A-Z_]*)|master_addr|ip|port|bucket|registry|repo|something|nowhere|invalid|dummy|fake|mock|a|b|c"
)
_INSIDE = re.compile(r"(?i)(?:^|\.)(?:int|corp|internal|intranet|intra|intern|lan|priv|private|vpn|hq|inside)\.")


def public_name(line: str, hit: re.Match[str]) -> bool:
    """A name that ends as public names end and has no label that says it is inside, or a module and a file that only look so."""
    name = hit["host"]
    if _WORLD_NAMES.fullmatch(name) or "." not in name:
        return "." in name
    end = name.rpartition(".")[2].lower()
    if end in _FILE_ENDS and end not in ("sh", "py", "rs", "md", "cc", "ai"):
        return True
    return _WORLD_ENDS.fullmatch(end) is not None and _INSIDE.search(name) is None


def public_host(line: str, hit: re.Match[str]) -> bool:
    """The host of a URL is public where its name can be looked up by everyone; a single word is a machine nearby."""
    name = hit["host"]
    if re.fullmatch(r"[\d.]+", name):
        return True  # addresses have rules of their own
    if "." in name:
        return _WORLD_NAMES.fullmatch(name) is not None or public_name(line, hit)
    return len(name) < 3 or _NO_MACHINE.fullmatch(name) is not None


_PUBLIC_FORGES = re.compile(
    r"(?i)(?:[\w\-]+\.)*(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org|[\w\-]*example(?:\.(?:com|org|net))?|hf\.co|huggingface\.co|localhost|host|hostname|server|remote)\Z"
)


def public_login(line: str, hit: re.Match[str]) -> bool:
    return _PUBLIC_FORGES.match(hit["host"]) is not None or hit["host"][0] in "<$"


_NOBODY = re.compile(
    r"(?i)(?:runner|user|username|users?name|you|your[-_]?\w*|me|name|jovyan|vscode|x{2,}|\.{3}|shared|public|runneradmin)\Z"
)


def nobodys_home(line: str, hit: re.Match[str]) -> bool:
    owner = hit.groupdict().get("owner")
    return owner is not None and _NOBODY.match(owner.rstrip(".")) is not None


def a_route(line: str, hit: re.Match[str]) -> bool:
    """`GET /users/42` is a route."""
    return (
        re.search(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD)\s\Z|(?i:route|endpoint|api)\S{0,4}\s?[\"'(]?\Z", line[: hit.start()])
        is not None
    )


_PUBLIC_BUCKETS = re.compile(
    r"(?i)[a-z0-9]{2,8}://(?:<|\$|\{|(?:your|my|some|example|the)[-_]?|bucket(?:-?name)?(?=/|\Z)(?!/key)|commoncrawl\b|gcp-public-data|\.\.\.)"
)


def public_bucket(line: str, hit: re.Match[str]) -> bool:
    return _PUBLIC_BUCKETS.match(hit[0]) is not None


PLACES = re.compile(
    r"(?i)(?:^|[\-_])(?:prod|production|staging|stage|dev|qa|uat|corp|internal|intern|private|priv|team|lab|research|infra|platform|mlops|hpc|"
    r"gke|eks|aks|k8s|us|eu|ap|asia|emea|apac|east|west|central|north|south|b[123]00|gb[23]00|h[12]00|a100|dgx|hgx|reserved|spot|tenant|org|pvc)"
    r"(?:\d{0,4}[a-z]?)(?=[\-_]|$)"
)


def prose(line: str, hit: re.Match[str]) -> bool:
    """`context length-extrapolation` is a phrase; a name has a number or says where it stands."""
    name = hit["name"]
    return not re.search(r"\d", name) and not PLACES.search(name)


OUR_NAMES = re.compile(
    r"(?:arc-(?:runners|systems)|kube-[a-z]+|default|example[\w\-]*|b200-gates|nmoe-gate-result|pr|trusted|nmoe-graph|your-[\w\-]+|my-[\w\-]+)\Z"
)


def our_namespace(line: str, hit: re.Match[str]) -> bool:
    name = hit["name"]
    if OUR_NAMES.match(name):
        return True
    # With a colon or an equals sign it is an assignment; after a blank it may be a phrase.
    return (hit["sign"] or " ").isspace() and prose(line, hit)


_BUILT = frozenset(
    [
        "amd64",
        "arm64",
        "linux",
        "local",
        "dirty",
        "debug",
        "final",
        "alpha",
        "build",
        "check",
        "tests",
        "slim0",
        "stage",
        "nmoe0",
        "patch",
        "fixed",
        "clean",
        "shard",
    ]
)


def no_pod(line: str, hit: re.Match[str]) -> bool:
    return hit[0].rpartition("-")[2] in _BUILT or not re.search(r"\d", hit["set"])


_NO_STORE = re.compile(
    r"(?i)/(?:\w*(?:meta|app|form|test|exif|user|sample|mock)data|\w*(?:frame|net|art|home|patch|team)work|\w*(?:sys|proc|cgroup|config|debug|squash)fs|workspaces?)\d*/"
)


def no_store(line: str, hit: re.Match[str]) -> bool:
    """`/metadata/x/y` is a route, `/sys/fs` is of every machine."""
    return hit[0].lower().startswith(("/home/", "/users/")) or _NO_STORE.match(hit[0]) is not None or a_route(line, hit)
