"""What must not be public, a rule a shape: inside hosts, addresses, paths and clusters, and credentials that have a shape.

A rule is a pattern that is linear in the line (every repetition is bounded), and sometimes a second look that takes back what
only looks alike: a version is no address, a file name is no host.  The shapes are of public formats: RFC 1918, 6598, 3927 and
4193 for addresses; the reserved and customary inside domains; the mount points of clusters; the prefixes that services give
their tokens so that they can be found.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["RULES", "Rule"]


class Rule(NamedTuple):
    """`only` are lower-case words of which a line must hold one for the pattern to be worth a try; none means any line."""

    kind: str
    name: str
    pattern: str
    only: tuple[str, ...] = ()
    alike: Callable[[str, re.Match[str]], bool] | None = None  # true where the hit only looks alike


# -- what only looks alike -----------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"(?i)(?:your|my|the|some|any|example|sample|dummy|fake|test|foo|placeholder|redacted|removed|masked|hidden|changeme|change-me"
    r"|insert|replace|none|null|nil|true|false|required|optional|unset|undefined|empty|missing|str|string|bytes|int|bool|x{3,}|\.{3}"
    r"|\*{3})(?![a-z0-9])"
)
_CODE = re.compile(
    r"[A-Za-z_][\w.]*[(\[]|(?:os|self|args|cfg|config|settings|env|process|secrets|vault|options|request)\.[A-Za-z_]"
)


def _no_secret(line: str, hit: re.Match[str]) -> bool:
    """What is assigned is a variable, a call, a placeholder or a word of prose, and no secret."""
    value = hit["value"]
    if value[0] in "$<{*%[(" or _PLACEHOLDER.match(value) or _CODE.match(value):
        return True
    if re.fullmatch(r"[\d.,_]+", value) and len(value) < 12:
        return True  # a count: max_tokens=4096
    if not re.search(r"[0-9!@#%^&+=]", value) and not (re.search(r"[a-z]", value) and re.search(r"[A-Z]", value[1:])):
        return True  # one plain word
    return "/" in value and re.fullmatch(r"[./~]?[a-z0-9_\-./]+", value) is not None  # a path


def _no_password(line: str, hit: re.Match[str]) -> bool:
    value = hit["value"]
    return value[0] in "$<{*%" or _PLACEHOLDER.fullmatch(value) is not None or value.lower() in ("password", "pass", "pw", "token")


_VERSION_BEFORE = re.compile(
    r"(?i)(?:version|release|revision|build|toolkit|driver|firmware|fw|vbios|bios|kernel|cuda|cudnn|cu[a-z]{2,12}|nvidia-[a-z0-9\-]{1,40}"
    r"|lib[a-z0-9_\-]{1,40}|nccl|nvjpeg\w*|nvshmem|npp|nvinfer\w*|tensorrt|trt|dali|openmpi|ucx|ofed|mlnx\w*|torch|python|triton"
    r"|macos|ios|android|windows|chrome|edge|firefox|safari|oracle|loss|lr|ver|\bv)[\s:=/\-\"'(v]{0,30}\Z|(?:[=~<>!]=|[<>^~])\s{0,2}\Z"
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


def _no_address(line: str, hit: re.Match[str]) -> bool:
    """`cuDNN 10.5.1.17` is four numbers and no address; `10.0.0.0/8` is what the RFC says of all the world."""
    rest = line[hit.end() : hit.end() + 8]
    if any(one == (hit[0] + rest)[: len(one)] and not (hit[0] + rest)[len(one) : len(one) + 1].isdigit() for one in _WHOLE_RANGES):
        return True
    if ":" not in hit[0]:
        if any(int(part) > 255 for part in hit[0].split(".")):
            return True
        if re.match(r"(?::\d{2,5}|/\d{1,2})(?!\d)", rest):
            return False  # a port or a prefix length
        if re.match(r"(?i)[\-+.]?(?:tar|zip|whl|rpm|deb|exe|msi|so|dll|dev|post|rc|alpha|beta)\b|-\d|\+", rest):
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


def _no_domain(line: str, hit: re.Match[str]) -> bool:
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
    return any(re.search(r"[a-z][A-Z]|^[A-Z][a-z]", label) or label.startswith("_") for label in labels)


def _no_host(line: str, hit: re.Match[str]) -> bool:
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


_PUBLIC_PEOPLE = frozenset(["git", "root@localhost", "user@host", "user@example"])
_PUBLIC_FORGES = re.compile(
    r"(?i)(?:[\w\-]+\.)*(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org|[\w\-]*example(?:\.(?:com|org|net))?|hf\.co|huggingface\.co|localhost|host|hostname|server|remote)\Z"
)


def _public_login(line: str, hit: re.Match[str]) -> bool:
    return _PUBLIC_FORGES.match(hit["host"]) is not None or hit["host"][0] in "<$"


_NOBODY = re.compile(
    r"(?i)(?:runner|user|username|users?name|you|your[-_]?\w*|me|name|jovyan|vscode|x{2,}|\.{3}|shared|public|runneradmin)\Z"
)


def _nobodys_home(line: str, hit: re.Match[str]) -> bool:
    owner = hit.groupdict().get("owner")
    return owner is not None and _NOBODY.match(owner.rstrip(".")) is not None


def _a_route(line: str, hit: re.Match[str]) -> bool:
    """`GET /users/42` is a route."""
    return (
        re.search(r"(?:GET|POST|PUT|PATCH|DELETE|HEAD)\s\Z|(?i:route|endpoint|api)\S{0,4}\s?[\"'(]?\Z", line[: hit.start()])
        is not None
    )


_PUBLIC_BUCKETS = re.compile(
    r"(?i)[a-z0-9]{2,8}://(?:<|\$|\{|(?:your|my|some|example|the)[-_]?|bucket(?:-?name)?(?=/|\Z)(?!/key)|commoncrawl\b|gcp-public-data|\.\.\.)"
)


def _public_bucket(line: str, hit: re.Match[str]) -> bool:
    return _PUBLIC_BUCKETS.match(hit[0]) is not None


_PLACES = re.compile(
    r"(?i)(?:^|[\-_])(?:prod|production|staging|stage|dev|qa|uat|corp|internal|intern|private|priv|team|lab|research|infra|platform|mlops|hpc|"
    r"gke|eks|aks|k8s|us|eu|ap|asia|emea|apac|east|west|central|north|south|b[123]00|gb[23]00|h[12]00|a100|dgx|hgx|reserved|spot|tenant|org|pvc)"
    r"(?:\d{0,4}[a-z]?)(?=[\-_]|$)"
)


def _prose(line: str, hit: re.Match[str]) -> bool:
    """`context length-extrapolation` is a phrase; a name has a number or says where it stands."""
    name = hit["name"]
    return not re.search(r"\d", name) and not _PLACES.search(name)


_OUR_NAMES = re.compile(
    r"(?:arc-(?:runners|systems)|kube-[a-z]+|default|example[\w\-]*|b200-gates|nmoe-gate-result|pr|trusted|nmoe-graph|your-[\w\-]+|my-[\w\-]+)\Z"
)


def _our_namespace(line: str, hit: re.Match[str]) -> bool:
    name = hit["name"]
    if _OUR_NAMES.match(name):
        return True
    # With a colon or an equals sign it is an assignment; after a blank it may be a phrase.
    return (hit["sign"] or " ").isspace() and _prose(line, hit)


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


def _no_pod(line: str, hit: re.Match[str]) -> bool:
    return hit[0].rpartition("-")[2] in _BUILT or not re.search(r"\d", hit["set"])


# -- the rules -----------------------------------------------------------------------------------------------------------------

_B = r"(?<![A-Za-z0-9_])"  # not inside a word
_E = r"(?![A-Za-z0-9])"
_NAME = r"[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8}"
_REST = r"(?:/[^\s:'\",;)\]}>]{0,400})?"


def _tokens() -> tuple[Rule, ...]:
    """Credentials that begin as their service lets them begin."""
    shapes: tuple[tuple[str, tuple[str, ...], str], ...] = (
        ("GitHub token", ("gh", "github_pat_"), r"(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_[A-Za-z0-9_]{16,255})"),
        ("GitLab token", ("gl",), r"gl(?:pat|dt|rt|cbt|ptt|soat|ft|agent|oas|imt)-[A-Za-z0-9_\-]{16,100}"),
        ("API key", ("sk-",), r"sk-(?:[a-z]{2,8}\d{0,2}-){0,3}[A-Za-z0-9_\-]{20,255}"),
        ("payment key", ("_live_", "_test_", "whsec_"), r"(?:[srp]k_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9]{16,99})"),
        ("AWS access key", ("akia", "asia", "aroa", "aida", "abia"), r"(?:AKIA|ASIA|AROA|AIDA|ABIA)[A-Z0-9]{16}" + _E),
        (
            "Google key",
            ("aiza", "ya29.", "gocspx-", "1//0"),
            r"(?:AIza[A-Za-z0-9_\-]{30,45}|ya29\.[A-Za-z0-9_\-]{20,255}|GOCSPX-[A-Za-z0-9_\-]{20,60}|1//0[A-Za-z0-9_\-]{30,200})",
        ),
        ("Hugging Face token", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z0-9]{20,60}"),
        (
            "Slack token",
            ("xox", "xapp-", "hooks.slack"),
            r"(?:xox[abcdeoprs]-[A-Za-z0-9\-]{10,255}|xapp-\d-[A-Za-z0-9\-]{10,255}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{10,99})",
        ),
        (
            "chat webhook",
            ("discord", "webhook.office"),
            r"(?:discord(?:app)?\.com/api/webhooks/\d{10,25}/[\w\-]{20,99}|[\w\-]{1,60}\.webhook\.office\.com/[^\s'\"]{20,300})",
        ),
        (
            "package registry token",
            ("npm_", "pypi-", "dckr_pat_", "rubygems_", "cio"),
            r"(?:npm_[A-Za-z0-9]{30,60}|pypi-[A-Za-z0-9_\-]{30,255}|dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,60}|rubygems_[a-f0-9]{40,60}|cio[A-Za-z0-9]{32}"
            + _E
            + ")",
        ),
        (
            "cloud token",
            ("do", "tskey-", "fo1_", "dapi", "hvs.", "hvb.", "hvr.", "pul-", "atlasv1", "pscale_", "sbp_", "vercel_", "hrku-"),
            r"(?:do[opr]_v1_[a-f0-9]{40,80}|tskey-[a-z]{2,10}-[A-Za-z0-9\-]{12,80}|fo1_[\w\-]{30,60}|dapi[a-f0-9]{32}(?:-\d)?|hv[sbr]\.[A-Za-z0-9_\-]{20,160}|pul-[a-f0-9]{40}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-=]{50,80}|pscale_[a-z]{2,6}_[A-Za-z0-9_\-.=]{30,60}|sbp_[a-f0-9]{40}|vercel_[A-Za-z0-9_]{20,60}|HRKU-[A-Za-z0-9_\-]{30,70})",
        ),
        (
            "model service token",
            ("nvapi-", "gsk_", "xai-", "r8_", "pplx-", "wandb_v1_", "fw_", "tgp_v1_"),
            r"(?:nvapi-[A-Za-z0-9_\-]{20,99}|gsk_[A-Za-z0-9]{30,80}|xai-[A-Za-z0-9]{30,100}|r8_[A-Za-z0-9]{30,50}|pplx-[A-Za-z0-9]{30,60}|wandb_v1_[A-Za-z0-9_]{20,120}|fw_[A-Za-z0-9]{20,40}|tgp_v1_[A-Za-z0-9_\-]{30,60})",
        ),
        (
            "service token",
            (
                "sg.",
                "lin_api_",
                "shp",
                "atatt",
                "figd_",
                "ntn_",
                "secret_",
                "gls",
                "glc_",
                "dp.",
                "sntry",
                "nrak-",
                "bkua_",
                "ccipat_",
                "key-",
                "sq0",
                "pat-",
                "phc_",
                "phx_",
                "squ_",
                "sqp_",
            ),
            r"(?:SG\.[A-Za-z0-9_\-]{16,40}\.[A-Za-z0-9_\-]{16,60}|lin_api_[A-Za-z0-9]{20,60}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{30,40}|ATATT3[A-Za-z0-9_\-=]{30,255}|figd_[\w\-]{30,60}|(?:ntn|secret)_[A-Za-z0-9]{40,60}|gl(?:sa|c)_[A-Za-z0-9_=+/]{30,200}|dp\.(?:pt|st|ct|scim|audit)\.[A-Za-z0-9.]{30,60}|sntry[su]_[A-Za-z0-9_=+/.\-]{30,255}|NRAK-[A-Z0-9]{20,40}|bkua_[a-f0-9]{40}|CCIPAT_[\w]{20,80}|key-[a-f0-9]{32}|sq0[a-z]{3}-[\w\-]{22,60}|ph[cx]_[A-Za-z0-9]{30,60}|sq[up]_[a-f0-9]{40})"
            + _E,
        ),
        ("bot token", (":a",), r"\d{8,10}:AA[A-Za-z0-9_\-]{32,36}" + _E),
        ("age key", ("age-secret-key-",), r"AGE-SECRET-KEY-1[A-Z0-9]{20,80}"),
        ("JSON web token", ("eyj",), r"eyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{4,2000}\.?[A-Za-z0-9_\-]{0,1000}"),
        ("private key", ("b3blbnnzac1rzxktdje",), r"b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/=]{0,4000}"),
    )
    return tuple(Rule("credential", name, _B + pattern, only) for name, only, pattern in shapes)


_SECRET_NAME = (
    r"(?:api[_\-]?key|apikey|secret|passw(?:or)?d|passphrase|passwd|pwd|access[_\-]?key|private[_\-]?key|auth[_\-]?key|encryption[_\-]?key|"
    r"signing[_\-]?key|account[_\-]?key|license[_\-]?key|credentials?|auth[_\-]?token|access[_\-]?token|refresh[_\-]?token|bearer|[_\-]token|_pat|"
    r"session[_\-]?(?:id|key)|client[_\-]?secret|connection[_\-]?string|(?<![A-Za-z])token)(?:[_\-]?(?:id|key|value|b64|base64|hex|prod|dev))?"
)

RULES: tuple[Rule, ...] = (
    *_tokens(),
    Rule(
        "credential",
        "private key",
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
        ("private key", "putty-user"),
    ),
    Rule(
        "credential",
        "password in a URL",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/:@'\"]{0,100}:(?P<value>[^\s/@'\"]{3,200})@",
        ("://",),
        _no_password,
    ),
    Rule(
        "credential",
        "token in a URL",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://(?P<value>(?=[^\s/@:]{0,40}\d)[A-Za-z0-9_\-]{20,200})@",
        ("://",),
        _no_password,
    ),
    Rule(
        "credential",
        "secret in a query",
        r"(?i)[?&](?:[a-z0-9_\-]{0,20}(?:token|secret|api[_\-]?key|apikey|password|signature)|sig|key|x-amz-(?:signature|credential|security-token))=(?P<value>[A-Za-z0-9%_\-./+=]{12,500})",
        ("?", "&"),
        _no_secret,
    ),
    Rule(
        "credential",
        "authorization header",
        r"(?i)(?:(?:proxy-)?authorization|x-api-key|x-auth-token|private-token|x-vault-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic|token|digest|negotiate)\s{1,3})?(?P<value>[A-Za-z0-9_\-.=+/~]{8,2000})",
        ("authorization", "x-api-key", "-token"),
        lambda line, hit: _no_password(line, hit) or not re.search(r"\d|=\Z|[a-z][A-Z]", hit["value"]),
    ),
    Rule(
        "credential",
        "bearer token",
        r"(?i)(?<![a-z])bearer\s{1,3}(?P<value>(?=[A-Za-z_\-.+/]{0,60}\d)[A-Za-z0-9_\-.=+/~]{16,2000})",
        ("bearer",),
        _no_password,
    ),
    Rule("credential", "cookie", r"(?i)(?:set-)?cookie:\s{0,3}[\w\-]{1,40}=(?P<value>[A-Za-z0-9%_\-.+/=]{12,500})", ("cookie:",)),
    Rule(
        "credential",
        "login of a command",
        r"(?<![^\s\"\'`(\[{=,;:>])(?:curl|wget|http|docker|mysql|psql|sshpass|redis-cli)\s[^\n]{0,200}?(?<![^\s\"\'`(\[{=,;:>])(?:-u\s?|--user[ =]|--password[ =]|-p\s?|-a\s)[\"']?(?:[\w.\-]{1,60}:)?(?P<value>(?=[A-Za-z_.\-]{0,40}[\d!@#$%^&*+])[^\s:'\"$<]{6,100})",
        ("curl", "wget", "docker", "mysql", "psql", "sshpass", "redis-cli"),
        lambda line, hit: (
            hit["value"][0] in "$<{0123456789" or "/" in hit["value"] or re.match(r"[A-Za-z]+=", hit["value"]) is not None
        ),
    ),
    Rule("credential", "secret in a query", r"(?<![A-Za-z0-9])sig=(?P<value>[A-Za-z0-9%_\-./+]{20,200})", ("sig=",), _no_secret),
    Rule(
        "credential",
        "login of a command",
        r"(?i)(?<![\w\-])login\s{1,3}(?:--?[a-z\-]{1,20}[ =]{1,2}){0,2}(?P<value>(?=[A-Za-z_\-]{0,60}\d)[A-Za-z0-9_\-]{20,200})"
        + _E,
        ("login",),
        _no_password,
    ),
    Rule(
        "credential",
        "netrc",
        r"(?<![^\s\"\'`(\[{=,;:>])(?:machine|login)\s+\S{1,100}\s+(?:login\s+\S{1,100}\s+)?password\s+(?P<value>\S{4,200})",
        ("password",),
        _no_password,
    ),
    Rule(
        "credential",
        "assigned secret",
        r"(?i:(?<![A-Za-z0-9])[A-Za-z0-9_\-]{0,40}?"
        + _SECRET_NAME
        + r"[\"'\]]{0,3}\s{0,2}(?:[:=]|=>|:=)\s{0,2}[\"']?)(?P<value>[A-Za-z0-9_\-.!@#%^&+/=~$<{*\[(]{8,400})",
        ("key", "secret", "pass", "token", "pwd", "pat", "cred", "bearer", "session", "connection"),
        _no_secret,
    ),
    Rule(
        "credential",
        "option with a secret",
        r"(?i)(?<![^\s\"\'`(\[{=,;:>])--?[a-z\-]{0,20}(?:token|password|passwd|secret|api-?key)[ =][\"']?(?P<value>(?=[^\s]{0,60}\d)[A-Za-z0-9_\-.!@#%^&+/=~]{8,300})",
        ("--", " -"),
        _no_secret,
    ),
    Rule(
        "credential",
        "storage key",
        r"(?i)(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<value>[A-Za-z0-9+/=%&]{20,200})",
        ("accountkey=", "sharedaccess"),
    ),
    # addresses
    Rule(
        "ip",
        "private IPv4",
        r"(?<![\d.A-Za-z_])(?<!\d-)(?:10\.\d{1,3}|172\.(?:1[6-9]|2\d|3[01])|192\.168|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|169\.254)\.\d{1,3}\.\d{1,3}(?![\d]|\.\d)",
        ("10.", "172.", "192.168.", "100.", "169.254."),
        _no_address,
    ),
    Rule(
        "ip",
        "private IPv6",
        r"(?i)(?<![0-9a-f:.\w])(?:f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]{1,37}(?:%\w{1,16})?",
        (":",),
        _no_address,
    ),
    Rule(
        "host",
        "hardware address",
        r"(?<![0-9A-Fa-f:\-])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?:(?::[0-9A-Fa-f]{2}){2}|(?::[0-9A-Fa-f]{2}){14})?(?![0-9A-Fa-f:])",
        (":",),
        lambda line, hit: hit[0].replace(":", "") in ("0" * 12, "f" * 12, "F" * 12),
    ),
    # hosts
    Rule(
        "host",
        "internal domain",
        r"(?i)(?<![\w.\-/@]\.)(?<![\w.\-])(?:[a-z0-9_](?:[a-z0-9_\-]{0,62})\.){1,8}(?:internal|intranet|intra|corp|lan|localdomain|home\.arpa|private|cluster\.local|svc|consul|priv)(?:\.[a-z0-9\-]{1,63}){0,4}(?![\w\-])",
        (".internal", ".intra", ".corp", ".lan", ".localdomain", ".home.arpa", ".priv", ".local", ".svc", ".consul"),
        _no_domain,
    ),
    Rule(
        "host",
        "mDNS name",
        r"(?i)(?<![\w.@\-])(?:[a-z0-9\-]{0,62}\d[a-z0-9\-]{0,40}|[a-z0-9]{1,40}-[a-z0-9\-]{1,60}|nas|printer|gateway|router|fileserver|filer|storage|server|login|head|master|macbook|imac|laptop|desktop|workstation|raspberrypi|homelab|proxmox|pihole)(?:\.[a-z0-9\-]{1,63}){0,3}\.local(?![\w\-]|\.\w)",
        (".local",),
        _no_domain,
    ),
    Rule(
        "host",
        "mDNS name",
        r"(?i)(?:://|@)[a-z0-9][a-z0-9\-]{0,62}(?:\.[a-z0-9\-]{1,63}){0,3}\.local(?![\w\-]|\.\w)|(?<![\w.@\-])[a-z0-9][a-z0-9\-]{0,62}\.local:\d{2,5}(?!\d)",
        (".local",),
    ),
    Rule("host", "tailnet name", r"(?i)(?<![\w.\-])[a-z0-9\-]{1,63}\.[a-z0-9\-]{1,63}\.ts\.net(?![\w\-])", (".ts.net",)),
    Rule(
        "host",
        "cloud machine",
        r"(?i)(?<![\w.\-])(?:ip|ec2)-\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}(?:\.[a-z0-9\-]{1,63}){0,5}",
        ("ip-", "ec2-"),
    ),
    Rule(
        "host",
        "cloud endpoint",
        r"(?i)(?<![\w.\-])(?:[a-z0-9\-]{1,63}\.){1,5}(?:compute\.amazonaws\.com|eks\.amazonaws\.com|rds\.amazonaws\.com|elb\.amazonaws\.com|azmk8s\.io|cloudapp\.azure\.com|database\.windows\.net)(?![\w\-])",
        ("amazonaws.com", "azmk8s.io", "azure.com", "windows.net"),
    ),
    Rule(
        "host",
        "numbered host",
        r"(?i)(?<![\w.\-/])(?:(?:b200|b100|b300|gb200|gb300|h100|h200|a100|dgx|hgx|gpu|cpu|compute|worker|login|head|storage|nfs|lustre|oss|mds|runner|train|trainer|slurm|k8s|kube|ip|bastion|jump|builder|ceph|filer|master|mgmt|rack)[a-z0-9]{0,12}-){1,4}(?:[a-z]{1,4}-)?(?:node-?|n|rack-?|host-?|r)?\d{2,6}(?:-[a-z]?\d{1,4})?(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-])",
        (),
        _no_host,
    ),
    Rule(
        "host",
        "numbered host",
        r"(?i)(?<![\w.\-/])(?:[a-z][a-z0-9]{0,20}-){0,3}(?:dgx|hgx|gpunode|gpu-?srv|worker|runner|compute|node|nid|cn|gn|wn|login|headnode|bastion|filer|srv|mds|oss|rack\d{1,3}-?(?:node|n|u))-?(?:[a-z]{1,6}-?)?\d{2,6}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-%])",
        (),
        _no_host,
    ),
    Rule(
        "host",
        "numbered host",
        r"(?i)(?<![\w.\-/])(?:r|rack|row|c|cab|x|su|pod|blade|chassis)-?\d{1,4}-?(?:n|node|b|c|s|u|srv|gpu)-?\d{1,4}(?:-?(?:n|b|s|g|gpu)\d{1,4}){0,3}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-%])",
        (),
        lambda line, hit: (
            _no_host(line, hit) or not re.search(r"(?i)node|gpu|srv|rack|blade|chassis|host|-n\d|\.[a-z]{2,}", hit[0])
        ),
    ),
    Rule(
        "host",
        "named machine",
        r"(?i)(?<![\w\-])(?:hosts?|nodes?|machines?|servers?|nodename)[\"']?(?:\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<host>[a-z][a-z0-9]{0,20}(?:-[a-z0-9]{1,20}){0,4}-[a-z]{0,6}\d{2,6})(?![\w\-(/])",
        ("host", "node", "machine", "server"),
        _no_host,
    ),
    Rule(
        "host",
        "address of a rendezvous",
        r"(?i)(?<![\w])(?:master_addr|--?master[_\-]addr|rdzv[_\-]endpoint|--rdzv[_\-]endpoint|coordinator_address|head_node|nodename|node_name|host_?name|slurmd_nodename|slurm_launch_node_\w+|hostnames?)[\"']?\s{0,2}[=: ]\s{0,2}[\"']?(?P<host>[a-z0-9][a-z0-9.\-]{1,120})(?::\d{1,5})?(?![\w(/])",
        ("addr", "endpoint", "hostname", "node", "host_name"),
        lambda line, hit: (
            re.fullmatch(
                r"(?i)localhost|127\.[\d.]+|0\.0\.0\.0|[\d.]+|is|and|or|to|of|the|in|for|must|from|was|not|none|null|example\.\w+|.*\.example\.(?:com|org|net)|github\.com|str|string|unset|host(?:name)?|auto|env",
                hit["host"],
            )
            is not None
            or ((not re.search(r"[=:]", hit[0])) and not re.search(r"\d|\.", hit["host"]))
        ),
    ),
    Rule(
        "host",
        "machine in a log",
        r"(?<![^\s\"\'`(\[{=,;:>])(?P<host>[A-Za-z0-9][A-Za-z0-9.\-]{1,100}):\d{1,7}:\d{1,7} \[\d{1,3}\] NCCL",
        ("nccl",),
        lambda line, hit: hit["host"] == "localhost",
    ),
    Rule(
        "host",
        "machine in a log",
        r"\[(?P<host>[A-Za-z][A-Za-z0-9.\-]{1,80}):\d{2,7}\] (?:mca|\*\*\*|PMIX|ORTE|PRTE|Process)",
        (":",),
        lambda line, hit: hit["host"] == "localhost",
    ),
    Rule(
        "host",
        "login",
        r"(?<![\w.])(?:(?:ssh|sftp|mosh)\s{1,3}(?:-[^\n]{0,100}?\s)?|(?:scp|rsync)\s[^\n]{0,120}?)(?<![\w.])[A-Za-z_][\w.\-]{0,40}@(?P<host>[A-Za-z0-9<$][\w.\-]{0,100})",
        ("@",),
        _public_login,
    ),
    # paths
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])(?:/home/(?!<|\$|\{|\*|%)(?P<owner>[A-Za-z0-9_.\-]{1,64})|/(?:global/|nfs/|gpfs/)?homes?\d{0,2}/(?!<|\$|\{|\*|%)[A-Za-z0-9_.\-]{1,64}/[\w.\-]{1,100}|/root(?:/[\w.\-]{1,200})+)"
        + _REST,
        ("/home", "/root", "/nfs", "/gpfs", "/global"),
        _nobodys_home,
    ),
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])/Users/(?!<|\$|\{)(?P<owner>[A-Za-z0-9_.\-]{1,64})" + _REST,
        ("/users/",),
        lambda line, hit: _nobodys_home(line, hit) or _a_route(line, hit),
    ),
    Rule("path", "home folder", r"(?<![\w~.}\-/])~(?!/)[a-z][a-z0-9_\-]{1,31}/[\w.\-]{1,100}" + _REST, ("~",)),
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])/(?:private/var/folders|var/folders)/[\w+]{1,4}/[\w.\-+]{1,200}" + _REST,
        ("/var/folders",),
    ),
    Rule(
        "path",
        "cluster file system",
        r"(?<![\w.}/:\-])(?:/(?:global|local|net|p|lus|work|export|mnt|storage|nfs))?/(?:mnt|scratch\d{0,2}|gscratch|pscratch|lscratch|localscratch|nobackup|lustre\d{0,2}|lus|gpfs\d{0,2}|weka|wekafs|beegfs|nfs\d{0,3}|fsx|efs|ceph|cephfs|vast|"
        r"juicefs|jfs|glusterfs|afs|shared|share|project[s]?|work\d{0,2}|nas\d{0,3}|data\d{1,3}|datasets?|checkpoints?|ckpts?|storage\d{0,2}|export|net|raid\d{0,2}|pfs|fast|nvme\d{0,2}|local_?disk|cluster|"
        r"corp|srv|volumes?|vol\d{0,3}|media|pvc|u|users?|groups?|archive|ptmp|hpcwork|hpc|dss|cfs|filer\d{0,3}|san|tank|pool\d{0,2}|fs\d{1,3}|zfs|backup|ssd\d{0,2}|disk\d{1,3}|home2|dfs)/[A-Za-z0-9_.\-]{1,100}"
        + _REST,
        ("/",),
        _a_route,
    ),
    Rule("path", "data folder", r"(?<![\w.}/:\-])/data/[A-Za-z0-9_.\-]{1,100}" + _REST, ("/data/",), _a_route),
    Rule(
        "path",
        "mount of a server",
        r"(?i)(?<![\w.\-/])(?P<host>[a-z][a-z0-9.\-]{1,80}):/(?:vol\d{0,3}|export|exports|data\d{0,2}|homes?|mnt|srv|scratch|nfs|share|shared|fs|ifs|zpool|tank|projects?)(?:/[\w.\-]{1,100}){0,8}(?![\w])",
        (":/",),
        lambda line, hit: re.fullmatch(r"(?i)file|https?|pvc|volume|path|dir|localhost|s3|gs", hit["host"]) is not None,
    ),
    Rule(
        "path",
        "object store",
        _B
        + r"(?:s3[an]?|gs|gcs|r2|oci|abfss?|wasbs?|hdfs|az|swift|oss|cos|tos|nfs|smb|cifs|file|lustre|dbfs|azureml|b2|minio)://(?![$<{])[A-Za-z0-9_.@/][^\s'\"]{1,400}",
        ("://",),
        _public_bucket,
    ),
    Rule(
        "path",
        "object store",
        r"(?i)(?<![\w.\-])[a-z0-9][a-z0-9.\-]{1,62}\.(?:s3(?:[.\-][a-z0-9\-]{4,20})?\.amazonaws\.com|blob\.core\.windows\.net|dfs\.core\.windows\.net|file\.core\.windows\.net|r2\.cloudflarestorage\.com)[^\s'\"]{0,300}",
        ("amazonaws.com", "core.windows.net", "cloudflarestorage"),
    ),
    Rule(
        "path", "network share", r"(?<![\w\\])\\\\{1,2}(?!\\|n\b|t\b)[A-Za-z0-9_.\-]{2,64}\\{1,2}[A-Za-z0-9_.$\-]{1,100}", ("\\\\",)
    ),
    Rule(
        "path",
        "Windows path",
        r"(?i)(?<![A-Za-z0-9])[A-Z]:[\\/]{1,2}(?:Users|home|data|work|projects?|scratch|src|mnt|corp|share|dev|repos?|code)[\\/]{1,2}(?!<|%|\$)(?P<owner>[\w.\-]{1,64})[^\s:'\"]{0,400}",
        (":\\", ":/"),
        _nobodys_home,
    ),
    # clusters
    Rule(
        "cluster",
        "kubectl command",
        _B
        + r"(?:kubectl|helm|oc|kubectx|kubens|k9s)\s[^\n]{0,120}?(?:(?:-n|--namespace|--context|--cluster|--kubeconfig|--kube-context|--user|use-context|set-context)[ =]+(?!<|\$|arc-|kube-system|default\b)[\w./\-]{2,80}|(?:get|describe|logs?|exec|delete|cordon|drain|port-forward|top|cp|uncordon|taint|label)\b[^\n]{0,60}[\s/][a-z][a-z0-9]*(?:-[a-z0-9]+)+)",
        ("kubectl", "helm", "oc ", "kubectx", "kubens", "k9s"),
    ),
    Rule(
        "cluster",
        "kubectl command",
        _B
        + r"(?:kubectx|kubens)\s+(?!<|\$|-)[a-z][\w.\-]{2,80}|"
        + _B
        + r"kubectl\s+(?:get|describe)\s+(?:pods?|nodes?|pvc|ns|namespaces?|svc|deploy\w*)\b",
        ("kubectl", "kubectx", "kubens"),
    ),
    Rule(
        "cluster",
        "kubeconfig",
        r"(?i)(?<![A-Za-z0-9])KUBECONFIG\s{0,2}=\s{0,2}(?![$<\s\"'])\S{1,300}|[^\s=]{1,200}\.kubeconfig(?!\w)|\.kube/config",
        ("kube",),
    ),
    Rule(
        "cluster",
        "pod name",
        r"(?<![\w.\-/])[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){0,8}-(?P<set>[a-f0-9]{8,10}|[bcdfghjklmnpqrstvwxz2456789]{8,10})-[a-z0-9]{5}(?![\w\-])",
        ("-",),
        _no_pod,
    ),
    Rule(
        "cluster",
        "pod name",
        r"(?i)(?<![\w\-])pods?[\"']?(?:/|\s{1,3}|:\s{0,2}|=)[\"']?[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){0,8}-(?:\d{1,5}|(?=[a-z]{0,9}\d)[a-z0-9]{5,10})(?![\w\-])",
        ("pod",),
    ),
    Rule(
        "cluster",
        "volume claim",
        r"(?i)(?<![\w\-])(?:pvcs?|pv|persistentvolume(?:claim)?|claim_?(?:name)?|volume(?:name)?)[\"']?\s{0,2}[:=/ ]\s{0,2}[\"']?(?P<name>[a-z0-9][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){1,8})(?![\w\-])",
        ("pv", "claim", "volume"),
        _prose,
    ),
    Rule("cluster", "volume claim", r"(?i)(?<![\w\-])pvc-[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?", ("pvc-",)),
    Rule(
        "cluster",
        "node pool",
        r"(?i)(?<![\w\-])(?:node[\s_\-]?(?:pool|group)|nodepool|partition|reservation|queue|instance\s?group|capacity\s?block|placement\s?group|nodeset|machine\s?pool)s?[\"']?\s{0,2}[:=]?\s{0,2}[\"']?(?P<name>[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8})(?![\w\-])",
        ("pool", "group", "partition", "reservation", "queue", "capacity", "nodeset"),
        _prose,
    ),
    Rule(
        "cluster",
        "node pool",
        r"(?i)(?:(?<![^\s\"\'`(\[{=,;:>])--(?:partition|reservation|nodelist|account|qos|node-?pool|pool|cluster|queue)[ =]|(?<![\w.\-])pool\s{0,2}[:=]\s{0,2})[\"']?(?P<name>[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8})(?![\w\-])",
        ("--", "pool"),
        _prose,
    ),
    Rule(
        "cluster",
        "cluster name",
        r"(?i)(?<![\w\-])(?:cluster|context|kube_?context|cluster[_\-]?name|cluster[_\-]?id)[\"']?(?:\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<name>"
        + _NAME
        + r")(?![\w\-(]|\.\w)",
        ("cluster", "context"),
        lambda line, hit: hit["name"].startswith("arc-") or _prose(line, hit),
    ),
    Rule(
        "cluster",
        "cluster name",
        r"(?i)(?<![\w\-])(?:kube[_\-]?context|cluster[_\-]?(?:name|id|arn)|--cluster|slurm_cluster_name|gke_cluster|eks_cluster)[\"']?\s{0,2}[:= ]\s{0,2}[\"']?(?!<|\$|none|null|str\b|your)(?P<name>[a-z][a-z0-9._\-]{2,80})(?![\w(])",
        ("cluster", "context"),
        lambda line, hit: (
            not re.search(r"[:=]|--cluster|-", hit[0])
            or re.fullmatch(r"(?i)example[\w.\-]*|is|and|or|must|string|unset|default|the|of|size", hit["name"]) is not None
        ),
    ),
    Rule(
        "cluster",
        "namespace",
        r"(?i)(?<![\w\-])namespaces?[\"']?(?P<sign>\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<name>" + _NAME + r")(?![\w\-:(/])",
        ("namespace",),
        _our_namespace,
    ),
    Rule(
        "cluster",
        "namespace",
        r"(?<![\w\-])(?:k8s_namespace|POD_NAMESPACE|KUBE_NAMESPACE|NAMESPACE)\s{0,2}=\s{0,2}(?!<|\$)(?P<sign>)(?P<name>[a-z][a-z0-9\-]{2,60})(?![\w\-])",
        ("namespace",),
        lambda line, hit: _OUR_NAMES.match(hit["name"]) is not None,
    ),
    Rule(
        "cluster",
        "cloud resource",
        r"(?<![\w\-])arn:aws[a-z\-]{0,10}:[a-z0-9\-]{1,30}:[a-z0-9\-]{0,30}:\d{0,12}:[^\s'\"]{1,200}|(?<![\w/])projects/[a-z][a-z0-9\-]{4,40}/(?:zones|locations|regions|global|secrets|topics|serviceAccounts)/[^\s'\"]{0,200}|(?i:/subscriptions/[0-9a-f\-]{8,40}[^\s'\"]{0,200})|(?<![\w.])ocid1\.[a-z0-9]{2,30}\.[\w.\-]{4,200}|(?<![\w\-])gke_[a-z0-9\-]{3,40}_[a-z0-9\-]{3,30}_[a-z0-9\-]{2,60}",
        ("arn:", "projects/", "subscriptions/", "ocid1.", "gke_"),
    ),
    Rule(
        "cluster",
        "cloud resource",
        r"(?<![\w\-./])(?:i|vpc|subnet|sg|vol|eni|rtb|igw|nat|fs|snap|lt|cr|acl|eipalloc|vpce|fsx|pcx|tgw|rtbassoc|ml)-(?:0[0-9a-f]{16}|[0-9a-f]{8})(?![\w\-])",
        ("-",),
        lambda line, hit: not re.search(r"\d", hit[0]),
    ),
    Rule(
        "cluster",
        "cloud account",
        r"(?i)(?<![\w\-])(?:aws[_ \-]?)?account(?:[_ \-]?id)?[\"']?\s{0,2}[:= ]\s{0,2}[\"']?\d{12}(?!\d)|(?<!\d)\d{12}\.dkr\.ecr\.[a-z0-9\-]{4,20}\.amazonaws\.com|[a-z][a-z0-9\-]{2,60}@[a-z][a-z0-9\-]{4,40}\.iam\.gserviceaccount\.com",
        ("account", "dkr.ecr"),
    ),
    Rule(
        "cluster",
        "cloud account",
        r"(?i)(?<![\w\-])gcloud\s[^\n]{0,160}--(?:project|zone|account|cluster)[= ](?!<|\$|your|my-)[\w@.\-]{3,80}|(?<![\w\-])(?:gcp_project|google_cloud_project|gcloud_project|cloudsdk_core_project|project_id)[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?!<|\$|your|my-)[a-z][a-z0-9\-]{4,40}-[a-z0-9\-]{2,30}",
        ("gcloud", "project"),
    ),
    Rule(
        "cluster",
        "identifier of a machine",
        r"(?i)(?<![\w\-])(?:pod|node|cluster|machine|instance|tenant|subscription|system|vm|host)[ _\-]?(?:u?uid|id)[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?P<name>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])|(?<![\w\-])GPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|/var/lib/kubelet/pods/[0-9a-f\-]{8,40}",
        ("id", "gpu-", "kubelet"),
    ),
    Rule(
        "cluster",
        "scheduler job",
        r"(?i)(?<![\w\-])(?:sbatch|srun|salloc|squeue|scancel|sinfo|scontrol|bsub|qsub|#SBATCH|#PBS|#BSUB)\s[^\n]{0,160}?(?<![^\s\"\'`(\[{=,;:>])(?:-p|--partition|-w|--nodelist|-A|--account|--reservation|--qos|-q|-M|--clusters|-P)[= ](?!<|\$|debug\b|batch\b|long\b)\S{2,80}|(?<!\w)SLURM_(?:(?:JOB_|STEP_)?NODELIST|JOB_PARTITION|JOB_ACCOUNT|CLUSTER_NAME|SUBMIT_HOST|SUBMIT_DIR|NODENAME|JOB_RESERVATION|TOPOLOGY_ADDR|JOB_USER|CONF)\s{0,2}=\s{0,2}(?![$<])\S{2,200}",
        ("sbatch", "srun", "salloc", "squeue", "scancel", "sinfo", "scontrol", "bsub", "qsub", "pbs", "slurm_"),
    ),
    Rule(
        "cluster",
        "scheduler job",
        r"(?i)(?<![\w\-])(?:scontrol\s+show\s+(?:node|job|partition|reservation)\s+\S{2,80}|submitted batch job \d{3,10}|job submitted to queue \S{3,60})",
        ("scontrol", "submitted"),
    ),
    Rule(
        "cluster",
        "node list",
        r"(?i)(?<![\w.\-])(?:[a-z][a-z0-9]{0,20}-(?:[a-z0-9]{1,20}-){0,4}|(?:[a-z]{0,12}(?:node|gpu|dgx|hgx|nid|cn|compute|worker|b200|gb200|h100|h200|a100|rack)[a-z\-]{0,6}))\[\d{1,6}(?:[-,]\d{1,6}){1,20}\]",
        ("[",),
    ),
)
