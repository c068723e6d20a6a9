"""Logs of managed clusters as their services and forwarders deliver them, for tests: shapes rebuilt from public documentation.

A *log* makes records of audit events (what CloudWatch Logs, an Event Hub or Cloud Logging says of them), a *carrier* makes a body of
records (what Fluent Bit, Vector, an OpenTelemetry collector or Pub/Sub's push sends). Any log comes by any carrier.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

NOTE = "I1124 23:26:03.483218 11 leaderelection.go:271] successfully renewed lease"
"""A line of another log of the control plane."""


def dumps(value: Any) -> str:
    """As most senders write it."""
    return json.dumps(value, separators=(",", ":"))


def as_event(item: Any) -> Any:
    """The event with its kind, as one alone has it."""
    return {"kind": "Event", "apiVersion": "audit.k8s.io/v1"} | item


# --- logs --------------------------------------------------------------------------------------------------------


def cloudwatch(items: list[Any]) -> list[Json]:
    """What a subscription of an EKS cluster's log group gets: one document with many lines."""
    events = [
        {
            "id": f"{number:056d}",
            "timestamp": 1795562763483,
            "message": item if isinstance(item, str) else dumps(as_event(item)),
        }
        for number, item in enumerate(items)
    ]
    return [
        {
            "messageType": "DATA_MESSAGE",
            "owner": "000000000000",
            "logGroup": "/aws/eks/shop/cluster",
            "logStream": "kube-apiserver-audit-0001",
            "subscriptionFilters": ["protector"],
            "logEvents": events,
        }
    ]


def eks_lines(items: list[Any]) -> list[Json]:
    """What a reader of the log group makes of each line: the line as `message`."""
    return [{"message": item if isinstance(item, str) else dumps(as_event(item))} for item in items]


def eks_events(items: list[Any]) -> list[Json]:
    """The lines read as JSON: the events themselves."""
    return [as_event(item) for item in items if not isinstance(item, str)]


def aks_record(item: Any, category: str = "kube-audit", *, as_text: bool = True) -> Json:
    """One record of an AKS cluster's diagnostic setting."""
    line = item if isinstance(item, str) else dumps(as_event(item)) if as_text else as_event(item)
    return {
        "operationName": "Microsoft.ContainerService/managedClusters/diagnosticLogs/Read",
        "category": category,
        "ccpNamespace": "0123456789abcdef",
        "resourceId": "/SUBSCRIPTIONS/S/RESOURCEGROUPS/G/PROVIDERS/MICROSOFT.CONTAINERSERVICE/MANAGEDCLUSTERS/SHOP",
        "properties": {"log": line, "stream": "stdout", "pod": "kube-apiserver-0"},
        "time": "2026-11-24T23:26:03.5000000Z",
        "Cloud": "AzureCloud",
    }


def aks_hub(items: list[Any]) -> list[Json]:
    """A message of the Event Hub: many records, by both categories."""
    categories = ("kube-audit", "kube-audit-admin")
    return [{"records": [aks_record(item, categories[number % 2]) for number, item in enumerate(items)]}]


def aks_records(items: list[Any]) -> list[Json]:
    """Its records one by one, the line read as JSON."""
    return [aks_record(item, as_text=False) for item in items]


RPC_OF = {401: 16, 403: 7, 404: 5}


def gke_entry(item: Any) -> Json:
    """The LogEntry of one event."""
    ref, user, annotations = item.get("objectRef") or {}, item.get("user") or {}, item.get("annotations") or {}
    group = ref.get("apiGroup") or "core"
    parts = [group, "v1", *(("namespaces", ref["namespace"]) if ref.get("namespace") else ()), ref.get("resource", "")]
    resource = "/".join([*parts, *([ref["name"]] if ref.get("name") else [])])
    method = f"io.k8s.{group}.v1.{ref.get('resource')}.{item.get('verb')}"
    code = (item.get("responseStatus") or {}).get("code", 200)
    who = {"principalEmail": user.get("username")}
    if "impersonatedUser" in item:
        who["authoritySelector"] = "somebody"
    operation = {"id": item.get("auditID"), "producer": "k8s.io", "first": True}
    if item.get("stage") != "ResponseStarted":
        operation["last"] = True
    return {
        "insertId": "1a2b3c",
        "logName": "projects/p/logs/cloudaudit.googleapis.com%2Fdata_access",
        "labels": dict(annotations),
        "operation": operation,
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": who,
            "authorizationInfo": [{"granted": True, "permission": method, "resource": resource}],
            "methodName": method,
            "requestMetadata": {
                "callerIp": (item.get("sourceIPs") or [""])[-1],
                "callerSuppliedUserAgent": item.get("userAgent"),
            },
            "resourceName": resource,
            "serviceName": "k8s.io",
            "status": {} if code == 200 else {"code": RPC_OF.get(code, 13), "message": "no"},
        },
        "resource": {"type": "k8s_cluster", "labels": {"cluster_name": "shop", "location": "l", "project_id": "p"}},
        "timestamp": item.get("requestReceivedTimestamp"),
        "receiveTimestamp": "2026-11-24T23:26:05.000000001Z",
    }


def gke(items: list[Any]) -> list[Json]:
    """Cloud Logging's entries."""
    return [gke_entry(item) for item in items if not isinstance(item, str)]


LOGS: dict[str, Callable[[list[Any]], list[Json]]] = {
    "cloudwatch": cloudwatch,
    "eks lines": eks_lines,
    "eks events": eks_events,
    "aks hub": aks_hub,
    "aks records": aks_records,
    "gke": gke,
}


# --- carriers ----------------------------------------------------------------------------------------------------


def fluent_bit_json(records: list[Json]) -> bytes:
    """Fluent Bit's http output, `format json`: parsed records in one list, each with its date."""
    return dumps([{"date": 1795562763.5, **record} for record in records]).encode()


def fluent_bit_lines(records: list[Json]) -> bytes:
    """The same, `format json_lines`, records not parsed: the line is in `log`."""
    return "\n".join(dumps({"date": 1795562763.5, "log": dumps(record) + "\n"}) for record in records).encode()


def fluent_bit_kafka(records: list[Json]) -> bytes:
    """Records of Fluent Bit's kafka input (an Event Hub speaks Kafka)."""
    return dumps(
        [
            {"date": 1.5, "topic": "audit", "partition": 0, "offset": n, "error": None, "key": None, "payload": record}
            for n, record in enumerate(records)
        ]
    ).encode()


def vector_lines(records: list[Json]) -> bytes:
    """Vector's http sink, framing newline_delimited: the line is in `message`."""
    meta = {"source_type": "kafka", "timestamp": "2026-11-24T23:26:04Z", "topic": "audit", "headers": {}}
    return "".join(dumps({"message": dumps(record), **meta}) + "\n" for record in records).encode()


def vector_json(records: list[Json]) -> bytes:
    """Vector's http sink with its own framing for JSON: one list of parsed records."""
    return dumps([{**record, "source_type": "aws_kinesis_firehose"} for record in records]).encode()


def any_value(value: Any) -> Json:
    """OTLP's AnyValue."""
    match value:
        case None:
            return {}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case dict():
            return {"kvlistValue": {"values": [{"key": key, "value": any_value(each)} for key, each in value.items()]}}
    return {"arrayValue": {"values": [any_value(each) for each in value]}}


def otlp(bodies: list[Json]) -> bytes:
    """An OpenTelemetry collector's otlphttp exporter, `encoding: json`."""
    records = [{"timeUnixNano": "1795562763483218000", "severityText": "", **body} for body in bodies]
    resource = {"attributes": [{"key": "cloudwatch.log.group.name", "value": {"stringValue": "/aws/eks/shop/cluster"}}]}
    half = len(records) // 2
    scopes = [{"scope": {"name": "receiver"}, "logRecords": part} for part in (records[:half], records[half:])]
    return dumps({"resourceLogs": [{"resource": resource, "scopeLogs": scopes}]}).encode()


def otlp_text(records: list[Json]) -> bytes:
    """Bodies as text (awscloudwatch; googlecloudpubsub with raw_text)."""
    return otlp([{"body": {"stringValue": dumps(record)}} for record in records])


def otlp_bytes(records: list[Json]) -> bytes:
    """Bodies as bytes (azureeventhub with format raw)."""
    return otlp([{"body": {"bytesValue": base64.b64encode(dumps(record).encode()).decode()}} for record in records])


def otlp_map(records: list[Json]) -> bytes:
    """Bodies as maps (a json_parser operator)."""
    return otlp([{"body": any_value(record), "attributes": []} for record in records])


def pubsub(records: list[Json]) -> bytes:
    """Pub/Sub's push messages, as a forwarder's http input hands them on."""
    return "\n".join(
        dumps(
            {
                "message": {
                    "data": base64.b64encode(dumps(record).encode()).decode(),
                    "messageId": str(number),
                    "publishTime": "2026-11-24T23:26:04Z",
                },
                "subscription": "projects/p/subscriptions/protector",
            }
        )
        for number, record in enumerate(records)
    ).encode()


CARRIERS: dict[str, Callable[[list[Json]], bytes]] = {
    "fluent bit json": fluent_bit_json,
    "fluent bit lines": fluent_bit_lines,
    "fluent bit kafka": fluent_bit_kafka,
    "vector lines": vector_lines,
    "vector json": vector_json,
    "otlp text": otlp_text,
    "otlp bytes": otlp_bytes,
    "otlp map": otlp_map,
    "pubsub": pubsub,
}
