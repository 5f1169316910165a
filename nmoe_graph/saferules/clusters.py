"""Names by which a cluster or a cloud knows its parts."""

from __future__ import annotations

import re

from .alike import OUR_NAMES, PLACES, no_pod, our_namespace, prose
from .rule import NAME, B, Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = (
    Rule(
        "cluster",
        "kubectl command",
        B
        + r"(?:kubectl|helm|oc|kubectx|kubens|k9s)\s[^\n]{0,120}?(?:(?:-n|--namespace|--context|--cluster|--kubeconfig|--kube-context|--user|use-context|set-context)[ =]+(?!<|\$|arc-|kube-system|default\b)[\w./\-]{2,80}|(?:get|describe|logs?|exec|delete|cordon|drain|port-forward|top|cp|uncordon|taint|label)\b[^\n]{0,60}[\s/][a-z][a-z0-9]*(?:-[a-z0-9]+)+)",
        ("kubectl", "helm", "oc ", "kubectx", "kubens", "k9s"),
    ),
    Rule(
        "cluster",
        "kubectl command",
        B
        + r"(?:kubectx|kubens)\s+(?!<|\$|-)[a-z][\w.\-]{2,80}|"
        + B
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
        no_pod,
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
        prose,
    ),
    Rule("cluster", "volume claim", r"(?i)(?<![\w\-])pvc-[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?", ("pvc-",)),
    Rule(
        "cluster",
        "node pool",
        r"(?i)(?<![\w\-])(?:node[\s_\-]?(?:pool|group)|nodepool|partition|reservation|queue|instance\s?group|capacity\s?block|placement\s?group|nodeset|machine\s?pool)s?[\"']?\s{0,2}[:=]?\s{0,2}[\"']?(?P<name>[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8})(?![\w\-])",
        ("pool", "group", "partition", "reservation", "queue", "capacity", "nodeset"),
        prose,
    ),
    Rule(
        "cluster",
        "node pool",
        r"(?i)(?:(?<![^\s\"\'`(\[{=,;:>])--(?:partition|reservation|nodelist|account|qos|node-?pool|pool|cluster|queue)[ =]|(?<![\w.\-])pool\s{0,2}[:=]\s{0,2})[\"']?(?P<name>[a-z][a-z0-9]{0,30}(?:[\-_][a-z0-9]{1,30}){1,8})(?![\w\-])",
        ("--", "pool"),
        prose,
    ),
    Rule(
        "cluster",
        "node pool",
        r"(?:cloud\.google\.com/gke-nodepool|eks\.amazonaws\.com/(?:nodegroup|compute-type)|kubernetes\.azure\.com/(?:agentpool|cluster)|karpenter\.sh/nodepool|topology\.kubernetes\.io/(?:zone|region)|kubernetes\.io/hostname)[\"']?\s{0,2}[=:]\s{0,2}[\"']?(?!<|\$)[\w.\-]{3,80}",
        ("nodepool", "eks.amazonaws", "kubernetes.azure", "kubernetes.io"),
    ),
    Rule(
        "cluster",
        "cluster name",
        r"(?i)(?<![\w\-])(?:cluster|context|kube_?context|cluster[_\-]?name|cluster[_\-]?id)[\"']?(?:\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<name>"
        + NAME
        + r")(?![\w\-(]|\.\w)",
        ("cluster", "context"),
        lambda line, hit: hit["name"].startswith("arc-") or prose(line, hit),
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
        "cluster name",
        r"(?i)(?<![\w\-])(?:current-)?context[\"']?\s{0,2}[:=]\s{0,2}[\"']?(?!<|\$)[\w.:\-]{1,60}@[\w.:\-]{2,80}",
        ("context",),
    ),
    Rule(
        "cluster",
        "namespace",
        r"(?i)(?<![\w\-])namespaces?[\"']?(?P<sign>\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<name>" + NAME + r")(?![\w\-:(/])",
        ("namespace",),
        our_namespace,
    ),
    Rule(
        "cluster",
        "namespace",
        r"(?<![\w\-])(?:k8s_namespace|POD_NAMESPACE|KUBE_NAMESPACE|NAMESPACE)\s{0,2}=\s{0,2}(?!<|\$)(?P<sign>)(?P<name>[a-z][a-z0-9\-]{2,60})(?![\w\-])",
        ("namespace",),
        lambda line, hit: OUR_NAMES.match(hit["name"]) is not None,
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
        r"(?:(?<![\w\-./])|(?<=node/)|(?<=nodes/))(?:gke-[a-z0-9\-]{3,50}-[a-z0-9]{4,8}-[a-z0-9]{4}|aks-[a-z0-9]{2,20}-\d{6,9}-vmss[a-z0-9]{6})(?![\w\-])|(?<![\w.\-])(?:aws|gce|azure|openstack|oci|vsphere|digitalocean|equinixmetal|ibm|linode)://[a-z0-9\-]{0,40}/[^\s'\"]{2,200}|(?i:(?<!\w)resourceGroups/[\w.\-]{2,90})|(?<![\w\-./])(?:i|vpc|subnet|sg|vol|eni|rtb|igw|nat|fs|snap|lt|cr|acl|eipalloc|vpce|fsx|pcx|tgw|rtbassoc|ml)-(?:0[0-9a-f]{16}|[0-9a-f]{8})(?![\w\-])",
        ("-", "://", "resourcegroups/"),
        lambda line, hit: not re.search(r"\d|/", hit[0]),
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
        r"(?i)(?<![\w\-])(?:pod|node|cluster|machine|instance|tenant|subscription|system|vm|host|boot|board|chassis|product)[ _\-]?(?:u?uid|id)[\"']?(?:\s{0,2}[:=]\s{0,2}|\s)[\"']?(?P<name>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})(?![0-9a-f])|(?<![\w\-])(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|/var/lib/kubelet/pods/[0-9a-f\-]{8,40}",
        ("id", "gpu-", "mig-", "kubelet"),
    ),
    Rule(
        "cluster",
        "scheduler job",
        r"(?i)(?<![\w\-])(?:sbatch|srun|salloc|squeue|scancel|sinfo|scontrol|bsub|qsub|#SBATCH|#PBS|#BSUB)\s[^\n]{0,160}?(?<![^\s\"\'`(\[{=,;:>])(?:-p|--partition|-w|--nodelist|-A|--account|--reservation|--qos|-q|-M|--clusters|-P)[= ](?!<|\$|debug\b|batch\b|long\b)\S{2,80}|(?<!\w)SLURM_(?:(?:JOB_|STEP_)?NODELIST|JOB_PARTITION|JOB_ACCOUNT|CLUSTER_NAME|SUBMIT_HOST|SUBMIT_DIR|(?:ARRAY_)?(?:JOB_?ID)|JOBID|CLUSTERS?|NODENAME|JOB_RESERVATION|TOPOLOGY_ADDR|JOB_USER|CONF)\s{0,2}=\s{0,2}(?![$<])\S{2,200}",
        ("sbatch", "srun", "salloc", "squeue", "scancel", "sinfo", "scontrol", "bsub", "qsub", "pbs", "slurm_"),
    ),
    Rule(
        "cluster",
        "scheduler job",
        r"(?i)(?<![\w\-])(?:scontrol\s+show\s+(?:node|job|partition|reservation)\s+\S{2,80}|(?:submitted batch|(?:srun|salloc|sbatch|slurmstepd)\W{1,3}(?:error: )?job) \d{3,10}|job submitted to queue \S{3,60}|JobId=\d{2,10}|(?:LSB|PBS|SGE|FLUX|OAR)_JOB_?ID\s{0,2}=\s{0,2}[\w.\[\]]{2,80}|(?:User|Group)Id=[\w.\-]{1,60}\(\d{1,10}\))",
        ("userid=", "groupid=", "scontrol", "submitted", "jobid", "job_id", "srun", "salloc", "sbatch", "slurmstepd"),
    ),
    Rule(
        "cluster",
        "identifier of a machine",
        r"(?i)(?<![\w\-])(?:serial(?:[ _\-]?(?:number|no\.?|num))?|asset[ _\-]?tag|service[ _\-]?tag|board[ _\-]?id|s/n)[\"']?(?:\s{0,60}[:=]\s{0,4}|\s)[\"']?(?P<name>(?=[A-Z\-]{0,20}\d)[A-Z0-9\-]{7,32})(?![\w\-]|\.\w)|"
        r"(?<![\w\-])(?:node|port|sys_?image|system|base)[ _\-]?(?:guid|lid_guid)[\"']?\s{0,12}[:= ]\s{0,4}(?:0x)?(?:[0-9a-f]{16}|[0-9a-f]{4}(?::[0-9a-f]{4}){3})(?![0-9a-f])",
        ("serial", "tag", "board", "s/n", "guid"),
    ),
    Rule(
        "cluster",
        "container",
        r"(?<![\w\-])(?:containerd|docker|cri-o|crio|podman|rkt)://[0-9a-f]{12,64}(?![0-9a-f])",
        ("://",),
    ),
    Rule(
        "cluster",
        "registry of a project",
        r"(?<![\w.\-])[a-z0-9\-]{2,30}-docker\.pkg\.dev/(?P<name>[a-z][a-z0-9\-]{4,40})/[^\s'\"]{1,200}|(?<![\w.\-])(?:[a-z]{2}\.)?gcr\.io/(?P<other>[a-z][a-z0-9\-]{4,40})/[^\s'\"]{1,200}|(?<![\w.\-])[a-z0-9]{5,50}\.azurecr\.io(?![\w.\-])|(?<![\w.\-])[a-z0-9]{3,20}\.ocir\.io/[^\s'\"]{1,200}",
        ("pkg.dev", "gcr.io", "azurecr.io", "ocir.io"),
        lambda line, hit: bool(name := hit["name"] or hit["other"]) and not re.search(r"\d{3}", name) and not PLACES.search(name),
    ),
    Rule(
        "cluster",
        "runner",
        r"(?<![\w.\-/])[a-z][a-z0-9]{0,30}(?:-[a-z0-9]{1,30}){0,6}-(?=[a-z]{0,4}\d)[a-z0-9]{5}-runner-(?=[a-z]{0,4}\d)[a-z0-9]{5}(?![\w\-])",
        ("-runner-",),
    ),
    Rule(
        "cluster",
        "node list",
        r"(?i)(?<![\w.\-])(?:[a-z][a-z0-9]{0,20}-(?:[a-z0-9]{1,20}-){0,4}|(?:[a-z]{0,12}(?:node|gpu|dgx|hgx|nid|cn|compute|worker|b200|gb200|h100|h200|a100|rack)[a-z\-]{0,6}))\[\d{1,6}(?:[-,]\d{1,6}){1,20}\]",
        ("[",),
    ),
)
