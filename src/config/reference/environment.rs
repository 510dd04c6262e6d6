//! What is said in the environment alone: names that others gave, and that programs have in common.

/// Variables that say the same of different things, and what they say.
pub(super) type Variables = (&'static [&'static str], &'static str);

/// What is read, and by whom.
pub(super) const VARIABLES: &[(&str, &[Variables])] = &[
    (
        "The configuration file",
        &[(
            &["MANDATE_CONFIG"],
            "the file, for every command, unless `--config` names one: no key, and nothing that the file can hold",
        )],
    ),
    (
        "Telemetry that is sent (OpenTelemetry)",
        &[
            (
                &["OTEL_EXPORTER_OTLP_ENDPOINT"],
                "where traces, metrics and log lines are sent, such as `http://collector:4318`; nothing is sent without \
                 it, or one of the next",
            ),
            (
                &[
                    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
                ],
                "the same for one of them; the whole URL",
            ),
            (
                &["OTEL_EXPORTER_OTLP_PROTOCOL"],
                "`http/protobuf`, unless `grpc`; also for one of them, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL` and so on",
            ),
            (
                &["OTEL_EXPORTER_OTLP_HEADERS"],
                "headers to send along, such as a key: `name=value`, separated by commas",
            ),
            (&["OTEL_EXPORTER_OTLP_TIMEOUT"], "how long sending may take, in milliseconds"),
            (
                &["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"],
                "`otlp` or `none`, for one of them",
            ),
            (&["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"], "which traces are recorded"),
            (&["OTEL_SERVICE_NAME"], "what this server is called there; `mandate`, unless given"),
            (&["OTEL_RESOURCE_ATTRIBUTES"], "what else is said of it: `name=value`, separated by commas"),
            (&["OTEL_METRIC_EXPORT_INTERVAL"], "how often metrics are sent, in milliseconds"),
            (&["OTEL_SDK_DISABLED"], "`true`: nothing is sent, whatever the others say"),
        ],
    ),
    (
        "The system",
        &[
            (
                &["SSL_CERT_FILE", "SSL_CERT_DIR"],
                "the certificates that are trusted in place of the system's, wherever TLS is spoken to somebody else but \
                 PostgreSQL, of which `sslrootcert` in `database_url` says it; see also `outbound.extra_ca_file`",
            ),
            (
                &["NO_COLOR"],
                "set to anything, `--help` and what is said of wrong arguments have no colours; nothing else has any",
            ),
            (
                &["XDG_DATA_HOME", "HOME"],
                "where `mandate connect` keeps its sign-ins when there is no keyring",
            ),
            (&["BROWSER"], "the browser that `mandate connect` opens"),
            (
                &["HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"],
                "the proxy that `mandate connect` takes; the server takes none",
            ),
        ],
    ),
];
