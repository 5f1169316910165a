"""Public safety: what must not leave the house in a contract, an attestation, a note, a log excerpt or an error.

Rules of our own for internal hosts, addresses, paths and cluster identifiers, and a short list of credentials that are known
by their shape.  Every pattern is linear; `findings` is the one function that every sink asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Finding", "findings", "redact"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be public.  Columns count from 1; `shown` is at most four characters of it."""

    line: int
    column: int
    end: int
    kind: str  # host, ip, path, cluster, credential
    rule: str
    shown: str

    def words(self) -> str:
        """The finding without the secret."""
        return f"{_NAMES[self.kind]} ({self.rule}), begins {self.shown!r}"


_NAMES = {
    "host": "an internal host name",
    "ip": "an internal IP address",
    "path": "an internal path",
    "cluster": "a cluster identifier",
    "credential": "a credential (secret)",
}

_B = r"(?<![A-Za-z0-9_])"  # not inside a word
_RULES: tuple[tuple[str, str, str], ...] = (
    # credentials, by shape
    ("credential", "GitHub token", _B + r"(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_[A-Za-z0-9_]{16,255})"),
    ("credential", "GitLab token", _B + r"gl(?:pat|dt|rt|cbt|ptt|soat|ft)-[A-Za-z0-9_\-]{16,100}"),
    (
        "credential",
        "API key",
        _B + r"sk-(?:proj-|ant-|live-|test-)?[A-Za-z0-9_\-]{20,255}|" + _B + r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,99}",
    ),
    ("credential", "AWS access key", _B + r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("credential", "Google key", _B + r"(?:AIza[A-Za-z0-9_\-]{30,45}|ya29\.[A-Za-z0-9_\-]{20,255}|GOCSPX-[A-Za-z0-9_\-]{20,60})"),
    ("credential", "Hugging Face token", _B + r"(?:hf|api_org)_[A-Za-z0-9]{20,60}"),
    ("credential", "Slack token", _B + r"xox[abeoprs]-[A-Za-z0-9\-]{10,255}|hooks\.slack\.com/services/[A-Za-z0-9/]{10,99}"),
    (
        "credential",
        "package registry token",
        _B + r"(?:npm_[A-Za-z0-9]{30,60}|pypi-[A-Za-z0-9_\-]{30,255}|dckr_pat_[A-Za-z0-9_\-]{20,60})",
    ),
    (
        "credential",
        "vendor token",
        _B
        + r"(?:dop_v1_[a-f0-9]{40,80}|SG\.[A-Za-z0-9_\-]{16,40}\.[A-Za-z0-9_\-]{16,60}|nvapi-[A-Za-z0-9_\-]{20,99}|lin_api_[A-Za-z0-9]{20,60}|hvs\.[A-Za-z0-9_\-]{20,120}|wandb_v1_[A-Za-z0-9_]{20,120})",
    ),
    ("credential", "JSON web token", _B + r"eyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{4,2000}\.?[A-Za-z0-9_\-]{0,1000}"),
    ("credential", "private key", r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    ("credential", "password in a URL", r"[A-Za-z][A-Za-z0-9+.\-]{1,15}://[^\s/:@'\"]{0,100}:[^\s/@'\"]{3,200}@"),
    (
        "credential",
        "authorization header",
        r"(?i:(?:authorization|x-api-key)\s{0,3}[:=]\s{0,3}(?:bearer|basic|token)?\s{0,3}[A-Za-z0-9_\-.=+/]{12,500})",
    ),
    (
        "credential",
        "assigned secret",
        r"(?i:(?<![A-Za-z0-9])[A-Za-z0-9_\-]{0,40}(?:api_?key|secret|passw(?:or)?d|passphrase|access_?key|auth_?token|_token|_pat)(?:_?(?:id|key))?[\"']?\s{0,2}[:=]\s{0,2}[\"']?)(?![$<{*\s])(?=[^\s\"']{0,80}[0-9A-Z!@#%^&+/])[A-Za-z0-9_\-.!@#%^&+/=]{8,200}",
    ),
    # addresses
    (
        "ip",
        "private IPv4",
        r"(?<![\d.A-Za-z_\-])(?:10\.\d{1,3}|172\.(?:1[6-9]|2\d|3[01])|192\.168|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|169\.254)\.\d{1,3}\.\d{1,3}(?![\d]|\.\d)",
    ),
    ("ip", "private IPv6", r"(?i:(?<![0-9a-f:.\w])(?:f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]):[0-9a-f:]{1,37}(?:%\w{1,16})?)"),
    # hosts
    (
        "host",
        "internal domain",
        r"(?i:(?<![\w.@\-])(?:[a-z0-9_](?:[a-z0-9_\-]{0,62})\.){1,8}(?:internal|intranet|corp|lan|localdomain|home\.arpa|private|cluster\.local|svc)(?:\.[a-z0-9\-]{1,63}){0,4}(?![\w\-]))",
    ),
    (
        "host",
        "mDNS name",
        r"(?i:(?<![\w.@\-])(?!self\.|this\.|threading\.|_?tls\.|thread\.|cls\.)(?:[a-z0-9\-]{0,62}\d[a-z0-9\-]{0,40}|[a-z0-9]{1,40}-[a-z0-9\-]{1,60}|nas|printer|gateway|router|fileserver|storage|server|login|head|master)(?:\.[a-z0-9\-]{1,63}){0,3}\.local(?![\w\-.]))",
    ),
    (
        "host",
        "numbered host",
        r"(?i:(?<![\w.\-/])(?:(?:b200|b100|gb200|gb300|h100|h200|a100|dgx|hgx|gpu|cpu|compute|worker|login|head|storage|nfs|lustre|runner|train|trainer|slurm|k8s|ip)[a-z0-9]{0,12}-){1,3}(?:node-?|n|rack-?|host-?)?\d{2,6}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-]))",
    ),
    (
        "host",
        "numbered host",
        r"(?i:(?<![\w.\-/])(?:[a-z][a-z0-9]{0,20}-){0,3}(?:dgx|hgx|gpunode|gpu-?srv|worker|runner|compute|node|nid|login|headnode)-?(?:[a-z]{1,6}-?)?\d{2,6}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-%]))",
    ),
    ("host", "cloud machine", r"(?i:(?<![\w.\-])ip-\d{1,3}-\d{1,3}-\d{1,3}-\d{1,3}(?:\.[a-z0-9\-]{1,63}){0,5})"),
    # paths
    (
        "path",
        "home folder",
        r"(?<![\w.}])(?:/home/(?!runner\b|user\b|<|\$)[A-Za-z0-9_.\-]{1,64}|/Users/(?!<|\$)[A-Za-z0-9_.\-]{1,64}|/root(?:/[\w.\-]{1,200})+)(?:/[^\s:'\"]{0,400})?",
    ),
    (
        "path",
        "cluster file system",
        r"(?<![\w.}/:])/(?:mnt|scratch|lustre|gpfs|weka|beegfs|nfs\d{0,3}|fsx|efs|ceph|cephfs|vast|shared|project[s]?|work\d|nas\d{0,3}|data\d{1,3}|datasets?|checkpoints?|ckpts?|storage|export|net|raid\d{0,2}|pfs|fast|nvme\d{0,2}|local_?disk|cluster|corp|srv|volumes?|media|pvc|u|users?)/[A-Za-z0-9_.\-]{1,100}(?:/[^\s:'\"]{0,400})?",
    ),
    ("path", "data folder", r"(?<![\w.}/:])/data/[A-Za-z0-9_.\-]{1,100}(?:/[^\s:'\"]{0,400})?"),
    (
        "path",
        "object store",
        _B
        + r"(?:s3a?|gs|gcs|r2|oci|abfss?|wasbs?|hdfs|az|swift|oss|cos|tos|nfs|smb|file|lustre)://(?![$<{])[A-Za-z0-9_.@/][^\s'\"]{1,400}",
    ),
    ("path", "network share", r"(?<![\w\\])\\\\{1,2}[A-Za-z0-9_.\-]{2,64}\\{1,2}[A-Za-z0-9_.$\-]{1,100}"),
    (
        "path",
        "Windows path",
        r"(?<![A-Za-z0-9])[A-Za-z]:\\{1,2}(?:Users|home|data|work|projects?|scratch|src|mnt|corp|share)\b[^\s:'\"]{0,400}",
    ),
    # clusters
    (
        "cluster",
        "kubectl command",
        _B
        + r"(?:kubectl|helm|oc|kubectx|kubens|k9s)\s{1,3}(?:-n|--namespace|--context|-{1,2}kube\w{0,10}|get|describe|logs?|exec|delete|apply|port-forward|config|cordon|drain|install|upgrade|top|cp|use-context)\b[^\n]{0,200}",
    ),
    ("cluster", "kubeconfig", r"(?i:(?<![A-Za-z0-9])KUBECONFIG\s{0,2}=\s{0,2}\S{1,300}|\S{1,200}\.kubeconfig(?!\w)|\.kube/config)"),
    ("cluster", "pod name", r"(?<![\w.\-/])[a-z][a-z0-9\-]{1,60}-[a-f0-9]{8,10}-[a-z0-9]{5}(?![\w\-])"),
    (
        "cluster",
        "pod name",
        r"(?i:(?<![\w\-])pods?(?:/|\s{1,3}|:\s{0,2}|=)[a-z][a-z0-9\-]{1,60}-(?:\d{1,5}|[a-z0-9]{5,10}(?=[\s,.;:)]|$))(?![\w\-]))",
    ),
    (
        "cluster",
        "volume claim",
        r"(?i:(?<![\w\-])(?:pvcs?|pv|persistentvolumeclaim|claim(?:name)?|volume)\s{0,2}[:=/]\s{0,2}[a-z0-9][a-z0-9\-]{2,80}-[a-z0-9]{2,12}(?![\w\-])|(?<![\w\-])pvc-[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?)",
    ),
    (
        "cluster",
        "node pool",
        r"(?i:(?<![\w\-])(?:node\s?(?:pool|group)|nodepool|partition|reservation|queue|instance\s?group)s?\s{0,2}[:=]?\s{0,2}[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){1,6}-?\d{1,5}(?![\w\-]))",
    ),
    (
        "cluster",
        "context",
        r"(?i:(?<![\w\-])(?:cluster|context|kube_?context|cluster_?name|cluster_?id)(?:\s{0,2}[:=]\s{0,2}|\s)[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){1,6}(?![\w\-]))",
    ),
    (
        "cluster",
        "namespace",
        r"(?i:(?<![\w\-])namespaces?(?:\s{0,2}[:=]\s{0,2}|\s)(?!arc-runners|arc-systems|kube-system|default\b)[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){1,6}(?![\w\-]))",
    ),
    (
        "cluster",
        "cloud resource",
        r"(?<![\w\-])arn:aws[a-z\-]{0,10}:[a-z0-9\-]{1,30}:[a-z0-9\-]{0,30}:\d{0,12}:[^\s'\"]{1,200}|(?<![\w/])projects/[a-z][a-z0-9\-]{4,40}/(?:zones|locations|regions|global|secrets|topics)/[^\s'\"]{0,200}|/subscriptions/[0-9a-f\-]{8,40}[^\s'\"]{0,200}",
    ),
    (
        "cluster",
        "scheduler job",
        r"(?i:(?<![\w\-])(?:sbatch|srun|salloc|squeue|scancel)\s[^\n]{0,120}(?:-p|--partition|-w|--nodelist|-A|--account)[= ]\S{2,80}|SLURM_(?:JOB_)?NODELIST\s{0,2}=\s{0,2}\S{2,200}|[a-z][a-z0-9\-]{1,30}\[\d{1,4}[-,]\d{1,4}(?:[,-]\d{1,4}){0,20}\])",
    ),
)
_COMPILED = tuple((kind, rule, re.compile(pattern)) for kind, rule, pattern in _RULES)
#: A cheap word that a line must hold for a costly rule to be worth trying is not needed: lines are short, patterns are linear.
_MOST_LINE = 20_000


def findings(text: str) -> tuple[Finding, ...]:
    """Everything in a text that must not be public, in order; overlapping hits count once, credentials first."""
    found: list[Finding] = []
    for number, line in enumerate(text.split("\n"), 1):
        taken: list[tuple[int, int]] = []
        for start in range(0, max(len(line), 1), _MOST_LINE):
            piece = line[start : start + _MOST_LINE + 500]
            for kind, rule, pattern in _COMPILED:
                for hit in pattern.finditer(piece):
                    one, two = hit.start() + start, hit.end() + start
                    if any(one < end and two > begin for begin, end in taken) or _is_version(kind, piece, hit):
                        continue
                    taken.append((one, two))
                    found.append(Finding(number, one + 1, two + 1, kind, rule, hit[0][:4]))
    return tuple(sorted(found, key=lambda one: (one.line, one.column)))


_VERSION_BEFORE = re.compile(
    r"(?i:(?:version|cuda|cudnn|driver|nccl|torch|python|v|release|toolkit|loss|==|>=|<=)\s{0,2}[:=]?\s{0,2})\Z"
)


def _is_version(kind: str, line: str, hit: re.Match[str]) -> bool:
    """`cuDNN 10.5.1.17` is four numbers and no address."""
    return kind == "ip" and bool(_VERSION_BEFORE.search(line[max(0, hit.start() - 24) : hit.start()]))


def redact(text: str) -> str:
    """The text with every finding replaced by its kind; what lay under another finding goes in a further pass."""
    for _ in range(8):
        found = findings(text)
        if not found:
            break
        lines = text.split("\n")
        for one in reversed(found):
            line = lines[one.line - 1]
            lines[one.line - 1] = f"{line[: one.column - 1]}[{one.kind} removed]{line[one.end - 1 :]}"
        text = "\n".join(lines)
    return text
