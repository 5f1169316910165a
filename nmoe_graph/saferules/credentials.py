"""Credentials: what services give a prefix so that it can be found, and what stands beside a name that says so."""

from __future__ import annotations

import re

from .alike import no_login, no_password, no_secret
from .rule import B, E, Rule

__all__ = ["RULES"]


def _tokens() -> tuple[Rule, ...]:
    """Credentials that begin as their service lets them begin."""
    shapes: tuple[tuple[str, tuple[str, ...], str], ...] = (
        ("GitHub token", ("gh", "github_pat_"), r"(?:gh[pousr]_[A-Za-z0-9]{16,255}|github_pat_[A-Za-z0-9_]{16,255})"),
        ("GitLab token", ("gl",), r"gl(?:pat|dt|rt|cbt|ptt|soat|ft|agent|oas|imt)-[A-Za-z0-9_\-]{16,100}"),
        ("API key", ("sk-",), r"sk-(?:[a-z]{2,8}\d{0,2}-){0,3}[A-Za-z0-9_\-]{20,255}"),
        ("payment key", ("_live_", "_test_", "whsec_"), r"(?:[srp]k_(?:live|test)_[A-Za-z0-9]{16,255}|whsec_[A-Za-z0-9]{16,99})"),
        ("AWS access key", ("akia", "asia", "aroa", "aida", "abia"), r"(?:AKIA|ASIA|AROA|AIDA|ABIA)[A-Z0-9]{16}" + E),
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
            + E
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
            + E,
        ),
        ("bot token", (".",), r"[MNO][A-Za-z0-9_\-]{22,27}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,40}" + E),
        ("bot token", (":a",), r"\d{8,10}:AA[A-Za-z0-9_\-]{32,36}" + E),
        ("age key", ("age-secret-key-",), r"AGE-SECRET-KEY-1[A-Z0-9]{20,80}"),
        ("JSON web token", ("eyj",), r"eyJ[A-Za-z0-9_\-]{8,1000}\.[A-Za-z0-9_\-]{4,2000}\.?[A-Za-z0-9_\-]{0,1000}"),
        ("private key", ("b3blbnnzac1rzxktdje",), r"b3BlbnNzaC1rZXktdjE[A-Za-z0-9+/=]{0,4000}"),
    )
    return tuple(Rule("credential", name, B + pattern, only) for name, only, pattern in shapes)


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
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:(?:\\n|[A-Za-z0-9+/=\s]){0,8000}-----END [A-Z0-9 ]{0,60}-----)?|PuTTY-User-Key-File-\d",
        ("private key", "putty-user"),
    ),
    Rule(
        "credential",
        "password in a URL",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://[^\s/:@'\"]{0,100}:(?P<value>[^\s/@'\"]{3,200})@",
        ("://",),
        no_password,
    ),
    Rule(
        "credential",
        "token in a URL",
        r"[A-Za-z][A-Za-z0-9+.\-]{1,20}://(?P<value>(?=[^\s/@:]{0,40}\d)[A-Za-z0-9_\-]{20,200})@",
        ("://",),
        no_password,
    ),
    Rule(
        "credential",
        "secret in a query",
        r"(?i)[?&](?:[a-z0-9_\-]{0,20}(?:token|secret|api[_\-]?key|apikey|password|signature)|sig|key|x-amz-(?:signature|credential|security-token))=(?P<value>[A-Za-z0-9%_\-./+=]{12,500})",
        ("?", "&"),
        no_secret,
    ),
    Rule(
        "credential",
        "authorization header",
        r"(?i)(?:(?:proxy-)?authorization|x-api-key|x-auth-token|private-token|x-vault-token)[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:(?:bearer|basic|token|digest|negotiate)\s{1,3})?(?P<value>[A-Za-z0-9_\-.=+/~]{8,2000})",
        ("authorization", "x-api-key", "-token"),
        lambda line, hit: no_password(line, hit) or not re.search(r"\d|=\Z|[a-z][A-Z]", hit["value"]),
    ),
    Rule(
        "credential",
        "bearer token",
        r"(?i)(?<![a-z])bearer\s{1,3}(?P<value>(?=[A-Za-z_\-.+/]{0,60}\d)[A-Za-z0-9_\-.=+/~]{16,2000})",
        ("bearer",),
        no_password,
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
    Rule("credential", "secret in a query", r"(?<![A-Za-z0-9])sig=(?P<value>[A-Za-z0-9%_\-./+]{20,200})", ("sig=",), no_secret),
    Rule(
        "credential",
        "login of a command",
        r"(?i)(?<![\w\-])login\s{1,3}(?:--?[a-z\-]{1,20}[ =]{1,2}){0,2}(?P<value>(?=[A-Za-z_\-]{0,60}\d)[A-Za-z0-9_\-]{20,200})"
        + E,
        ("login",),
        no_password,
    ),
    Rule(
        "credential",
        "netrc",
        r"(?<![^\s\"\'`(\[{=,;:>])(?:machine|login)\s+\S{1,100}\s+(?:login\s+\S{1,100}\s+)?password\s+(?P<value>\S{4,200})",
        ("password",),
        no_password,
    ),
    Rule(
        "credential",
        "assigned secret",
        r"(?i:(?<![A-Za-z0-9])[A-Za-z0-9_\-]{0,40}?"
        + _SECRET_NAME
        + r"[\"'\]]{0,3}\s{0,2}(?:[:=]|=>|:=)\s{0,2}[\"']?)(?P<value>[A-Za-z0-9_\-.!@#%^&+/=~$<{*\[(]{8,400})",
        ("key", "secret", "pass", "token", "pwd", "pat", "cred", "bearer", "session", "connection"),
        no_secret,
    ),
    Rule(
        "credential",
        "option with a secret",
        r"(?i)(?<![^\s\"\'`(\[{=,;:>])--?[a-z\-]{0,20}(?:token|password|passwd|secret|api-?key)[ =][\"']?(?P<value>(?=[^\s]{0,60}\d)[A-Za-z0-9_\-.!@#%^&+/=~]{8,300})",
        ("--", " -"),
        no_secret,
    ),
    Rule(
        "credential",
        "login in base64",
        r"(?i)(?<![A-Za-z0-9])(?:auth|_auth|basic|identitytoken|dockerconfigjson|\.dockercfg|client-key-data|client-certificate-key|tls\.key|ssh-privatekey|key-data)[\"']?(?:\s{0,3}[:=]\s{0,3}|\s)[\"']?(?P<value>[A-Za-z0-9+/_\-]{8,8000}={0,2})(?![A-Za-z0-9+/=])",
        ("auth", "basic", "token", "docker", "key"),
        no_login,
    ),
    Rule(
        "credential",
        "login in base64",
        r"(?<![A-Za-z0-9+/])(?P<value>LS0tLS1CRUdJTi[A-Za-z0-9+/]{16,8000}={0,2})",
        ("ls0tls1crudjti",),
        no_login,
    ),
    Rule(
        "credential",
        "netrc",
        r"^\s{0,20}(?:login\s+\S{1,100}\s+)?password\s+(?P<value>[^\s:=]{6,200})\s*$",
        ("password",),
        no_secret,
    ),
    Rule(
        "credential",
        "storage key",
        r"(?i)(?:AccountKey|SharedAccessKey|SharedAccessSignature)=(?P<value>[A-Za-z0-9+/=%&]{20,200})",
        ("accountkey=", "sharedaccess"),
    ),
)
