"""Folders of one machine or one cluster: homes, mounts, object stores, shares."""

from __future__ import annotations

import re

from .alike import a_route, no_store, nobodys_home, public_bucket
from .rule import REST, B, Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])(?:/home/(?!<|\$|\{|\*|%)(?P<owner>[A-Za-z0-9_.\-]{1,64})|/(?:global/|nfs/|gpfs/)?homes?\d{0,2}/(?!<|\$|\{|\*|%)[A-Za-z0-9_.\-]{1,64}/[\w.\-]{1,100}|/root(?:/[\w.\-]{1,200})+)"
        + REST,
        ("/home", "/root", "/nfs", "/gpfs", "/global"),
        nobodys_home,
    ),
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])/Users/(?!<|\$|\{)(?P<owner>[A-Za-z0-9_.\-]{1,64})" + REST,
        ("/users/",),
        lambda line, hit: nobodys_home(line, hit) or a_route(line, hit),
    ),
    Rule("path", "home folder", r"(?<![\w~.}\-/])~(?!/)[a-z][a-z0-9_\-]{1,31}/[\w.\-]{1,100}" + REST, ("~",)),
    Rule(
        "path",
        "home folder",
        r"(?<![\w.}\-])/(?:private/var/folders|var/folders)/[\w+]{1,4}/[\w.\-+]{1,200}" + REST,
        ("/var/folders",),
    ),
    Rule(
        "path",
        "cluster file system",
        r"(?<![\w.}/:\-])(?:/(?:global|local|net|p|lus|work|export|mnt|storage|nfs))?/(?:mnt|scratch\d{0,2}|gscratch|pscratch|lscratch|localscratch|nobackup|lustre\d{0,2}|lus|gpfs\d{0,2}|weka|wekafs|beegfs|nfs\d{0,3}|fsx|efs|ceph|cephfs|vast|"
        r"juicefs|jfs|glusterfs|afs|shared|share|project[s]?|work\d{0,2}|nas\d{0,3}|data\d{1,3}|datasets?|checkpoints?|ckpts?|storage\d{0,2}|export|net|raid\d{0,2}|pfs|fast|nvme\d{0,2}|local_?disk|cluster|"
        r"corp|srv|volumes?|vol\d{0,3}|media|pvc|u|users?|groups?|archive|ptmp|hpcwork|hpc|dss|cfs|filer\d{0,3}|san|tank|pool\d{0,2}|fs\d{1,3}|zfs|backup|ssd\d{0,2}|disk\d{1,3}|home2|dfs)/[A-Za-z0-9_.\-]{1,100}"
        + REST,
        ("/",),
        a_route,
    ),
    Rule(
        "path",
        "mounted volume",
        r"(?<![\w.}\-])/(?:Volumes/(?!<|\$)[\w. \-]{1,60}/[\w.\-]{1,100}|var/lib/(?:kubelet/pods|docker/(?:overlay2|volumes|containers)|containerd/[\w.\-]{1,60})/[\w.\-]{4,100}|run/user/\d{3,6}|run/media/[\w.\-]{1,60}/[\w.\-]{1,60})"
        + REST,
        ("/volumes/", "/var/lib/", "/run/"),
    ),
    Rule(
        "path",
        "cluster file system",
        r"(?<![\w.}/:\-])/(?:[a-z0-9]{1,16}[_\-]?)?(?:scratch|home|work|data|stor|store|storage|fs|nfs|disk|share|shared|projects?|lustre|gpfs|mnt|ckpts?|checkpoints?|datasets?|archive|backup|users?)"
        r"(?:[_\-][a-z0-9]{1,12}|\d{1,3})?/[A-Za-z0-9_.\-]{1,100}/[A-Za-z0-9_.\-]{1,100}" + REST,
        ("/",),
        no_store,
    ),
    Rule(
        "path",
        "cluster file system",
        r"(?<![\w.}/:\-])/(?:[a-z0-9]{1,16}[_\-])?(?:[a-z]{0,3}scratch|lustre|gpfs|nfs|mnt|nvme|ssd|storage|beegfs|ceph|weka)(?:[_\-][a-z0-9]{1,12}|\d{1,3})?/[A-Za-z0-9_.\-]{1,100}"
        + REST,
        ("scratch", "lustre", "gpfs", "nfs", "mnt", "nvme", "ssd", "storage", "beegfs", "ceph", "weka"),
        no_store,
    ),
    Rule(
        "path",
        "folder in a URL",
        r"(?i)(?<![a-z0-9+.\-])(?!https?:)[a-z][a-z0-9+.\-]{1,20}://[^\s/'\"]{0,100}/(?:home|users|root|mnt|scratch|data|lustre|gpfs|nfs)/(?!<|\$|\{)(?P<owner>[\w.\-]{1,64})"
        + REST,
        ("://",),
        nobodys_home,
    ),
    Rule("path", "data folder", r"(?<![\w.}/:\-])/data/[A-Za-z0-9_.\-]{1,100}" + REST, ("/data/",), a_route),
    Rule(
        "path",
        "mount of a server",
        r"(?i)(?<![\w.\-/])(?P<host>[a-z][a-z0-9.\-]{1,80}):/(?:vol\d{0,3}|export|exports|data\d{0,2}|homes?|mnt|srv|scratch|nfs|share|shared|fs|ifs|zpool|tank|projects?)(?:/[\w.\-]{1,100}){0,8}(?![\w])",
        (":/",),
        lambda line, hit: re.fullmatch(r"(?i)file|https?|pvc|volume|path|dir|localhost|s3|gs", hit["host"]) is not None,
    ),
    Rule(
        "path",
        "mount of a server",
        r"(?<![\w\-])(?:scp|rsync|sshfs)\s[^\n]{0,200}?(?<![^\s])(?P<host>(?:[\w.\-]{1,40}@)?[a-z][a-z0-9.\-]{1,80}):{1,2}[/~\w][^\s:]{0,200}",
        ("scp", "rsync", "sshfs"),
        lambda line, hit: (
            re.fullmatch(
                r"(?i)(?:[\w.\-]+@)?(?:localhost|(?:remote|dest(?:ination)?|target)?_?-?(?:host|server|machine|remote)|rsync|file|https?|s3|gs)|user@.*",
                hit["host"],
            )
            is not None
        ),
    ),
    Rule(
        "path",
        "object store",
        B
        + r"(?:s3[an]?|gs|gcs|r2|oci|abfss?|wasbs?|hdfs|az|swift|oss|cos|tos|nfs|smb|cifs|file|lustre|dbfs|azureml|b2|minio)://(?![$<{])[A-Za-z0-9_.@/][^\s'\"]{1,400}",
        ("://",),
        public_bucket,
    ),
    Rule(
        "path",
        "object store",
        r"(?i)(?<![\w.\-])[a-z0-9][a-z0-9.\-]{1,62}\.(?:s3(?:[.\-][a-z0-9\-]{4,20})?\.amazonaws\.com|blob\.core\.windows\.net|dfs\.core\.windows\.net|file\.core\.windows\.net|r2\.cloudflarestorage\.com)[^\s'\"]{0,300}",
        ("amazonaws.com", "core.windows.net", "cloudflarestorage"),
    ),
    Rule(
        "path",
        "network share",
        r"(?<![\w\\])\\{2,4}(?!\\|n\b|t\b)(?P<host>[A-Za-z0-9_.\-]{2,64})\\{1,2}(?P<share>[A-Za-z0-9_.$\-]{1,100})",
        ("\\\\",),
    ),
    Rule(
        "path",
        "Windows path",
        r"(?i)(?<![A-Za-z0-9])[A-Z]:[\\/]{1,2}(?!(?:windows|winnt|program ?files|programdata|path|python\d*|msys64|cygwin64|tools|cuda|temp|tmp)[\\/ ])[A-Za-z][\w.\-]{2,64}[\\/]{1,2}(?!<|%|\$)(?P<owner>[A-Za-z0-9_][\w.\-]{0,64})[^\s:'\"]{0,400}",
        (":\\", ":/"),
        nobodys_home,
    ),
)
