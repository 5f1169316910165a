"""Addresses and names of machines: RFC 1918, 6598, 3927 and 4193, the reserved and the customary inside domains."""

from __future__ import annotations

import re

from .alike import no_address, no_domain, no_host, nobodys, public_host, public_login, public_name
from .rule import B, Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    Rule(
        "ip",
        "private IPv4",
        r"(?<![\d.A-Za-z_])(?<![^.\d]\d-)(?<!^\d-)(?:10\.\d{1,3}|172\.(?:1[6-9]|2\d|3[01])|192\.168|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|169\.254)\.\d{1,3}\.\d{1,3}(?![\d]|\.\d)",
        ("10.", "172.", "192.168.", "100.", "169.254."),
        no_address,
    ),
    Rule(
        "ip",
        "private IPv6",
        r"(?i)(?<![0-9a-f:.\w])(?:f[cd][0-9a-f]{2}|fe[89a-f][0-9a-f]):[0-9a-f:]{1,37}(?:%\w{1,16})?",
        (":",),
        no_address,
    ),
    Rule(
        "ip",
        "private address, spelt",
        r"(?i)(?<![0-9a-f:])(?:::ffff:|64:ff9b::)(?:0?a[0-9a-f]{2}|ac1[0-9a-f]|c0a8|a9fe|644[0-9a-f]):[0-9a-f]{1,4}(?![0-9a-f:])|(?<![\d.])(?:\d{1,3}\.){1,3}(?:10|(?:1[6-9]|2\d|3[01])\.172|168\.192)\.in-addr\.arpa",
        ("::ffff:", "64:ff9b::", "in-addr"),
    ),
    Rule(
        "ip",
        "address of a machine",
        r"(?i)(?<![\w\-])(?:(?:public|external|private|internal|floating|elastic)[ _\-]?ip(?:v4)?(?:[ _\-]?addr(?:ess)?)?[\"']?(?:\s{0,3}[:=]\s{0,3}|\s(?:is\s)?)"
        r"|host(?=\s\S{7,15}\sport\s))[\"'\s]{0,2}(?P<ip>\d{1,3}(?:\.\d{1,3}){3})(?![\d]|\.\d)",
        ("ip", "host"),
        lambda line, hit: nobodys(hit["ip"]),
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
        r"(?i)(?<![\w.\-/@]\.)(?<![\w.\-])(?:[a-z0-9_](?:[a-z0-9_\-]{0,62})\.){1,8}(?:internal|intranet|intra|corp|lan|localdomain|localnet|home\.arpa|private|cluster\.local|svc|consul|priv)(?:\.[a-z0-9\-]{1,63}){0,4}(?![\w\-])",
        (".internal", ".intra", ".corp", ".lan", ".localdomain", ".localnet", ".home.arpa", ".priv", ".local", ".svc", ".consul"),
        no_domain,
    ),
    Rule(
        "host",
        "mDNS name",
        r"(?i)(?<![\w.@\-])(?:[a-z0-9\-]{0,62}\d[a-z0-9\-]{0,40}|[a-z0-9]{1,40}-[a-z0-9\-]{1,60}|nas|printer|gateway|router|fileserver|filer|storage|server|login|head|master|macbook|imac|laptop|desktop|workstation|raspberrypi|homelab|proxmox|pihole)(?:\.[a-z0-9\-]{1,63}){0,3}\.local(?![\w\-]|\.\w)",
        (".local",),
        no_domain,
    ),
    Rule(
        "host",
        "mDNS name",
        r"(?i)(?:://|@)[a-z0-9][a-z0-9\-]{0,62}(?:\.[a-z0-9\-]{1,63}){0,3}\.local(?![\w\-]|\.\w)|(?<![\w.@\-])[a-z0-9][a-z0-9\-]{0,62}\.local:\d{2,5}(?!\d)",
        (".local",),
    ),
    Rule(
        "host",
        "host of a URL",
        B
        + r"(?:https?|wss?|tcp|udp|tls|grpcs?|rediss?|postgres(?:ql)?|mysql|mongodb(?:\+srv)?|amqps?|nats|kafka|zmq|mqtt|ldaps?|s?ftp|ssh|rsync|git|"
        r"(?:git|hg|svn)\+(?:https?|ssh)|etcd|memcached|clickhouse|influx|jdbc:[a-z]{2,12}|telnet|vnc|rdp|socks[45]h?)://(?:[^\s/@'\"]{0,100}@)?"
        r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9\-]{0,62}\.)*[A-Za-z0-9\-]{1,63})(?![\w\-]|\.\w)(?::\d{1,5})?",
        ("://",),
        public_host,
    ),
    Rule(
        "host",
        "host of a message",
        r"(?i)(?:(?<![\w\-])(?:lookup|resolve(?: hostname| host)?|resolving|ping:?|traceroute to|ssh to|ssh:|connect(?:ed|ing)? to(?: host)?|connection to|nslookup|dig|"
        r"ssh-keyscan|telnet|reach host|unknown host|hostname:|host:|upstream)\s{1,3}[\"'\[]?)(?P<host>(?:[a-z0-9][a-z0-9\-]{0,62}\.){1,8}[a-z][a-z0-9\-]{1,62})(?![\w\-(]|\.\w)",
        ("lookup", "resol", "ping", "traceroute", "ssh", "connect", "nslookup", "dig", "telnet", "host", "upstream"),
        public_name,
    ),
    Rule(
        "host",
        "host and port",
        r"(?i)(?<![\w.\-/@])(?P<host>(?:[a-z0-9][a-z0-9\-]{0,62}\.){1,8}[a-z][a-z0-9\-]{1,62}|[a-z][a-z0-9]{0,20}(?:-[a-z0-9]{1,20}){0,4}-?\d{1,4})<\d{1,5}>",
        ("<",),
        public_name,
    ),
    Rule(
        "host",
        "host and port",
        r"(?i)(?<![\w.\-/@\[:{])(?P<host>(?:[a-z0-9][a-z0-9\-]{0,62}\.){1,8}[a-z][a-z0-9\-]{2,62}|[a-z][a-z0-9]{1,20}(?:-[a-z0-9]{1,20}){0,4}-\d{1,4}|[a-z]{3,20}\d{1,4}):"
        r"(?:22|2379|2380|3128|3306|5432|6006|6379|6443|8080|8265|8443|8500|9000|9090|9092|9200|10250|11211|27017|29400|2950\d|50051)(?![\w:\-]|\.\w)",
        (":",),
        lambda line, hit: public_name(line, hit) if "." in hit["host"] else public_host(line, hit),
    ),
    Rule(
        "host",
        "host and port",
        r"(?i)(?:=|://|\b(?:address|addr|endpoint|head|host|server|connect to|at)[\"']?[ :=]{1,3})[\"']?(?P<host>[a-z][a-z0-9]{1,20}(?:-[a-z0-9]{1,20}){1,4}):(?:2379|2380|5432|6379|6443|9092|27017|29400|2950\d|50051)(?![\w:\-]|\.\w)",
        (":",),
        public_host,
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
        no_host,
    ),
    Rule(
        "host",
        "numbered host",
        r"(?i)(?<![\w.\-/])(?:[a-z][a-z0-9]{0,20}-){0,3}(?:dgx|hgx|gpu(?=0\d\d)|gpunode|gpu-?srv|worker|runner|compute|node|nid|cn|gn|wn|login|headnode|bastion|filer|srv|mds|oss|rack\d{1,3}-?(?:node|n|u))-?(?:[a-z]{1,6}-?)?\d{2,6}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-%])",
        (),
        no_host,
    ),
    Rule(
        "host",
        "numbered host",
        r"(?i)(?<![\w.\-/])(?:[a-z][a-z0-9]{1,10}-){0,2}(?:r|rack|row|c|cab|x|su|pod|blade|chassis)-?\d{1,4}-?(?:n|node|b|c|s|u|srv|gpu)-?\d{1,4}(?:-?(?:n|b|s|g|gpu)\d{1,4}){0,3}(?:\.[a-z0-9\-]{1,63}){0,6}(?![\w\-%])",
        (),
        lambda line, hit: no_host(line, hit) or not re.search(r"(?i)node|gpu|srv|rack|blade|chassis|host|-n\d|\.[a-z]{2,}", hit[0]),
    ),
    Rule(
        "host",
        "named machine",
        r"(?i)(?<![\w\-])(?:hosts?|nodes?|machines?|servers?|nodename)[\"']?(?:\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<host>[a-z][a-z0-9]{0,20}(?:-[a-z0-9]{1,20}){0,4}-[a-z]{0,6}\d{2,6})(?![\w\-(/])",
        ("host", "node", "machine", "server"),
        no_host,
    ),
    Rule(
        "host",
        "address of a rendezvous",
        r"(?i)(?<![\w])(?:master_addr|--?master[_\-]addr|rdzv[_\-]endpoint|--rdzv[_\-]endpoint|coordinator_address|head_node|nodename|node_name|host_?name|slurmd_nodename|slurm_launch_node_\w+|hostnames?)[\"']?\s{0,2}[=: ]\s{0,2}[\"']?(?P<host>[a-z0-9][a-z0-9.\-]{1,120})(?::\d{1,5})?(?![\w(/]|\.\w)",
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
        "machine in a log",
        r"(?<![\w\-])(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[\d.]{0,8}(?:Z|[+\-]\d\d:?\d\d)?) (?P<host>[A-Za-z0-9][\w.\-]{1,80}) "
        r"(?:[\w./\-()@]{1,60}\[\d{1,8}\]|kernel|systemd|sshd|sudo|CRON|audit|dockerd|containerd|kubelet|slurmd|slurmctld|nvidia-[a-z\-]{2,20}): ",
        (":",),
        lambda line, hit: (
            re.fullmatch(r"(?i)localhost|debug|info|warn(?:ing)?|error|critical|fatal|trace|notice|rank[_\-]?\d*", hit["host"])
            is not None
        ),
    ),
    Rule(
        "host",
        "name of Windows",
        r"(?<![\w\-])(?:DESKTOP-[A-Z0-9]{7}|LAPTOP-[A-Z0-9]{8}|WIN-[A-Z0-9]{11})(?![\w\-])|(?i:(?<![\w])(?:COMPUTERNAME|USERDOMAIN|LOGONSERVER)\s{0,2}=\s{0,2}(?![$%<\s\"'])[\w\-\\]{2,40})",
        ("desktop-", "laptop-", "win-", "computername", "userdomain", "logonserver"),
    ),
    Rule(
        "host",
        "login",
        r"(?<![\w.])(?:(?:ssh|sftp|mosh)\s{1,3}(?:-[^\n]{0,100}?\s)?|(?:scp|rsync)\s[^\n]{0,120}?)(?<![\w.])[A-Za-z_][\w.\-]{0,40}@(?P<host>[A-Za-z0-9<$][\w.\-]{0,100})",
        ("@",),
        public_login,
    ),
)
